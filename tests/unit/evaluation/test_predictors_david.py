"""Networks of DAViD in the evaluation: depth that grows away from the camera, normals last."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from factories import tiny_model
from onnx import TensorProto, helper, numpy_helper
from photos import save_checkpoint

from david_hf.evaluation.predictors.base import Maps
from david_hf.evaluation.predictors.opening import open_predictor
from david_hf.model import DavidForDensePrediction, DavidForImageMatting
from david_hf.predictor import DavidPredictor

WEIGHTS = np.array([0.5, 0.3, 0.2], np.float32).reshape(1, 3, 1, 1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(DavidForDensePrediction, tmp_path_factory.mktemp("david"))


def assert_close(maps: Maps, expected: Maps) -> None:
    for name in ("depth", "normals", "alpha"):
        ours, theirs = getattr(maps, name), getattr(expected, name)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_maps_are_those_of_the_predictor_in_the_frame_of_the_evaluation(
    checkpoint: Path, photos: list[np.ndarray]
) -> None:
    predictor = open_predictor(checkpoint, device="cpu")

    maps = predictor.predict(photos)

    assert (predictor.family, predictor.name) == ("david", checkpoint.name)
    assert predictor.tasks == ("depth", "normals", "alpha")
    assert predictor.depth_space == "depth"
    direct = DavidPredictor.from_pretrained(checkpoint, device="cpu")
    for photo, found in zip(photos, maps, strict=True):
        expected = direct.predict(photo)
        # The predictor's depth grows towards the camera.
        turned = Maps(-expected.depth, np.moveaxis(expected.normals, 0, -1), expected.alpha)
        assert_close(found, turned)
        assert found.depth.shape == photo.shape[:2]


def test_photos_of_all_sizes_go_through_the_network_together(
    checkpoint: Path, photos: list[np.ndarray]
) -> None:
    predictor: Any = open_predictor(checkpoint, device="cpu")
    sizes = []
    predictor._predictor.model.register_forward_pre_hook(
        lambda _, args, options: sizes.append(len(options["pixel_values"])), with_kwargs=True
    )

    together = predictor.predict(photos)

    assert sizes == [len(photos)]
    for photo, maps in zip(photos, together, strict=True):
        assert_close(maps, predictor.predict([photo])[0])
    assert predictor.predict([]) == []


def test_the_caller_knows_better_what_a_network_predicts(
    checkpoint: Path, photos: list[np.ndarray]
) -> None:
    usual = open_predictor(checkpoint, device="cpu")

    other = open_predictor(
        checkpoint, device="cpu", depth_space="disparity", normals_convention="opencv"
    )

    assert other.depth_space == "disparity"
    assert other.describe()["depth_space"] == "disparity"
    assert other.describe()["normals_convention"] == "opencv"
    maps, expected = other.predict(photos)[0], usual.predict(photos)[0]
    # Disparity grows towards the camera, as the network's output does.
    np.testing.assert_array_equal(maps.depth, -expected.depth)
    np.testing.assert_array_equal(maps.normals, expected.normals * (1, -1, -1))


def test_a_network_is_described_by_what_was_loaded(checkpoint: Path) -> None:
    facts = open_predictor(checkpoint, device="cpu", dtype="bfloat16").describe()

    assert facts["class"] == "DavidForDensePrediction"
    assert facts["parameters"] == tiny_model(DavidForDensePrediction).num_parameters()
    assert (facts["dtype"], facts["device"]) == ("bfloat16", "cpu")
    assert len(facts["weights_sha256"]) == 64


def test_a_network_in_half_precision_gives_float32_maps(
    checkpoint: Path, photos: list[np.ndarray]
) -> None:
    maps = open_predictor(checkpoint, device="cpu", dtype="bfloat16").predict(photos)[1]

    exact = open_predictor(checkpoint, device="cpu").predict(photos)[1]
    assert maps.alpha.dtype == np.float32
    assert not np.array_equal(maps.alpha, exact.alpha)
    np.testing.assert_allclose(maps.alpha, exact.alpha, atol=0.05)


def test_a_network_with_one_head_predicts_one_map(
    tmp_path: Path, photos: list[np.ndarray], refusal: Callable[..., str]
) -> None:
    save_checkpoint(DavidForImageMatting, tmp_path)

    predictor = open_predictor(tmp_path, device="cpu")

    assert predictor.tasks == ("alpha",)
    assert predictor.describe()["depth_space"] is None
    maps = predictor.predict(photos)[0]
    assert maps.alpha is not None
    assert (maps.depth, maps.normals) == (None, None)
    assert refusal(tmp_path, depth_space="depth") == (
        f"expected no depth_space for {tmp_path.name}, which predicts alpha; leave it out"
    )


def test_a_network_in_a_pickle_is_refused(
    checkpoint: Path, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    for file in checkpoint.iterdir():
        name = "pytorch_model.bin" if file.suffix == ".safetensors" else file.name
        (tmp_path / name).write_bytes(file.read_bytes())

    assert "expected weights in the format safetensors" in refusal(tmp_path)


def test_the_checkpoint_of_the_package_is_the_default() -> None:
    predictor = open_predictor(device="cpu")

    assert predictor.name == "david-nano"
    assert predictor.tasks == ("depth", "normals", "alpha")


def save_graph(
    path: Path, batch: str | int = "batch", keepdims: int = 0, external: bool = False
) -> Path:
    """A file that weighs the colours of 16 x 16 pixels, for depth (B, H, W) or (B, 1, H, W)."""
    shape = [batch, *[1] * keepdims, 16, 16]
    nodes = [
        helper.make_node("Mul", ["input", "weights"], ["weighted"]),
        helper.make_node("ReduceMean", ["weighted"], ["output"], axes=[1], keepdims=keepdims),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, 16, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = {"save_as_external_data": True, "location": "weights.data", "size_threshold": 0}
    onnx.save(model, path, **(options if external else {}))
    return path


@pytest.mark.parametrize("batch", ["batch", 1])
def test_depth_of_an_onnx_file_grows_away_from_the_camera(
    batch: str | int, tmp_path: Path, photos: list[np.ndarray]
) -> None:
    path = save_graph(tmp_path / "file.onnx", batch)

    predictor = open_predictor(path, device="cpu")

    assert (predictor.family, predictor.name) == ("onnx", "file.onnx")
    assert (predictor.tasks, predictor.depth_space) == (("depth",), "depth")
    direct = DavidPredictor.from_pretrained(path, "cpu")
    for photo, maps in zip(photos, predictor.predict(photos), strict=True):
        # A lone output grows towards the camera, as in the official file.
        np.testing.assert_allclose(maps.depth, -direct.predict(photo).depth, atol=1e-6)
        assert np.ptp(maps.depth) > 0.1


def test_an_onnx_file_is_described_by_what_it_holds(tmp_path: Path) -> None:
    path = save_graph(tmp_path / "file.onnx")

    facts = open_predictor(path, device="cpu").describe()

    assert facts.pop("weights_sha256") != ""
    assert facts == {
        "family": "onnx",
        "class": "OnnxDavid",
        "parameters": WEIGHTS.size,
        "dtype": "float32",
        "device": "cpu",
        "depth_space": "depth",
        "normals_convention": None,
    }


def test_weights_beside_an_onnx_file_count_for_its_digest(tmp_path: Path) -> None:
    path = save_graph(tmp_path / "file.onnx", external=True)
    before = open_predictor(path, device="cpu").describe()["weights_sha256"]
    data = tmp_path / "weights.data"
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    data.write_bytes(bytes(content))

    assert open_predictor(path, device="cpu").describe()["weights_sha256"] != before


def save_processing_graph(path: Path) -> Path:
    """A file that takes photos, of any size, and gives red over 255 as alpha."""
    nodes = [
        helper.make_node("Transpose", ["photo"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Slice", ["planes", "zero", "one", "one"], ["red"]),
        helper.make_node("Cast", ["red"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["values", "full"], ["alphas"]),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("full", TensorProto.FLOAT, [], [255.0]),
    ]
    sides: Sequence[str] = ["height", "width"]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("photo", TensorProto.UINT8, ["batch", *sides, 3])],
        [helper.make_tensor_value_info("alphas", TensorProto.FLOAT, ["batch", 1, *sides])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    metadata = {"david_hf.tasks": '["alpha"]', "david_hf.includes_processing": "true"}
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def test_an_onnx_file_that_includes_the_processing_takes_photos_of_all_sizes(
    tmp_path: Path, photos: list[np.ndarray]
) -> None:
    predictor = open_predictor(save_processing_graph(tmp_path / "file.onnx"), device="cpu")

    for photo, maps in zip(photos, predictor.predict(photos), strict=True):
        np.testing.assert_allclose(maps.alpha, photo[..., 0] / 255.0, atol=1e-6)


def test_onnx_files_that_cannot_be_used_are_named(
    tmp_path: Path, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_graph(tmp_path / "file.onnx")
    missing = tmp_path / "missing.onnx"

    assert refusal(missing) == f"cannot load {missing}: no such file"
    assert refusal(path, dtype="float16") == (
        "expected no dtype for an ONNX file, got float16; leave it out"
    )
    undecided = save_graph(tmp_path / "undecided.onnx", keepdims=1)
    assert refusal(undecided) == (
        f"cannot load {undecided}: nothing in it says whether it predicts depth or alpha; write "
        "that into its name"
    )
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert refusal(path) == (
        f"cannot load {path}: it needs onnx, which is not installed: pip install 'david-hf[onnx]'"
    )
