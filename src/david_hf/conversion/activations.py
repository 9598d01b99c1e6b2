"""What lies between two tensors of a graph: an activation, known by what it computes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
import torch

from david_hf.model.activations_david import build_activation

from .onnx_file import ConversionError
from .onnx_graph import MOVES, Node, OnnxGraph, run_model

__all__ = ["ACTIVATIONS", "Passage", "read_passage"]

_ELEMENTWISE = {
    "Abs", "Add", "And", "Celu", "Clip", "Div", "Elu", "Equal", "Erf", "Exp", "Gelu", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max",
    "Min", "Mish", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Selu",
    "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tanh", "ThresholdedRelu", "Where",
}  # fmt: skip
# Names of transformers, and of `build_activation`, in the order they are tried.
ACTIVATIONS = (
    "none", "relu", "sigmoid", "tanh", "gelu", "gelu_pytorch_tanh", "silu", "relu6", "hardswish",
    "hardsigmoid", "softplus", "elu", "selu", "mish", "quick_gelu", "relu2",
)  # fmt: skip
# Far enough out to show every bound, dense enough in the middle to tell similar ones apart.
_GRID = np.concatenate([[-200.0, -60.0, -20.0], np.linspace(-8, 8, 801), [20.0, 60.0, 200.0]])
_TOLERANCE = 2e-5


@dataclass(frozen=True)
class Passage:
    """The way from one tensor to another with no weights on it.

    Attributes:
        activation: Its name, "none" without one.
        sign: -1 if what comes out is negated, else 1.
        resize: Whether a resize lies on it, before the activation or after it.
    """

    activation: str
    sign: int
    resize: Literal["none", "before", "after"]


def read_passage(graph: OnnxGraph, start: str, end: str) -> Passage:
    """Find out what a graph does to each value between two tensors.

    The nodes are run on a grid of values and compared with the activations that are known, however
    the exporter wrote them down.

    Args:
        graph: The graph.
        start: Where to begin.
        end: Tensor that follows from `start` alone.

    Raises:
        ConversionError: If something else than one activation lies there.
    """
    nodes = _nodes_between(graph, start, end)
    resizes = [place for place, node in enumerate(nodes) if node.op == "Resize"]
    actions = [place for place, node in enumerate(nodes) if node.op in _ELEMENTWISE]
    position: Literal["none", "before", "after"] = "none"
    if resizes:
        position = "before" if not actions or max(resizes) < min(actions) else "after"
        if position == "after" and min(resizes) < max(actions):
            raise ConversionError(f"{graph.path}: an activation on both sides of a resize")
    if not actions:
        return Passage("none", 1, position)
    values = _evaluate(graph, nodes, start, end)
    for sign in (1, -1):
        name = _recognise(sign * values)
        if name is not None:
            return Passage(name, sign, position)
    raise ConversionError(
        f"{graph.path}: not an activation that is known, between {start} and {end}: "
        f"{', '.join(nodes[place].op for place in actions)}"
    )


def _nodes_between(graph: OnnxGraph, start: str, end: str) -> list[Node]:
    """Nodes on the way, in the order they run."""
    wanted, found = {end} - {start}, []
    for node in reversed(graph.nodes):
        if not any(name in wanted for name in node.outputs):
            continue
        if node.op not in _ELEMENTWISE | MOVES | {"Resize"}:
            raise ConversionError(
                f"{graph.path}: expected an activation between {start} and {end}, found {node.op} "
                f"{node.name}"
            )
        found.append(node)
        wanted.update(name for name in graph.live_inputs(node) if name != start)
    return found[::-1]


def _evaluate(graph: OnnxGraph, nodes: list[Node], start: str, end: str) -> np.ndarray:
    """Run the nodes on the grid; what moves values or resizes is left out."""
    model = onnx.ModelProto(ir_version=graph.model.ir_version)
    model.opset_import.extend(graph.model.opset_import)
    model.graph.name = "passage"
    stored = set()
    for node in nodes:
        if node.op in _ELEMENTWISE:
            proto = model.graph.node.add()
            proto.CopyFrom(node.proto)
            proto.input[:] = node.inputs
            for name in node.inputs:
                if name and name not in graph.live and name not in stored:
                    stored.add(name)
                    model.graph.initializer.append(_scalar(graph, name))
        else:
            model.graph.node.add(op_type="Identity", input=node.inputs[:1], output=node.outputs)
    grid = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [len(_GRID)])
    model.graph.input.add(name=start, type=grid)
    model.graph.output.add(name=end)
    return run_model(graph.path, model, [end], {start: _GRID.astype(np.float32)})[end]


def _scalar(graph: OnnxGraph, name: str) -> onnx.TensorProto:
    values = graph.constant(name)
    if (values != values.reshape(-1)[0]).any():
        raise ConversionError(
            f"{graph.path}: an activation with another constant for each channel ({name})"
        )
    return onnx.numpy_helper.from_array(values.reshape(-1)[0], name)


def _recognise(values: np.ndarray) -> str | None:
    """Name the activation that gives these values on the grid."""
    grid = torch.from_numpy(_GRID.astype(np.float32))
    for name in (*ACTIVATIONS, *_parametrised(values)):
        expected = build_activation(name)(grid.clone()).numpy()
        if (np.abs(expected - values) <= _TOLERANCE * (1 + np.abs(expected))).all():
            return name
    return None


def _parametrised(values: np.ndarray) -> Iterator[str]:
    """Names of activations with numbers in them that agree with the outermost values."""
    yield f"leaky_relu_{values[0] / _GRID[0]:.6g}"
    if values[0] < values[-1]:
        yield f"clip_{values[0]:.6g}_{values[-1]:.6g}"
