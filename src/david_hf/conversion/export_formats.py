"""Writing a traced network as ONNX, OpenVINO or pt2, and running what was written."""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from .export_check import Runner

__all__ = [
    "EXTRAS",
    "INPUT_NAME",
    "LARGEST_FILE",
    "OUTPUT_NAMES",
    "missing_packages",
    "open_file",
    "quiet",
    "trace",
    "write_onnx",
    "write_openvino",
    "write_pt2",
]

# The names of the outputs say what the official ONNX files hold, in their order.
INPUT_NAME = "input"
OUTPUT_NAMES = {"depth": "depth", "normals": "normal", "alpha": "foreground"}

# Packages each format needs, by the extra that installs them.
EXTRAS = {"onnx": "onnx", "openvino": "openvino"}
_PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",), "pt2": ()}

# Protocol buffers end at 2 GiB; larger networks keep their tensors in a file beside the graph.
LARGEST_FILE = 1_900_000_000


def missing_packages(file_format: str) -> list[str]:
    """Packages that a format needs and that are not installed."""
    return [name for name in _PACKAGES[file_format] if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # hidden on purpose, or half removed
        return False


def trace(
    network: nn.Module, example: torch.Tensor, free_sides: tuple[int, int] | None, smallest: int
) -> ExportedProgram:
    """Trace a network for any batch, and for any height and width if asked to.

    Args:
        network: Module of one tensor, in evaluation mode.
        example: An input, batch of 2 or more.
        free_sides: Dimensions of the input that are height and width, or None to fix both.
        smallest: Smallest height and width, if they are free.
    """
    dynamic: dict[int, Any] = {0: Dim("batch", min=1)}
    if free_sides is not None:
        dynamic[free_sides[0]] = Dim("height", min=smallest)
        dynamic[free_sides[1]] = Dim("width", min=smallest)
    with torch.no_grad(), quiet():
        program = torch.export.export(network, (example,), dynamic_shapes=(dynamic,), strict=False)
    for node in program.graph.nodes:
        # Paths and source lines of this machine are nobody's business.
        node.meta.pop("stack_trace", None)
    return program


def write_onnx(
    program: ExportedProgram,
    path: Path,
    tasks: Sequence[str],
    opset: int,
    metadata: Mapping[str, str],
) -> None:
    """Write one .onnx file, and `path`.data beside it if it would exceed 2 GB.

    Args:
        program: The traced network.
        path: File to write.
        tasks: What the outputs are.
        opset: ONNX opset version.
        metadata: Entries of the file's `metadata_props`.

    Raises:
        RuntimeError: If the network cannot be expressed in that opset.
    """
    with quiet():
        onnx_program = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAMES[task] for task in tasks],
            verbose=False,
        )
    if onnx_program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    model = onnx_program.model
    if model.opset_imports[""] != opset:
        raise RuntimeError(
            f"the graph needs opset {model.opset_imports['']}, {opset} was asked for"
        )
    for node in model.graph.all_nodes():
        # Paths and source lines of this machine, and half of a small file.
        node.metadata_props.clear()
        node.doc_string = None
    model.producer_name = "david_hf"
    model.producer_version = metadata["david_hf.version"]
    model.metadata_props.clear()
    model.metadata_props.update(metadata)
    stored = (value.const_value for value in model.graph.initializers.values())
    total = sum(tensor.nbytes for tensor in stored if tensor is not None)
    onnx_program.save(str(path), external_data=total > LARGEST_FILE)


def write_pt2(program: ExportedProgram, path: Path, metadata: Mapping[str, str]) -> None:
    """Write torch's own archive; the metadata is its extra file david_hf.json."""
    # The archive would carry the example, megabytes of noise.
    program.example_inputs = None
    with quiet():
        torch.export.save(program, path, extra_files={"david_hf.json": json.dumps(dict(metadata))})


def write_openvino(
    program: ExportedProgram,
    path: Path,
    tasks: Sequence[str],
    metadata: Mapping[str, str],
    shape: Sequence[int],
    *,
    half: bool,
    calibration: Sequence[torch.Tensor] | None = None,
) -> None:
    """Write `path`, an .xml file, and the weights beside it as .bin.

    Args:
        program: The traced network, in single precision.
        path: File to write.
        tasks: What the outputs are.
        metadata: Entries of the file's `rt_info`.
        shape: Shape of the input, -1 where it is free.
        half: Whether weights are stored in half precision.
        calibration: Inputs to quantize with, which needs nncf, or None.
    """
    import openvino

    with quiet():
        model = openvino.convert_model(program)
    model.inputs[0].get_tensor().set_names({INPUT_NAME})
    model.reshape(list(shape))
    for task, output in zip(tasks, model.outputs, strict=True):
        output.get_tensor().set_names({OUTPUT_NAMES[task]})
    if calibration is not None:
        import nncf

        with quiet():
            inputs = [image.numpy() for image in calibration]
            model = nncf.quantize(model, nncf.Dataset(inputs), subset_size=len(inputs))
    for key, value in metadata.items():
        model.set_rt_info(value, key.split("."))
    openvino.save_model(model, path, compress_to_fp16=half)


def open_file(path: Path, file_format: str) -> Runner:
    """Load a file that was just written, to be run on the CPU."""
    return {"onnx": _open_onnx, "openvino": _open_openvino, "pt2": _open_pt2}[file_format](path)


def _open_onnx(path: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda image: _to_tensors(session.run(None, {INPUT_NAME: image.numpy()}))


def _open_openvino(path: Path) -> Runner:
    import openvino

    core = openvino.Core()
    # Left to itself, the CPU plugin computes in bfloat16 where the processor can.
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda image: _to_tensors(compiled(image.numpy()).to_tuple())


def _open_pt2(path: Path) -> Runner:
    with quiet():
        module = torch.export.load(path).module()

    def run(image: torch.Tensor) -> Sequence[torch.Tensor]:
        with torch.inference_mode():
            return module(image)

    return run


def _to_tensors(arrays: Any) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(array)) for array in arrays]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' news about their own insides, and only that, from those who export."""
    # The nameless one is the root, which onnxruntime's quantization uses.
    names = (None, "torch.onnx", "torch.export", "onnxscript", "nncf")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
