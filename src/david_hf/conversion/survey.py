"""What has been found out about a graph so far, and the questions asked of it on the way."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .activations import Passage, read_passage
from .onnx_file import ConversionError
from .onnx_graph import OnnxGraph
from .weighted_nodes import WeightedNode, find_weighted_nodes

__all__ = ["GraphMap", "Survey"]


@dataclass
class GraphMap:
    """What a graph says.

    Attributes:
        config: Fields of `DavidConfig`.
        state: Weight of each key of `DavidForDensePrediction`, float32.
        outputs: Output of the graph for each task, in the graph's order.
        stages: Tensor of the graph behind each module of the network, from input to output, for
            finding the first one that differs: name of the stage to (module, tensor).
        depth_sign: -1 if the graph negates the depth of its head in the end, else 1.
        unit_normals: Whether the graph gives normals unit length itself.
        unused: Weighted nodes that no key of the network took.
    """

    config: dict[str, Any] = field(default_factory=dict)
    state: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    stages: dict[str, tuple[str, str]] = field(default_factory=dict)
    depth_sign: int = 1
    unit_normals: bool = False
    unused: list[str] = field(default_factory=list)


class Survey:
    """A graph, its weighted nodes, and what was taken from it.

    Attributes:
        graph: The graph.
        nodes: Its weighted nodes.
        ancestry: What lies in front of each tensor.
        map: The findings.
        used: Indices of the nodes whose weights were taken.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.nodes, self.ancestry = find_weighted_nodes(graph)
        self.map = GraphMap()
        self.used: set[int] = set()

    def probe(self, tensors: Iterable[str]) -> dict[str, np.ndarray]:
        """Compute tensors for one image of noise, always the same."""
        noise = np.random.default_rng(0).random(self.graph.image_shape, np.float32)
        return self.graph.run(tensors, noise)

    def take(self, key: str, node: WeightedNode) -> None:
        """Enter a node's weights under a key of the network."""
        self.used.add(node.index)
        self.map.state[f"{key}.weight"] = node.weight
        if node.bias is not None:
            self.map.state[f"{key}.bias"] = node.bias

    def stage(self, name: str, module: str, tensor: str) -> None:
        """Note a tensor of the graph that a module of the network should give."""
        self.map.stages[name] = (module, tensor)

    def passage(self, start: str, end: str) -> Passage:
        """What lies between two tensors; nothing but the outputs may be negated."""
        found = read_passage(self.graph, start, end)
        if found.sign < 0:
            raise self.error(f"{found.activation} is negated between {start} and {end}")
        return found

    def chain(self, nodes: Sequence[WeightedNode], end: str) -> list[str]:
        """Activations behind each of the nodes in a row, the last one's up to a tensor."""
        ends = [*(node.source for node in nodes[1:]), end]
        return [
            self.passage(node.result, stop).activation
            for node, stop in zip(nodes, ends, strict=True)
        ]

    def successor(self, node: WeightedNode) -> WeightedNode:
        """Return the one weighted node that follows and was not taken yet."""
        found = [
            other
            for other in self.nodes
            if node.index in other.parents and other.index not in self.used
        ]
        if len(found) != 1:
            raise self.error(
                f"expected one convolution behind {node.describe()}, found {describe(found)}"
            )
        return found[0]

    def same(self, what: str, values: Sequence[Any]) -> Any:
        """Return the one value that all places agree on."""
        if any(value != values[0] for value in values):
            raise self.error(f"{what} differ from place to place: {values}")
        return values[0]

    def error(self, reason: str) -> ConversionError:
        """Make the error of a graph that is not DAViD's."""
        return ConversionError(f"{self.graph.path}: not a DAViD network that is known: {reason}")


def describe(nodes: Sequence[WeightedNode]) -> str:
    """List nodes for a message."""
    return ", ".join(node.describe() for node in nodes) or "none"
