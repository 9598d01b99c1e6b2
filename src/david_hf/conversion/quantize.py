"""Static 8-bit quantization of an ONNX file, calibrated on pictures."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from david_hf.image_io import IMAGE_SUFFIXES

from .export_formats import INPUT_NAME, LARGEST_FILE, quiet

__all__ = ["find_calibration_photos", "quantize_onnx", "split_held_out"]

# More photos change the ranges little and take long.
MAX_PHOTOS = 64

# What costs time; everything else, resizes and activations among it, stays as it is.
_OPERATORS = ["Conv", "ConvTranspose", "MatMul", "Gemm"]


def find_calibration_photos(folder: Path) -> list[Path]:
    """List up to `MAX_PHOTOS` photos of a folder, evenly spread over their names.

    In a folder of rendered people (SynthHuman's layout) only the pictures count, not the labels.

    Raises:
        ValueError: If there is no such folder, or no photo in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of photos to calibrate with")
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    photos = [path for path in photos if path.name.startswith("rgb_")] or photos
    if not photos:
        raise ValueError(
            f"{folder}: no photo in it to calibrate with ({', '.join(IMAGE_SUFFIXES)})"
        )
    step = max(1.0, len(photos) / MAX_PHOTOS)
    return [photos[int(index * step)] for index in range(min(len(photos), MAX_PHOTOS))]


def split_held_out(
    inputs: Sequence[torch.Tensor],
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Split pictures into three quarters to calibrate with and one to measure the loss on.

    With fewer than four, all are used for both.
    """
    if len(inputs) < 4:
        return list(inputs), list(inputs)
    held_out = list(inputs[::4])
    return [image for index, image in enumerate(inputs) if index % 4], held_out


def quantize_onnx(
    source: Path,
    target: Path,
    inputs: Sequence[torch.Tensor],
    outputs: Sequence[str],
    metadata: Mapping[str, str],
) -> None:
    """Quantize weights (per channel) and activations to 8 bits, in the QDQ form.

    The convolutions that make the outputs stay as they are: they cost next to nothing, and 256
    steps of depth are visible.

    Args:
        source: ONNX file in single precision.
        target: File to write.
        inputs: Inputs to find the range of each activation with.
        outputs: Names of the outputs.
        metadata: Entries of the file's `metadata_props`.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.remaining = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.remaining, None)
            return None if image is None else {INPUT_NAME: image.numpy()}

    beside = source.with_name(f"{source.name}.data")
    large = source.stat().st_size > LARGEST_FILE or beside.exists()
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, quiet():
        unmarked = Path(scratch) / target.name
        quantize_static(
            source,
            unmarked,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_last_convolutions(
                onnx.load(source, load_external_data=False), outputs
            ),
            use_external_data_format=large,
        )
        model = onnx.load(unmarked)
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, dict(metadata))
        onnx.save(model, target, save_as_external_data=large, location=f"{target.name}.data")


def _last_convolutions(model: "onnx.ModelProto", outputs: Sequence[str]) -> list[str]:  # type: ignore[name-defined]  # noqa: F821
    """Names of the nearest convolutions in front of the outputs."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found, seen = [], set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type in _OPERATORS:
            found.append(node.name)
        else:
            waiting.extend(node.input)
    return found
