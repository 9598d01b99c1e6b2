"""The one record that crosses from data to training and evaluation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Source of samples that were composed of renders.
COMPOSED = "composed"


@dataclass(frozen=True)
class HumanSample:
    """A picture of people and what is known about it. All maps share H and W.

    Attributes:
        image: (H, W, 3) sRGB in [0, 1].
        alpha: (H, W) soft foreground in [0, 1]; None if unknown, as all that may be None.
        depth_m: (H, W) z-depth in metres; 0 where `valid` is false.
        normals: (H, W, 3) unit, X right, Y up, Z towards the camera; zero where `valid` is false.
        valid: (H, W) bool, where what there is of depth and normals is known.
        intrinsics: (3, 3) pinhole matrix in pixels: the centre of the first pixel is (0.5, 0.5).
        category: face, upper_body, full_body, or "" if unknown.
        identifier: Name within the source.
        source: Name of the data set.
    """

    image: Array
    alpha: Array | None
    depth_m: Array | None
    normals: Array | None
    valid: NDArray[np.bool_]
    intrinsics: NDArray[np.float64] | None
    category: str
    identifier: str
    source: str

    @property
    def size(self) -> tuple[int, int]:
        """H, W."""
        return self.valid.shape

    @property
    def foreground(self) -> NDArray[np.bool_]:
        """(H, W): human and labelled, the pixels depth and normals are judged on."""
        return self.valid if self.alpha is None else self.valid & (self.alpha > 0.5)
