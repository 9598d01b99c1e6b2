"""What tools do to ONNX files on their way, none of which changes what they compute."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Mutation = Callable[[onnx.ModelProto, random.Random], None]


def mangle_names(model: onnx.ModelProto, rng: random.Random) -> None:
    """Number all tensors and nodes anew, but for the outputs."""
    graph = model.graph
    kept = {"", *(item.name for item in graph.output)}
    names: dict[str, str] = {}

    def rename(name: str) -> str:
        return name if name in kept else names.setdefault(name, f"t{rng.randrange(10**9)}")

    for node in graph.node:
        node.name = f"n{rng.randrange(10**9)}"
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
    for item in (*graph.initializer, *graph.input):
        item.name = rename(item.name)
    del graph.value_info[:]


def insert_identities(model: onnx.ModelProto, rng: random.Random) -> None:
    """Put Identity nodes on weights and between nodes."""
    _insert(model, rng, lambda name, new: [helper.make_node("Identity", [name], [new])], 0.3, True)


def insert_casts(model: onnx.ModelProto, rng: random.Random) -> None:
    """Go through double precision and back, or from single to single."""

    def make(name: str, new: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Cast", [name], [f"{new}_wide"], to=TensorProto.DOUBLE),
            helper.make_node("Cast", [f"{new}_wide"], [new], to=TensorProto.FLOAT),
        ]

    _insert(model, rng, make, 0.15, False)


def insert_reshapes(model: onnx.ModelProto, rng: random.Random) -> None:
    """Reshape tensors to the shape they have."""

    def make(name: str, new: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Shape", [name], [f"{new}_shape"]),
            helper.make_node("Reshape", [name, f"{new}_shape"], [new]),
        ]

    _insert(model, rng, make, 0.2, False)


def flatten_and_restore(model: onnx.ModelProto, rng: random.Random) -> None:
    """Flatten tensors and give them their shape back."""

    def make(name: str, new: str) -> list[onnx.NodeProto]:
        flat = numpy_helper.from_array(np.array([-1], np.int64))
        return [
            helper.make_node("Shape", [name], [f"{new}_shape"]),
            helper.make_node("Constant", [], [f"{new}_flat"], value=flat),
            helper.make_node("Reshape", [name, f"{new}_flat"], [f"{new}_line"]),
            helper.make_node("Reshape", [f"{new}_line", f"{new}_shape"], [new]),
        ]

    _insert(model, rng, make, 0.2, False)


def store_as_constants(model: onnx.ModelProto, rng: random.Random) -> None:
    """Turn initializers into Constant nodes."""
    graph = model.graph
    nodes = [
        helper.make_node("Constant", [], [item.name], value=item) for item in graph.initializer
    ]
    rest = list(graph.node)
    del graph.node[:], graph.initializer[:]
    graph.node.extend([*nodes, *rest])


def store_in_half_precision(model: onnx.ModelProto, rng: random.Random) -> None:
    """Keep weights in half precision and widen them when the graph runs."""
    graph, nodes = model.graph, []
    for item in list(graph.initializer):
        if item.data_type == TensorProto.FLOAT and numpy_helper.to_array(item).size > 1:
            half = numpy_helper.to_array(item).astype(np.float16)
            nodes.append(helper.make_node("Cast", [f"{item.name}_h"], [item.name], to=1))
            item.CopyFrom(numpy_helper.from_array(half, f"{item.name}_h"))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def transpose_weights(model: onnx.ModelProto, rng: random.Random) -> None:
    """Keep matrices transposed and turn them when the graph runs."""
    graph, nodes = model.graph, []
    used = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for item in list(graph.initializer):
        if item.name in used and len(item.dims) == 2:
            turned = np.ascontiguousarray(numpy_helper.to_array(item).T)
            stored = f"{item.name}_t"
            nodes.append(helper.make_node("Transpose", [stored], [item.name], perm=[1, 0]))
            item.CopyFrom(numpy_helper.from_array(turned, stored))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def swap_operands(model: onnx.ModelProto, rng: random.Random) -> None:
    """Write sums and products the other way round."""
    for node in model.graph.node:
        if node.op_type in ("Add", "Mul") and rng.random() < 0.7:
            node.input[:] = list(node.input)[::-1]


def shuffle_nodes(model: onnx.ModelProto, rng: random.Random) -> None:
    """Another order in which the same nodes can run."""
    graph = model.graph
    rest = list(graph.node)
    made = {"", *(item.name for item in (*graph.initializer, *graph.input))}
    order = []
    while rest:
        ready = [node for node in rest if made.issuperset(node.input)]
        node = rng.choice(ready)
        rest.remove(node)
        made.update(node.output)
        order.append(node)
    del graph.node[:]
    graph.node.extend(order)


MUTATIONS: dict[str, Mutation] = {
    "names mangled": mangle_names,
    "identities": insert_identities,
    "casts": insert_casts,
    "reshapes": insert_reshapes,
    "reshapes there and back": flatten_and_restore,
    "constants": store_as_constants,
    "half-precision weights": store_in_half_precision,
    "transposed weights": transpose_weights,
    "swapped operands": swap_operands,
    "shuffled nodes": shuffle_nodes,
}


def mutate(path: Path, names: list[str], seed: int = 0) -> None:
    """Apply mutations to a file, one after the other."""
    model = onnx.load(path)
    for name in names:
        MUTATIONS[name](model, random.Random(seed))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _insert(
    model: onnx.ModelProto,
    rng: random.Random,
    make: Callable[[str, str], list[onnx.NodeProto]],
    share: float,
    weights: bool,
) -> None:
    """Put nodes behind some of the float tensors; whoever took a tensor takes what they give."""
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph
    floats = {
        item.name
        for item in inferred.value_info
        if item.type.tensor_type.elem_type == TensorProto.FLOAT
    } - {item.name for item in graph.initializer}
    stored = {i.name for i in graph.initializer if i.data_type == TensorProto.FLOAT and i.dims}
    outputs = {item.name for item in graph.output}
    candidates = sorted((floats | (stored if weights else set())) - outputs)
    tag = f"x{rng.randrange(10**9)}_{len(graph.node)}"
    chosen = {name: f"{name}_{tag}" for name in candidates if rng.random() < share}
    nodes: list[onnx.NodeProto] = []
    for name in stored & chosen.keys():
        nodes += make(name, chosen[name])
    for node in graph.node:
        node.input[:] = [chosen.get(name, name) for name in node.input]
        nodes.append(node)
        for name in node.output:
            if name in chosen:
                nodes += make(name, chosen[name])
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
