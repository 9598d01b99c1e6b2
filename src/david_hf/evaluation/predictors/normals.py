"""Models of surface normals in transformers, and the frames of their normals."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F

from david_hf.evaluation.metrics.normals import Convention, convert_normals
from david_hf.load_errors import ModelLoadError

from .base import Maps
from .checkpoint import Checkpoint
from .transformers_model import LoadedModel, Size, TransformersPredictor

__all__ = ["NormalPredictor", "normals_convention_of"]

# By `model_type`. Sapiens only says that its normals are in camera coordinates; users who compared
# those of its first version with rendered ones found Y up and Z towards the camera.
_CONVENTIONS: dict[str, Convention] = {"sapiens2": "opengl"}


def normals_convention_of(checkpoint: Checkpoint) -> Convention:
    """Tell the frame that the normals of a checkpoint are in.

    Raises:
        ModelLoadError: If this kind of model is not known.
    """
    kind = checkpoint.kind
    if kind not in _CONVENTIONS:
        raise ModelLoadError(
            f"cannot load {checkpoint.source}: nothing says which frame the normals of {kind} are "
            "in; give normals_convention"
        )
    return _CONVENTIONS[kind]


class NormalPredictor(TransformersPredictor):
    """A model of `AutoModelForNormalEstimation`.

    Args:
        loaded: Model and image processor.
        convention: Frame of its normals.
    """

    tasks = ("normals",)
    output = result = "normals"
    post_processing = "post_process_normal_estimation"

    def __init__(self, loaded: LoadedModel, convention: Convention) -> None:
        super().__init__(loaded)
        self.normals_convention = convention

    def restore(self, outputs: Any, sizes: Sequence[Size]) -> list[Maps]:
        """Turn outputs of the model into normals of the photos' sizes."""
        maps = []
        for normals in self.post_process(outputs, sizes):
            # Resizing shortens them.
            unit = F.normalize(normals, dim=0).movedim(0, -1).contiguous().numpy()
            maps.append(Maps(normals=convert_normals(unit, self.normals_convention)))
        return maps

    def describe(self) -> dict[str, Any]:
        """What tells this model from others; see the base class."""
        return {**super().describe(), "normals_convention": self.normals_convention}
