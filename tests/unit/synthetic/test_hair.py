import numpy as np
import pytest

from david_hf.synthetic import hair
from david_hf.synthetic.mesh import normalize, vertex_normals


def ball_head(radius: float = 0.1) -> hair.HeadFrame:
    """A ball for a skull, centred at the origin, face to -y."""
    steps = 24
    polar, turn = np.meshgrid(
        np.linspace(0.05, np.pi - 0.05, steps), np.linspace(0, 2 * np.pi, 2 * steps, endpoint=False)
    )
    unit = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], -1)
    vertices = radius * unit.reshape(-1, 3)
    index = np.arange(len(vertices)).reshape(2 * steps, steps)
    following = np.roll(index, -1, 0)
    a, b, c, d = index[:, :-1], following[:, :-1], following[:, 1:], index[:, 1:]
    faces = np.concatenate(
        [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)]
    )
    normals = vertex_normals(vertices, faces)
    assert (normals * vertices).sum(1).min() > 0
    return hair.HeadFrame(
        vertices,
        normals,
        faces,
        np.ones(len(vertices), bool),
        np.array([[0.03, -0.09, 0.0], [-0.03, -0.09, 0.0]]),
        np.array([0.0, -0.09, -0.05]),
        np.array([0, 0, -1.0]),
    )


@pytest.mark.parametrize("style", [name for name in hair.STYLES if name != "beard"])
def test_strands_start_on_the_skin_and_stay_outside(style: str) -> None:
    strands = hair.grow(np.random.default_rng(0), ball_head(), style, 400)

    assert strands.shape == (400, hair.POINTS_PER_STRAND, 3)
    assert np.isfinite(strands).all()
    distance = np.linalg.norm(strands, axis=-1)
    np.testing.assert_allclose(distance[:, 0], 0.1, atol=0.003)
    assert np.percentile(distance, 1) > 0.095


def test_long_hair_hangs_and_buzz_cuts_do_not() -> None:
    long = hair.grow(np.random.default_rng(1), ball_head(), "long", 300)
    buzz = hair.grow(np.random.default_rng(1), ball_head(), "buzz", 300)

    assert np.median(long[:, -1, 2]) < -0.1
    assert np.linalg.norm(buzz[:, -1] - buzz[:, 0], axis=1).max() < 0.02


def test_the_face_is_left_free() -> None:
    strands = hair.grow(np.random.default_rng(2), ball_head(), "bob", 2000)

    tips = strands[:, 5:].reshape(-1, 3)
    in_front = (tips[:, 1] < -0.1) & (np.abs(tips[:, [0, 2]]) < [0.02, 0.03]).all(1)
    assert in_front.mean() < 0.005


def test_a_beard_grows_around_the_mouth_and_not_on_the_scalp() -> None:
    roots = hair.grow(np.random.default_rng(0), ball_head(), "beard", 500)[:, 0]

    assert roots[:, 1].max() < 0.03
    assert roots[:, 2].max() < 0.02


def test_proxy_normals_of_a_dense_shell_point_outwards() -> None:
    head = ball_head()
    strands = hair.grow(np.random.default_rng(0), head, "short", 4000)

    normals = hair.proxy_normals(strands, head.vertices)

    middle = strands.reshape(-1, 3)[6 :: hair.POINTS_PER_STRAND]
    outwards = (normals[6 :: hair.POINTS_PER_STRAND] * normalize(middle)).sum(1)
    upper = middle[:, 2] > 0.05
    assert np.median(outwards[upper]) > 0.85
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)


def test_most_people_have_dark_hair_and_melanin_darkens() -> None:
    rng = np.random.default_rng(0)
    melanin = np.array([hair.sample_melanin(rng, "asian")[0] for _ in range(300)])

    assert (melanin > 0.6).mean() > 0.8
    black, blond = hair.colour_of_melanin(0.97, 0.1), hair.colour_of_melanin(0.3, 0.5)
    assert black.max() < 0.1 < blond.max()
