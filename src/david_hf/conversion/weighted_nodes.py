"""The nodes of a graph that carry weights, with what is linear behind them folded in."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .onnx_file import ConversionError
from .onnx_graph import Node, OnnxGraph

__all__ = ["Ancestry", "WeightedNode", "find_weighted_nodes"]

Kind = Literal["conv", "conv_transpose", "linear", "norm"]


@dataclass(eq=False)
class WeightedNode:
    """A convolution, linear layer or layer norm.

    Attributes:
        kind: What it is.
        index: Its place among the weighted nodes.
        name: Of the node in the file, for messages.
        source: Tensor it works on.
        result: Tensor behind bias, batch norm, and factors and addends of each channel.
        weight: As PyTorch holds it: (out, in, k, k), (in, out, k, k), (out, in) or (width,).
        bias: Shape (out,), or None.
        stride: Of a convolution.
        padding: Of a convolution, on each side.
        eps: Of a layer norm.
        parents: Weighted nodes whose results reach it with none between, by index.
        ancestors: All weighted nodes in front of it, and itself, by index.
    """

    kind: Kind
    index: int
    name: str
    source: str
    result: str
    weight: np.ndarray
    bias: np.ndarray | None
    stride: int = 1
    padding: int = 0
    eps: float = 0.0
    parents: frozenset[int] = field(default_factory=frozenset)
    ancestors: frozenset[int] = field(default_factory=frozenset)

    @property
    def kernel(self) -> int:
        """Side of a convolution's kernel, 0 for others."""
        return int(self.weight.shape[-1]) if self.kind.startswith("conv") else 0

    @property
    def in_channels(self) -> int:
        """Width of the input."""
        return int(self.weight.shape[0 if self.kind in ("conv_transpose", "norm") else 1])

    @property
    def out_channels(self) -> int:
        """Width of the output."""
        return int(self.weight.shape[1 if self.kind == "conv_transpose" else 0])

    def describe(self) -> str:
        """Name and shape, for messages."""
        return f"{self.kind} {self.name} {tuple(self.weight.shape)}"

    def scale(self, factor: np.ndarray, shift: np.ndarray) -> None:
        """Multiply the output by a factor per channel, then add a shift."""
        shape = [1] * self.weight.ndim
        shape[1 if self.kind == "conv_transpose" else 0] = -1
        self.weight = (self.weight * factor.reshape(shape)).astype(np.float32)
        if self.bias is not None or shift.any():
            bias = 0.0 if self.bias is None else self.bias.astype(np.float64)
            self.bias = (bias * factor + shift).astype(np.float32)


class Ancestry:
    """Which weighted nodes lie in front of each tensor.

    Args:
        graph: The graph.
        nodes: Its weighted nodes, whose `parents` and `ancestors` are filled in.
    """

    def __init__(self, graph: OnnxGraph, nodes: list[WeightedNode]) -> None:
        self._nearest: dict[str, frozenset[int]] = {}
        self._all: dict[str, frozenset[int]] = {}
        ending = {node.result: node for node in nodes}
        for node in graph.nodes:
            live = graph.live_inputs(node)
            nearest = frozenset().union(*(self.nearest(name) for name in live))
            every = frozenset().union(*(self.all(name) for name in live))
            for name in node.outputs:
                self._nearest[name], self._all[name] = nearest, every
                if name in ending:
                    weighted = ending[name]
                    weighted.parents = self.nearest(weighted.source)
                    weighted.ancestors = self.all(weighted.source) | {weighted.index}
                    self._nearest[name] = frozenset({weighted.index})
                    self._all[name] = weighted.ancestors

    def nearest(self, tensor: str) -> frozenset[int]:
        """Weighted nodes that reach the tensor with none between."""
        return self._nearest.get(tensor, frozenset())

    def all(self, tensor: str) -> frozenset[int]:
        """Every weighted node in front of the tensor."""
        return self._all.get(tensor, frozenset())


def find_weighted_nodes(graph: OnnxGraph) -> tuple[list[WeightedNode], Ancestry]:
    """Read all weighted nodes, and what lies in front of every tensor.

    Raises:
        ConversionError: If a node has weights in a form that is not known.
    """
    graph.fill_constants(_weight_inputs(graph))
    found: list[WeightedNode] = []
    for node in graph.nodes:
        lifted = _lift(graph, node, len(found))
        if lifted is not None:
            _absorb(graph, lifted)
            found.append(lifted)
    return found, Ancestry(graph, found)


def _weight_inputs(graph: OnnxGraph) -> Iterable[str]:
    """Inputs that do not depend on the image of nodes that might be weighted."""
    kinds = {"Conv", "ConvTranspose", "MatMul", "Gemm", "LayerNormalization", "BatchNormalization"}
    kinds |= {"Add", "Sub", "Mul", "Div"}
    for node in graph.nodes:
        if node.op in kinds:
            yield from graph.fixed_inputs(node)


def _lift(graph: OnnxGraph, node: Node, index: int) -> WeightedNode | None:
    """Read a node that carries weights; None for all others."""
    if node.op in ("Conv", "ConvTranspose"):
        return _lift_convolution(graph, node, index)
    if node.op in ("MatMul", "Gemm"):
        return _lift_linear(graph, node, index)
    if node.op == "LayerNormalization":
        return _lift_norm(graph, node, index)
    if node.op == "ReduceMean":
        return _lift_decomposed_norm(graph, node, index)
    return None


def _lift_convolution(graph: OnnxGraph, node: Node, index: int) -> WeightedNode:
    if node.inputs[1] in graph.live:
        raise ConversionError(f"{graph.path}: the weights of {node.name} depend on the image")
    weight = graph.constant(node.inputs[1]).astype(np.float32, copy=False)
    strides = node.attribute("strides", [1, 1])
    pads = node.attribute("pads", [0, 0, 0, 0])
    plain = (
        weight.ndim == 4
        and weight.shape[2] == weight.shape[3]
        and len(set(strides)) == 1
        and len(set(pads)) == 1
        and set(node.attribute("dilations", [1, 1])) == {1}
        and node.attribute("group", 1) == 1
        and node.attribute("auto_pad", "NOTSET") == "NOTSET"
    )
    if not plain:
        raise ConversionError(
            f"{graph.path}: {node.op} {node.name} {tuple(weight.shape)} is not one of DAViD's: "
            f"strides {list(strides)}, pads {list(pads)}, group {node.attribute('group', 1)}"
        )
    return WeightedNode(
        kind="conv" if node.op == "Conv" else "conv_transpose",
        index=index,
        name=node.name,
        source=node.inputs[0],
        result=node.outputs[0],
        weight=weight,
        bias=_optional(graph, node, 2),
        stride=int(strides[0]),
        padding=int(pads[0]),
    )


def _lift_linear(graph: OnnxGraph, node: Node, index: int) -> WeightedNode | None:
    source, other = node.inputs[:2]
    if source not in graph.live or other in graph.live:
        return None
    weight, bias = graph.constant(other).astype(np.float32, copy=False), None
    if weight.ndim != 2:
        return None
    if node.op == "MatMul":
        weight = weight.T
    else:
        if not node.attribute("transB", 0):
            weight = weight.T
        weight = weight * np.float32(node.attribute("alpha", 1.0))
        bias = _optional(graph, node, 2)
        if bias is not None:
            bias = bias * np.float32(node.attribute("beta", 1.0))
    return WeightedNode("linear", index, node.name, source, node.outputs[0], weight, bias)


def _lift_norm(graph: OnnxGraph, node: Node, index: int) -> WeightedNode:
    weight = graph.constant(node.inputs[1]).astype(np.float32, copy=False).reshape(-1)
    bias = _optional(graph, node, 2)
    eps = float(node.attribute("epsilon", 1e-5))
    source, result = node.inputs[0], node.outputs[0]
    return WeightedNode("norm", index, node.name, source, result, weight, bias, eps=eps)


def _lift_decomposed_norm(graph: OnnxGraph, mean: Node, index: int) -> WeightedNode | None:
    """Read (x - mean) / sqrt(mean square + eps); weight and bias follow."""
    source = mean.inputs[0]
    centred = _only(graph, mean.outputs[0], "Sub")
    if centred is None or centred.inputs[0] != source:
        return None
    for node in graph.consumers[centred.outputs[0]]:
        if node.op not in ("Div", "Mul") or len(set(graph.live_inputs(node))) != 2:
            continue
        (divisor,) = (name for name in node.inputs if name != centred.outputs[0])
        root = graph.producer[divisor]
        if node.op == "Mul" and root.op == "Reciprocal":
            root = graph.producer[root.inputs[0]]
        total = graph.producer.get(root.inputs[0])
        if root.op == "Sqrt" and total is not None and total.op == "Add":
            (eps,) = graph.fixed_inputs(total)
            return WeightedNode(
                "norm",
                index,
                mean.name,
                source,
                node.outputs[0],
                np.ones(graph.shapes[source][-1], np.float32),
                None,
                eps=float(graph.constant(eps).reshape(-1)[0]),
            )
    return None


def _absorb(graph: OnnxGraph, node: WeightedNode) -> None:
    """Fold into a node what follows it and is linear per channel: bias, batch norm, factors."""
    while node.result not in graph.outputs and len(graph.consumers[node.result]) == 1:
        (follower,) = graph.consumers[node.result]
        if _keeps_channels(graph, node, follower):
            node.result = follower.outputs[0]
            continue
        if follower.op == "BatchNormalization":
            factor, shift = _batch_norm(graph, follower)
        elif follower.op == "Neg":
            factor, shift = -np.ones(node.out_channels), np.zeros(node.out_channels)
        else:
            step = _arithmetic(graph, node, follower)
            if step is None:
                return
            factor, shift = step
        if (factor == 1).all() and node.bias is None:
            # Exactly the bias of the file.
            node.bias = shift.astype(np.float32)
        else:
            node.scale(factor, shift)
        node.result = follower.outputs[0]


def _keeps_channels(graph: OnnxGraph, node: WeightedNode, follower: Node) -> bool:
    """Whether a node behind a linear layer or a norm only cuts the tokens in another way."""
    if node.kind.startswith("conv") or follower.op not in ("Reshape", "Squeeze", "Unsqueeze"):
        return False
    return graph.shapes[node.result][-1] == graph.shapes[follower.outputs[0]][-1]


def _batch_norm(graph: OnnxGraph, norm: Node) -> tuple[np.ndarray, np.ndarray]:
    weight, bias, mean, variance = (
        graph.constant(name).astype(np.float64) for name in norm.inputs[1:5]
    )
    factor = weight / np.sqrt(variance + norm.attribute("epsilon", 1e-5))
    return factor, bias - mean * factor


def _arithmetic(
    graph: OnnxGraph, node: WeightedNode, follower: Node
) -> tuple[np.ndarray, np.ndarray] | None:
    """Factor and shift per channel of an Add, Sub, Mul or Div with a constant; None for others."""
    fixed = graph.fixed_inputs(follower)
    if follower.op not in ("Add", "Sub", "Mul", "Div") or len(fixed) != 1:
        return None
    values = _per_channel(node, graph.constant(fixed[0]))
    if values is None:
        return None
    one, zero = np.ones_like(values), np.zeros_like(values)
    is_first = follower.inputs[0] == fixed[0]
    if follower.op == "Add":
        return one, values
    if follower.op == "Sub":
        return (-one, values) if is_first else (one, -values)
    if follower.op == "Mul":
        return values, zero
    return None if is_first or (values == 0).any() else (1 / values, zero)


def _per_channel(node: WeightedNode, values: np.ndarray) -> np.ndarray | None:
    """Spread a constant over the channels, or return None if it varies over anything else."""
    width = node.out_channels
    if values.size == 1:
        return np.full(width, values.reshape(()), np.float64)
    axis = values.ndim - (3 if node.kind.startswith("conv") else 1)
    if values.size != width or axis < 0 or values.shape[axis] != width:
        return None
    return values.astype(np.float64).reshape(-1)


def _optional(graph: OnnxGraph, node: Node, place: int) -> np.ndarray | None:
    """Value of an input that may be left out, as a vector."""
    if len(node.inputs) <= place or not node.inputs[place]:
        return None
    return graph.constant(node.inputs[place]).astype(np.float32, copy=False).reshape(-1)


def _only(graph: OnnxGraph, tensor: str, op: str) -> Node | None:
    """Return the one node of this type that takes the tensor."""
    found = [node for node in graph.consumers[tensor] if node.op == op]
    return found[0] if len(found) == 1 else None
