"""Reading an ONNX file of unknown origin: nothing outside its folder, no more than it says."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, inliner

from david_hf.load_errors import in_one_line

__all__ = ["ConversionError", "load_model", "to_single_precision"]

# One protocol buffer cannot hold more; the largest network of DAViD's is a third smaller.
_LARGEST_BYTES = 2 << 30
_STANDARD_DOMAINS = {"", "ai.onnx"}
_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
# Constants of GELU in its exact form, by tanh and by sigmoid.
_CONSTANTS = (2**0.5, 0.5**0.5, (2 / np.pi) ** 0.5, 0.044715, 1.702)


class ConversionError(ValueError):
    """A file that cannot be converted; the first line of the message says why."""


def load_model(path: Path) -> onnx.ModelProto:
    """Load a file with all its weights, functions written out.

    Args:
        path: The .onnx file; tensors it keeps in other files must lie beside it.

    Raises:
        ConversionError: If it is no complete ONNX model, reaches out of its folder, holds weights
            that are not finite, or operators that are not of the ONNX standard.
    """
    if not path.is_file():
        raise ConversionError(f"{path}: no such file")
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except Exception as error:  # protobuf has classes of its own
        reason = f"not an ONNX file, or a damaged one: {in_one_line(error)}"
        raise ConversionError(f"{path}: {reason}") from error
    if not model.graph.node or not model.graph.output:
        raise ConversionError(f"{path}: not an ONNX model, it holds no network")
    _check_sizes(model, path)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        if model.functions:
            model = inliner.inline_local_functions(model)
    except Exception as error:  # as above
        reason = f"its weights cannot be read: {in_one_line(error)}"
        raise ConversionError(f"{path}: {reason}") from error
    _check_operators(model, path)
    _check_values(model, path)
    _sort_nodes(model.graph, path)
    return model


def to_single_precision(model: onnx.ModelProto) -> bool:
    """Turn half precision into single everywhere, in place.

    Weights keep their values. Constants of activations get back the digits that half precision took
    from them, the root of two in GELU for example.

    Returns:
        Whether there was any computation in half precision, not only weights stored that way.
    """
    computes = any(
        item.type.tensor_type.elem_type in _HALF
        for item in (*model.graph.input, *model.graph.output)
    )
    for graph in _graphs(model.graph):
        del graph.value_info[:]
        for item in (*graph.input, *graph.output):
            if item.type.tensor_type.elem_type in _HALF:
                item.type.tensor_type.elem_type = TensorProto.FLOAT
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _HALF:
                    attribute.i = TensorProto.FLOAT
                    computes = True
    for tensor in _tensors(model.graph):
        if tensor.data_type in _HALF:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            if values.size == 1:
                values = np.full_like(values, _with_all_digits(float(values.reshape(()))))
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return computes


def _with_all_digits(value: float) -> float:
    """Return the known constant that half precision rounds to a value, or the value."""
    for constant in _CONSTANTS:
        if np.float16(constant) == np.float16(value):
            return float(constant)
    return value


def _sort_nodes(graph: onnx.GraphProto, path: Path) -> None:
    """Put nodes in an order they can run in, which not every tool keeps to."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    needs = {
        index: {makers[name] for name in node.input if name in makers}
        for index, node in enumerate(graph.node)
    }
    if all(max(needed, default=-1) < index for index, needed in needs.items()):
        return
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise ConversionError(f"{path}: its nodes depend on each other in a circle") from error
    nodes = [onnx.NodeProto.FromString(graph.node[index].SerializeToString()) for index in order]
    del graph.node[:]
    graph.node.extend(nodes)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Every tensor stored in a graph."""
    for each in _graphs(graph):
        yield from each.initializer
        for sparse in each.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in each.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _check_sizes(model: onnx.ModelProto, path: Path) -> None:
    """Refuse tensors outside the file's folder, and more of them than their files can hold."""
    folder, total = path.parent.resolve(), 0
    for tensor in _tensors(model.graph):
        size = _size_in_bytes(tensor, path)
        total += size
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        file = path.parent / location
        beside = location and not file.is_symlink() and file.resolve().parent == folder
        if not beside or not file.is_file():
            raise ConversionError(
                f"{path}: the weight {tensor.name} should lie in {location!r}, which is no file "
                "beside it"
            )
        offset, length = (_natural(entries.get(key, "0"), path) for key in ("offset", "length"))
        if length > size or offset + size > file.stat().st_size:
            raise ConversionError(
                f"{path}: the weight {tensor.name} needs {size} bytes from byte {offset} of "
                f"{file.name}, which has {file.stat().st_size}, or names another length"
            )
    if total > _LARGEST_BYTES:
        raise ConversionError(
            f"{path}: it claims {total / 2**30:.1f} GiB of weights, expected at most "
            f"{_LARGEST_BYTES >> 30}"
        )


def _size_in_bytes(tensor: TensorProto, path: Path) -> int:
    try:
        item = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError as error:
        raise ConversionError(f"{path}: the weight {tensor.name} has an unknown type") from error
    count = 1
    for side in tensor.dims:
        count *= _natural(side, path)
    return count * item


def _natural(value: str | int, path: Path) -> int:
    try:
        number = int(value)
    except ValueError:
        number = -1
    if number < 0:
        raise ConversionError(f"{path}: a weight has the size or place {value!r}")
    return number


def _check_operators(model: onnx.ModelProto, path: Path) -> None:
    for graph in _graphs(model.graph):
        for node in graph.node:
            if node.op_type == "QuantizeLinear":
                raise ConversionError(
                    f"{path}: it computes in 8 bits, which no checkpoint does; convert the file it "
                    "was made from, or run this one as it is: david predict --model"
                )
            if node.domain not in _STANDARD_DOMAINS:
                raise ConversionError(
                    f"{path}: it holds the operator {node.domain}.{node.op_type}, which is not of "
                    "the ONNX standard; convert the file from before it was optimised, or run this "
                    "one as it is: david predict --model"
                )


def _check_values(model: onnx.ModelProto, path: Path) -> None:
    for tensor in _tensors(model.graph):
        try:
            values = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise ConversionError(f"{path}: the weight {tensor.name} is broken: {error}") from error
        # Single numbers may be infinite on purpose: bounds of a Clip for example.
        if values.dtype.kind == "f" and values.size > 1 and not np.isfinite(values).all():
            raise ConversionError(f"{path}: the weight {tensor.name} is not finite")
