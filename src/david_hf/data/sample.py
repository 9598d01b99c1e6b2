"""The one record that crosses from data to training and evaluation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class HumanSample:
    """A picture of people and what is known about it. All maps share H and W.

    Attributes:
        image: (H, W, 3) sRGB in [0, 1].
        alpha: (H, W) soft foreground in [0, 1].
        depth_m: (H, W) z-depth in metres; anything where `valid` is false.
        normals: (H, W, 3) unit, X right, Y up, Z towards the camera; zero where `valid` is false.
        valid: (H, W) bool, where depth and normals are known.
        intrinsics: (3, 3) pinhole matrix in pixels.
        category: face, upper_body, full_body, or "" if unknown.
        identifier: Name within the source.
        source: Name of the data set.
    """

    image: Array
    alpha: Array
    depth_m: Array
    normals: Array
    valid: NDArray[np.bool_]
    intrinsics: NDArray[np.float64]
    category: str
    identifier: str
    source: str

    @property
    def foreground(self) -> NDArray[np.bool_]:
        """(H, W): human and labelled, the pixels depth and normals are judged on."""
        return self.valid & (self.alpha > 0.5)
