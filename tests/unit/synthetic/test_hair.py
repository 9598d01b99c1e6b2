from dataclasses import replace

import numpy as np
import pytest
from unit.synthetic.heads import MARKS, RADIUS, ball_head

from david_hf.synthetic.factors import Draws, load_distributions
from david_hf.synthetic.humans.hair import regions
from david_hf.synthetic.humans.hair.gathered import grow_gathered
from david_hf.synthetic.humans.hair.growth import grow
from david_hf.synthetic.humans.hair.proxy import proxy_normals
from david_hf.synthetic.humans.hair.styles import HairStyle, draw_colour, draw_style, linear_rgb
from david_hf.synthetic.mesh import normalize

TREE = load_distributions()
HEAD = ball_head()
SCALP = (HEAD.skin[:, 2] > 0.02).astype(float)
STYLES = [name for name in TREE["hair"]["styles"] if name != "default"]


def style(name: str, seed: int = 0) -> HairStyle:
    return draw_style(Draws(np.random.default_rng(seed), TREE, "hair"), name)


def test_at_least_ten_styles_of_the_head_can_be_drawn() -> None:
    choices = TREE["hair"]["style"]["of"]
    drawn = set(choices["male"]["choice"]) | set(choices["female"]["choice"])

    assert len(drawn) >= 15
    assert drawn - {"bald"} <= set(STYLES)


@pytest.mark.parametrize("name", STYLES)
def test_strands_start_on_the_skin_and_stay_outside(name: str) -> None:
    hair = style(name)
    rng = np.random.default_rng(0)
    if hair.gather == "none":
        groups = [grow(rng, HEAD, hair, SCALP, 400)]
    else:
        groups = grow_gathered(rng, HEAD, hair, SCALP, 400)

    for strands in groups:
        assert np.isfinite(strands).all()
        assert np.percentile(np.linalg.norm(strands, axis=-1), 1) > 0.93 * RADIUS
    roots = np.linalg.norm(groups[0][:, 0], axis=-1)
    np.testing.assert_allclose(roots, RADIUS, atol=0.003)


def test_long_hair_hangs_and_buzz_cuts_do_not() -> None:
    long = grow(np.random.default_rng(1), HEAD, style("long"), SCALP, 300)
    buzz = grow(np.random.default_rng(1), HEAD, style("buzz"), SCALP, 300)

    assert np.median(long[:, -1, 2]) < -0.1
    assert np.linalg.norm(buzz[:, -1] - buzz[:, 0], axis=1).max() < 0.02


def test_the_face_is_left_free_unless_there_is_a_fringe() -> None:
    def share_before_the_eyes(fringe: bool) -> float:
        hair = replace(style("bob"), fringe=fringe)
        tips = grow(np.random.default_rng(2), HEAD, hair, SCALP, 2000)[:, 5:].reshape(-1, 3)
        in_front = (tips[:, 1] < -0.09) & (np.abs(tips[:, [0, 2]]) < [0.03, 0.05]).all(1)
        return float(in_front.mean())

    assert share_before_the_eyes(False) < 0.005
    assert share_before_the_eyes(True) > 0.02


def test_sides_are_shorter_in_an_undercut() -> None:
    hair = style("undercut")
    strands = grow(np.random.default_rng(0), HEAD, hair, SCALP, 2000)
    reach = np.linalg.norm(strands[:, -1] - strands[:, 0], axis=1)
    height = strands[:, 0, 2]

    assert np.median(reach[height > 0.085]) > 4 * np.median(reach[height < 0.04])


def test_hair_is_pressed_flat_beneath_a_hat() -> None:
    loose = grow(np.random.default_rng(0), HEAD, style("afro"), SCALP, 500)
    pressed = grow(np.random.default_rng(0), HEAD, style("afro"), SCALP, 500, limit=0.01)

    assert np.percentile(np.linalg.norm(loose, axis=-1), 99) > RADIUS + 0.03
    above = pressed[..., 2] > 0.03
    assert np.percentile(np.linalg.norm(pressed[above], axis=-1), 99) < RADIUS + 0.022


def test_a_ponytail_hangs_behind_and_leaves_the_face() -> None:
    sleek, tail = grow_gathered(np.random.default_rng(0), HEAD, style("ponytail"), SCALP, 1000)

    assert (tail[:, 0, 1] > 0.05).all()
    assert np.median(tail[:, -1, 2]) < np.median(tail[:, 0, 2])
    ends = sleek[:, -1]
    assert np.linalg.norm(ends - ends.mean(0), axis=1).max() < 0.05


def test_hair_thins_out_at_its_line() -> None:
    density = regions.scalp(np.random.default_rng(0), HEAD.skin, MARKS, front=0.07, temples=0.0)

    angle, height, _ = regions.polar(HEAD.skin, MARKS)
    assert density[(angle < 0.3) & (height < 0.05)].max() == 0
    assert density[height > 0.09].min() == 1


@pytest.mark.parametrize("kind", ["full", "stubble", "short_boxed", "goatee", "moustache"])
def test_a_beard_grows_around_the_mouth_and_not_on_lips_or_scalp(kind: str) -> None:
    density = regions.beard(HEAD.skin, MARKS, kind)

    grown = HEAD.skin[density > 0.5]
    assert len(grown) >= 5
    assert grown[:, 2].max() < 0.0
    assert grown[:, 1].max() < 0.03
    lips = (np.abs(HEAD.skin[:, 0]) < 0.02) & (np.abs(HEAD.skin[:, 2] - MARKS.mouth) < 0.005)
    assert density[lips & (HEAD.skin[:, 1] < 0)].max(initial=0) < 0.5


def test_an_unknown_beard_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a beard of"):
        regions.beard(HEAD.skin, MARKS, "fishtail")


def test_proxy_normals_are_those_of_the_coarse_surface_and_not_of_strands() -> None:
    strands = grow(np.random.default_rng(0), HEAD, style("short"), SCALP, 4000)
    depths = np.arange(0.9, 0.6, -0.05)[:, None, None]
    skull = (HEAD.skin * depths).reshape(-1, 3)

    normals = proxy_normals(strands, skull).reshape(*strands.shape)

    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-3)
    middle = strands[:, strands.shape[1] // 2]
    outwards = (normals[:, strands.shape[1] // 2] * normalize(middle)).sum(1)
    upper = middle[:, 2] > 0.06
    assert np.percentile(outwards[upper], 5) > 0.7
    # Neighbours agree, which the sides of single strands would not.
    order = np.argsort(middle[upper] @ [1.0, 0.3, 0.1])
    steps = (normals[upper, 5][order][1:] * normals[upper, 5][order][:-1]).sum(1)
    assert np.median(steps) > 0.5


def test_hair_of_the_old_is_grey_more_often() -> None:
    def grey_share(age: float) -> float:
        grey = 0
        for seed in range(200):
            draws = Draws(np.random.default_rng(seed), TREE, "hair")
            for name, value in (("age", age), ("ancestry", "asian"), ("sex", "male")):
                draws.put(name, value)
            draw_colour(draws)
            grey += draws("colour") in ("grey", "white")
        return grey / 200

    assert grey_share(0.45) == 0
    assert grey_share(0.65) < 0.2 < 0.5 < grey_share(0.95)


def test_melanin_darkens() -> None:
    from david_hf.synthetic.scene import HairColour

    black, blond = linear_rgb(HairColour(0.97, 0.1)), linear_rgb(HairColour(0.3, 0.5))
    assert black.max() < 0.1 < blond.max()
