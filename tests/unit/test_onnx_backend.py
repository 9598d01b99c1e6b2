"""ONNX files through onnxruntime: the same maps as the models in torch, whatever file it is."""

import os
import subprocess
import sys
import sysconfig
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from factories import random_images, tiny_model
from onnx import TensorProto, helper
from photos import make_picture
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from david_cli.main import app
from david_hf import DavidPredictor
from david_hf.model import (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidImageProcessor,
    DavidPreTrainedModel,
)
from david_hf.onnx_backend import OnnxDavid, providers_of_device
from david_hf.predictor import ModelLoadError

NAMES = {"depth": "predicted_depth", "normals": "normals", "alpha": "alphas"}
INPUT_SIZE = 48


class Outputs(nn.Module):
    """Some maps of a model as a tuple, depth turned around if asked: what a file gives."""

    def __init__(self, model: nn.Module, tasks: Sequence[str], depth_sign: int = 1) -> None:
        super().__init__()
        self.model, self.tasks, self.depth_sign = model, tasks, depth_sign

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.model(pixel_values=pixel_values)
        signs = {"depth": self.depth_sign}
        return tuple(signs.get(task, 1) * outputs[NAMES[task]] for task in self.tasks)


def export(network: nn.Module, path: Path, output_names: Sequence[str], **options: Any) -> Path:
    """Export with a fixed size and a free batch, as the official files are."""
    names = ["input", *output_names]
    options = {
        "dynamo": False,
        "opset_version": 17,
        "input_names": names[:1],
        "output_names": names[1:],
        "dynamic_axes": {name: {0: "batch"} for name in names},
        **options,
    }
    pixels = torch.rand(2, 3, INPUT_SIZE, INPUT_SIZE, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn of themselves and of each other
        torch.onnx.export(network.eval(), (pixels,), path, **options)
    return path


def write_metadata(path: Path, **values: str) -> Path:
    model = onnx.load(path)
    helper.set_model_props(model, {f"david_hf.{key}": value for key, value in values.items()})
    onnx.save(model, path)
    return path


def in_torch(
    model: DavidPreTrainedModel, tasks: Sequence[str], channel_order: str = "bgr"
) -> DavidPredictor:
    processor = DavidImageProcessor(size=INPUT_SIZE, channel_order=channel_order)
    return DavidPredictor(model, processor, tasks, device="cpu")


def assert_same_maps(first: DavidPredictor, second: DavidPredictor) -> None:
    assert first.tasks == second.tasks
    picture = make_picture(61, 90)
    maps, expected = first.predict(picture), second.predict(picture)
    for task in second.tasks:
        ours, theirs = getattr(maps, task), getattr(expected, task)
        assert np.ptp(theirs) > 0.1  # a constant map would agree with anything
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def lively_model(model_class: type[DavidPreTrainedModel]) -> DavidPreTrainedModel:
    """A tiny model whose maps are far from constant, which those of fresh heads nearly are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = tiny_model(model_class)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_head.predict.weight"):
                parameter.mul_(1000)
    return model


@pytest.fixture(scope="module")
def dense() -> DavidPreTrainedModel:
    return lively_model(DavidForDensePrediction)


@pytest.fixture(scope="module")
def official_multi_task(
    dense: DavidPreTrainedModel, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Order, ranks and sign of the official file: depth grows away from the camera."""
    path = tmp_path_factory.mktemp("official") / "multi-task.onnx"
    network = Outputs(dense, ["depth", "normals", "alpha"], depth_sign=-1)
    return export(network, path, ["first", "second", "third"])


def test_a_file_like_the_official_multi_task_one_gives_the_maps_of_the_model(
    dense: DavidPreTrainedModel, official_multi_task: Path
) -> None:
    predictor = DavidPredictor.from_pretrained(official_multi_task, device="cpu")

    assert_same_maps(predictor, in_torch(dense, ["depth", "normals", "alpha"]))
    assert predictor.processor.channel_order == "bgr"
    only_alpha = predictor.predict(make_picture(9, 8), ["alpha"])
    assert only_alpha.depth is None
    assert only_alpha.alpha is not None
    assert only_alpha.alpha.shape == (9, 8)


@pytest.mark.parametrize(
    ("model_class", "task"),
    [
        (DavidForDepthEstimation, "depth"),
        (DavidForNormalEstimation, "normals"),
        (DavidForImageMatting, "alpha"),
    ],
)
def test_a_file_with_one_head_gives_the_map_of_the_model(
    model_class: type[DavidPreTrainedModel], task: str, tmp_path: Path
) -> None:
    """Nothing but shapes and, for alpha, the sigmoid tells what "output" is."""
    model = lively_model(model_class)
    path = export(Outputs(model, [task]), tmp_path / "model.onnx", ["output"])

    predictor = DavidPredictor.from_pretrained(path, device="cpu")

    assert_same_maps(predictor, in_torch(model, [task]))


@pytest.mark.slow
def test_a_file_of_the_new_exporter_with_free_sizes_gives_the_maps_of_the_model(
    dense: DavidPreTrainedModel, tmp_path: Path
) -> None:
    batch, height, width = (torch.export.Dim(name) for name in ("batch", "height", "width"))
    path = export(
        Outputs(dense, ["alpha", "depth"]),
        tmp_path / "model.onnx",
        ["first", "second"],
        dynamo=True,
        opset_version=18,
        dynamic_axes=None,
        dynamic_shapes={"pixel_values": {0: batch, 2: height, 3: width}},
        external_data=False,
        verbose=False,
    )
    write_metadata(
        path,
        tasks='["alpha", "depth"]',
        depth_is_inverse="true",
        channel_order="rgb",
        input_size=f"[{INPUT_SIZE}, {INPUT_SIZE}]",
    )

    predictor = DavidPredictor.from_pretrained(path, device="cpu")

    assert_same_maps(predictor, in_torch(dense, ["depth", "alpha"], channel_order="rgb"))


def test_metadata_outweighs_shapes_and_official_conventions(
    dense: DavidPreTrainedModel, official_multi_task: Path, tmp_path: Path
) -> None:
    path = tmp_path / "exported.onnx"
    path.write_bytes(official_multi_task.read_bytes())
    write_metadata(
        path,
        tasks='["depth", "normals", "alpha"]',
        depth_is_inverse="true",
        channel_order="rgb",
        input_size="[512, 512]",
    )
    pixels = random_images(torch.Generator().manual_seed(0), INPUT_SIZE, INPUT_SIZE)

    exported, official = OnnxDavid.from_file(path), OnnxDavid.from_file(official_multi_task)

    torch.testing.assert_close(
        exported(pixels).predicted_depth, -official(pixels).predicted_depth, rtol=0, atol=0
    )
    assert exported.image_processor().channel_order == "rgb"
    # A fixed size is a fact, whatever else is written down.
    assert exported.image_processor().size == {"height": INPUT_SIZE, "width": INPUT_SIZE}


def save_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Sequence[Any]]],
    outputs: Sequence[tuple[str, int, Sequence[Any] | None]],
    constants: Sequence[onnx.TensorProto] = (),
) -> Path:
    """Write a graph of a few nodes."""
    values = [
        [helper.make_tensor_value_info(*value) for value in side] for side in (inputs, outputs)
    ]
    graph = helper.make_graph(list(nodes), "graph", *values, initializer=list(constants))
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def mean_of_colours(output: str = "output", operator: str = "Identity") -> list[onnx.NodeProto]:
    mean = helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1)
    return [mean, helper.make_node(operator, ["mean"], [output])]


IMAGES = ("input", TensorProto.FLOAT, ["batch", 3, "height", "width"])


def one_channel(
    path: Path,
    output: str = "output",
    operator: str = "Identity",
    shape: Sequence[Any] | None = None,
) -> Path:
    shape = shape or ["batch", 1, "height", "width"]
    nodes = mean_of_colours(output, operator)
    return save_graph(path, nodes, [IMAGES], [(output, TensorProto.FLOAT, shape)])


@pytest.mark.parametrize(
    ("file_name", "output", "operator", "task"),
    [
        ("foreground-segmentation-model-vitb16_384.onnx", "output", "Identity", "alpha"),
        ("depth-model-vitl16_384.onnx", "output", "Identity", "depth"),
        ("depth.onnx", "alphas", "Identity", "alpha"),
        ("model.onnx", "predicted_depth", "Sigmoid", "depth"),
        ("model.onnx", "output", "Sigmoid", "alpha"),
    ],
)
def test_names_and_the_last_operator_tell_depth_from_alpha(
    file_name: str, output: str, operator: str, task: str, tmp_path: Path
) -> None:
    assert OnnxDavid.from_file(one_channel(tmp_path / file_name, output, operator)).tasks == (task,)


def test_values_far_from_those_of_a_mask_are_depth(tmp_path: Path) -> None:
    path = one_channel(tmp_path / "model.onnx", operator="Log")

    assert OnnxDavid.from_file(path).tasks == ("depth",)


def test_the_caller_says_what_nothing_in_the_file_tells(tmp_path: Path) -> None:
    path = one_channel(tmp_path / "model.onnx")
    predictor = DavidPredictor.from_pretrained(path)
    flat = np.full((9, 8, 3), 51, np.uint8)

    with pytest.raises(ModelLoadError, match="depth or alpha: ask for one of them, with --tasks"):
        predictor.predict(flat)
    np.testing.assert_allclose(predictor.predict(flat, ["depth"]).depth, 0.2, atol=1e-5)
    np.testing.assert_allclose(predictor.predict(flat, ["alpha"]).alpha, 0.2, atol=1e-5)
    assert OnnxDavid.from_file(path, tasks=["alpha"]).tasks == ("alpha",)


def test_two_outputs_of_one_channel_are_depth_and_alpha_in_that_order(tmp_path: Path) -> None:
    nodes = [*mean_of_colours("a"), helper.make_node("Neg", ["mean"], ["b"])]
    shape = ["batch", 1, "height", "width"]
    outputs = [(name, TensorProto.FLOAT, shape) for name in ("a", "b")]

    david = OnnxDavid.from_file(save_graph(tmp_path / "model.onnx", nodes, [IMAGES], outputs))

    assert david.signature.tasks == ("depth", "alpha")


def test_half_precision_files_take_and_give_float32(tmp_path: Path) -> None:
    images = ("input", TensorProto.FLOAT16, ["batch", 3, 8, 8])
    normals = ("normals", TensorProto.FLOAT16, ["batch", 3, 8, 8])
    nodes = [helper.make_node("Neg", ["input"], ["normals"])]
    path = save_graph(tmp_path / "model.onnx", nodes, [images], [normals])
    pixels = random_images(torch.Generator().manual_seed(0), 8, 8)

    result = OnnxDavid.from_file(path)(pixels).normals

    assert result.dtype == torch.float32
    expected = -pixels / pixels.norm(dim=1, keepdim=True)
    torch.testing.assert_close(result, expected, rtol=0, atol=2e-3)


def test_a_file_for_one_image_takes_batches_too(tmp_path: Path) -> None:
    images = ("input", TensorProto.FLOAT, [1, 3, 8, 8])
    output = ("depth", TensorProto.FLOAT, [1, 1, 8, 8])
    path = save_graph(tmp_path / "model.onnx", mean_of_colours("depth"), [images], [output])
    pixels = random_images(torch.Generator().manual_seed(0), 8, 8, batch_size=3)

    depth = OnnxDavid.from_file(path)(pixels).predicted_depth

    torch.testing.assert_close(depth, pixels.mean(dim=1))


def test_a_file_that_includes_the_processing_takes_the_photo_as_it_is(tmp_path: Path) -> None:
    """This one gives red over 255 as alpha."""
    photo = ("photo", TensorProto.UINT8, ["batch", "height", "width", 3])
    alpha = ("alphas", TensorProto.FLOAT, ["batch", 1, "height", "width"])
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("full", TensorProto.FLOAT, [], [255.0]),
    ]
    nodes = [
        helper.make_node("Transpose", ["photo"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Slice", ["planes", "zero", "one", "one"], ["red"]),
        helper.make_node("Cast", ["red"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["values", "full"], ["alphas"]),
    ]
    path = save_graph(tmp_path / "model.onnx", nodes, [photo], [alpha], constants)
    write_metadata(path, tasks='["alpha"]', includes_processing="true")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3)).astype(np.uint8)
    predictor = DavidPredictor.from_pretrained(path)

    for image in (pixels, pixels / np.float32(255), pixels.astype(np.uint16) * 257):
        alpha_map = predictor.predict(image).alpha
        np.testing.assert_allclose(alpha_map, pixels[..., 0] / 255.0, atol=1e-6)
    transparent = np.dstack([pixels, pixels[..., 1]])
    for image in (pixels[..., 0], pixels[..., 0].astype(np.uint16) * 257, transparent):
        alpha_map = predictor.predict(image).alpha
        np.testing.assert_allclose(alpha_map, pixels[..., 0] / 255.0, atol=1e-6)


def test_outputs_without_a_declared_shape_are_looked_at(tmp_path: Path) -> None:
    """The length of the shape that a reshape is given is known only when the graph runs."""
    constants = [helper.make_tensor("axes", TensorProto.INT64, [3], [0, 2, 3])]
    nodes = [
        *mean_of_colours("grey"),
        helper.make_node("Shape", ["grey"], ["lengths"]),
        helper.make_node("Gather", ["lengths", "axes"], ["wanted"]),
        helper.make_node("NonZero", ["wanted"], ["row"]),
        helper.make_node("Transpose", ["row"], ["column"]),
        helper.make_node("GatherND", ["wanted", "column"], ["shape"]),
        helper.make_node("Reshape", ["grey", "shape"], ["output"]),
    ]
    outputs = [("output", TensorProto.FLOAT, None)]
    path = save_graph(tmp_path / "model.onnx", nodes, [IMAGES], outputs, constants)
    assert len(onnxruntime.InferenceSession(path).get_outputs()[0].shape) != 3

    assert OnnxDavid.from_file(path).tasks == ("depth",)


def reason_not_loaded(path: str | Path, **options: Any) -> str:
    with pytest.raises(ModelLoadError) as caught:
        OnnxDavid.from_file(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"cannot load {path}: ")
    return message.removeprefix(f"cannot load {path}: ")


def test_files_that_are_no_networks_are_named_in_one_line(
    official_multi_task: Path, tmp_path: Path
) -> None:
    whole = official_multi_task.read_bytes()
    broken = {"text": b"no network at all\n", "cut": whole[: len(whole) // 2], "short": whole[:-1]}
    for name, content in broken.items():
        (tmp_path / f"{name}.onnx").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "zip.onnx", "w") as archive:
        archive.writestr("model/data.pkl", "pickle")
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "model.pt").write_bytes(whole)

    for name in (*broken, "zip"):
        reason = reason_not_loaded(tmp_path / f"{name}.onnx")
        assert reason.startswith("no ONNX file, or a damaged one (")
    assert "No graph was found" in reason_not_loaded(tmp_path / "empty.onnx")
    assert reason_not_loaded(tmp_path / "nowhere.onnx") == "no such file"
    assert reason_not_loaded(tmp_path / "model.pt") == "expected the name of an .onnx file"


def test_other_networks_are_told_what_is_expected(tmp_path: Path) -> None:
    floats = TensorProto.FLOAT
    two = [("a", floats, ["batch", 3, 8, 8]), ("b", floats, ["batch", 3, 8, 8])]
    add = [helper.make_node("Add", ["a", "b"], ["sum"])]
    save_graph(tmp_path / "two.onnx", add, two, [("sum", floats, ["batch", 3, 8, 8])])
    one_channel(tmp_path / "grey.onnx")
    grey = [("input", floats, ["batch", 1, 8, 8])]
    identity = [helper.make_node("Identity", ["input"], ["output"])]
    save_graph(tmp_path / "grey.onnx", identity, grey, [("output", floats, ["batch", 1, 8, 8])])
    flat = [helper.make_node("Flatten", ["input"], ["classes"])]
    save_graph(tmp_path / "flat.onnx", flat, [IMAGES], [("classes", floats, ["batch", "n"])])
    four = [("input", floats, [4, 3, 8, 8])]
    save_graph(tmp_path / "four.onnx", identity, four, [("output", floats, [4, 3, 8, 8])])

    expected = "expected one input of shape (B, 3, H, W) and type tensor(float) or tensor(float16)"
    assert reason_not_loaded(tmp_path / "two.onnx") == (
        f"{expected}, got a ['batch', 3, 8, 8] tensor(float), b ['batch', 3, 8, 8] tensor(float)"
    )
    assert reason_not_loaded(tmp_path / "grey.onnx").startswith(expected)
    assert "(B, 3, H, W) for normals" in reason_not_loaded(tmp_path / "flat.onnx")
    assert "takes 4 images at a time" in reason_not_loaded(tmp_path / "four.onnx")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tasks", "depth"),
        ("tasks", '["depth", "normals"]'),
        ("tasks", '["depth", "depth", "alpha"]'),
        ("tasks", '["depth", "normals", "colour"]'),
        ("input_size", "512"),
        ("input_size", "[0, 512]"),
        ("channel_order", "gbr"),
    ],
)
def test_wrong_metadata_is_named(
    key: str, value: str, official_multi_task: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(official_multi_task.read_bytes())

    reason = reason_not_loaded(write_metadata(path, **{key: value}))

    assert reason.startswith(f"its metadata david_hf.{key} must ")
    assert reason_not_loaded(official_multi_task, tasks=["depth"]).startswith("tasks must name")


def test_a_wrong_size_fails_in_one_line_when_it_runs(official_multi_task: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^onnxruntime failed: Got invalid dimensions.*50"):
        OnnxDavid.from_file(official_multi_task)(torch.zeros(1, 3, 50, 50))


def test_a_missing_onnxruntime_is_asked_for(
    official_multi_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    assert reason_not_loaded(official_multi_task) == (
        "it needs onnxruntime, which is not installed: pip install 'david-hf[onnx]'"
    )


def test_a_missing_onnx_leaves_the_sigmoid_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = one_channel(tmp_path / "model.onnx", operator="Sigmoid")
    monkeypatch.setitem(sys.modules, "onnx", None)

    assert OnnxDavid.from_file(path).undecided == ("depth", "alpha")


def test_devices_become_providers(
    official_multi_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert providers_of_device(None) is None
    assert providers_of_device("cpu") == ["CPUExecutionProvider"]
    cuda = ("CUDAExecutionProvider", {"device_id": 1})
    assert providers_of_device("cuda:1") == [cuda, "CPUExecutionProvider"]
    with pytest.raises(ModelLoadError, match="cannot run on mps: an ONNX file runs on cpu or cuda"):
        providers_of_device("mps")
    with pytest.raises(ModelLoadError, match="cannot run on toaster: "):
        DavidPredictor.from_pretrained(official_multi_task, device="toaster")

    available = ["AzureExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    with pytest.raises(ModelLoadError) as caught:
        DavidPredictor.from_pretrained(official_multi_task, device="cuda")
    assert str(caught.value) == (
        f"cannot load {official_multi_task}: this onnxruntime has no CUDAExecutionProvider, only "
        "AzureExecutionProvider, CPUExecutionProvider; pip install onnxruntime-gpu"
    )


def test_a_provider_that_does_not_start_is_no_silent_fall_back_to_the_cpu(
    official_multi_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where onnxruntime was built for CUDA, but CUDA's libraries are missing."""

    class OnTheCpu:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    available = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnTheCpu)

    reason = reason_not_loaded(official_multi_task, providers=available)

    assert reason.startswith("onnxruntime cannot start CUDAExecutionProvider")


def test_the_command_predicts_with_an_onnx_file(
    official_multi_task: Path, photo_folder: Path, tmp_path: Path
) -> None:
    photo = photo_folder / "good.jpg"
    command = [Path(sysconfig.get_path("scripts")) / "david", "predict", photo, "-o", "maps"]
    environment = {**os.environ, "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}

    done, failed = (
        subprocess.run(
            [*command, "--model", model],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        for model in (official_multi_task, "nowhere.onnx")
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "wrote 8 files for 1 photo to maps\n"
    expected = DavidPredictor.from_pretrained(official_multi_task).predict(Image.open(photo))
    depth = np.load(tmp_path / "maps" / "good_depth.npy")
    np.testing.assert_allclose(depth, expected.depth, atol=1e-4)
    assert failed.returncode == 1
    assert failed.stderr == "david: cannot load nowhere.onnx: no such file\n"


def test_the_help_of_the_command_names_onnx_files() -> None:
    assert ".onnx" in CliRunner().invoke(app, ["predict", "--help"]).stdout
