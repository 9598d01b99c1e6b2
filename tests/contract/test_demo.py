"""The web demo through its API, as a program on another machine would use it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import gradio_client
import numpy as np
import pytest
from factories import tiny_model, tiny_vit_config
from gradio_client.exceptions import AppError
from PIL import Image

from david_hf import DavidForDensePrediction, DavidForDepthEstimation, DavidImageProcessor
from david_hf.demo import build_demo
from david_hf.predictor import ModelLoadError

START_SECONDS = 120


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gradio_client.Client]:
    """A client of a real `david demo` in a process of its own."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_model(DavidForDensePrediction).save_pretrained(folder)
    DavidImageProcessor(size={"height": 48, "width": 48}).save_pretrained(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [Path(sys.executable).with_name("david"), "demo", "--model", folder, "--port", port]
    server = subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, server)
        client = gradio_client.Client(f"http://127.0.0.1:{port}", verbose=False)
        yield client
        client.close()
    finally:
        server.terminate()
        server.wait()


def wait_for_port(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, "david demo ended early"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError("david demo did not start")


def predict(client: gradio_client.Client, path: Path) -> list[Image.Image]:
    files = client.predict(gradio_client.handle_file(path), api_name="/predict")
    pictures = []
    for file in files:
        with Image.open(file) as picture:
            pictures.append(picture.copy())
    return pictures


def test_a_photo_gives_four_pictures_of_its_own_size(
    client: gradio_client.Client, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (33, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")

    depth, normals, alpha, cutout = predict(client, tmp_path / "photo.png")

    assert depth.size == normals.size == alpha.size == cutout.size == (50, 33)
    assert cutout.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(cutout)[..., :3], pixels)
    np.testing.assert_array_equal(np.asarray(cutout)[..., 3], np.asarray(alpha.convert("L")))


def test_a_turned_photo_comes_out_upright(client: gradio_client.Client, tmp_path: Path) -> None:
    photo = Image.new("RGB", (50, 33), "red")
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "turned.jpg", exif=exif)

    assert predict(client, tmp_path / "turned.jpg")[0].size == (33, 50)


def test_a_file_that_is_no_photo_is_refused_in_one_line(
    client: gradio_client.Client, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("not a photo")

    with pytest.raises(AppError) as caught:
        predict(client, tmp_path / "text.jpg")

    message = str(caught.value)
    assert "\n" not in message
    assert "/" not in message.replace("photo or", "")


def test_a_model_without_all_heads_is_refused(tmp_path: Path) -> None:
    tiny_model(DavidForDepthEstimation, tiny_vit_config()).save_pretrained(tmp_path)
    DavidImageProcessor().save_pretrained(tmp_path)

    with pytest.raises(ModelLoadError, match="predicts depth, not normals, alpha"):
        build_demo(tmp_path, device="cpu")
