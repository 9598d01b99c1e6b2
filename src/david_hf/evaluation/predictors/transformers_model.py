"""Models of transformers: how they are loaded, run on batches and described, whatever the task."""

import inspect
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoImageProcessor
from transformers.utils import IMAGE_PROCESSOR_NAME

from david_hf.evaluation.metrics.depth import Space
from david_hf.load_errors import ModelLoadError, first_line
from david_hf.predictor import check_device

from .base import Maps, Photo, Predictor
from .checkpoint import Checkpoint, digest_of_files

__all__ = ["LoadedModel", "TransformersPredictor", "load_model", "resize_map"]

Size = tuple[int, int]

# Published DPT checkpoints lack these, and no forward pass uses them: the coarsest fusion layer has
# no skip connection.
_UNUSED_WEIGHTS = re.compile(r"fusion_stage\.layers\.0\.residual_layer1\.")


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device, with what came with it.

    Attributes:
        name: Hub id, or name of the folder.
        model: A `PreTrainedModel` in evaluation mode.
        processor: Its image processor; None if the checkpoint has none.
        weights_sha256: Digest of its weight files.
        revision: Commit on the Hub; None for a folder.
    """

    name: str
    model: Any
    processor: Any
    weights_sha256: str
    revision: str | None


def load_model(
    checkpoint: Checkpoint,
    auto_class: Any,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    trust_remote_code: bool = False,
    needs_processor: bool = True,
) -> LoadedModel:
    """Load model and image processor; no pickle, and no code of the checkpoint without consent.

    Args:
        checkpoint: What to load.
        auto_class: Class of transformers that loads it, such as `AutoModelForDepthEstimation`.
        device: Where to run; None takes an accelerator if there is one.
        dtype: Precision of the weights; None takes that of the checkpoint.
        trust_remote_code: Whether code that comes with the checkpoint may be run.
        needs_processor: Whether a checkpoint without image processor is refused.

    Raises:
        ModelLoadError: If the device is missing, or weights are missing or cannot be loaded.
    """
    place = check_device(device)
    files = checkpoint.weight_files()
    options = {"revision": checkpoint.revision, "trust_remote_code": trust_remote_code}
    try:
        model, info = auto_class.from_pretrained(
            checkpoint.source,
            dtype=dtype or "auto",
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
        processor = None
        if needs_processor or checkpoint.has_file(IMAGE_PROCESSOR_NAME):
            processor = AutoImageProcessor.from_pretrained(checkpoint.source, **options)
        model = model.to(place).eval()
    except Exception as error:  # a broken checkpoint fails anywhere in transformers
        raise ModelLoadError(f"cannot load {checkpoint.source}: {first_line(error)}") from error
    missing = [name for name in info["missing_keys"] if not _UNUSED_WEIGHTS.search(name)]
    if missing:
        raise ModelLoadError(
            f"cannot load {checkpoint.source}: weights are missing from it, {missing[0]} for one"
        )
    digest = digest_of_files(files)
    return LoadedModel(checkpoint.name, model, processor, digest, checkpoint.revision)


class TransformersPredictor(Predictor):
    """A model whose class transformers knows, or fetches, behind the interface of the evaluation.

    Photos that the image processor brings to one size go through the model together.
    """

    depth_space: Space = "depth"
    # What the model calls its output, and what the image processor makes of it under which name.
    output: ClassVar[str]
    post_processing: ClassVar[str]
    result: ClassVar[str]

    def __init__(self, loaded: LoadedModel) -> None:
        self.model = loaded.model
        self.processor = loaded.processor
        self.name = loaded.name
        self.family = str(loaded.model.config.model_type)
        self._weights_sha256 = loaded.weights_sha256
        self._revision = loaded.revision

    @torch.inference_mode()
    def predict(self, photos: Sequence[Photo]) -> list[Maps]:
        """Predict all maps of a batch; see the base class."""
        inputs = [self.prepare(photo) for photo in photos]
        maps: dict[int, Maps] = {}
        for group in self.group(inputs):
            pixels = torch.cat([inputs[position] for position in group])
            outputs = self.model(pixels.to(self.model.device, self.model.dtype))
            restored = self.restore(outputs, [photos[position].shape[:2] for position in group])
            maps.update(zip(group, restored, strict=True))
        return [maps[position] for position in range(len(photos))]

    def group(self, inputs: Sequence[torch.Tensor]) -> list[list[int]]:
        """Positions of the inputs that go through the model together."""
        groups: dict[torch.Size, list[int]] = {}
        for position, pixels in enumerate(inputs):
            groups.setdefault(pixels.shape, []).append(position)
        return list(groups.values())

    def prepare(self, photo: Photo) -> torch.Tensor:
        """Turn one photo into pixel values (1, 3, H, W)."""
        # As a picture: the axes of an array three pixels high could be taken for one another.
        inputs = self.processor(Image.fromarray(photo), return_tensors="pt")
        pixels: torch.Tensor = inputs["pixel_values"]
        return pixels

    @abstractmethod
    def restore(self, outputs: Any, sizes: Sequence[Size]) -> list[Maps]:
        """Turn outputs of the model into maps of the photos' sizes."""

    def post_process(self, outputs: Any, sizes: Sequence[Size]) -> list[torch.Tensor]:
        """Let the image processor bring maps to the sizes of the photos, else resize them.

        Returns:
            For each photo float32 on the CPU, (C, H, W) or (H, W).
        """
        outputs = self._on_cpu(outputs)
        post_process = getattr(self.processor, self.post_processing, None)
        if post_process is None:
            maps = outputs[self.output]
            return [resize_map(item, size) for item, size in zip(maps, sizes, strict=True)]
        # Only who knows the size of a photo can cut its padding off again.
        padded = bool(getattr(self.processor, "do_pad", False))
        takes_sources = "source_sizes" in inspect.signature(post_process).parameters
        argument = "source_sizes" if padded and takes_sources else "target_sizes"
        results = post_process(outputs, **{argument: list(sizes)})
        return [result[self.result] for result in results]

    def _on_cpu(self, outputs: Any) -> Any:
        """Move outputs to the CPU as float32: maps of large photos would not fit an accelerator."""
        if not isinstance(outputs, Mapping) or self.output not in outputs:
            names = ", ".join(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
            raise ValueError(f"expected {self.output} from {self.name}, got {names}")
        return type(outputs)(
            **{
                name: value.float().cpu() if isinstance(value, torch.Tensor) else value
                for name, value in outputs.items()
            }
        )

    def describe(self) -> dict[str, Any]:
        """What tells this model from others; see the base class."""
        processor = self.processor
        return {
            "family": self.family,
            "class": type(self.model).__name__,
            "revision": self._revision,
            "weights_sha256": self._weights_sha256,
            "parameters": self.model.num_parameters(),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": self.model.device.type,
            "depth_space": self.depth_space if "depth" in self.tasks else None,
            "image_processor": None if processor is None else type(processor).__name__,
        }


def resize_map(item: torch.Tensor, size: Size) -> torch.Tensor:
    """Resize (C, H, W) or (H, W) bilinearly, smoothed where it shrinks."""
    planes = item.reshape(1, -1, *item.shape[-2:])
    resized = F.interpolate(planes, size, mode="bilinear", antialias=True)
    return resized.reshape(*item.shape[:-2], *size)
