"""What an ONNX file of DAViD takes and gives: which output is which map, its sign, the colours.

Files that this package exported say so themselves, in their metadata. The official files do not:
there the shapes tell, and the conventions of the official runtime hold.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .load_errors import ModelLoadError
from .model.configuration_david import TASKS

# In front of every key that the exporter writes into the metadata of a file.
METADATA_PREFIX = "david_hf."
OFFICIAL_INPUT_SIZE = 512

Dtypes = dict[str, type[np.generic]]

# By the names that onnxruntime has for them.
_PHOTO_TYPES: Dtypes = {"tensor(uint8)": np.uint8}
_PIXEL_TYPES: Dtypes = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

# Parts of names that tell depth and foreground apart; the official multi-task file calls the
# foreground "2917".
_TELLING_NAMES = {
    "depth": ("depth", "disparity"),
    "alpha": ("alpha", "foreground", "mask", "matt", "segment", "2917"),
}
# They leave values, or their range, as they are.
_PASSING_OPERATORS = ("Cast", "Clip", "Identity", "Reshape", "Squeeze", "Unsqueeze")
# No mask comes near these, not even one without a final activation.
_FAR_BELOW_A_MASK, _FAR_ABOVE_A_MASK = -1.0, 2.0


@dataclass(frozen=True)
class OnnxSignature:
    """Facts that are needed to run one ONNX file.

    Attributes:
        input_name: Name of the only input.
        input_dtype: Type it wants.
        tasks: Map of each output, in the order of the file: "depth", "normals" or "alpha", or None
            for one output that is depth or alpha, which nothing in the file tells.
        depth_is_inverse: Whether the file's depth grows towards the camera.
        channel_order: "bgr" or "rgb", the colour order of the input.
        input_size: Height and width the input should have, in pixels.
        includes_processing: Whether the file takes photos, uint8 RGB of shape (B, H, W, 3), and
            gives maps of their size, instead of prepared pixels of shape (B, 3, H, W).
        one_by_one: Whether the file takes just one image at a time.
    """

    input_name: str
    input_dtype: type[np.generic]
    tasks: tuple[str | None, ...]
    depth_is_inverse: bool
    channel_order: str
    input_size: tuple[int, int]
    includes_processing: bool
    one_by_one: bool


def read_signature(session: Any, path: Path, tasks: Sequence[str] | None = None) -> OnnxSignature:
    """Find out what an opened ONNX file takes and gives.

    Args:
        session: The `onnxruntime.InferenceSession` of the file.
        path: The file; its name counts where its content leaves depth or alpha open.
        tasks: Map of each output in the order of the file, if the caller knows better.

    Raises:
        ModelLoadError: If this is another kind of network.
    """
    metadata = _read_metadata(session)
    includes_processing = metadata.get("includes_processing", "").lower() == "true"
    image, dtype = _check_input(session.get_inputs(), includes_processing)
    known = _known_tasks(session, metadata, tasks)
    outputs = known or _infer_tasks(session, path, _probe_shape(image.shape, metadata))
    # The official depth file grows towards the camera, the depth of the multi-task file away.
    official_sign = "true" if len(outputs) == 1 else "false"
    return OnnxSignature(
        input_name=image.name,
        input_dtype=dtype,
        tasks=outputs,
        depth_is_inverse=metadata.get("depth_is_inverse", official_sign).lower() == "true",
        channel_order=_channel_order(metadata),
        input_size=_input_size(image.shape, metadata, includes_processing),
        includes_processing=includes_processing,
        one_by_one=image.shape[0] == 1,
    )


def _read_metadata(session: Any) -> dict[str, str]:
    """Read what the exporter wrote, without its prefix; empty for files of others."""
    written: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return {
        key.removeprefix(METADATA_PREFIX): value
        for key, value in written.items()
        if key.startswith(METADATA_PREFIX)
    }


def _check_input(inputs: Sequence[Any], includes_processing: bool) -> tuple[Any, type[np.generic]]:
    """Return the input and its type, if it is one batch of images."""
    types = _PHOTO_TYPES if includes_processing else _PIXEL_TYPES
    colour_axis = 3 if includes_processing else 1
    layout = "(B, H, W, 3)" if includes_processing else "(B, 3, H, W)"
    if len(inputs) == 1 and inputs[0].type in types and len(inputs[0].shape) == 4:
        batch, colours = inputs[0].shape[0], inputs[0].shape[colour_axis]
        if colours in (3, None) or isinstance(colours, str):
            if isinstance(batch, int) and batch != 1:
                raise ModelLoadError(
                    f"it takes {batch} images at a time; expected a free batch size, or 1"
                )
            return inputs[0], types[inputs[0].type]
    raise ModelLoadError(
        f"expected one input of shape {layout} and type {' or '.join(types)}, "
        f"got {_describe(inputs)}"
    )


def _known_tasks(
    session: Any, metadata: dict[str, str], tasks: Sequence[str] | None
) -> tuple[str, ...] | None:
    """Return the tasks that the caller or the exporter named, or None."""
    origin, names = "tasks", list(tasks) if tasks is not None else None
    if names is None and "tasks" in metadata:
        origin = f"its metadata {METADATA_PREFIX}tasks"
        names = _parse_json(metadata["tasks"], origin)
    if names is None:
        return None
    count = len(session.get_outputs())
    distinct = isinstance(names, list) and all(names.count(name) == 1 for name in names)
    if not distinct or len(names) != count or not all(name in TASKS for name in names):
        raise ModelLoadError(
            f"{origin} must name each of the {count} outputs, distinct, out of "
            f"{', '.join(TASKS)}, got {names}"
        )
    return tuple(names)


def _infer_tasks(session: Any, path: Path, probe_shape: Sequence[int]) -> tuple[str | None, ...]:
    """Tell outputs apart by their shapes; one of a single channel also by names and values."""
    outputs = session.get_outputs()
    shapes = [output.shape for output in outputs]
    if not all(_is_telling(shape) for shape in shapes):
        shapes = [values.shape for values in _run_probe(session, probe_shape)]
    tasks = [_task_of_shape(shape) for shape in shapes]
    if "other" in tasks or not _can_be_told_apart(tasks):
        raise ModelLoadError(
            "expected outputs of shape (B, H, W) for depth, (B, 3, H, W) for normals and "
            f"(B, 1, H, W) for alpha, at most one of each, got {_describe(outputs)}"
        )
    if None not in tasks:
        return tuple(tasks)
    if tasks.count(None) == 2:
        # Depth comes first in the official files.
        tasks[tasks.index(None)] = "depth"
    position = tasks.index(None)
    if "depth" in tasks:
        tasks[position] = "alpha"
    else:
        tasks[position] = _depth_or_alpha(session, path, position, probe_shape)
    return tuple(tasks)


def _is_telling(shape: Sequence[Any]) -> bool:
    return len(shape) == 3 or (len(shape) == 4 and isinstance(shape[1], int))


def _task_of_shape(shape: Sequence[Any]) -> str | None:
    """Name the task of a shape; None may be depth or alpha."""
    if len(shape) == 3:
        return "depth"
    channels = shape[1] if len(shape) == 4 else 0
    return {3: "normals", 1: None}.get(channels, "other")


def _can_be_told_apart(tasks: Sequence[str | None]) -> bool:
    single_channel = tasks.count("depth") + tasks.count(None)
    return tasks.count("depth") <= 1 and tasks.count("normals") <= 1 and single_channel <= 2


def _depth_or_alpha(
    session: Any, path: Path, position: int, probe_shape: Sequence[int]
) -> str | None:
    """Decide what an output of shape (B, 1, H, W) is, or None if nothing tells."""
    outputs = session.get_outputs()
    names = [outputs[position].name]
    if len(outputs) == 1:
        names.append(path.stem)
    for name in names:
        if told := _task_of_name(name):
            return told
    if _comes_from_sigmoid(path, outputs[position].name):
        return "alpha"
    values = _run_probe(session, probe_shape)[position]
    far_off = values.min() < _FAR_BELOW_A_MASK or values.max() > _FAR_ABOVE_A_MASK
    return "depth" if far_off else None


def _task_of_name(name: str) -> str | None:
    found = [
        task
        for task, parts in _TELLING_NAMES.items()
        if any(part in name.lower() for part in parts)
    ]
    return found[0] if len(found) == 1 else None


def _comes_from_sigmoid(path: Path, output_name: str) -> bool:
    """Look for a final sigmoid in the graph; False, too, where the package onnx is missing."""
    try:
        import onnx
    except ImportError:
        return False
    nodes = onnx.load(str(path), load_external_data=False).graph.node
    makers = {name: node for node in nodes for name in node.output}
    maker = makers.get(output_name)
    while maker is not None and maker.op_type in _PASSING_OPERATORS:
        maker = makers.get(maker.input[0])
    return maker is not None and maker.op_type in ("Sigmoid", "HardSigmoid")


def _run_probe(session: Any, shape: Sequence[int]) -> list[np.ndarray]:
    """Run the file once on seeded noise."""
    image = session.get_inputs()[0]
    noise = np.random.default_rng(0).random(shape).astype(_PIXEL_TYPES[image.type])
    outputs: list[np.ndarray] = session.run(None, {image.name: noise})
    return outputs


def _probe_shape(shape: Sequence[Any], metadata: dict[str, str]) -> tuple[int, ...]:
    return (1, 3, *_input_size(shape, metadata, includes_processing=False))


def _input_size(
    shape: Sequence[Any], metadata: dict[str, str], includes_processing: bool
) -> tuple[int, int]:
    """Height and width: fixed ones as they are, free ones from the metadata or the official."""
    wished = [OFFICIAL_INPUT_SIZE, OFFICIAL_INPUT_SIZE]
    if "input_size" in metadata:
        origin = f"its metadata {METADATA_PREFIX}input_size"
        wished = _parse_json(metadata["input_size"], origin)
        if not (isinstance(wished, list) and len(wished) == 2 and all(map(_is_length, wished))):
            raise ModelLoadError(f"{origin} must be [height, width] in pixels, got {wished}")
    fixed = (None, None) if includes_processing else shape[2:]
    height, width = (
        side if isinstance(side, int) else wish for side, wish in zip(fixed, wished, strict=True)
    )
    return height, width


def _is_length(value: Any) -> bool:
    return type(value) is int and value > 0


def _channel_order(metadata: dict[str, str]) -> str:
    order = metadata.get("channel_order", "bgr")
    if order not in ("bgr", "rgb"):
        raise ModelLoadError(
            f"its metadata {METADATA_PREFIX}channel_order must be bgr or rgb, got {order}"
        )
    return order


def _parse_json(text: str, origin: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ModelLoadError(f"{origin} must be JSON, got {text!r}") from error


def _describe(values: Sequence[Any]) -> str:
    """List inputs or outputs as people would write them down."""
    return ", ".join(f"{value.name} {value.shape} {value.type}" for value in values) or "none"
