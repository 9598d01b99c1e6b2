from pathlib import Path

import numpy as np
import pytest
import torch
from figures import write_person

from david_hf.data import composition
from david_hf.data.colour import develop
from david_hf.data.composition import (
    Figure,
    FigurePlacement,
    compose,
    load_figure,
    merge,
    place,
    to_sample,
    warp,
)
from david_hf.data.sources.synthhuman import SynthHuman


@pytest.fixture
def figure(tmp_path: Path) -> Figure:
    write_person(tmp_path / "person", 0)
    return load_figure(SynthHuman(tmp_path / "person"), 0)


def bust(cut: tuple[bool, bool, bool, bool]) -> Figure:
    """A full frame of foreground that its own picture cuts at some edges."""
    layers = torch.ones(8, 40, 30, dtype=torch.float16)
    box = (0 if cut[0] else 5, 0 if cut[1] else 5, 30 if cut[2] else 25, 40 if cut[3] else 35)
    return Figure(layers, 50.0, cut, box)


def test_a_figure_knows_its_box_and_that_nothing_cuts_it(figure: Figure) -> None:
    assert figure.cut == (False, False, False, False)
    assert figure.box == (8, 12, 28, 32)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(
    "cut", [(False, False, False, True), (True, False, True, True), (True, True, True, True)]
)
def test_edges_that_cut_a_figure_never_show(seed: int, cut: tuple[bool, bool, bool, bool]) -> None:
    height, width = 64, 48
    placement = place(bust(cut), np.random.default_rng(seed), (height, width))
    left, top = placement.shift
    right, bottom = left + 30 * placement.scale, top + 40 * placement.scale

    mirrored = (cut[2], cut[1], cut[0], cut[3]) if placement.mirror else cut
    assert not mirrored[0] or left <= 1e-6
    assert not mirrored[2] or right >= width - 1e-6
    assert not cut[3] or bottom >= height - 1e-6
    if cut[1]:
        assert top <= 1e-6


def test_an_identity_placement_changes_nothing(figure: Figure) -> None:
    warped = warp(figure, FigurePlacement(1.0, 0.0, (0.0, 0.0), mirror=False), (48, 36))

    torch.testing.assert_close(warped, figure.layers.float(), atol=1e-4, rtol=0)


def test_mirroring_twice_is_the_identity_and_once_negates_x(figure: Figure) -> None:
    mirrored = warp(figure, FigurePlacement(1.0, 0.0, (0.0, 0.0), mirror=True), (48, 36))

    original = figure.layers.float()
    torch.testing.assert_close(mirrored[5].flip(-1), -original[5], atol=1e-3, rtol=0)
    torch.testing.assert_close(mirrored[6].flip(-1), original[6], atol=1e-3, rtol=0)


@pytest.mark.parametrize("angle", [-0.5, 0.3])
def test_normals_turn_with_the_picture(figure: Figure, angle: float) -> None:
    # A half sphere looks the same from every side: turning the picture about its centre and the
    # normals with it must give the half sphere back, moved.
    warped = warp(figure, FigurePlacement(1.0, angle, (0.0, 0.0), mirror=False), (48, 36))

    solid = warped[3] > 0.999
    ys, xs = torch.nonzero(solid, as_tuple=True)
    centre_x, centre_y = xs.float().mean(), ys.float().mean()
    expected_x = (xs - centre_x) / 10
    expected_y = (centre_y - ys) / 10
    torch.testing.assert_close(warped[5][solid], expected_x, atol=0.06, rtol=0)
    torch.testing.assert_close(warped[6][solid], expected_y, atol=0.06, rtol=0)


def test_scaling_down_keeps_the_covered_area(figure: Figure) -> None:
    warped = warp(figure, FigurePlacement(0.25, 0.0, (2.0, 2.0), mirror=False), (48, 36))

    expected = float(figure.layers[3].float().sum()) * 0.25**2
    assert float(warped[3].sum()) == pytest.approx(expected, rel=0.05)


def test_the_nearer_layer_hides_the_farther_one() -> None:
    near, far = torch.zeros(8, 1, 1), torch.zeros(8, 1, 1)
    near[3], near[4] = 0.75, 0.75 * 1.0
    far[3], far[4] = 1.0, 1.0 * 3.0

    merged = merge([near, far])

    assert float(merged[3]) == 1.0
    assert float(merged[4]) == pytest.approx(0.75 * 1.0 + 0.25 * 3.0)


def test_a_figure_shown_at_half_size_stands_twice_as_far(
    figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [
        FigurePlacement(1.0, 0.0, (0.0, 0.0), mirror=False),
        FigurePlacement(0.5, 0.0, (40.0, 0.0), mirror=False),
    ]
    monkeypatch.setattr(composition, "place", lambda *_: places.pop(0))

    result = compose([figure, figure], np.random.default_rng(0), (48, 72))

    solid = result.alpha[0] > 0.99
    large = result.depth_m[:, :36][solid[:, :36]].mean()
    small = result.depth_m[:, 40:][solid[:, 40:]].mean()
    assert float(small / large) == pytest.approx(2.0, rel=0.01)
    assert result.focal_px == figure.focal_px


@pytest.mark.parametrize("is_cut_below", [False, True])
def test_heads_are_seldom_cut(is_cut_below: bool) -> None:
    person = bust((False, False, False, is_cut_below))
    tops = []
    for seed in range(300):
        placement = place(person, np.random.default_rng(seed), (48, 64))
        tops.append(5 * placement.scale + placement.shift[1])

    assert 0.005 < np.mean(np.array(tops) < 0) < 0.15


def test_a_composed_sample_shows_the_background_where_nobody_is(figure: Figure) -> None:
    composed = compose([figure], np.random.default_rng(0), (40, 40))
    background = np.full((40, 40, 3), 0.2140, np.float32)  # linear of sRGB 0.5

    sample = to_sample(composed, background, "x", "test")

    nobody = sample.alpha == 0
    assert nobody.any()
    np.testing.assert_allclose(sample.image[nobody], 0.5, atol=1e-3)
    lengths = np.linalg.norm(sample.normals[sample.foreground], axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=1e-3)


def test_a_thing_before_people_hides_them_and_the_background(figure: Figure) -> None:
    composed = compose([figure], np.random.default_rng(0), (40, 40))
    red = np.zeros((40, 40, 3), np.float32)
    red[..., 0] = 0.2140
    coverage = np.zeros((40, 40), np.float32)
    coverage[20:] = 1.0
    coverage[19] = 0.5

    hidden = composed.behind(red, coverage)
    sample = to_sample(hidden, np.zeros((40, 40, 3), np.float32), "x", "test")

    assert composed.alpha[0, 20:].max() > 0.9
    assert hidden.alpha[0, 20:].max() == 0
    torch.testing.assert_close(hidden.alpha[0, 19], composed.alpha[0, 19] / 2)
    torch.testing.assert_close(hidden.alpha[0, :19], composed.alpha[0, :19])
    np.testing.assert_allclose(sample.image[20:] - np.array([0.5, 0, 0]), 0, atol=1e-3)
    assert not sample.valid[20:].any()
    assert not sample.normals[20:].any()


def test_of_two_things_the_later_one_is_nearer(figure: Figure) -> None:
    composed = compose([figure], np.random.default_rng(0), (40, 40))
    grey, white = np.full((40, 40, 3), 0.2, np.float32), np.ones((40, 40, 3), np.float32)
    full, half = np.ones((40, 40), np.float32), np.full((40, 40), 0.5, np.float32)

    image = to_sample(composed.behind(white, half).behind(grey, full), white, "x", "test").image
    mixed = to_sample(composed.behind(grey, full).behind(white, half), white, "x", "test").image

    np.testing.assert_allclose(image, develop(np.asarray(0.2)), atol=1e-5)
    np.testing.assert_allclose(mixed, develop(np.asarray(0.6)), atol=1e-5)
