"""A checkpoint and its image processor, loaded once: a photo in, maps of its own size out."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from .model import (
    DavidConfig,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidImageProcessor,
    DavidPreTrainedModel,
)

TASKS = ("depth", "normals", "alpha")

_MODEL_CLASSES: tuple[type[DavidPreTrainedModel], ...] = (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForNormalEstimation,
    DavidForImageMatting,
)


class ModelLoadError(ValueError):
    """A model that cannot be loaded, or lacks a head; the message is one line."""


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
    """Predict depth, normals and foreground of photos with one checkpoint.

    Args:
        model: A model with one head or all; it is moved to `device` and put into evaluation mode.
        processor: The image processor that came with it.
        tasks: What the model predicts, out of "depth", "normals", "alpha".
        device: Where to run; None takes an accelerator if there is one.
    """

    def __init__(
        self,
        model: DavidPreTrainedModel,
        processor: DavidImageProcessor,
        tasks: Sequence[str],
        device: str | torch.device | None = None,
    ) -> None:
        self.device = torch.device(device) if device is not None else default_device()
        self.model = model.to(self.device).eval()  # type: ignore[arg-type]  # decorated `to`
        self.processor = processor
        self.tasks = tuple(tasks)

    @classmethod
    def from_pretrained(
        cls, model: str | Path | None = None, device: str | torch.device | None = None
    ) -> "DavidPredictor":
        """Load a checkpoint with whatever heads it has.

        Args:
            model: Local folder or Hub id; None takes the checkpoint that comes with the package.
            device: Where to run; None takes an accelerator if there is one.

        Raises:
            ModelLoadError: If there is no such checkpoint or device, or the checkpoint is of
                another kind of model.
        """
        source = _find_source(bundled_checkpoint() if model is None else model)
        _check_device(device)
        try:
            config = DavidConfig.from_pretrained(source)
            model_class, tasks = _class_and_tasks(config)
            loaded: Any = model_class.from_pretrained(
                source, config=config, output_loading_info=True
            )
            processor = DavidImageProcessor.from_pretrained(source)
        except Exception as error:  # a broken checkpoint fails anywhere in transformers
            raise ModelLoadError(f"cannot load {source}: {_first_line(error)}") from error
        network, info = loaded
        if info["missing_keys"]:
            raise ModelLoadError(f"cannot load {source}: weights are missing from it")
        return cls(network, processor, tasks, device)

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
        return tuple(task for task in TASKS if task in wanted)

    @torch.inference_mode()
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
        wanted = self.check_tasks(tasks)
        pixels = self.processor.process_image(image)
        inputs = self.processor(pixels, device=self.device, return_tensors="pt")
        outputs = self.model(**inputs)
        size = tuple(pixels.shape[-2:])
        return Prediction(**{task: self._restore(task, outputs, size) for task in wanted})

    def _restore(self, task: str, outputs: Any, size: tuple[int, ...]) -> np.ndarray:
        """Bring one output back to the size of the photo."""
        name, post_process = {
            "depth": ("predicted_depth", self.processor.post_process_depth_estimation),
            "normals": ("normals", self.processor.post_process_normal_estimation),
            "alpha": ("alphas", self.processor.post_process_image_matting),
        }[task]
        # On the CPU: the maps of a large photo would not fit a small accelerator.
        on_cpu = {name: outputs[name].cpu()}
        return post_process(on_cpu, [size])[0][name].numpy()


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


def _check_device(device: str | torch.device | None) -> None:
    """Reach for the device before a checkpoint is downloaded for it."""
    if device is None:
        return
    try:
        torch.empty(1, device=device)
    except (
        RuntimeError,
        AssertionError,
    ) as error:  # an unknown one, or one torch was built without
        raise ModelLoadError(f"cannot run on {device}: {_first_line(error)}") from error


def _class_and_tasks(
    config: DavidConfig,
) -> tuple[type[DavidPreTrainedModel], tuple[str, ...]]:
    """Choose the class that the checkpoint was saved from."""
    for model_class in _MODEL_CLASSES:
        if model_class.__name__ in (config.architectures or ()):
            return model_class, tuple(config.trained_tasks())
    raise ValueError(f"it has no task head, its architectures are {config.architectures}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
