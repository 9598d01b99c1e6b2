# Copyright 2026 The david_hf authors. MIT licence.
"""Pipelines for what transformers has no pipeline for: normals, matting, and all maps at once."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import Pipeline
from transformers.image_utils import load_image

from .image_inputs_david import to_channels_first, to_rgb, to_unit_range

__all__ = [
    "DavidDensePredictionPipeline",
    "DavidImageMattingPipeline",
    "DavidNormalEstimationPipeline",
]

# The output of the model that holds the map of each task.
_OUTPUTS = {"depth": "predicted_depth", "normals": "normals", "alpha": "alphas"}
# The method of the image processor that brings it to the size of the photo.
_METHODS = {
    "depth": "post_process_depth_estimation",
    "normals": "post_process_normal_estimation",
    "alpha": "post_process_image_matting",
}


class DavidPipeline(Pipeline):
    """Photos in, tensors and pictures of the photo's size out.

    A photo is a path, a URL, a base64 string or a PIL image of any mode; its EXIF orientation is
    applied. A list gives a list.

    Options of a call: `batch_size`, photos at once; `num_workers`; `timeout` in seconds for URLs.
    """

    _load_processor = False  # type: ignore[assignment]  # declared as None
    _load_image_processor = True  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]
    _load_tokenizer = False  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        trained = self.model.config.trained_tasks()
        missing = [task for task in self.wanted_tasks() if trained and task not in trained]
        if missing:
            raise ValueError(
                f"{self.task} needs the heads {', '.join(self.wanted_tasks())}, but the checkpoint "
                f"was saved with {', '.join(trained)}: choose another checkpoint, or train the "
                "missing heads and call save_pretrained first"
            )

    def wanted_tasks(self) -> tuple[str, ...]:
        """Tasks whose maps the pipeline makes."""
        raise NotImplementedError

    def _sanitize_parameters(
        self, timeout: float | None = None, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return ({} if timeout is None else {"timeout": timeout}), {}, {}

    def preprocess(  # type: ignore[override]  # the one option that there is, by name
        self, inputs: Any, timeout: float | None = None
    ) -> dict[str, Any]:
        """Read one photo and bring it to the size of the network's input."""
        photo = open_photo(inputs, timeout)
        process: Any = self.image_processor
        return {**process(photo, return_tensors="pt"), "photo": photo}

    def _forward(  # type: ignore[override]  # no option
        self, model_inputs: dict[str, Any]
    ) -> dict[str, Any]:
        outputs = self.model(model_inputs["pixel_values"])
        maps = {_OUTPUTS[task]: outputs[_OUTPUTS[task]] for task in self.wanted_tasks()}
        return {**maps, "photo": model_inputs["photo"]}

    def postprocess(  # type: ignore[override]  # no option
        self, model_outputs: dict[str, Any]
    ) -> dict[str, Any]:
        """Bring the maps of one photo to its size and draw them."""
        photo = model_outputs["photo"]
        result: dict[str, Any] = {}
        for task in self.wanted_tasks():
            output, post_process = _OUTPUTS[task], getattr(self.image_processor, _METHODS[task])
            # On the CPU: the maps of a large photo would not fit a small accelerator.
            on_cpu = {output: model_outputs[output].cpu()}
            result |= post_process(on_cpu, [(photo.height, photo.width)])[0]
        return {**result, **draw_maps(photo, result)}


class DavidNormalEstimationPipeline(DavidPipeline):
    """`pipeline("surface-normal-estimation")`.

    Gives for each photo: "normals", unit vectors (3, H, W), float32, X right, Y up, Z towards the
    camera; "normal_map", the same as an RGB picture, -1..1 as 0..255.
    """

    def wanted_tasks(self) -> tuple[str, ...]:
        """The normals."""
        return ("normals",)


class DavidImageMattingPipeline(DavidPipeline):
    """`pipeline("image-matting")`.

    Gives for each photo: "alphas", the soft foreground (H, W), float32 in [0, 1]; "alpha", the same
    as a grey picture; "cutout", the photo with that transparency, RGBA.
    """

    def wanted_tasks(self) -> tuple[str, ...]:
        """The foreground."""
        return ("alpha",)


class DavidDensePredictionPipeline(DavidPipeline):
    """`pipeline("human-dense-prediction")`: every map of a checkpoint in a single pass.

    Gives for each photo what the single-task pipelines give, and: "predicted_depth", relative depth
    (H, W), float32, larger = nearer; "depth", the same as a grey picture, stretched over the
    foreground where there is one.
    """

    def wanted_tasks(self) -> tuple[str, ...]:
        """All that the checkpoint has."""
        return tuple(self.model.config.tasks)


def open_photo(photo: Any, timeout: float | None = None) -> Image.Image:
    """Open a path, URL, base64 string or PIL image, upright, in its own mode where it can be."""
    # `load_image` makes 8-bit RGB of everything, which turns 16-bit photos white: it only gets what
    # Pillow cannot open itself.
    if isinstance(photo, (str, Path)) and os.path.isfile(photo):  # noqa: PTH113 - never raises
        with Image.open(photo) as file:
            return ImageOps.exif_transpose(file)
    if isinstance(photo, Image.Image):
        return ImageOps.exif_transpose(photo)
    return load_image(photo, timeout)


def draw_maps(photo: Image.Image, maps: dict[str, torch.Tensor]) -> dict[str, Image.Image]:
    """Make a picture of each map that there is, keyed as the classes above say."""
    pictures = {}
    alpha = maps.get("alphas")
    if "predicted_depth" in maps:
        pictures["depth"] = Image.fromarray(draw_depth(maps["predicted_depth"], alpha))
    if "normals" in maps:
        colours = _to_bytes((maps["normals"].permute(1, 2, 0) + 1) / 2)
        pictures["normal_map"] = Image.fromarray(colours)
    if alpha is not None:
        pictures["alpha"] = Image.fromarray(_to_bytes(alpha))
        pictures["cutout"] = _as_rgb(photo)
        pictures["cutout"].putalpha(pictures["alpha"])
    return pictures


def draw_depth(depth: torch.Tensor, alpha: torch.Tensor | None = None) -> np.ndarray:
    """Stretch depth (H, W) over 0 (farthest) to 255 (nearest); a flat map becomes 0.

    With an alpha, the range is that of the foreground: the depth of the background means nothing.
    """
    inside = depth if alpha is None else depth[alpha > 0.5]
    if inside.numel() == 0:
        inside = depth
    far, near = inside.min(), inside.max()
    return _to_bytes((depth - far) / (near - far).clamp_min(1e-12))


def _as_rgb(photo: Image.Image) -> Image.Image:
    """The colours in 8 bits; `Image.convert` would turn deeper ones white or black."""
    pixels = to_rgb(to_channels_first(photo))
    if pixels.dtype != torch.uint8:
        planes = [to_unit_range(plane, 1 / 255) for plane in pixels]
        return Image.fromarray(_to_bytes(torch.stack(planes, -1)))
    return Image.fromarray(pixels.movedim(0, -1).numpy())


def _to_bytes(values: torch.Tensor) -> np.ndarray:
    """Round 0..1 to 0..255."""
    return (values * 255).round().clamp(0, 255).to(torch.uint8).numpy()
