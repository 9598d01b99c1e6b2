"""Files that are no DAViD network: one clear line each, and nothing left behind."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from derived_network import Variant, build
from onnx import TensorProto, helper, numpy_helper
from onnx_exports import export_onnx
from safetensors.numpy import save_file
from torch import nn
from typer.testing import CliRunner

from david_cli.main import app
from david_hf.conversion import ConversionError, convert_onnx


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "model.onnx"
    return export_onnx(build(Variant()), path, (48, 48)).read_bytes()


def edited(edit: Callable[[onnx.ModelProto], None]) -> Callable[[Path, bytes], None]:
    def write(path: Path, good: bytes) -> None:
        model = onnx.load_model_from_string(good)
        edit(model)
        path.write_bytes(model.SerializeToString())

    return write


def weight_named(model: onnx.ModelProto, part: str) -> TensorProto:
    return next(item for item in model.graph.initializer if part in item.name)


def put_nan(model: onnx.ModelProto) -> None:
    item = weight_named(model, "patch.weight")
    values = numpy_helper.to_array(item).copy()
    values[0, 0, 0, 0] = np.nan
    item.CopyFrom(numpy_helper.from_array(values, item.name))


def give_other_shape(model: onnx.ModelProto) -> None:
    item = weight_named(model, "units.3.0.weight")
    shape = (*item.dims[:1], 9, *item.dims[2:])
    item.CopyFrom(numpy_helper.from_array(np.zeros(shape, np.float32), item.name))


def drop_head(model: onnx.ModelProto) -> None:
    """The foreground becomes what enters its head."""
    outputs = {item.name: item for item in model.graph.output}
    name = list(outputs)[2]
    maker = next(node for node in model.graph.node if name in node.output)
    maker.output[0] = "gone"
    source = next(node for node in model.graph.node if "heads.alpha.0.weight" in node.input)
    model.graph.node.append(helper.make_node("Identity", [source.input[0]], [name]))


def link_to(location: str) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        item = weight_named(model, "patch.weight")
        item.ClearField("raw_data")
        item.data_location = TensorProto.EXTERNAL
        item.external_data.add(key="location", value=location)

    return edit


def bomb(part: str, dims: tuple[int, int]) -> Callable[[Path, bytes], None]:
    """Weights in a sparse file: large for who reads it, nothing on the disk."""

    def write(path: Path, good: bytes) -> None:
        model = onnx.load_model_from_string(good)
        for item in model.graph.initializer:
            if part in item.name and len(item.dims) == 4:
                item.ClearField("raw_data")
                item.dims[:] = dims
                item.data_location = TensorProto.EXTERNAL
                item.external_data.add(key="location", value="bomb.bin")
        path.write_bytes(model.SerializeToString())
        with (path.parent / "bomb.bin").open("wb") as stream:
            stream.truncate(dims[0] * dims[1] * 4)

    return write


def hide_in_constant(path: Path, good: bytes) -> None:
    """A link out of the folder, not in an initializer but in a node."""
    model = onnx.load_model_from_string(good)
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "hidden")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    node = helper.make_node("Constant", [], ["hidden"], value=tensor)
    model.graph.node.append(node)
    path.write_bytes(model.SerializeToString())


def write_symlink(path: Path, good: bytes) -> None:
    model = onnx.load_model_from_string(good)
    link_to("weights.bin")(model)
    path.write_bytes(model.SerializeToString())
    secret = path.parent.parent / "secret.bin"
    secret.write_bytes(bytes(1 << 16))
    (path.parent / "weights.bin").symlink_to(secret)


def write_other_network(path: Path, good: bytes) -> None:
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1), nn.Sigmoid()]
    export_onnx(nn.Sequential(*layers).eval(), path, (48, 48))


def write_pickle(path: Path, good: bytes) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(path.parent / "executed"),)

    path.write_bytes(pickle.dumps(Harmful()))


def write_vit_of_three_readouts(path: Path, good: bytes) -> None:
    network = build(Variant())
    network.readouts[1] = nn.Linear(32, 16)
    network.readouts[0] = nn.Sequential(nn.Linear(32, 8), nn.Linear(8, 16))
    export_onnx(network, path, (48, 48))


def add_control_flow(model: onnx.ModelProto) -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["branch"])],
        "branch",
        [],
        [helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)],
    )
    condition = numpy_helper.from_array(np.array(True), "condition")
    model.graph.initializer.append(condition)
    model.graph.node.insert(
        0,
        helper.make_node("If", ["condition"], ["x"], then_branch=branch, else_branch=branch),
    )


def use_other_domain(model: onnx.ModelProto) -> None:
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.domain, relu.op_type = "com.microsoft", "QuickGelu"


def quantize_relu(model: onnx.ModelProto) -> None:
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "scale")
    model.graph.initializer.append(scale)
    for old, new in (("QuantizeLinear", "eight"), ("DequantizeLinear", relu.output[0])):
        source = relu.input[0] if old == "QuantizeLinear" else "eight"
        model.graph.node.append(helper.make_node(old, [source, "scale"], [new]))
    model.graph.node.remove(relu)


def per_channel_slopes(model: onnx.ModelProto) -> None:
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "PRelu"
    slopes = np.linspace(0, 1, 6, dtype=np.float32).reshape(6, 1, 1)
    model.graph.initializer.append(numpy_helper.from_array(slopes, "slopes"))
    relu.input.append("slopes")


BROKEN: dict[str, tuple[Callable[[Path, bytes], None], str]] = {
    "empty": (lambda path, good: path.write_bytes(b""), "not an ONNX model, it holds no network"),
    "truncated": (
        lambda path, good: path.write_bytes(good[: len(good) // 2]),
        "not an ONNX file, or a damaged one",
    ),
    "text": (
        lambda path, good: path.write_text("<html><h1>404 Not Found</h1></html>"),
        "not an ONNX file, or a damaged one",
    ),
    "pickle": (write_pickle, "not an ONNX file, or a damaged one"),
    "torch archive": (
        lambda path, good: torch.save({"weight": torch.zeros(3)}, path),
        "not an ONNX file, or a damaged one",
    ),
    "safetensors": (
        lambda path, good: save_file({"weight": np.zeros(3)}, path),
        "not an ONNX file, or a damaged one",
    ),
    "other network": (write_other_network, "expected one patch embedding, found none"),
    "missing head": (edited(drop_head), "expected"),
    "missing readout": (write_vit_of_three_readouts, "expected four projections of patch and"),
    "wrong shapes": (edited(give_other_shape), "Input channels C is not equal to kernel channels"),
    "not finite": (edited(put_nan), "the weight patch.weight is not finite"),
    "outside": (
        edited(link_to("../secret.bin")),
        "should lie in '../secret.bin', which is no file",
    ),
    "absolute": (edited(link_to("/etc/passwd")), "should lie in '/etc/passwd', which is no file"),
    "nowhere": (edited(link_to("gone.bin")), "should lie in 'gone.bin', which is no file beside"),
    "in a constant": (hide_in_constant, "should lie in '../../etc/passwd', which is no file"),
    "symlink": (write_symlink, "should lie in 'weights.bin', which is no file beside it"),
    "bomb": (
        bomb("patch.weight", (1 << 20, 1 << 18)),
        "it claims 1024.0 GiB of weights, expected at most 2",
    ),
    "many bombs": (bomb("", (1 << 10, 1 << 18)), "GiB of weights, expected at most 2"),
    "control flow": (edited(add_control_flow), "it holds control flow (If)"),
    "optimised": (edited(use_other_domain), "com.microsoft.QuickGelu, which is not of the ONNX"),
    "eight bits": (edited(quantize_relu), "it computes in 8 bits, which no checkpoint does"),
    "other slopes": (edited(per_channel_slopes), "an activation with another constant for each"),
}


@pytest.mark.parametrize(("write", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_converted_is_refused_in_one_line(
    write: Callable[[Path, bytes], None], reason: str, good: bytes, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    path = folder / "model.onnx"
    write(path, good)
    before = sorted(folder.iterdir())

    result = CliRunner().invoke(app, ["convert", str(path), "-o", str(folder / "checkpoint")])

    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("david: ")
    assert str(path) in line
    assert reason in line
    assert sorted(folder.iterdir()) == before


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"gone\.onnx: no such file"):
        convert_onnx(tmp_path / "gone.onnx", tmp_path / "checkpoint")


def test_a_photo_that_is_none_is_refused(good: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(good)
    (tmp_path / "photo.jpg").write_text("no picture")

    with pytest.raises(ConversionError, match=r"photo\.jpg"):
        convert_onnx(tmp_path / "model.onnx", tmp_path / "checkpoint", photo=tmp_path / "photo.jpg")

    assert not (tmp_path / "checkpoint").exists()
