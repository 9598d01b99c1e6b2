"""The pipelines of the package, and what users feed to any of them."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import tiny_mobilenet_config, tiny_model
from PIL import Image
from transformers import AutoImageProcessor, pipeline

from david_hf.model import (
    DavidDensePredictionPipeline,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidImageMattingPipeline,
    DavidImageProcessor,
    DavidNormalEstimationPipeline,
    DavidPreTrainedModel,
)

WIDTH, HEIGHT = 61, 40
TASKS: dict[str, dict[str, tuple[int, ...] | str]] = {
    "depth-estimation": {"predicted_depth": (HEIGHT, WIDTH), "depth": "L"},
    "surface-normal-estimation": {"normals": (3, HEIGHT, WIDTH), "normal_map": "RGB"},
    "image-matting": {"alphas": (HEIGHT, WIDTH), "alpha": "L", "cutout": "RGBA"},
    "human-dense-prediction": {
        "predicted_depth": (HEIGHT, WIDTH),
        "normals": (3, HEIGHT, WIDTH),
        "alphas": (HEIGHT, WIDTH),
        "depth": "L",
        "normal_map": "RGB",
        "alpha": "L",
        "cutout": "RGBA",
    },
}
OWN_TASKS = [task for task in TASKS if task != "depth-estimation"]
TENSORS = {"predicted_depth", "normals", "alphas"}

QUIET = """
import logging, sys, warnings
import david_hf
from transformers import pipeline
from transformers.utils import logging as transformers_logging

transformers_logging.disable_progress_bar()
for task in sys.argv[1:]:
    pipeline(task, model=str(david_hf.bundled_checkpoint()))("spaces/david/examples/astronaut.jpg")
"""


def save_checkpoint(model_class: type[DavidPreTrainedModel], folder: Path) -> Path:
    tiny_model(model_class, tiny_mobilenet_config()).save_pretrained(folder)
    DavidImageProcessor(size={"height": 48, "width": 48}).save_pretrained(folder)
    return folder


def photo(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    ramp = np.linspace(0, 255, width * height).reshape(height, width)
    return Image.fromarray(np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1).astype(np.uint8))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All heads."""
    return save_checkpoint(DavidForDensePrediction, tmp_path_factory.mktemp("dense"))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with photo.png."""
    folder = tmp_path_factory.mktemp("web")
    photo().save(folder / "photo.png")
    handler = partial(_QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/photo.png"
        server.shutdown()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


def assert_same(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert actual.keys() == expected.keys()
    for name in actual.keys() & TENSORS:
        torch.testing.assert_close(actual[name], expected[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_tensors_and_pictures_have_the_size_of_the_photo(
    task: str, checkpoint: Path, transformers_log: list[str]
) -> None:
    result = pipeline(task, model=str(checkpoint), device="cpu")(photo())

    assert result.keys() == TASKS[task].keys()
    for name, expected in TASKS[task].items():
        if isinstance(expected, str):
            assert (result[name].mode, result[name].size) == (expected, (WIDTH, HEIGHT))
        else:
            assert (result[name].shape, result[name].dtype) == (expected, torch.float32)
    assert transformers_log == []


@pytest.mark.parametrize("task", TASKS)
def test_path_url_base64_and_lists_of_them_give_the_same(
    task: str, checkpoint: Path, web: str, tmp_path: Path
) -> None:
    photo().save(tmp_path / "photo.png")
    encoded = base64.b64encode((tmp_path / "photo.png").read_bytes()).decode()
    predict = pipeline(task, model=str(checkpoint), device="cpu")
    expected = predict(photo())

    sources = [str(tmp_path / "photo.png"), web, encoded, f"data:image/png;base64,{encoded}"]
    for source in sources:
        assert_same(predict(source), expected)
    for several in (predict([photo(), *sources]), predict([photo(), *sources], batch_size=2)):
        assert len(several) == 5
        for result in several:
            assert_same(result, expected)


@pytest.mark.parametrize("task", OWN_TASKS)
def test_photos_of_different_sizes_share_a_batch(task: str, checkpoint: Path) -> None:
    predict = pipeline(task, model=str(checkpoint), device="cpu")
    photos = [photo(30, 20), photo(1, 7), photo(64, 90)]

    together = predict(photos, batch_size=3)

    for result, alone in zip(together, photos, strict=True):
        assert_same(result, predict(alone))


@pytest.mark.parametrize("task", OWN_TASKS)
def test_a_turned_photo_comes_out_upright(task: str, checkpoint: Path, tmp_path: Path) -> None:
    exif = photo().getexif()
    exif[0x0112] = 6
    photo().save(tmp_path / "turned.png", exif=exif)
    predict = pipeline(task, model=str(checkpoint), device="cpu")

    upright = predict(photo().transpose(Image.Transpose.ROTATE_270))

    assert_same(predict(str(tmp_path / "turned.png")), upright)


@pytest.mark.parametrize("task", OWN_TASKS)
def test_sixteen_bits_of_grey_keep_their_shades(task: str, checkpoint: Path) -> None:
    grey = photo().convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    predict = pipeline(task, model=str(checkpoint), device="cpu")

    found, expected = predict(deep), predict(grey)

    assert_same(found, expected)
    for name in found.keys() & {"cutout"}:
        assert np.array_equal(np.asarray(found[name]), np.asarray(expected[name]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("task", TASKS)
def test_half_precision_models_give_float32(
    task: str, dtype: torch.dtype, checkpoint: Path
) -> None:
    result = pipeline(task, model=str(checkpoint), device="cpu", dtype=dtype)(photo())

    assert all(result[name].dtype == torch.float32 for name in result.keys() & TENSORS)


def test_all_maps_are_what_the_parts_give(checkpoint: Path) -> None:
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    model = DavidForDensePrediction.from_pretrained(checkpoint)

    result = pipeline("human-dense-prediction", model=str(checkpoint), device="cpu")(photo())

    with torch.no_grad():
        outputs = model(**processor(photo(), return_tensors="pt"))
    size = [(HEIGHT, WIDTH)]
    expected = processor.post_process_depth_estimation(outputs, size)[0]
    expected |= processor.post_process_normal_estimation(outputs, size)[0]
    expected |= processor.post_process_image_matting(outputs, size)[0]
    for name, maps in expected.items():
        torch.testing.assert_close(result[name], maps)


def test_pictures_show_the_tensors(checkpoint: Path) -> None:
    result = pipeline("human-dense-prediction", model=str(checkpoint), device="cpu")(photo())

    colours = np.asarray(result["normal_map"]).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(colours, result["normals"], atol=1 / 127)
    cutout = np.asarray(result["cutout"])
    np.testing.assert_array_equal(cutout[..., :3], np.asarray(photo()))
    np.testing.assert_allclose(cutout[..., 3] / 255, result["alphas"], atol=1 / 255)
    depth = np.asarray(result["depth"])
    inside = (result["alphas"] > 0.5).numpy()
    shown = depth[inside] if inside.any() else depth
    assert (shown.min(), shown.max()) == (0, 255)


@pytest.mark.parametrize(
    ("task", "model_class", "pipeline_class"),
    [
        ("surface-normal-estimation", DavidForNormalEstimation, DavidNormalEstimationPipeline),
        ("image-matting", DavidForImageMatting, DavidImageMattingPipeline),
        ("human-dense-prediction", DavidForDensePrediction, DavidDensePredictionPipeline),
    ],
)
def test_a_saved_pipeline_loads_again_and_asks_for_no_trust(
    task: str, model_class: type, pipeline_class: type, checkpoint: Path, tmp_path: Path
) -> None:
    predict = pipeline(task, model=str(checkpoint), device="cpu")
    predict.save_pretrained(tmp_path)

    again = pipeline(task, model=str(tmp_path), device="cpu")

    assert type(again) is pipeline_class
    assert type(again.model) is model_class
    assert_same(again(photo()), predict(photo()))


def test_a_model_of_fewer_tasks_gives_fewer_maps(tmp_path: Path) -> None:
    config = tiny_mobilenet_config(tasks=["alpha"])
    tiny_model(DavidForDensePrediction, config).save_pretrained(tmp_path)
    DavidImageProcessor(size={"height": 48, "width": 48}).save_pretrained(tmp_path)

    result = pipeline("human-dense-prediction", model=str(tmp_path), device="cpu")(photo())

    assert result.keys() == {"alphas", "alpha", "cutout"}


@pytest.mark.parametrize("task", OWN_TASKS)
def test_a_checkpoint_without_the_head_is_refused(task: str, tmp_path: Path) -> None:
    save_checkpoint(DavidForDepthEstimation, tmp_path)

    with pytest.raises(ValueError, match=rf"{task} needs the heads .*was saved with depth"):
        pipeline(task, model=str(tmp_path), device="cpu")


def test_what_is_no_photo_is_refused(checkpoint: Path) -> None:
    predict = pipeline("image-matting", model=str(checkpoint), device="cpu")

    with pytest.raises(ValueError, match="Incorrect image source"):
        predict("/no/such/photo.jpg")
    with pytest.raises(TypeError):
        predict(42)


def test_nothing_is_said_on_the_way(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", QUIET, *TASKS],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "2", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_configs_saved_here_point_to_no_code(checkpoint: Path, tmp_path: Path) -> None:
    """Also where they come from a checkpoint that brought its code along."""
    content = json.loads((checkpoint / "config.json").read_text())
    content |= {"auto_map": {"AutoConfig": "a.B"}, "custom_pipelines": {"x": {"impl": "a.B"}}}
    (tmp_path / "config.json").write_text(json.dumps(content))

    DavidForDensePrediction.config_class.from_pretrained(tmp_path).save_pretrained(tmp_path / "own")

    saved = json.loads((tmp_path / "own" / "config.json").read_text())
    assert not {"auto_map", "custom_pipelines"} & saved.keys()
