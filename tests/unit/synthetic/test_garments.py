import numpy as np
import pytest
from scipy.spatial import cKDTree

from david_hf.synthetic.factors import Draws, load_distributions
from david_hf.synthetic.humans.bodies import BodyModel, Identity, PosedBody
from david_hf.synthetic.humans.garments import Outfit, dress
from david_hf.synthetic.humans.garments.cutting import Sheet, cut, subdivide
from david_hf.synthetic.humans.garments.fitting import Fit, drape
from david_hf.synthetic.humans.garments.grids import disc, grid, thick, tube
from david_hf.synthetic.humans.garments.shells import Pattern, sew
from david_hf.synthetic.mesh import join, vertex_normals

needs_anny = pytest.mark.blender  # its suite has anny


def sheet_of(size: int = 20) -> Sheet:
    """A flat square sheet of one metre in the plane z = 0 that faces up."""
    steps = np.linspace(0, 1, size)
    points = np.stack(np.meshgrid(steps, steps, [0.0]), -1)[..., 0, :]
    mesh = grid(points[::-1])
    normals = vertex_normals(mesh.vertices, mesh.faces)
    return Sheet(mesh.vertices, normals, mesh.vertices, np.zeros(len(normals)), mesh.faces)


def area(points: np.ndarray, faces: np.ndarray) -> float:
    corner = points[faces]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    return float(np.linalg.norm(cross, axis=1).sum() / 2)


def test_a_cut_follows_the_level_set_and_keeps_what_is_inside() -> None:
    sheet = sheet_of()
    level = 0.333 - sheet.points[:, 0]

    piece = sheet.cut(level)

    assert piece.points[:, 0].max() == pytest.approx(0.333)
    assert area(piece.points, piece.faces) == pytest.approx(0.333)
    normals = vertex_normals(piece.points, piece.faces)
    np.testing.assert_allclose(normals, sheet.normals[:1].repeat(len(normals), 0), atol=1e-9)


def test_a_cut_that_touches_nothing_is_empty() -> None:
    sheet = sheet_of()

    values, faces = cut(sheet.points, sheet.faces, np.full(len(sheet.points), -1.0))

    assert len(values) == len(faces) == 0


def test_a_rim_hides_the_edge_of_the_cloth() -> None:
    sheet = sheet_of()

    rimmed = sheet.with_rim(0.01, 0.05)

    new = rimmed.points[len(sheet.points) :]
    up = sheet.normals[0, 2]
    assert (new[:, 2] * up).max() < 0
    assert new[:, :2].min() >= -1e-9
    assert new[:, :2].max() <= 1 + 1e-9
    assert (new[:, 0] > 0.03).any()
    # The folded rim goes on where the sheet ends: no edge of the sheet itself stays open.
    edges = np.sort(np.concatenate([rimmed.faces[:, [0, 1]], rimmed.faces[:, [1, 2]],
                                    rimmed.faces[:, [2, 0]]]), 1)  # fmt: skip
    pairs, count = np.unique(edges, axis=0, return_counts=True)
    assert pairs[count == 1].min() >= len(sheet.points)


def test_subdivision_smooths_and_quadruples() -> None:
    sheet = sheet_of(8)
    bumps = np.random.default_rng(0).normal(0, 0.02, len(sheet.points))
    bumpy = sheet.points + bumps[:, None] * [0, 0, 1]

    matrix, faces = subdivide(sheet.faces, len(bumpy))

    fine = matrix @ bumpy
    assert len(faces) == 4 * len(sheet.faces)
    np.testing.assert_allclose(np.asarray(matrix.sum(1)), 1)
    assert fine[:, 2].std() < 0.8 * bumpy[:, 2].std()
    np.testing.assert_allclose(fine[:, :2].max(0), 1, atol=0.06)


@pytest.mark.parametrize(
    "mesh",
    [
        tube(np.linspace([0, 0, 0], [0, 0, 1.0], 9), 0.1),
        disc(np.zeros(3), np.array([0, 0, 1.0]), 0.5, 0.1),
        join([disc(np.array([x, 0, 0]), np.array([0, -1.0, 0]), 0.1, 0.1) for x in (0.0, 1.0)]),
    ],
)
def test_small_bodies_face_outwards(mesh) -> None:  # type: ignore[no-untyped-def]
    corner = mesh.vertices[mesh.faces]
    volume = np.einsum("fi,fi->f", corner[:, 0], np.cross(corner[:, 1], corner[:, 2])).sum() / 6

    assert volume > 0
    assert mesh.uv_faces.max() < len(mesh.uv)


def test_a_thick_band_encloses_a_volume_on_its_inner_side() -> None:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([np.sin(turn), -np.cos(turn), 0 * turn], 1)
    rows = np.stack([ring + np.array([0, 0, z]) for z in (0.2, 0.1, 0.0)])

    loop = thick(rows, 0.05, closed=True)

    radius = np.linalg.norm(loop[..., :2], axis=-1)
    assert radius.max() == pytest.approx(1.0)
    assert radius.min() == pytest.approx(0.95, abs=0.01)


def test_cloth_hangs_straight_from_the_widest_place() -> None:
    turn, z = np.meshgrid(np.linspace(0, 2 * np.pi, 90, endpoint=False), np.linspace(0, 1, 60))
    radius = 0.1 + 0.08 * np.exp(-(((z - 0.7) / 0.06) ** 2))
    points = np.stack([radius * np.sin(turn), -radius * np.cos(turn), z], 2).reshape(-1, 3)

    hang = drape(points, np.ones(len(points), bool), np.zeros(3), 0.05)

    above, below = points[:, 2] > 0.9, np.abs(points[:, 2] - 0.4) < 0.1
    assert hang[above].max() < 0.01
    assert hang[below].min() > 0.04


@pytest.fixture(scope="module")
def model() -> BodyModel:
    return BodyModel()


@pytest.fixture(scope="module")
def body(model: BodyModel) -> PosedBody:
    person = {"gender": 0.6, "age": 0.6, "weight": 0.5, "height": 0.5}
    angle = 0.5
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    return model.pose(model.shape(Identity(person, {}, {})), {"upperarm01.L": turn})


def outfit(model: BodyModel, body: PosedBody, seed: int, **factors: object) -> Outfit:
    draws = Draws(np.random.default_rng(seed), load_distributions(), "clothes")
    for name, value in {"sex": "female", "age": 0.6, "close_up": "false", "pose": "stand"}.items():
        draws.put(name, value)
    for name, value in factors.items():
        draws.put(name.replace("__", "."), value)
    return dress(draws, model, body, None, 128)


@needs_anny
def test_a_shirt_lies_outside_of_the_skin(model: BodyModel, body: PosedBody) -> None:
    fit = Fit(model, body)
    height = fit.height

    shell = sew(fit, np.random.default_rng(0), Pattern(height["hip"], sleeve=0.2))

    distance = _height_over_skin(fit, shell.sheet.cut(shell.level).points)
    assert np.quantile(distance, 0.01) > -0.003
    assert 0.003 < np.median(distance) < 0.05


@needs_anny
def test_a_jacket_lies_outside_of_the_shirt(model: BodyModel, body: PosedBody) -> None:
    fit = Fit(model, body)
    hip = fit.height["hip"]
    sew(fit, np.random.default_rng(0), Pattern(hip - 0.02, sleeve=0.2))
    beneath = fit.outer.copy()

    sew(fit, np.random.default_rng(1), Pattern(hip - 0.05, sleeve=0.5, ease=0.014))

    normals = vertex_normals(beneath, model.surface.faces)
    inner = (fit.rest[:, 2] > hip + 0.05) & (fit.rest[:, 2] < fit.height["shoulder"] - 0.05)
    inner &= fit.covered & (np.abs(fit.arm + 0.1) < 0.01)
    rise = ((fit.outer - beneath) * normals).sum(1)[inner]
    assert np.quantile(rise, 0.02) > 0.002


@needs_anny
@pytest.mark.parametrize("seed", range(6))
def test_any_outfit_is_whole(model: BodyModel, body: PosedBody, seed: int) -> None:
    worn = outfit(model, body, seed)

    assert worn.names
    for part in worn.parts:
        assert part.is_human, part.name
        assert np.isfinite(part.mesh.vertices).all(), part.name
        assert np.isfinite(part.mesh.uv).all(), part.name
        assert part.mesh.faces.max() < len(part.mesh.vertices), part.name
        # Nothing floats: every vertex is near the body.
        low, high = body.vertices.min(0) - 0.3, body.vertices.max(0) + 0.3
        assert ((part.mesh.vertices > low) & (part.mesh.vertices < high)).all(), part.name
    assert len(worn.hides) > 500
    assert worn.outer.shape == body.vertices.shape


@needs_anny
def test_the_same_seed_dresses_the_same_way(model: BodyModel, body: PosedBody) -> None:
    first, second = (outfit(model, body, 5) for _ in range(2))

    assert first.names == second.names
    for one, other in zip(first.parts, second.parts, strict=True):
        np.testing.assert_array_equal(one.mesh.vertices, other.mesh.vertices)


@needs_anny
def test_hair_roots_stop_under_a_beanie_but_not_under_a_headband(
    model: BodyModel, body: PosedBody
) -> None:
    beanie = outfit(model, body, 0, headwear__kind="beanie")
    headband = outfit(model, body, 0, headwear__kind="headband")

    skin = model.surface_vertices
    top = skin[body.vertices[skin, 2].argmax()]
    assert not beanie.scalp_free[top]
    assert beanie.hair_limit is not None
    assert headband.scalp_free.all()


@needs_anny
def test_glasses_sit_in_front_of_the_eyes_and_move_with_the_head(
    model: BodyModel, body: PosedBody
) -> None:
    angle = 0.4
    nod = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    bowed = model.pose(body.rest, {"head": nod})
    straight = model.pose(body.rest, {})

    lenses = []
    for posed in (straight, bowed):
        worn = outfit(model, posed, 0, glasses__kind="spectacles")
        lenses += [part.mesh.vertices for part in worn.parts if part.name == "lenses"]

    eyes = np.unique(model.parts["helper-l-eye"].faces)
    assert lenses[0][:, 1].max() < straight.vertices[eyes, 1].min()
    moved = bowed.transforms[model.bone("head")]
    np.testing.assert_allclose(lenses[1], lenses[0] @ moved[:3, :3].T + moved[:3, 3], atol=1e-6)


def _height_over_skin(fit: Fit, points: np.ndarray) -> np.ndarray:
    own = fit.model.surface_vertices
    index = own[cKDTree(fit.body.vertices[own]).query(points)[1]]
    offset = points - fit.body.vertices[index]
    return np.asarray((offset * fit.body.normals[index]).sum(1))
