"""Checkpoints exported for other runtimes, and run there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from factories import random_images, tiny_mobilenet_config
from photos import make_picture, save_checkpoint
from typer.testing import CliRunner

from david_cli.main import app
from david_hf import DavidForDensePrediction, DavidImageProcessor, DavidPredictor
from david_hf.conversion import (
    ExportError,
    ExportReport,
    ExportSettings,
    convert_onnx,
    export,
    export_checkpoint,
)
from david_hf.conversion.export_check import accuracy_loss, compare
from david_hf.conversion.export_check import make_picture as draw_picture
from david_hf.conversion.export_settings import SUFFIXES

TASKS = ("depth", "normals", "alpha")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(DavidForDensePrediction, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> DavidForDensePrediction:
    return DavidForDensePrediction.from_pretrained(checkpoint).eval()


@pytest.fixture(scope="module")
def official(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    output = tmp_path_factory.mktemp("official") / "david.onnx"
    return export_checkpoint(checkpoint, output, ExportSettings(official=True))


@torch.inference_mode()
def maps_of(model: DavidForDensePrediction, image: torch.Tensor) -> dict[str, torch.Tensor]:
    outputs = model(image)
    return {
        "depth": outputs.predicted_depth,
        "normals": outputs.normals,
        "alpha": outputs.alphas,
    }


def run_onnx(path: Path, image: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: image})
    return outputs


def assert_maps_equal(
    actual: Any, expected: dict[str, torch.Tensor], depth_sign: int = 1, atol: float = 1e-4
) -> None:
    for task, maps in zip(expected, actual, strict=True):
        sign = depth_sign if task == "depth" else 1
        torch.testing.assert_close(
            sign * torch.as_tensor(maps), expected[task], atol=atol, rtol=1e-4
        )


def test_an_official_file_takes_and_gives_what_microsofts_multi_task_file_does(
    official: ExportReport, model: DavidForDensePrediction, generator: torch.Generator
) -> None:
    session = onnxruntime.InferenceSession(official.files[0], providers=["CPUExecutionProvider"])

    (image,) = session.get_inputs()
    assert image.shape[1:] == [3, 512, 512]
    assert isinstance(image.shape[0], str)
    assert [output.name for output in session.get_outputs()] == ["depth", "normal", "foreground"]
    pixels = random_images(generator, 512, 512)
    depth, normals, alpha = session.run(None, {image.name: pixels.numpy()})
    shapes = (depth.shape, normals.shape, alpha.shape)
    assert shapes == ((2, 512, 512), (2, 3, 512, 512), (2, 1, 512, 512))
    # Smaller = nearer, as in their file.
    assert_maps_equal([depth, normals, alpha], maps_of(model, pixels), depth_sign=-1)
    assert official.metadata["david_hf.depth_is_inverse"] == "false"


def test_an_official_file_of_depth_alone_grows_towards_the_camera(
    checkpoint: Path, model: DavidForDensePrediction, tmp_path: Path, generator: torch.Generator
) -> None:
    settings = ExportSettings(official=True, tasks=["depth"])
    report = export_checkpoint(checkpoint, tmp_path / "depth.onnx", settings)

    pixels = random_images(generator, 512, 512, 1)
    (depth,) = run_onnx(report.files[0], pixels.numpy())
    assert_maps_equal([depth], {"depth": maps_of(model, pixels)["depth"]})


def test_an_exported_file_converts_back_into_an_equal_checkpoint(
    official: ExportReport,
    model: DavidForDensePrediction,
    tmp_path: Path,
    generator: torch.Generator,
) -> None:
    done = convert_onnx(official.files[0], tmp_path / "back")

    back = DavidForDensePrediction.from_pretrained(tmp_path / "back").eval()
    pixels = random_images(generator, 96, 80)
    assert_maps_equal(maps_of(back, pixels).values(), maps_of(model, pixels), atol=1e-5)
    # The negation stays in the graph: what is in front of it grows towards the camera.
    assert done.config.depth_is_inverse is True
    assert DavidImageProcessor.from_pretrained(tmp_path / "back").channel_order == "bgr"


def test_files_carry_no_path_of_this_machine_and_say_what_they_are(official: ExportReport) -> None:
    content = official.files[0].read_bytes()

    assert b"/src/david_hf" not in content
    metadata = {item.key: item.value for item in onnx.load(official.files[0]).metadata_props}
    assert metadata == official.metadata
    assert json.loads(metadata["david_hf.tasks"]) == list(TASKS)


def test_predictions_with_the_file_are_those_of_the_checkpoint(
    official: ExportReport, checkpoint: Path
) -> None:
    picture = make_picture(90, 60)
    by_file = DavidPredictor.from_pretrained(official.files[0]).predict(picture)

    model = DavidPredictor.from_pretrained(checkpoint, "cpu")
    model.processor = DavidImageProcessor(size=512)
    by_torch = model.predict(picture)

    np.testing.assert_allclose(by_file.depth, by_torch.depth, atol=1e-4)
    np.testing.assert_allclose(by_file.normals, by_torch.normals, atol=1e-3)
    np.testing.assert_allclose(by_file.alpha, by_torch.alpha, atol=1e-4)


@pytest.mark.parametrize("file_format", ["onnx", "openvino", "pt2"])
def test_height_width_and_batch_can_be_free_in_every_format(
    file_format: Any,
    checkpoint: Path,
    model: DavidForDensePrediction,
    tmp_path: Path,
    generator: torch.Generator,
) -> None:
    output = tmp_path / f"david{SUFFIXES[file_format]}"
    settings = ExportSettings(file_format=file_format, dynamic=True, tasks=["alpha", "depth"])

    report = export_checkpoint(checkpoint, output, settings)

    assert report.input_shape == (-1, 3, -1, -1)
    assert report.tasks == ("depth", "alpha")
    assert all(difference.accepted for difference in report.differences)
    run = export.open_file(output, file_format)
    for batch_size, height, width in ((1, 33, 90), (3, 64, 64), (2, 17, 200)):
        pixels = random_images(generator, height, width, batch_size)
        expected = maps_of(model, pixels)
        assert_maps_equal(run(pixels), {task: expected[task] for task in report.tasks})


def test_the_image_processing_can_be_part_of_the_graph(checkpoint: Path, tmp_path: Path) -> None:
    settings = ExportSettings(with_processing=True, size=(48, 40))
    report = export_checkpoint(checkpoint, tmp_path / "photos.onnx", settings)

    predictor = DavidPredictor.from_pretrained(checkpoint, "cpu")
    predictor.processor.size = {"height": 48, "width": 40}
    # Padded and not halved, halved twice, a single pixel, far longer than wide.
    for height, width in ((60, 41), (700, 611), (1, 1), (9, 300)):
        picture = make_picture(height, width)
        expected = predictor.predict(picture)
        depth, normals, alpha = run_onnx(report.files[0], np.array(picture)[None])
        np.testing.assert_allclose(depth[0], expected.depth, atol=1e-4)
        np.testing.assert_allclose(normals[0], expected.normals, atol=2e-3)
        np.testing.assert_allclose(alpha[0, 0], expected.alpha, atol=1e-4)
    by_file = DavidPredictor.from_pretrained(report.files[0]).predict(picture)
    np.testing.assert_allclose(by_file.depth, expected.depth, atol=1e-4)


@pytest.mark.parametrize("file_format", ["onnx", "openvino", "pt2"])
def test_half_precision_halves_the_file_and_keeps_the_maps(
    file_format: Any,
    checkpoint: Path,
    model: DavidForDensePrediction,
    tmp_path: Path,
    generator: torch.Generator,
) -> None:
    output = tmp_path / f"david{SUFFIXES[file_format]}"
    settings = ExportSettings(file_format=file_format, precision="fp16")

    report = export_checkpoint(checkpoint, output, settings)

    pixels = random_images(generator, 48, 48)
    run = export.open_file(output, file_format)
    assert_maps_equal(run(pixels), maps_of(model, pixels), atol=3e-2)
    if file_format == "onnx":
        kept = {
            item.data_type
            for item in onnx.load(report.files[0]).graph.initializer
            if np.prod(item.dims) > 64
        }
        assert kept == {onnx.TensorProto.FLOAT16}


def test_eight_bits_are_calibrated_on_photos_and_what_they_cost_is_measured(tmp_path: Path) -> None:
    config = tiny_mobilenet_config()
    DavidForDensePrediction(config).save_pretrained(tmp_path / "checkpoint")
    processor = DavidImageProcessor(size=48, channel_order="rgb")
    processor.save_pretrained(tmp_path / "checkpoint")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(8):
        make_picture(60 + number, 50).save(photos / f"rgb_{number}.png")
        (photos / f"alpha_{number}.png").write_bytes(b"a label, not a photo")
    settings = ExportSettings(precision="int8", calibration=photos)

    report = export_checkpoint(tmp_path / "checkpoint", tmp_path / "small.onnx", settings)

    assert set(report.losses) == {"alpha_mae", "alpha_iou", "normals_deg", "depth_error"}
    assert report.losses["alpha_mae"] < 0.05
    assert report.notes == (f"calibrated on 8 photos of {photos}, a quarter of them held out",)
    types = {item.data_type for item in onnx.load(report.files[0]).graph.initializer}
    assert onnx.TensorProto.INT8 in types
    weights = (tmp_path / "checkpoint" / "model.safetensors").stat().st_size
    assert report.files[0].stat().st_size < 0.5 * weights


def test_without_photos_eight_bits_are_calibrated_on_drawn_pictures_and_say_so(
    checkpoint: Path, tmp_path: Path
) -> None:
    settings = ExportSettings(precision="int8", tasks=["alpha"])

    report = export_checkpoint(checkpoint, tmp_path / "small.onnx", settings)

    assert "drawn pictures, which are not photos: give --calibration" in report.notes[0]


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        ({"file_format": "tflite"}, "a.onnx", "the format must be one of onnx, openvino, pt2"),
        ({"precision": "int4"}, "a.onnx", "the precision must be one of fp32, fp16, int8"),
        ({}, "a.pb", "must end in .onnx"),
        ({"file_format": "pt2"}, "a.onnx", "must end in .pt2"),
        ({"tasks": ["pose"]}, "a.onnx", "the model predicts depth, normals, alpha, not pose"),
        ({"size": (16, 64)}, "a.onnx", "both sides must be 17 pixels or more"),
        ({"opset": 11}, "a.onnx", "the opset must be 18 or newer"),
        ({"precision": "int8", "file_format": "pt2"}, "a.pt2", "int8 needs onnx or openvino"),
        ({"calibration": Path("photos")}, "a.onnx", "for int8 only"),
        ({"with_processing": True, "dynamic": True}, "a.onnx", "leave --dynamic out"),
        ({"official": True, "dynamic": True}, "a.onnx", "leave --size, --dynamic and"),
        (
            {"precision": "int8", "calibration": Path("/nowhere")},
            "a.onnx",
            "/nowhere: no such folder of photos",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    settings: dict[str, Any], name: str, message: str, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExportError) as caught:
        export_checkpoint(checkpoint, tmp_path / name, ExportSettings(**settings))

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_computes_something_else_is_not_kept(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "david.pt2").write_text("an older export")
    open_file = export.open_file

    def open_wrongly(path: Path, file_format: str) -> Any:
        run = open_file(path, file_format)
        return lambda image: [maps + 0.01 for maps in run(image)]

    monkeypatch.setattr(export, "open_file", open_wrongly)
    with pytest.raises(ExportError, match="not written, it differs from PyTorch too much: depth"):
        export_checkpoint(checkpoint, tmp_path / "david.pt2", ExportSettings(file_format="pt2"))

    assert [item.name for item in tmp_path.iterdir()] == ["david.pt2"]
    assert (tmp_path / "david.pt2").read_text() == "an older export"


def test_a_missing_package_is_named_with_the_extra_that_installs_it(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    monkeypatch.setattr("david_hf.conversion.export_formats._is_installed", lambda _: False)

    with pytest.raises(ExportError, match=r"openvino needs openvino: pip install 'david-hf\[open"):
        export_checkpoint(checkpoint, tmp_path / "a.xml", ExportSettings(file_format="openvino"))


def test_the_command_prints_what_it_wrote_and_measured(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "david.pt2"

    result = CliRunner().invoke(app, ["export", str(checkpoint), "-o", str(output)])

    assert result.exit_code == 0, result.output
    first, second, *differences = result.stdout.splitlines()
    assert first.startswith(f"wrote {output} (")
    assert second == "input (free, 3, 48, 48), colours bgr"
    assert [line.split(":")[0] for line in differences] == list(TASKS)
    assert all("differs from PyTorch by" in line for line in differences)


def test_a_folder_gets_a_file_with_the_usual_name(checkpoint: Path, tmp_path: Path) -> None:
    arguments = ["export", str(checkpoint), "--format", "pt2", "-o", str(tmp_path / "out")]

    result = CliRunner().invoke(app, [*arguments, "--tasks", "alpha"])

    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.pt2"]


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(tmp_path), "-o", str(tmp_path / "a.onnx")])

    assert result.exit_code == 1
    assert result.stderr == f"david: cannot load {tmp_path}: the folder has no config.json\n"


# --- the measures --------------------------------------------------------------------------------


def test_differences_of_depth_are_shares_of_its_range() -> None:
    true = torch.tensor([[[0.0, 10.0]]])

    (difference,) = compare([true], [true + 0.5], ["depth"], "fp32")

    assert difference.maximum == pytest.approx(0.05)
    assert not difference.accepted


def test_a_difference_that_is_no_number_is_not_accepted() -> None:
    true = torch.zeros(1, 1, 4, 4)

    (difference,) = compare([true], [true * torch.nan], ["alpha"], "fp16")

    assert not difference.accepted


def test_an_affine_depth_and_turned_normals_cost_what_they_should() -> None:
    alpha = torch.ones(1, 1, 2, 2)
    depth = torch.tensor([[[0.0, 1.0], [2.0, 4.0]]])
    towards = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    turned = torch.tensor([0.5, 0.0, 3**0.5 / 2]).view(1, 3, 1, 1).expand(1, 3, 2, 2)

    losses = accuracy_loss([(depth, towards, alpha)], [(2 * depth + 3, turned, alpha - 0.1)], TASKS)

    assert losses["normals_deg"] == pytest.approx(30.0)
    assert losses["depth_error"] == pytest.approx(0.0, abs=1e-9)
    assert losses["alpha_mae"] == pytest.approx(0.1)
    assert losses["alpha_iou"] == 1.0


def test_drawn_pictures_differ_by_seed_and_lie_between_black_and_white() -> None:
    first, second = draw_picture(40, 30), draw_picture(40, 30, seed=1)

    assert first.shape == (1, 3, 40, 30)
    assert (first - second).abs().mean() > 0.05
    assert 0 <= first.min() < first.max() <= 1
