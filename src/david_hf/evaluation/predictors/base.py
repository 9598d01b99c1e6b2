"""What the evaluation asks of a model, whatever library and family it comes from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from david_hf.evaluation.metrics.depth import Space

Photo = NDArray[np.uint8]
Map = NDArray[np.float32]


@dataclass(frozen=True)
class Maps:
    """Maps of one photo, float32, at its own size; None for what the model does not predict.

    Attributes:
        depth: (H, W), up to scale and shift. In the space "depth" larger is farther, in the space
            "disparity" larger is nearer.
        normals: (H, W, 3) unit, X right, Y up, Z towards the camera.
        alpha: (H, W) in [0, 1].
    """

    depth: Map | None = None
    normals: Map | None = None
    alpha: Map | None = None


class Predictor(ABC):
    """A loaded model.

    Attributes:
        family: Kind of model: "david", "onnx", or the `model_type` of transformers.
        name: Hub id, or name of the folder or file.
        tasks: What it predicts, out of "depth", "normals", "alpha", in this order.
        depth_space: What its depth is affine to: "depth", or "disparity", one over depth.
    """

    family: str
    name: str
    tasks: tuple[str, ...]
    depth_space: Space

    @abstractmethod
    def predict(self, photos: Sequence[Photo]) -> list[Maps]:
        """Predict all maps of a batch.

        Args:
            photos: RGB, (H, W, 3), upright; sizes may differ.

        Returns:
            Maps of each photo at its size.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What tells this model from others, as JSON: class, digest of the weights, precision."""
