import json
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from david_hf.data.synthhuman import SynthHumanFolder
from david_hf.synthetic.camera_rig import Camera
from david_hf.synthetic.labels import (
    Render,
    exposure,
    panorama_background,
    read_render,
    write_exr,
    write_sample,
)
from david_hf.synthetic.scene import Scene

HEIGHT, WIDTH = 12, 8
CAMERA = Camera(
    np.array([0.0, -2.0, 0.0]),
    np.array([1.0, 0, 0]),
    np.array([0.0, 0, 1]),
    np.array([0.0, 1, 0]),
    0.8,
    HEIGHT,
    WIDTH,
)


def scene(**changes: object) -> Scene:
    values = {
        "seed": 5,
        "camera": CAMERA,
        "parts": [],
        "strands": [],
        "hair": {},
        "light": {"name": "sky.exr", "rotation_deg": 30.0},
        "face": np.zeros(3),
        "facing": np.array([0.0, -1, 0]),
        "skin_albedo": np.array([0.5, 0.35, 0.28]),
        "factors": {"category": "face", "sex": "female"},
    }
    return Scene(**{**values, **changes})  # type: ignore[arg-type]


def write_cycles_exr(path: Path, opacity: float = 0.5) -> None:
    """What Cycles writes of a half transparent wall at 3 m that faces the camera."""
    ones = np.ones((HEIGHT, WIDTH), np.float32)
    wall_normal = np.stack([0 * ones, -opacity * ones, 0 * ones], -1)
    passes = {
        "Combined": np.stack([0.2 * ones, 0.1 * ones, 0.1 * ones, opacity * ones], -1),
        "N": np.concatenate([wall_normal, ones[..., None]], -1),
        "Z": 3 * opacity * ones,
        "W": opacity * ones,
    }
    parts = []
    for name, pixels in passes.items():
        suffix = "RGBA" if pixels.ndim == 3 else "X"
        stack = pixels if pixels.ndim == 3 else pixels[..., None]
        channels = {
            f"ViewLayer.{name}.{letter}": np.ascontiguousarray(stack[..., k])
            for k, letter in enumerate(suffix)
        }
        header = {"type": OpenEXR.scanlineimage, "name": name}
        parts.append(OpenEXR.Part(header, channels, name))
    OpenEXR.File(parts).write(str(path))


def write_panorama(path: Path, value: float) -> None:
    pixels = np.full((16, 32), value)
    write_exr(path, R=pixels, G=pixels, B=pixels)


def test_aovs_are_divided_by_the_opacity_they_were_weighted_with(tmp_path: Path) -> None:
    write_cycles_exr(tmp_path / "render.exr")

    render = read_render(tmp_path / "render.exr", CAMERA)

    np.testing.assert_allclose(render.alpha, 0.5)
    np.testing.assert_allclose(render.depth_m, 3, rtol=1e-5)
    np.testing.assert_allclose(render.normals, np.tile([0, 0, 1.0], (HEIGHT, WIDTH, 1)), atol=1e-6)
    np.testing.assert_allclose(render.colour[..., 0], 0.2)


def test_where_nothing_was_hit_there_is_no_label(tmp_path: Path) -> None:
    write_cycles_exr(tmp_path / "render.exr", opacity=0.01)

    render = read_render(tmp_path / "render.exr", CAMERA)

    assert np.isinf(render.depth_m).all()
    assert not render.normals.any()


def test_a_written_sample_reads_back(tmp_path: Path) -> None:
    write_cycles_exr(tmp_path / "render.exr", opacity=0.9)
    write_panorama(tmp_path / "sky.exr", 0.2)
    render = read_render(tmp_path / "render.exr", CAMERA)
    out = tmp_path / "out"
    out.mkdir()

    write_sample(out, 42, scene(), render, tmp_path, photos=[])

    folder = SynthHumanFolder(out)
    sample = folder[0]
    assert sample.category == "face"
    np.testing.assert_allclose(sample.depth_m, 3, atol=2e-3)
    np.testing.assert_allclose(sample.alpha, 0.9, atol=1 / 255)
    np.testing.assert_allclose(sample.intrinsics, CAMERA.intrinsics(), atol=1e-4)
    assert folder.foreground(0)[..., 3] == pytest.approx(0.9, abs=1e-3)
    assert json.loads((out / "factors_0000042.json").read_text())["light"] == "sky.exr"
    assert not list(out.glob("partial*"))


def test_exposure_shows_dark_and_burnt_renders_alike() -> None:
    alpha = np.ones((HEIGHT, WIDTH))
    colour = np.full((HEIGHT, WIDTH, 3), 0.2)
    gains = [
        exposure(
            scene(),
            Render(colour * light, alpha, alpha, np.zeros((HEIGHT, WIDTH, 3))),
            np.random.default_rng(0),
        )
        * light
        for light in (0.1, 1.0, 5.0)
    ]

    np.testing.assert_allclose(gains[0], gains[1], rtol=1e-6)
    np.testing.assert_allclose(gains[2], gains[1], rtol=1e-6)


def test_exposure_takes_most_of_a_blue_tint_away() -> None:
    alpha = np.ones((HEIGHT, WIDTH))
    blue_light = np.array([0.5, 0.5, 1.5]) * scene().skin_albedo
    render = Render(
        np.tile(blue_light, (HEIGHT, WIDTH, 1)), alpha, alpha, np.zeros((HEIGHT, WIDTH, 3))
    )

    shown = blue_light * exposure(scene(), render, np.random.default_rng(0))

    before = blue_light[2] / blue_light[0] / (0.28 / 0.5)
    after = shown[2] / shown[0] / (0.28 / 0.5)
    assert before == pytest.approx(3)
    assert after < 1.5


def test_a_panorama_with_a_burnt_sun_stays_finite(tmp_path: Path) -> None:
    write_panorama(tmp_path / "sun.exr", np.inf)

    assert np.isfinite(panorama_background(tmp_path / "sun.exr", CAMERA, 10.0)).all()


def test_a_panorama_turns_with_the_light(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 64), (32, 1))
    write_exr(tmp_path / "ramp.exr", R=ramp, G=ramp, B=ramp)

    still = panorama_background(tmp_path / "ramp.exr", CAMERA, 0.0)
    turned = panorama_background(tmp_path / "ramp.exr", CAMERA, 45.0)

    difference = (still - turned)[HEIGHT // 2, WIDTH // 2, 0]
    assert difference == pytest.approx(45 / 360, abs=0.01)
