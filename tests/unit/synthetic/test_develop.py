import json
from pathlib import Path

import numpy as np
import pytest
from layouts import photo, save
from unit.synthetic.scenes import (
    CAMERA,
    FACE,
    HEIGHT,
    WIDTH,
    scene,
    wall_at,
    write_cycles_exr,
    write_panorama,
)

from david_hf.data.sources.synthhuman import SynthHuman
from david_hf.synthetic.rendering.develop import (
    background,
    check_panorama,
    exposure,
    foreground,
    panorama_view,
    read_panorama,
)
from david_hf.synthetic.rendering.labels import Render, read_render
from david_hf.synthetic.rendering.sample_files import develop_sample, write_exr, write_sample


def render_of(colour: np.ndarray) -> Render:
    ones = np.ones((HEIGHT, WIDTH))
    return Render(colour, ones, ones, 2 * ones, np.zeros((HEIGHT, WIDTH, 3)), 0 * ones)


def shown(colour: np.ndarray, **factors: object) -> np.ndarray:
    dim = scene(factors=factors)
    return colour * exposure(dim, render_of(colour), np.random.default_rng(0))


def test_exposure_shows_dark_and_burnt_renders_alike() -> None:
    colour = np.full((HEIGHT, WIDTH, 3), 0.2)
    dark, usual, bright = (shown(colour * light) for light in (0.1, 1.0, 5.0))

    np.testing.assert_allclose(dark, usual, rtol=1e-6)
    np.testing.assert_allclose(bright, usual, rtol=1e-6)


def test_a_night_stays_darker_than_a_day() -> None:
    colour = np.full((HEIGHT, WIDTH, 3), 0.2)

    assert shown(colour, night=True).mean() < 0.6 * shown(colour).mean()


def test_exposure_takes_most_of_a_blue_tint_away() -> None:
    blue_light = np.tile(np.array([0.5, 0.5, 1.5]) * FACE.albedo, (HEIGHT, WIDTH, 1))
    after = shown(blue_light)[0, 0]

    tint = after[2] / after[0] / (FACE.albedo[2] / FACE.albedo[0])
    assert tint < 1.5


def test_a_panorama_with_a_burnt_sun_stays_finite(tmp_path: Path) -> None:
    write_panorama(tmp_path / "sun.exr", np.inf)

    assert np.isfinite(panorama_view(tmp_path / "sun.exr", CAMERA, 10.0)).all()


def test_a_picture_that_is_no_panorama_is_bad_input(tmp_path: Path) -> None:
    grey = np.ones((4, 8))
    write_exr(tmp_path / "grey.exr", Y=grey)
    write_exr(tmp_path / "whole.exr", R=grey, G=grey, B=grey)
    (tmp_path / "empty.exr").touch()
    content = (tmp_path / "whole.exr").read_bytes()
    (tmp_path / "cut.exr").write_bytes(content[:200])
    noise = np.random.default_rng(0).random((64, 128))
    write_exr(tmp_path / "noise.exr", R=noise, G=noise, B=noise)
    content = (tmp_path / "noise.exr").read_bytes()
    (tmp_path / "half.exr").write_bytes(content[: len(content) // 2])

    check_panorama(tmp_path / "whole.exr")
    with pytest.raises(ValueError, match=r"grey.exr: expected the channels R, G and B, got Y"):
        check_panorama(tmp_path / "grey.exr")
    for name in ("empty", "cut"):
        with pytest.raises(ValueError, match=rf"{name}.exr: expected a panorama in OpenEXR"):
            check_panorama(tmp_path / f"{name}.exr")
    check_panorama(tmp_path / "half.exr")  # whose header is whole
    with pytest.raises(ValueError, match=r"half.exr: expected a panorama that is whole"):
        read_panorama(tmp_path / "half.exr")


def test_the_photo_behind_people_is_a_factor(tmp_path: Path) -> None:
    write_panorama(tmp_path / "sky.exr", 0.5)
    save(tmp_path / "street.png", photo())
    write_cycles_exr(tmp_path / "render.exr", wall_at(3), np.array([0.0, -1, 0]), opacity=0.9)

    factors = {}
    for backdrop in ("photo", "panorama"):
        view = scene(backdrop=backdrop)
        render = read_render(tmp_path / "render.exr", view)
        made = develop_sample(view, render, tmp_path / "sky.exr", [tmp_path / "street.png"])
        factors[backdrop] = made.factors

    assert factors["photo"]["photo"] == "street.png"
    assert "photo" not in factors["panorama"]


def test_a_panorama_turns_with_the_light(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 64), (32, 1))
    write_exr(tmp_path / "ramp.exr", R=ramp, G=ramp, B=ramp)

    still = panorama_view(tmp_path / "ramp.exr", CAMERA, 0.0)
    turned = panorama_view(tmp_path / "ramp.exr", CAMERA, 45.0)

    difference = (still - turned)[HEIGHT // 2, WIDTH // 2, 0]
    assert difference == pytest.approx(45 / 360, abs=0.01)


def test_a_wide_aperture_blurs_the_background(tmp_path: Path) -> None:
    from dataclasses import replace

    stripes = np.tile(np.arange(512) % 8 < 4, (256, 1)).astype(float)
    write_exr(tmp_path / "stripes.exr", R=stripes, G=stripes, B=stripes)
    sharp = scene()
    open_lens = scene(camera=replace(CAMERA, aperture_m=0.5, focus_m=1.0))
    seen = [
        background(view, np.ones(3), tmp_path / "stripes.exr", None, np.random.default_rng(0)).std()
        for view in (sharp, open_lens)
    ]

    assert seen[1] < 0.6 * seen[0]


def test_the_colour_of_people_is_freed_from_what_lies_behind() -> None:
    alpha = np.zeros((40, 40))
    alpha[10:30, 10:30] = 1
    alpha[9, 10:30] = alpha[30, 10:30] = 0.4
    people, wall = np.array([0.8, 0.2, 0.1]), np.array([0.1, 0.5, 0.3])
    mixed = alpha[..., None] * people + (1 - alpha)[..., None] * wall

    freed = foreground(mixed, alpha, surrounded=True)

    np.testing.assert_allclose(freed, alpha[..., None] * people, atol=0.02)


def test_a_written_sample_reads_back(tmp_path: Path) -> None:
    write_cycles_exr(tmp_path / "render.exr", wall_at(3), np.array([0.0, -1, 0]), opacity=0.9)
    write_panorama(tmp_path / "sky.exr", 0.2)
    out = tmp_path / "out"
    out.mkdir()
    render = read_render(tmp_path / "render.exr", scene())

    write_sample(out, 42, develop_sample(scene(), render, tmp_path / "sky.exr", []))

    folder = SynthHuman(out)
    sample = folder[0]
    assert sample.category == "face"
    np.testing.assert_allclose(sample.depth_m, 3, atol=2e-3)
    np.testing.assert_allclose(sample.alpha, 0.9, atol=1 / 255)
    np.testing.assert_allclose(sample.intrinsics, CAMERA.intrinsics(), atol=1e-4)
    assert folder.foreground(0)[..., 3] == pytest.approx(0.9, abs=1e-3)
    assert json.loads((out / "factors_0000042.json").read_text()) == {"category": "face"}
    assert not list(out.glob(".partial*"))
