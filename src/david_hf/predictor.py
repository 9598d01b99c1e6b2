"""A model and its image processor, loaded once: a photo in, maps of its own size out."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from .load_errors import ModelLoadError, first_line
from .model import (
    DavidConfig,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidImageProcessor,
    DavidPreTrainedModel,
)
from .model.configuration_david import TASKS
from .model.image_inputs_david import to_unit_range
from .onnx_backend import OnnxDavid, is_onnx_file, providers_of_device

__all__ = [
    "TASKS",
    "DavidPredictor",
    "ModelLoadError",
    "Prediction",
    "bundled_checkpoint",
    "check_device",
    "default_device",
]

_MODEL_CLASSES: tuple[type[DavidPreTrainedModel], ...] = (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForNormalEstimation,
    DavidForImageMatting,
)


@dataclass(frozen=True)
class Prediction:
    """Maps of one photo at its own size, float32; those not asked for are None.

    Attributes:
        depth: Relative depth, larger = nearer, up to scale and shift, shape (H, W).
        normals: Unit normals, X right, Y up, Z to the camera, shape (3, H, W).
        alpha: Soft foreground in [0, 1], shape (H, W).
    """

    depth: np.ndarray | None = None
    normals: np.ndarray | None = None
    alpha: np.ndarray | None = None


class DavidPredictor:
    """Predict depth, normals and foreground of photos with one checkpoint or ONNX file.

    Args:
        model: A model with one head or all; one in torch is moved to `device` and put into
            evaluation mode.
        processor: The image processor that came with it.
        tasks: What the model predicts, out of "depth", "normals", "alpha".
        device: Where to run; None takes an accelerator if there is one. An ONNX file runs where it
            was opened for, whatever this says, and is fed from the CPU.
    """

    def __init__(
        self,
        model: DavidPreTrainedModel | OnnxDavid,
        processor: DavidImageProcessor,
        tasks: Sequence[str],
        device: str | torch.device | None = None,
    ) -> None:
        self.model: DavidPreTrainedModel | OnnxDavid
        if isinstance(model, OnnxDavid):
            self.device = torch.device("cpu")
            self.model = model
        else:
            self.device = torch.device(device) if device is not None else default_device()
            moved: Any = model.to(self.device).eval()  # type: ignore[arg-type]  # decorated `to`
            # Convolutions on CPUs are up to half as fast again with this layout.
            is_cpu = self.device.type == "cpu"
            self.model = moved.to(memory_format=torch.channels_last) if is_cpu else moved
        self.processor = processor
        self.tasks = tuple(tasks)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        device: str | torch.device | None = None,
        revision: str | None = None,
    ) -> "DavidPredictor":
        """Load a checkpoint, or an ONNX file, with whatever heads it has.

        Args:
            model: Local folder, Hub id or .onnx file (see `OnnxDavid.from_file`); None takes the
                checkpoint that comes with the package.
            device: Where to run; None takes an accelerator if there is one.
            revision: Commit, branch or tag on the Hub; None takes its main branch.

        Raises:
            ModelLoadError: If there is no such checkpoint or device, or the checkpoint is of
                another kind of model.
        """
        if model is not None and is_onnx_file(model):
            network = OnnxDavid.from_file(model, providers_of_device(device))
            return cls(network, network.image_processor(), network.tasks)
        source = _find_source(bundled_checkpoint() if model is None else model)
        check_device(device)
        pinned: dict[str, Any] = {} if revision is None else {"revision": revision}
        try:
            config = DavidConfig.from_pretrained(source, **pinned)
            model_class, tasks = _class_and_tasks(config)
            loaded: Any = model_class.from_pretrained(
                source, config=config, output_loading_info=True, **pinned
            )
            processor = DavidImageProcessor.from_pretrained(source, **pinned)
        except Exception as error:  # a broken checkpoint fails anywhere in transformers
            raise ModelLoadError(f"cannot load {source}: {first_line(error)}") from error
        checkpoint, info = loaded
        if info["missing_keys"]:
            raise ModelLoadError(f"cannot load {source}: weights are missing from it")
        return cls(checkpoint.fuse(), processor, tasks, device)

    def check_tasks(self, tasks: Sequence[str] | None) -> tuple[str, ...]:
        """Return the tasks asked for, in the usual order; None asks for all that the model has.

        Raises:
            ModelLoadError: If the model lacks one of them.
        """
        wanted = self.tasks if tasks is None else tuple(tasks)
        missing = [task for task in wanted if task not in self.tasks]
        if missing or not wanted:
            raise ModelLoadError(
                f"the model predicts {', '.join(self.tasks)}, not {', '.join(missing) or 'nothing'}"
            )
        undecided = self.model.undecided if isinstance(self.model, OnnxDavid) else ()
        if undecided and set(undecided) <= set(wanted):
            raise ModelLoadError(
                f"the file does not say whether it predicts {' or '.join(undecided)}: ask for one "
                f"of them, with --tasks {' or --tasks '.join(undecided)} on the command line"
            )
        return tuple(task for task in TASKS if task in wanted)

    def predict(
        self, image: Image.Image | np.ndarray | torch.Tensor, tasks: Sequence[str] | None = None
    ) -> Prediction:
        """Predict the maps of one photo in a single pass.

        Args:
            image: Upright photo: PIL image, or array (H, W, 3) or tensor (3, H, W).
            tasks: Maps to make; None makes all that the model predicts.

        Raises:
            ModelLoadError: If the model lacks one of the tasks.
        """
        return self.predict_batch([image], tasks)[0]

    @torch.inference_mode()
    def predict_batch(
        self,
        images: Sequence[Image.Image | np.ndarray | torch.Tensor],
        tasks: Sequence[str] | None = None,
    ) -> list[Prediction]:
        """Predict the maps of several photos, whatever their sizes, in a single pass.

        An ONNX file that includes the processing, or takes one image at a time, runs once for each.

        Args:
            images: Upright photos, as for `predict`.
            tasks: Maps to make; None makes all that the model predicts.

        Returns:
            Maps of each photo at its size.

        Raises:
            ModelLoadError: If the model lacks one of the tasks.
            RuntimeError: If the model gives NaN or infinity, as of a photo that holds such.
        """
        wanted = self.check_tasks(tasks)
        if not images:
            return []
        photos = [self.processor.process_image(image, do_convert_rgb=True) for image in images]
        if isinstance(self.model, OnnxDavid) and self.model.signature.includes_processing:
            outputs = (self.model(_to_photos(pixels)) for pixels in photos)
            return [self._restore(wanted, output, None)[0] for output in outputs]
        inputs = self.processor(photos, device=self.device, return_tensors="pt")
        sizes = [tuple(pixels.shape[-2:]) for pixels in photos]
        return self._restore(wanted, self.model(**inputs), sizes)

    def _restore(
        self, tasks: Sequence[str], outputs: Any, sizes: Sequence[tuple[int, ...]] | None
    ) -> list[Prediction]:
        """Bring outputs back to the sizes of the photos; None says that they have them."""
        maps = [self._restore_task(task, outputs, sizes) for task in tasks]
        return [
            Prediction(**dict(zip(tasks, of_one_photo, strict=True)))
            for of_one_photo in zip(*maps, strict=True)
        ]

    def _restore_task(
        self, task: str, outputs: Any, sizes: Sequence[tuple[int, ...]] | None
    ) -> list[np.ndarray]:
        name, post_process = {
            "depth": ("predicted_depth", self.processor.post_process_depth_estimation),
            "normals": ("normals", self.processor.post_process_normal_estimation),
            "alpha": ("alphas", self.processor.post_process_image_matting),
        }[task]
        # On the CPU: the maps of a large photo would not fit a small accelerator.
        on_cpu = {name: outputs[name].cpu()}
        if not on_cpu[name].isfinite().all():
            raise RuntimeError(f"the model gave NaN or infinity for {task}")
        return [restored[name].numpy() for restored in post_process(on_cpu, sizes)]


def bundled_checkpoint() -> Path:
    """Folder of the checkpoint that comes with the package."""
    return Path(str(files("david_hf"))) / "checkpoints" / "david-nano"


def default_device() -> torch.device:
    """Return the accelerator of this machine, or the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def _find_source(model: str | Path) -> str:
    """Tell a wrong path from a wrong Hub id, before transformers takes it for one."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelLoadError(f"cannot load {model}: the folder has no config.json")
        return str(folder)
    name = str(model)
    if folder.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise ModelLoadError(f"cannot load {model}: no such folder")
    return name


def check_device(device: str | torch.device | None) -> torch.device:
    """Reach for the device before a checkpoint is downloaded for it; None is the default one.

    Raises:
        ModelLoadError: If it is unknown, or torch was built without it.
    """
    try:
        place = default_device() if device is None else torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ModelLoadError(f"cannot run on {device}: {first_line(error)}") from error
    return place


def _class_and_tasks(
    config: DavidConfig,
) -> tuple[type[DavidPreTrainedModel], tuple[str, ...]]:
    """Choose the class that the checkpoint was saved from."""
    for model_class in _MODEL_CLASSES:
        if model_class.__name__ in (config.architectures or ()):
            return model_class, tuple(config.trained_tasks())
    raise ValueError(f"it has no task head, its architectures are {config.architectures}")


def _to_photos(pixels: torch.Tensor) -> torch.Tensor:
    """Turn a photo (3, H, W) of any dtype into a batch of one, uint8, shape (1, H, W, 3)."""
    if pixels.dtype != torch.uint8:
        planes = [to_unit_range(plane, 1 / 255) for plane in pixels]
        pixels = (torch.stack(planes) * 255).round().to(torch.uint8)
    return pixels.movedim(0, -1)[None]
