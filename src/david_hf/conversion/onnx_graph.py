"""An ONNX file as a graph of data: who feeds whom, what depends on the image, what is constant."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from david_hf.load_errors import in_one_line

from .onnx_file import ConversionError

__all__ = ["MOVES", "Node", "OnnxGraph", "run_model"]

# Nodes of which only the first input carries data; the others hold shapes, indices, bounds, axes.
_FIRST_INPUT_ONLY = {
    "Reshape", "Transpose", "Expand", "Slice", "Resize", "Gather", "Cast", "CastLike", "Squeeze",
    "Unsqueeze", "Split", "Pad", "Tile", "Flatten", "Clip", "Dropout", "Identity", "ReduceMean",
    "ReduceSum", "ReduceL2", "ReduceSumSquare", "ReduceMax", "Pow",
}  # fmt: skip
# Nodes whose output tells sizes, not contents.
_SHAPE_ONLY = {"Shape", "Size", "ConstantOfShape"}
# Nodes that hand on what they get.
_PASSING = {"Identity", "Cast", "CastLike", "Dropout"}
# Nodes that change the order or the shape and no value.
MOVES = {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Expand"}
# Those of them that keep the order.
_RESHAPES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_CONTROL_FLOW = {"If", "Loop", "Scan"}


@dataclass(frozen=True, eq=False)
class Node:
    """A node, its inputs named by the tensors that really make them.

    Attributes:
        proto: The node in the file.
        inputs: Tensors it takes, without the nodes in between that hand on what they get.
        outputs: Tensors it makes.
    """

    proto: onnx.NodeProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def op(self) -> str:
        """Type of the operator."""
        return str(self.proto.op_type)

    @property
    def name(self) -> str:
        """Its name in the file, or that of its output."""
        return str(self.proto.name or self.outputs[0])

    def attribute(self, name: str, default: Any = None) -> Any:
        """Value of an attribute, text as `str`."""
        for item in self.proto.attribute:
            if item.name == name:
                value = onnx.helper.get_attribute_value(item)
                return value.decode() if isinstance(value, bytes) else value
        return default


class OnnxGraph:
    """The nodes that lie between the image and the outputs, in the order they run.

    Nodes that do nothing (identities, casts, reshapes to the same shape) are left out.

    Args:
        path: Name of the file, for messages.
        model: The file's content, in single precision.
        input_size: Height and width for an input that leaves them open.

    Raises:
        ConversionError: If it does not take one image, or cannot be run.
    """

    def __init__(self, path: Path, model: onnx.ModelProto, input_size: tuple[int, int]) -> None:
        self.path = path
        self.model = model
        self._protos = list(model.graph.node)
        self._stored = {item.name: item for item in model.graph.initializer}
        self._observed: dict[str, np.ndarray] = {}
        self.image, self.image_shape = self._read_input(input_size)
        self._refuse_control_flow()
        live = self._find_live()
        self.shapes = self._measure(live)
        self._sources: dict[str, str] = {}
        self.nodes = self._reduce(live)
        self.live = {self.image} | {name for node in self.nodes for name in node.outputs}
        # The names the file has for its outputs, and the tensors that make them.
        self.output_names = [item.name for item in model.graph.output]
        self.outputs = [self._sources.get(name, name) for name in self.output_names]
        self.producer = {name: node for node in self.nodes for name in node.outputs}
        self.consumers: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(self.live_inputs(node)):
                self.consumers[name].append(node)

    def live_inputs(self, node: Node) -> list[str]:
        """Inputs that depend on the contents of the image."""
        return [name for name in _data_inputs(node.op, node.inputs) if name in self.live]

    def fixed_inputs(self, node: Node) -> list[str]:
        """Inputs with values that do not depend on the image."""
        return [name for name in _data_inputs(node.op, node.inputs) if name not in self.live]

    def constant(self, tensor: str) -> np.ndarray:
        """Value of a tensor that does not depend on the image."""
        if tensor not in self._observed:
            self.fill_constants([tensor])
        return self._observed[tensor]

    def fill_constants(self, tensors: Iterable[str]) -> None:
        """Compute many constants in a single run, for `constant` to find."""
        wanted = [name for name in dict.fromkeys(tensors) if name not in self._observed]
        for name in wanted:
            if name in self._stored:
                self._observed[name] = onnx.numpy_helper.to_array(self._stored[name])
        # Whatever makes the others (Transpose, Cast, shape arithmetic): ONNX Runtime knows.
        self._observed |= self.run(name for name in wanted if name not in self._observed)

    def downstream(self, tensor: str) -> set[str]:
        """All tensors that depend on one."""
        found = {tensor}
        for node in self.nodes:
            if any(name in found for name in self.live_inputs(node)):
                found.update(node.outputs)
        return found

    def run(
        self, tensors: Iterable[str], image: np.ndarray | None = None, as_users_do: bool = False
    ) -> dict[str, np.ndarray]:
        """Compute tensors of the file with ONNX Runtime.

        Args:
            tensors: Names, of outputs or of anything inside.
            image: Input, float32, of `image_shape`; None takes grey.
            as_users_do: Whether ONNX Runtime may optimise, as it does by default.

        Raises:
            ConversionError: If ONNX Runtime refuses.
        """
        names = list(dict.fromkeys(tensors))
        if not names:
            return {}
        model = self._extract(self._ancestors(names), names)
        if image is None:
            image = np.full(self.image_shape, 0.5, np.float32)
        return run_model(self.path, model, names, {self.image: image}, as_users_do)

    def _read_input(self, input_size: tuple[int, int]) -> tuple[str, tuple[int, int, int, int]]:
        inputs = [item for item in self.model.graph.input if item.name not in self._stored]
        if len(inputs) != 1:
            raise ConversionError(
                f"{self.path}: expected one input, an image, got {len(inputs)}: "
                f"{', '.join(item.name for item in inputs) or 'none'}"
            )
        tensor = inputs[0].type.tensor_type
        sides = [dim.dim_value for dim in tensor.shape.dim]
        if len(sides) != 4 or tensor.elem_type != onnx.TensorProto.FLOAT:
            raise ConversionError(
                f"{self.path}: expected an input of floats of shape (batch, 3, H, W), got "
                f"{onnx.TensorProto.DataType.Name(tensor.elem_type).lower()} of shape {sides}"
            )
        batch, channels, height, width = sides
        shape = (batch or 1, channels or 3, height or input_size[0], width or input_size[1])
        return inputs[0].name, shape

    def _refuse_control_flow(self) -> None:
        found = sorted({node.op_type for node in self._protos} & _CONTROL_FLOW)
        if found:
            raise ConversionError(
                f"{self.path}: it holds control flow ({', '.join(found)}), which DAViD has none "
                "of; export it with fixed sizes, or simplify it first"
            )

    def _find_live(self) -> set[str]:
        """Names of the tensors that depend on the image and reach an output."""
        live = {self.image}
        for node in self._protos:
            if any(name in live for name in _data_inputs(node.op_type, node.input)):
                live.update(node.output)
        outputs = [item.name for item in self.model.graph.output]
        needed = {self.image, *outputs}
        for node in reversed(self._protos):
            if any(name in needed for name in node.output):
                needed.update(node.input)
        return live & needed

    def _measure(self, live: set[str]) -> dict[str, tuple[int, ...]]:
        """Find the shapes of tensors in one run that keeps none of them."""
        makers = {name: f"shape of {name}" for name in live}
        model = self._extract(self._protos, list(makers.values()))
        model.graph.node.extend(
            onnx.helper.make_node("Shape", [name], [shape]) for name, shape in makers.items()
        )
        image = np.full(self.image_shape, 0.5, np.float32)
        found = run_model(self.path, model, list(makers.values()), {self.image: image})
        return {name: tuple(map(int, found[shape])) for name, shape in makers.items()}

    def _reduce(self, live: set[str]) -> list[Node]:
        """Leave out what does nothing, and name inputs by what really makes them."""
        nodes = []
        unshaped: dict[str, str] = {}  # what a tensor was before it was reshaped
        for proto in self._protos:
            if not any(name in live for name in proto.output):
                continue
            inputs = tuple(self._sources.get(name, name) for name in proto.input)
            if proto.op_type in _RESHAPES:
                # Reshaping twice is reshaping once.
                inputs = (unshaped.get(inputs[0], inputs[0]), *inputs[1:])
                unshaped[proto.output[0]] = inputs[0]
            before, after = self.shapes.get(inputs[0]), self.shapes.get(proto.output[0])
            still = proto.op_type == "Transpose" and _is_still(proto)
            idle = proto.op_type in MOVES - {"Transpose"} and before == after
            if inputs[0] in live and (proto.op_type in _PASSING or still or idle):
                self._sources[proto.output[0]] = inputs[0]
            else:
                nodes.append(Node(proto, inputs, tuple(proto.output)))
        return self._without_dead_ends(nodes)

    def _without_dead_ends(self, nodes: list[Node]) -> list[Node]:
        """Leave out nodes that nothing takes anything from any more."""
        names = (item.name for item in self.model.graph.output)
        needed = {self._sources.get(name, name) for name in names}
        kept = []
        for node in reversed(nodes):
            if any(name in needed for name in node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        return kept[::-1]

    def _ancestors(self, tensors: list[str]) -> list[onnx.NodeProto]:
        """Nodes that are needed to compute tensors, in the order they run."""
        needed, found = set(tensors), []
        for node in reversed(self._protos):
            if any(name in needed for name in node.output):
                needed.update(node.input)
                found.append(node)
        return found[::-1]

    def _extract(self, protos: list[onnx.NodeProto], outputs: list[str]) -> onnx.ModelProto:
        """Make a model of some nodes and of the weights they need."""
        model = onnx.ModelProto(ir_version=self.model.ir_version)
        model.opset_import.extend(self.model.opset_import)
        model.graph.name = "part"
        model.graph.input.add(
            name=self.image,
            type=onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, self.image_shape),
        )
        model.graph.node.extend(protos)
        needed = {name for node in protos for name in node.input}
        needed.update(outputs)
        model.graph.initializer.extend(
            item for name, item in self._stored.items() if name in needed
        )
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        return model


def run_model(
    path: Path,
    model: onnx.ModelProto,
    outputs: list[str],
    inputs: dict[str, np.ndarray],
    as_users_do: bool = False,
) -> dict[str, np.ndarray]:
    """Run a model on the CPU with ONNX Runtime.

    Raises:
        ConversionError: If ONNX Runtime is missing or refuses.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConversionError(
            "onnxruntime is needed to prove that nothing changed: pip install 'david-hf[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not as_users_do:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        values = session.run(outputs, inputs)
    except Exception as error:  # its classes are not public
        raise ConversionError(f"{path}: ONNX Runtime refuses it: {in_one_line(error)}") from error
    return dict(zip(outputs, values, strict=True))


def _data_inputs(op: str, names: Iterable[str]) -> list[str]:
    """Inputs whose values, not only sizes, end up in a node's output."""
    if op in _SHAPE_ONLY:
        return []
    present = list(names)[:1] if op in _FIRST_INPUT_ONLY else list(names)
    return [name for name in present if name]


def _is_still(transpose: onnx.NodeProto) -> bool:
    """Whether a transposition moves nothing."""
    orders = [list(item.ints) for item in transpose.attribute if item.name == "perm"]
    return bool(orders) and orders[0] == sorted(orders[0])
