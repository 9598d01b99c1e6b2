"""Convert an ONNX file of DAViD into a checkpoint, and prove that nothing changed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from david_hf.atomic import check_is_free, new_folder
from david_hf.image_io import ImageReadError
from david_hf.load_errors import ModelLoadError, in_one_line
from david_hf.model import (
    DavidConfig,
    DavidForDensePrediction,
    DavidImageProcessor,
    DavidPreTrainedModel,
)
from david_hf.onnx_backend import OnnxDavid
from david_hf.onnx_signature import OnnxSignature
from david_hf.registration import MODELS, TASK_MODELS
from david_hf.resumable import sha256_of

from .key_map import GraphMap, read_graph
from .onnx_file import ConversionError, load_model, to_single_precision
from .onnx_graph import OnnxGraph
from .parity import TOLERANCE, Difference, first_stage_that_differs, measure_parity, test_images

__all__ = ["REPORT_NAME", "Conversion", "ConversionError", "convert_onnx", "is_converted"]

REPORT_NAME = "conversion.json"


@dataclass(frozen=True)
class Conversion:
    """A converted file.

    Attributes:
        folder: The checkpoint.
        config: Its configuration, as inferred.
        differences: How far each output is from the file's, on each image.
        in_half_precision: Whether the file computes in half precision; what it computes in single
            precision was compared then.
    """

    folder: Path
    config: DavidConfig
    differences: tuple[Difference, ...]
    in_half_precision: bool


def convert_onnx(
    source: str | Path,
    folder: str | Path,
    *,
    tasks: Sequence[str] | None = None,
    depth_is_inverse: bool | None = None,
    channel_order: str | None = None,
    photo: str | Path | None = None,
) -> Conversion:
    """Read a DAViD network out of an ONNX file and write it as a checkpoint.

    The structure is read, never a name; what the file leaves open (which blocks are decoded, where
    the 1x1 convolutions sit, activations, corner alignment, mean and deviation) is inferred. Then
    both networks run on the same images, and nothing is written unless they agree: alpha and
    normals to 1e-4, depth to 1e-4 of its range.

    Args:
        source: The .onnx file.
        folder: Checkpoint to make; it must not exist or be empty.
        tasks: What the outputs are, in the order of the file; None finds out, which a lone output
            of one channel may not allow.
        depth_is_inverse: Whether the file's depth grows towards the camera; None takes the file's
            metadata, else what holds for the official files: it does where depth is alone.
        channel_order: Order of the colours the file takes, "bgr" or "rgb"; None takes the metadata,
            else "bgr", as the official files do.
        photo: Photo for the comparison, beside seeded noise; None takes the package's portrait.

    Returns:
        The checkpoint, its configuration and the differences. `conversion.json` in the folder says
        the same, with the file's name, size and SHA-256.

    Raises:
        ConversionError: If the file is broken or not DAViD's, or the outputs differ; nothing is
            left behind then. The first line of the message says why.
    """
    path, target = Path(source), Path(folder)
    try:
        check_is_free(target)
    except ValueError as error:
        raise ConversionError(str(error)) from error
    graph, signature, half = _open(path, tasks)
    if channel_order is None:
        channel_order = signature.channel_order
    if depth_is_inverse is None:
        depth_is_inverse = signature.depth_is_inverse
    mapped = read_graph(graph, [str(task) for task in signature.tasks], depth_is_inverse)
    height, width = graph.image_shape[2:]
    model = build_model(graph, mapped, input_size=height)
    try:
        images = test_images(graph.image_shape, channel_order, Path(photo) if photo else None)
        options: dict[str, Any] = {"channel_order": channel_order}
        processor = DavidImageProcessor(size={"height": height, "width": width}, **options)
    except (ImageReadError, ValueError) as error:
        raise ConversionError(str(error)) from error
    differences = measure_parity(model, graph, mapped, images)
    if not all(difference.is_small for difference in differences):
        _refuse(model, graph, mapped, differences, images)
    final = _final_model(model)
    report = _report(path, mapped, differences, half)
    try:
        with new_folder(target) as staged:
            final.save_pretrained(staged)
            processor.save_pretrained(staged)
            (staged / REPORT_NAME).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    except (OSError, ValueError) as error:
        raise ConversionError(f"{target}: cannot be written: {error}") from error
    return Conversion(target, final.config, tuple(differences), half)


def is_converted(source: Path, folder: Path) -> bool:
    """Whether a folder holds the checkpoint that was made from just this file."""
    try:
        report = json.loads((folder / REPORT_NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(report, dict) and report.get("sha256") == sha256_of(source)


def _open(path: Path, tasks: Sequence[str] | None) -> tuple[OnnxGraph, OnnxSignature, bool]:
    """Load a file, checked before anything runs it, and find out what it takes and gives."""
    model = load_model(path)
    try:
        network = OnnxDavid.from_file(path, ["CPUExecutionProvider"], tasks)
    except ModelLoadError as error:
        raise ConversionError(str(error)) from error
    signature = network.signature
    if signature.includes_processing:
        raise ConversionError(
            f"{path}: it takes photos and holds the image processing, which is not part of a "
            "checkpoint; run it as it is: david predict --model"
        )
    if network.undecided:
        raise ConversionError(
            f"{path}: its output could be {' or '.join(network.undecided)}; say which, "
            f"--tasks {' or --tasks '.join(network.undecided)} on the command line"
        )
    half = to_single_precision(model)
    return OnnxGraph(path, model, signature.input_size), signature, half


def build_model(graph: OnnxGraph, mapped: GraphMap, input_size: int) -> DavidForDensePrediction:
    """Build the network of a graph; every weight of both sides is used exactly once.

    Raises:
        ConversionError: If keys are missing, weights are left over or shapes differ.
    """
    try:
        config = DavidConfig(**mapped.config, input_size=input_size)
        with torch.device("meta"):
            model = DavidForDensePrediction(config)
    except Exception as error:  # strict dataclasses have errors of their own
        reason = f"no such DAViD configuration: {in_one_line(error)}"
        raise ConversionError(f"{graph.path}: {reason}") from error
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    state = _complete(mapped.state, expected)
    missing = sorted(expected.keys() - state.keys())
    surplus = sorted(state.keys() - expected.keys())
    clashes = [
        f"{name}: {tuple(state[name].shape)} in the file, {shape} in the network"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if missing or surplus or mapped.unused or clashes:
        raise ConversionError(
            f"{graph.path}: its weights do not fit the network that was inferred\n"
            f"missing keys: {', '.join(missing) or 'none'}\n"
            f"left over: {', '.join([*surplus, *mapped.unused]) or 'none'}\n"
            f"other shapes: {'; '.join(clashes) or 'none'}\n"
            f"inferred: {json.dumps(mapped.config)}"
        )
    broken = [name for name, values in state.items() if not np.isfinite(values).all()]
    if broken:
        raise ConversionError(f"{graph.path}: weights that are not finite, for {broken[0]}")
    model = DavidForDensePrediction(config)
    # Copies: many of the arrays are views of the file's content.
    model.load_state_dict(
        {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    )
    return model.eval()


def _complete(
    state: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Give layers that the file leaves without a bias one of zeros."""
    full = dict(state)
    for name, shape in expected.items():
        if name.endswith(".bias") and name not in full and name[:-4] + "weight" in full:
            full[name] = np.zeros(shape, np.float32)
    return full


def _final_model(model: DavidForDensePrediction) -> DavidPreTrainedModel:
    """Return a network with one head as that task's own class."""
    if len(model.config.tasks) > 1:
        return model
    model_class = MODELS[TASK_MODELS[model.config.tasks[0]]]
    single: DavidPreTrainedModel = model_class(model.config)
    single.load_state_dict(model.state_dict())
    return single


def _refuse(
    model: DavidForDensePrediction,
    graph: OnnxGraph,
    mapped: GraphMap,
    differences: list[Difference],
    images: Mapping[str, np.ndarray],
) -> None:
    bad = next(difference for difference in differences if not difference.is_small)
    stage = first_stage_that_differs(model, graph, mapped, images[bad.image])
    raise ConversionError(
        f"{graph.path}: the converted network differs: {bad.task} by {bad.judged:.3g} on "
        f"{bad.image}, allowed is {TOLERANCE:g}; the first stage that differs is {stage}\n"
        f"inferred: {json.dumps(mapped.config)}"
    )


def _report(
    path: Path, mapped: GraphMap, differences: list[Difference], half: bool
) -> dict[str, Any]:
    return {
        "source": path.name,
        "sha256": sha256_of(path),
        "size": path.stat().st_size,
        "computes_in_half_precision": half,
        "inferred": mapped.config,
        "tolerance": TOLERANCE,
        "differences": [
            {
                "output": difference.task,
                "image": difference.image,
                "max_abs_difference": difference.maximum,
                "value_range": difference.value_range,
            }
            for difference in differences
        ],
        "david_hf_version": version("david-hf"),
    }
