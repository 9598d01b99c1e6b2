"""Queries, keys and values of a transformer block, told apart by the numbers they compute.

Exporters cut, transpose and scale the fused projection in many ways. Whatever they write, the two
products of attention take columns of the projection's output: which ones, and times what, shows
when both are computed for one image.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .onnx_file import ConversionError
from .onnx_graph import Node, OnnxGraph
from .weighted_nodes import Ancestry, WeightedNode

__all__ = ["Attention", "AttentionNodes", "find_attention", "read_attention"]

# Least cosine between two columns that are the same but for a factor.
_SAME = 0.99999
# Factors nearer to 1 are rounding.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class AttentionNodes:
    """Where attention happens in one block.

    Attributes:
        inputs: Layers that make queries, keys and values: one or several.
        output: Layer behind attention.
        scores: Product of queries and keys.
        softmax: What turns scores into weights.
        mixture: Product of weights and values.
    """

    inputs: Sequence[WeightedNode]
    output: WeightedNode
    scores: Node
    softmax: Node
    mixture: Node

    @property
    def tensors(self) -> list[str]:
        """Tensors that `read_attention` wants to see."""
        results = [node.result for node in self.inputs]
        inside = [*self.scores.inputs, *self.scores.outputs, self.softmax.inputs[0]]
        return [
            *results,
            *inside,
            *self.mixture.inputs,
            *self.mixture.outputs,
            self.output.source,
        ]


@dataclass(frozen=True)
class Attention:
    """Weights as this package's network has them.

    Attributes:
        num_heads: Attention heads.
        weight: Queries, keys, values, head by head, shape (3 * width, width).
        bias: Shape (3 * width,), or None.
        output_weight: Weight of the layer behind, shape (width, width).
    """

    num_heads: int
    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    output_weight: NDArray[np.float32]


def find_attention(
    graph: OnnxGraph,
    ancestry: Ancestry,
    blocks: Iterable[tuple[Sequence[WeightedNode], WeightedNode]],
) -> list[AttentionNodes]:
    """Find the products of attention in each block.

    Args:
        graph: The graph.
        ancestry: Its ancestry.
        blocks: The layers that make queries, keys and values, and the layer behind, per block.
    """
    products: dict[frozenset[int], list[Node]] = {}
    softmaxes: dict[frozenset[int], list[Node]] = {}
    for node in graph.nodes:
        nearest = ancestry.nearest(node.outputs[0])
        if node.op == "MatMul" and len(graph.live_inputs(node)) == 2:
            products.setdefault(nearest, []).append(node)
        if node.op == "Softmax":
            softmaxes.setdefault(nearest, []).append(node)
    found = []
    for inputs, output in blocks:
        everything = frozenset(node.index for node in inputs)
        pairs = [n for nearest, nodes in products.items() if nearest <= everything for n in nodes]
        soft = [n for nearest, nodes in softmaxes.items() if nearest <= everything for n in nodes]
        if len(pairs) != 2 or len(soft) != 1:
            raise ConversionError(
                f"{graph.path}: expected two products around one Softmax behind "
                f"{inputs[0].describe()}, found {len(pairs)} and {len(soft)}"
            )
        first, second = pairs
        if soft[0].outputs[0] not in graph.downstream(first.outputs[0]):
            first, second = second, first
        found.append(AttentionNodes(inputs, output, first, soft[0], second))
    return found


def read_attention(
    graph: OnnxGraph, nodes: AttentionNodes, values: Mapping[str, np.ndarray]
) -> Attention:
    """Bring the layers of one block into the order queries, keys, values, head by head.

    Args:
        graph: The graph, for messages.
        nodes: Where attention happens.
        values: What `nodes.tensors` are for one image.

    Raises:
        ConversionError: If this is not attention as DAViD has it.
    """
    first = [node.result for node in nodes.inputs]
    width = nodes.inputs[0].in_channels
    columns = np.concatenate([values[name].reshape(-1, _width(values[name])) for name in first], 1)
    queries, keys = (values[name] for name in nodes.scores.inputs)
    num_heads = queries.shape[-3] if queries.ndim > 2 else 1
    mixed = values[nodes.mixture.inputs[1]]
    parts = [_by_token(queries), _by_token(np.swapaxes(keys, -1, -2)), _by_token(mixed)]
    if columns.shape[1] != 3 * width or any(part.shape[1] != width for part in parts):
        raise ConversionError(f"{graph.path}: not attention of {width} channels: {first}")
    order, factors = [], []
    for place, part in enumerate(parts):
        found, factor = _match(part, columns, place * width)
        order.append(found)
        factors.append(factor)
    if any(found is None for found in order):
        raise ConversionError(
            f"{graph.path}: what {nodes.scores.name} and {nodes.mixture.name} multiply is not what "
            f"{nodes.inputs[0].name} computes"
        )
    scale = _scale(values[nodes.scores.outputs[0]], values[nodes.softmax.inputs[0]])
    # The network divides by the root of a head's width; whatever else there is goes into queries.
    factors[0] = factors[0] * factors[1] * scale * np.sqrt(width / num_heads)
    factors[1] = np.ones(width)
    rows = np.concatenate([found for found in order if found is not None])
    factor = np.concatenate(factors)
    factor[np.abs(factor - 1) < _ROUNDING] = 1
    weight = np.concatenate([node.weight for node in nodes.inputs])[rows]
    return Attention(
        num_heads=int(num_heads),
        weight=(weight * factor[:, None]).astype(np.float32),
        bias=_bias(nodes.inputs, rows, factor),
        output_weight=_output_weight(graph, nodes, values),
    )


def _bias(
    inputs: Sequence[WeightedNode], rows: np.ndarray, factor: np.ndarray
) -> NDArray[np.float32] | None:
    if all(node.bias is None for node in inputs):
        return None
    bias = np.concatenate(
        [np.zeros(node.out_channels) if node.bias is None else node.bias for node in inputs]
    )
    return (bias[rows] * factor).astype(np.float32)


def _output_weight(
    graph: OnnxGraph, nodes: AttentionNodes, values: Mapping[str, np.ndarray]
) -> NDArray[np.float32]:
    """Put the inputs of the layer behind attention in the order of the heads."""
    attended = _by_token(values[nodes.mixture.outputs[0]])
    source = values[nodes.output.source]
    order, factor = _match(attended, source.reshape(-1, _width(source)), 0)
    if order is None or not np.allclose(factor, 1, atol=_ROUNDING):
        raise ConversionError(f"{graph.path}: {nodes.output.describe()} does not take attention")
    return nodes.output.weight[:, order]


def _width(values: np.ndarray) -> int:
    return int(values.shape[-1])


def _by_token(heads: np.ndarray) -> np.ndarray:
    """Turn (..., heads, tokens, channels) into (tokens, heads * channels)."""
    heads = heads.reshape(-1, *heads.shape[-2:])
    return heads.transpose(1, 0, 2).reshape(heads.shape[1], -1)


def _match(
    wanted: np.ndarray, columns: np.ndarray, usual: int
) -> tuple[NDArray[np.intp] | None, NDArray[np.float64]]:
    """Find each wanted column among others, up to a factor.

    Args:
        wanted: Shape (tokens, n).
        columns: Shape (tokens, m).
        usual: Where the wanted ones begin if nothing was moved.

    Returns:
        The place of each, or None if one is not there, and its factor over what is there.
    """
    count = wanted.shape[1]
    if columns.shape[0] != wanted.shape[0]:
        return None, np.ones(count)
    order = np.arange(usual, usual + count)
    if not _agree(wanted, columns[:, order]):
        cosines = _unit(wanted).T @ _unit(columns)
        order = np.abs(cosines).argmax(axis=1)
        if not _agree(wanted, columns[:, order]) or len(set(order)) < count:
            return None, np.ones(count)
    there = columns[:, order].astype(np.float64)
    norms = np.maximum((there**2).sum(0), 1e-30)
    factors = (there * wanted).sum(0) / norms
    # One factor for all of them, where it is one: less rounding than each for itself.
    middle = np.median(factors)
    return order, np.where(np.abs(factors - middle) < 1e-4 * abs(middle), middle, factors)


def _agree(first: np.ndarray, second: np.ndarray) -> bool:
    cosines = np.abs((_unit(first) * _unit(second)).sum(0))
    silent = (np.abs(first).max(0) < 1e-12) & (np.abs(second).max(0) < 1e-12)
    return bool((silent | (cosines > _SAME)).all())


def _unit(columns: np.ndarray) -> np.ndarray:
    """Scale columns to unit length."""
    columns = columns.astype(np.float64)
    return columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-30)


def _scale(scores: np.ndarray, before_softmax: np.ndarray) -> float:
    """Return the factor between the product and what enters the Softmax."""
    scores, before_softmax = scores.astype(np.float64), before_softmax.astype(np.float64)
    return float((scores * before_softmax).sum() / max((scores**2).sum(), 1e-30))
