"""Models of soft foreground in transformers, those that need nothing but the photo."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.utils.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from david_hf.load_errors import ModelLoadError

from .base import Maps, Photo
from .checkpoint import Checkpoint
from .transformers_model import LoadedModel, Size, TransformersPredictor, resize_map

__all__ = ["MattingPredictor", "SegmentationPredictor", "refuse_trimap_models"]

# By `model_type`.
_NEED_A_TRIMAP = ("vitmatte",)
_BIREFNET_INPUT_SIZE = 1024


def refuse_trimap_models(checkpoint: Checkpoint) -> None:
    """Refuse models that refine a trimap, which no photo comes with.

    Raises:
        ModelLoadError: If this is one.
    """
    if checkpoint.kind in _NEED_A_TRIMAP:
        raise ModelLoadError(
            f"cannot load {checkpoint.source}: {checkpoint.kind} needs a trimap with every photo; "
            "expected a model that needs none"
        )


class MattingPredictor(TransformersPredictor):
    """A model of `AutoModelForImageMatting`."""

    tasks = ("alpha",)
    output, result = "alphas", "alpha"
    post_processing = "post_process_image_matting"

    def restore(self, outputs: Any, sizes: Sequence[Size]) -> list[Maps]:
        """Turn outputs of the model into alpha of the photos' sizes."""
        alphas = self.post_process(outputs, sizes)
        return [_to_maps(alpha, size) for alpha, size in zip(alphas, sizes, strict=True)]


class SegmentationPredictor(TransformersPredictor):
    """A model of `AutoModelForImageSegmentation` with code of its own, such as BiRefNet.

    Its output is foreground as logits, a tensor or a list whose last item is the final one.

    Args:
        loaded: Model; without an image processor photos are prepared as for BiRefNet.
        input_size: Side in pixels of the square that photos are then stretched to; None takes
            `image_size` of the configuration, else 1024.
    """

    tasks = ("alpha",)

    def __init__(self, loaded: LoadedModel, input_size: int | None = None) -> None:
        super().__init__(loaded)
        # The `model_type` of such models is made up, or that of others.
        self.family = type(self.model).__name__
        configured = getattr(self.model.config, "image_size", None)
        default = configured if isinstance(configured, int) else _BIREFNET_INPUT_SIZE
        self.input_size = input_size or default

    def prepare(self, photo: Photo) -> torch.Tensor:
        """Turn one photo into pixel values (1, 3, H, W)."""
        if self.processor is not None:
            return super().prepare(photo)
        sides = (self.input_size, self.input_size)
        square = Image.fromarray(photo).resize(sides, Image.Resampling.BILINEAR)
        pixels = np.asarray(square, np.float32) / 255
        mean, std = (
            np.array(values, np.float32) for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        )
        return torch.from_numpy((pixels - mean) / std).movedim(-1, 0)[None]

    def restore(self, outputs: Any, sizes: Sequence[Size]) -> list[Maps]:
        """Turn outputs of the model into alpha of the photos' sizes."""
        logits = getattr(outputs, "logits", outputs)
        if isinstance(logits, (list, tuple)) and logits:
            logits = logits[-1]
        shape = tuple(getattr(logits, "shape", ()))
        if len(shape) != 4 or shape[:2] != (len(sizes), 1):
            raise ValueError(
                f"expected logits of shape (B, 1, H, W) as the last output of {self.name}, got "
                f"{shape or type(logits).__name__}; this kind of model is not supported"
            )
        alphas = logits.float().cpu().sigmoid()
        return [
            _to_maps(resize_map(alpha, size), size)
            for alpha, size in zip(alphas, sizes, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """What tells this model from others; see the base class."""
        input_size = self.input_size if self.processor is None else None
        return {**super().describe(), "input_size": input_size}


def _to_maps(alpha: torch.Tensor, size: Size) -> Maps:
    return Maps(alpha=alpha.reshape(size).clamp(0.0, 1.0).numpy())
