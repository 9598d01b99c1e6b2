"""One export: the network in PyTorch, the network to write, and inputs for both."""

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from david_hf.image_io import ImageReadError, load_image, to_rgb8
from david_hf.model import DavidPreTrainedModel
from david_hf.predictor import DavidPredictor

from .export_check import (
    Difference,
    Runner,
    accuracy_loss,
    compare,
    make_picture,
    merge_differences,
)
from .export_formats import OUTPUT_NAMES, trace, write_onnx, write_openvino, write_pt2
from .export_graph import ExportedNetwork, ProcessedNetwork, deployable
from .export_settings import (
    OFFICIAL_SIDE,
    SMALLEST_SIDE,
    ExportError,
    ExportSettings,
    is_official,
)
from .quantize import find_calibration_photos, quantize_onnx, split_held_out

__all__ = ["ExportPlan"]

_NUM_SYNTHETIC_PICTURES = 16


class ExportPlan:
    """One export: the network in PyTorch, the network to write, and inputs for both."""

    def __init__(
        self,
        predictor: DavidPredictor,
        settings: ExportSettings,
        size: tuple[int, int],
        official: bool,
    ) -> None:
        self.settings = settings
        self.processor = predictor.processor
        # Checkpoints are loaded into torch; files of ONNX were refused.
        self.model = cast(DavidPreTrainedModel, predictor.model)
        self.tasks = predictor.tasks
        self.size = size
        own_order = str(self.processor.channel_order)
        self.channel_order = "bgr" if official else own_order
        if settings.with_processing:
            self.channel_order = "rgb"
        # The official multi-task file has smaller = nearer, the single-task ones larger = nearer.
        self.depth_is_inverse = not (official and len(self.tasks) > 1)
        self.signature: dict[str, bool] = {
            "reverse_colours": self.channel_order != own_order,
            "negate_depth": not self.depth_is_inverse,
        }
        self.inputs, self.held_out, self.notes = self._quantization_inputs()

    @classmethod
    def make(cls, predictor: DavidPredictor, settings: ExportSettings) -> "ExportPlan":
        """Fill in what the settings leave to the checkpoint."""
        official = is_official(predictor.processor, settings)
        side = int(cast(DavidPreTrainedModel, predictor.model).config.input_size)
        size = settings.size or ((OFFICIAL_SIDE, OFFICIAL_SIDE) if official else (side, side))
        return cls(predictor, settings, size, official)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the file's input, -1 where it is free."""
        if self.settings.with_processing:
            return (-1, -1, -1, 3)
        return (-1, 3, -1, -1) if self.settings.dynamic else (-1, 3, *self.size)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself."""
        return {
            "david_hf.tasks": json.dumps(list(self.tasks)),
            "david_hf.depth_is_inverse": json.dumps(self.depth_is_inverse),
            "david_hf.channel_order": self.channel_order,
            "david_hf.input_size": json.dumps(list(self.size)),
            "david_hf.includes_processing": json.dumps(self.settings.with_processing),
            "david_hf.version": version("david-hf"),
        }

    def write(self, path: Path) -> tuple[str, ...]:
        """Write the file and return notes."""
        settings = self.settings
        # OpenVINO halves the weights itself when it saves.
        half = settings.precision == "fp16" and settings.file_format != "openvino"
        network = self._network(torch.float16 if half else torch.float32)
        free = (1, 2) if settings.with_processing else (2, 3) if settings.dynamic else None
        smallest = 1 if settings.with_processing else SMALLEST_SIDE
        program = trace(network, self._example(), free, smallest)
        if settings.file_format == "pt2":
            write_pt2(program, path, self.metadata)
        elif settings.file_format == "openvino":
            write_openvino(
                program,
                path,
                self.tasks,
                self.metadata,
                self.input_shape,
                half=settings.precision == "fp16",
                calibration=self.inputs or None,
            )
        elif settings.precision == "int8":
            self._write_quantized(program, path)
        else:
            write_onnx(program, path, self.tasks, settings.opset, self.metadata)
        return self.notes

    def check(self, run: Runner) -> list[Difference]:
        """Compare the file with PyTorch on noise and a picture, of more sizes if they are free."""
        precision = self.settings.precision
        return merge_differences(
            difference
            for image in self._check_inputs()
            for difference in compare(self.reference(image), run(image), self.tasks, precision)
        )

    def losses(self, run: Runner) -> dict[str, float]:
        """Measure what 8 bits cost; empty for other precisions."""
        expected = [self.reference(image) for image in self.held_out]
        return accuracy_loss(expected, [run(image) for image in self.held_out], self.tasks)

    @torch.inference_mode()
    def reference(self, image: torch.Tensor) -> Sequence[torch.Tensor]:
        """What PyTorch makes of an input of the file, by the library's own way."""
        if not self.settings.with_processing:
            return ExportedNetwork(self.model, self.tasks, **self.signature)(image)
        outputs = self.model(**self._process(list(image.permute(0, 3, 1, 2))))
        sizes = [tuple(image.shape[1:3])] * len(image)
        process = self.processor
        results = {
            "depth": lambda: process.post_process_depth_estimation(outputs, sizes),
            "normals": lambda: process.post_process_normal_estimation(outputs, sizes),
            "alpha": lambda: process.post_process_image_matting(outputs, sizes),
        }
        maps = []
        for task in self.tasks:
            per_photo = [next(iter(result.values())) for result in results[task]()]
            stacked = torch.stack(per_photo)
            maps.append(stacked[:, None] if task == "alpha" else stacked)
        return maps

    def _process(self, photos: Any) -> dict[str, torch.Tensor]:
        height, width = self.size
        size = {"height": height, "width": width}
        return dict(self.processor(photos, size=size, return_tensors="pt"))

    def _network(self, dtype: torch.dtype) -> nn.Module:
        network = ExportedNetwork(deployable(self.model, dtype), self.tasks, **self.signature)
        if not self.settings.with_processing:
            return network.eval()
        return ProcessedNetwork(network, self.processor, self.size).eval()

    def _example(self) -> torch.Tensor:
        if self.settings.with_processing:
            return _noise_photo(2, self.size[0] + 8, self.size[1])
        height, width = self.size
        # Equal sides would be taken for one and the same free number.
        return torch.rand(2, 3, height, width + 16 if self.settings.dynamic else width)

    def _check_inputs(self) -> Iterator[torch.Tensor]:
        height, width = self.size
        generator = torch.Generator().manual_seed(0)
        if self.settings.with_processing:
            # One photo that the padding and no halving changes, one that is halved.
            yield _noise_photo(2, height, width // 2 + 1)
            yield _to_photo(make_picture(height * 4, width * 7 // 2 + 1))
            return
        yield torch.rand(2, 3, height, width, generator=generator)
        yield self._order(make_picture(height, width))
        if self.settings.dynamic:
            other = max(SMALLEST_SIDE, height * 3 // 4 + 1), max(SMALLEST_SIDE, width * 5 // 4 + 3)
            yield self._order(make_picture(*other))
            yield torch.rand(1, 3, SMALLEST_SIDE, SMALLEST_SIDE, generator=generator)

    def _order(self, rgb: torch.Tensor) -> torch.Tensor:
        return rgb.flip(1) if self.channel_order == "bgr" else rgb

    def _quantization_inputs(
        self,
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], tuple[str, ...]]:
        """Inputs to calibrate with, inputs to measure the loss on, and a note on them."""
        if self.settings.precision != "int8":
            return [], [], ()
        folder = self.settings.calibration
        if folder is None:
            pictures = [
                make_picture(*self.size, seed=1 + seed) for seed in range(_NUM_SYNTHETIC_PICTURES)
            ]
            photos = [_to_photo(picture) for picture in pictures]
            origin = (
                f"calibrated and measured on {len(photos)} drawn pictures, which are not photos: "
                "give --calibration FOLDER with photos for a better file and an honest measure"
            )
        else:
            photos = _read_photos(folder)
            origin = f"calibrated on {len(photos)} photos of {folder}, a quarter of them held out"
            if len(photos) < 4:
                origin = f"calibrated and measured on the same {len(photos)} photos of {folder}"
        inputs, held_out = split_held_out([self._to_input(photo) for photo in photos])
        return inputs, held_out, (origin,)

    def _to_input(self, photo: torch.Tensor) -> torch.Tensor:
        if self.settings.with_processing:
            return photo
        pixels = self._process(list(photo.permute(0, 3, 1, 2)))["pixel_values"]
        return pixels.flip(1) if self.signature["reverse_colours"] else pixels

    def _write_quantized(self, program: Any, path: Path) -> None:
        full = path.with_name("full.onnx") if path.name != "full.onnx" else path.with_name("f.onnx")
        outputs = [OUTPUT_NAMES[task] for task in self.tasks]
        write_onnx(program, full, self.tasks, self.settings.opset, self.metadata)
        quantize_onnx(full, path, self.inputs, outputs, self.metadata)
        for leftover in (full, full.with_name(f"{full.name}.data")):
            leftover.unlink(missing_ok=True)


def _read_photos(folder: Path) -> list[torch.Tensor]:
    try:
        photos = [to_rgb8(load_image(path)) for path in find_calibration_photos(folder)]
    except (ImageReadError, ValueError) as error:
        raise ExportError(str(error)) from error
    return [torch.from_numpy(photo.copy())[None] for photo in photos]


def _noise_photo(batch: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def _to_photo(rgb: torch.Tensor) -> torch.Tensor:
    return (rgb * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
