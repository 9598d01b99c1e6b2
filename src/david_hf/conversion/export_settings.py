"""What can be asked of an export, and what cannot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .export_formats import EXTRAS, missing_packages

__all__ = ["ExportError", "ExportSettings", "check_settings", "is_official"]

Format = Literal["onnx", "openvino", "pt2"]
Precision = Literal["fp32", "fp16", "int8"]

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
PRECISIONS = ("fp32", "fp16", "int8")
# Below it a level of the resizer is a single pixel, and a resize of one pixel has no corners.
SMALLEST_SIDE = 17
OFFICIAL_SIDE = 512
# Version 18 is the oldest that torch's exporter writes.
OLDEST_OPSET = 18


class ExportError(ValueError):
    """An export that cannot be made, or is not the network it came from; one line."""


@dataclass(frozen=True)
class ExportSettings:
    """What to make of a checkpoint.

    Attributes:
        file_format: "onnx", "openvino" or "pt2".
        precision: "fp32", "fp16" or "int8".
        tasks: Outputs, some of the checkpoint's; None takes all.
        size: Height and width of the network's input; None takes the checkpoint's.
        dynamic: Whether height and width are free, from 17 pixels on.
        with_processing: Whether the file takes photos of any size, uint8 (B, H, W, 3) in
            red-green-blue, and gives maps of that size.
        official: Whether the file follows the official ones: 512 x 512, blue-green-red, and their
            sign of depth. None does so where the checkpoint's processor is that way.
        calibration: Folder of photos for "int8"; None takes drawn pictures.
        opset: ONNX opset version.
    """

    file_format: Format = "onnx"
    precision: Precision = "fp32"
    tasks: Sequence[str] | None = None
    size: tuple[int, int] | None = None
    dynamic: bool = False
    with_processing: bool = False
    official: bool | None = None
    calibration: Path | None = None
    opset: int = 18


def check_settings(output: Path, settings: ExportSettings) -> None:
    """Refuse what cannot work before anything is loaded."""
    file_format, precision = settings.file_format, settings.precision
    if file_format not in SUFFIXES:
        raise ExportError(f"the format must be one of {', '.join(SUFFIXES)}, got {file_format!r}")
    if precision not in PRECISIONS:
        raise ExportError(
            f"the precision must be one of {', '.join(PRECISIONS)}, got {precision!r}"
        )
    if output.suffix != SUFFIXES[file_format]:
        raise ExportError(f"{output}: a file of this format must end in {SUFFIXES[file_format]}")
    if output.is_dir():
        raise ExportError(f"{output}: is a folder, expected the name of a file")
    _check_combinations(settings)
    if settings.size is not None and min(settings.size) < SMALLEST_SIDE:
        raise ExportError(f"both sides must be {SMALLEST_SIDE} pixels or more, got {settings.size}")
    if settings.opset < OLDEST_OPSET:
        raise ExportError(f"the opset must be {OLDEST_OPSET} or newer, got {settings.opset}")
    if missing := missing_packages(file_format):
        extra = EXTRAS[file_format]
        raise ExportError(
            f"{file_format} needs {', '.join(missing)}: pip install 'david-hf[{extra}]'"
        )


def _check_combinations(settings: ExportSettings) -> None:
    if settings.precision == "int8":
        if settings.file_format == "pt2":
            raise ExportError("pt2 is written in fp32 or fp16; int8 needs onnx or openvino")
        if settings.file_format == "openvino":
            _require_nncf()
    elif settings.calibration is not None:
        raise ExportError("photos to calibrate with are for int8 only")
    if settings.with_processing and settings.dynamic:
        raise ExportError(
            "with the processing inside, photos have any size and the network's input a fixed one: "
            "leave --dynamic out"
        )
    if settings.official and (settings.with_processing or settings.dynamic or settings.size):
        raise ExportError(
            "the official files have a fixed input of 512 x 512 and no processing: leave --size, "
            "--dynamic and --with-processing out"
        )


def _require_nncf() -> None:
    try:
        import nncf  # noqa: F401
    except ImportError:
        raise ExportError("int8 for OpenVINO needs nncf: pip install nncf") from None


def is_official(processor: Any, settings: ExportSettings) -> bool:
    """Whether to follow the official files' signature."""
    if settings.official is not None:
        return settings.official
    size = processor.size
    sides = (size["height"], size["width"])
    like_official = processor.channel_order == "bgr" and sides == (OFFICIAL_SIDE, OFFICIAL_SIDE)
    sized = settings.size in (None, (OFFICIAL_SIDE, OFFICIAL_SIDE))
    return like_official and sized and not (settings.dynamic or settings.with_processing)
