"""Depth models of transformers, and what their depth is affine to."""

from collections.abc import Sequence
from typing import Any

from transformers.utils.import_utils import is_torchvision_available

from david_hf.evaluation.metrics.depth import Space
from david_hf.load_errors import ModelLoadError

from .base import Maps
from .checkpoint import Checkpoint
from .transformers_model import LoadedModel, Size, TransformersPredictor

__all__ = ["DepthPredictor", "depth_space_of"]

# By `model_type`. Checkpoints of DPT do not say what they predict; MiDaS and most others predict
# disparity. Depth Pro predicts it too, but its post-processing inverts it.
_SPACES: dict[str, Space] = {
    "depth_anything, metric": "depth",
    "depth_anything, relative": "disparity",
    "depth_pro": "depth",
    "dpt": "disparity",
    "glpn": "depth",
    "prompt_depth_anything": "depth",
    "tipsv2_dpt": "depth",
    "zoedepth": "depth",
}


def depth_space_of(checkpoint: Checkpoint) -> Space:
    """Tell from the configuration what the depth of a checkpoint is affine to.

    Raises:
        ModelLoadError: If this kind of model is not known.
    """
    kind = checkpoint.kind
    if kind == "depth_anything":
        kind = f"{kind}, {checkpoint.config.get('depth_estimation_type', 'relative')}"
    if kind not in _SPACES:
        raise ModelLoadError(
            f"cannot load {checkpoint.source}: nothing says whether {kind} predicts depth or "
            "disparity; give depth_space"
        )
    return _SPACES[kind]


class DepthPredictor(TransformersPredictor):
    """A model of `AutoModelForDepthEstimation`.

    Each photo is seen once: the mean with the depth of the mirrored photo, which ZoeDepth was
    published with, would be a second pass that other models do without.

    Args:
        loaded: Model and image processor.
        space: What its depth, after post-processing, is affine to.
    """

    tasks = ("depth",)
    output = result = "predicted_depth"
    post_processing = "post_process_depth_estimation"

    def __init__(self, loaded: LoadedModel, space: Space) -> None:
        super().__init__(loaded)
        if self.family == "zoedepth" and not is_torchvision_available():
            raise ModelLoadError(
                f"cannot load {self.name}: the post-processing of ZoeDepth needs torchvision: "
                "pip install 'david-hf[fast]'"
            )
        self.depth_space = space
        # ZoeDepth with several heads takes a vote of the whole batch on which one to use.
        self._one_by_one = len(getattr(self.model.config, "bin_configurations", None) or ()) > 1

    def group(self, inputs: Sequence[Any]) -> list[list[int]]:
        """Positions of the inputs that go through the model together."""
        if self._one_by_one:
            return [[position] for position in range(len(inputs))]
        return super().group(inputs)

    def restore(self, outputs: Any, sizes: Sequence[Size]) -> list[Maps]:
        """Turn outputs of the model into depth of the photos' sizes."""
        depths = self.post_process(outputs, sizes)
        # Post-processing drops axes of length one.
        return [
            Maps(depth=depth.reshape(size).numpy())
            for depth, size in zip(depths, sizes, strict=True)
        ]
