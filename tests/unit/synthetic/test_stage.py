from functools import lru_cache

import numpy as np
import pytest

from david_hf.synthetic.factors import Draws, load_distributions
from david_hf.synthetic.mesh import FloatArray
from david_hf.synthetic.scene import Part
from david_hf.synthetic.stage.camera_rig import Camera, look_from
from david_hf.synthetic.stage.finishes import FLOOR_FINISHES, WALL_FINISHES, wood
from david_hf.synthetic.stage.furniture import SEATS, TABLES, seat, table
from david_hf.synthetic.stage.props import OCCLUDERS, PROPS, occluder, prop
from david_hf.synthetic.stage.rooms import Room, build_room
from david_hf.synthetic.stage.themes import THEMES

TREE = load_distributions()
PEOPLE = [(0.0, 0.0, 0.4), (0.9, 0.3, 0.35)]
FLAT_ON_THE_GROUND = 0.05  # metres: floors, rugs and paper, which people stand on


def make_draws(seed: int, **factors: object) -> Draws:
    draws = Draws(np.random.default_rng(seed), TREE, "stage")
    for name, value in factors.items():
        draws.put(name.replace("__", "."), value)
    return draws


def make_camera(distance: float, azimuth_deg: float, height: float = 1.5) -> Camera:
    azimuth = np.deg2rad(azimuth_deg)
    position = np.array([distance * np.sin(azimuth), -distance * np.cos(azimuth), height])
    right, up, forward = look_from(position - [0, 0, 1.3], 0.0)
    return Camera(position, right, up, forward, 0.6, 256, 192)


@lru_cache
def make_room(theme: str, seed: int) -> tuple[Room, Camera]:
    rng = np.random.default_rng(seed)
    camera = make_camera(float(rng.choice([0.8, 2.0, 4.0])), rng.uniform(-180, 180))
    return build_room(make_draws(seed, room__theme=theme), PEOPLE, camera), camera


def points_on(parts: list[Part]) -> FloatArray:
    """Points all over the triangles, (N, 3)."""
    shares = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5], [1, 1, 1]])
    shares = shares / shares.sum(1, keepdims=True)
    return np.concatenate(
        [(shares @ part.mesh.vertices[part.mesh.faces]).reshape(-1, 3) for part in parts]
    )


def nearest_hit(parts: list[Part], origin: FloatArray, direction: FloatArray) -> float:
    """Distance along a unit ray to the first triangle; inf if it meets none."""
    best = np.inf
    for part in parts:
        a, b, c = np.moveaxis(part.mesh.vertices[part.mesh.faces], 1, 0)
        edge1, edge2 = b - a, c - a
        across = np.cross(direction, edge2)
        scale = (edge1 * across).sum(1)
        scale[np.abs(scale) < 1e-12] = np.nan
        u = ((origin - a) * across).sum(1) / scale
        other = np.cross(origin - a, edge1)
        v = (other @ direction) / scale
        distance = (edge2 * other).sum(1) / scale
        with np.errstate(invalid="ignore"):
            hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 1e-6)
        best = min(best, float(distance[hit].min(initial=np.inf)))
    return best


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("seed", range(2))
def test_rooms_leave_people_their_place(theme: str, seed: int) -> None:
    room, _ = make_room(theme, seed)
    points = points_on(room.parts)
    standing = points[(points[:, 2] > FLAT_ON_THE_GROUND) & (points[:, 2] < 1.7)]
    for x, y, radius in PEOPLE:
        gap = np.linalg.norm(standing[:, :2] - [x, y], axis=1).min()
        assert gap > radius + 0.08  # a skirting board is 15 mm thick


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("seed", range(2))
def test_nothing_stands_between_the_camera_and_the_people(theme: str, seed: int) -> None:
    room, camera = make_room(theme, seed)
    for x, y, _ in PEOPLE:
        for height in (0.3, 1.0, 1.6):
            path = np.array([x, y, height]) - camera.position
            distance = float(np.linalg.norm(path))
            assert nearest_hit(room.parts, camera.position, path / distance) > distance


@pytest.mark.parametrize("theme", THEMES)
def test_rooms_are_closed_and_keep_off_the_camera(theme: str) -> None:
    room, camera = make_room(theme, 5)
    directions = np.random.default_rng(0).normal(size=(60, 3))
    for direction in directions / np.linalg.norm(directions, axis=1, keepdims=True):
        distance = nearest_hit(room.parts, camera.position, direction)
        assert 0.39 < distance < 30


@pytest.mark.parametrize("theme", THEMES)
def test_rooms_have_light_inside_and_no_people_of_their_own(theme: str) -> None:
    room, _ = make_room(theme, 1)
    walls = points_on([part for part in room.parts if "wall" in part.name or part.name == "floor"])
    assert 1 <= len(room.lamps) <= 6
    for lamp in room.lamps:
        assert (lamp.position > walls.min(0)).all() and (lamp.position < walls.max(0)).all()
        assert np.linalg.norm(lamp.direction) == pytest.approx(1)
    assert not any(part.is_human for part in room.parts)
    assert room.name == theme


def test_rooms_are_light_to_render() -> None:
    for seed in range(6):
        room = build_room(make_draws(seed), PEOPLE, make_camera(3.0, 10.0 * seed))
        assert sum(len(part.mesh.faces) for part in room.parts) < 40_000
        assert max(max(part.texture.shape) for part in room.parts) <= 512


def test_the_same_seed_builds_the_same_room() -> None:
    first, second = make_room("living", 7)[0], make_room.__wrapped__("living", 7)[0]
    other = make_room("living", 8)[0]
    assert [part.name for part in first.parts] == [part.name for part in second.parts]
    for one, two in zip(first.parts, second.parts, strict=True):
        assert np.array_equal(one.mesh.vertices, two.mesh.vertices)
        assert np.array_equal(one.texture, two.texture)
    assert len(other.parts) != len(first.parts) or not np.array_equal(
        other.parts[0].texture, first.parts[0].texture
    )


@pytest.mark.parametrize("seed", range(4))
def test_rooms_hold_the_seats_of_the_people(seed: int) -> None:
    bed = seat(make_draws(seed, seat__kind="bed"), 0.45)
    draws = make_draws(seed, room__theme="bedroom", room__behind=0.3, room__turn_deg=0.0)
    room = build_room(draws, [(0.0, 0.0, 0.3)], make_camera(2.0, 0.0), bed)
    walls = points_on([part for part in room.parts if part.name.endswith("wall")])
    on_bed, others = points_on(bed), points_on(room.parts)
    assert (on_bed[:, :2] > walls[:, :2].min(0)).all()
    assert (on_bed[:, :2] < walls[:, :2].max(0)).all()
    low, high = on_bed.min(0) + 0.01, on_bed.max(0) - 0.01
    low[2] = FLAT_ON_THE_GROUND
    assert not ((others > low) & (others < high)).all(1).any()


def test_a_room_without_people_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one person"):
        build_room(make_draws(0), [], make_camera(2.0, 0.0))


@pytest.mark.parametrize("kind", SEATS)
@pytest.mark.parametrize("height", [0.4, 0.55])
def test_seats_end_under_the_sitter_and_before_his_back(kind: str, height: float) -> None:
    points = points_on(seat(make_draws(3, seat__kind=kind), height))
    under = points[(np.abs(points[:, 0]) < 0.12) & (points[:, 1] < 0.1)]
    assert under[:, 2].max() == pytest.approx(height, abs=0.025)
    body = points[
        (np.abs(points[:, 0]) < 0.2) & (points[:, 2] > height + 0.06) & (points[:, 1] < 0.17)
    ]
    assert len(body) == 0
    assert points[:, 1].min() > -0.36  # the calves hang before it
    assert points[:, 2].min() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("kind", TABLES)
def test_tables_have_their_top_where_it_is_asked_for(kind: str) -> None:
    parts = table(make_draws(4, table__kind=kind), 0.8)
    points = points_on(parts[:2])
    assert points[np.abs(points[:, 0]) < 0.3][:, 2].max() == pytest.approx(0.8, abs=1e-6)
    assert points[:, 1].max() <= 0.06


@pytest.mark.parametrize("kind", PROPS)
def test_props_are_held_by_the_palm_without_entering_it(kind: str) -> None:
    down = np.array([-0.6, 0.8, 0.0])
    for seed in range(3):
        points = points_on(prop(make_draws(seed), kind, down))
        in_palm = points[(np.abs(points[:, :2]) < 0.04).all(1)]
        assert len(in_palm) == 0 or in_palm[:, 2].min() > -1e-3
        assert np.linalg.norm(points, axis=1).min() < 0.16


def test_bags_hang_down() -> None:
    down = np.array([0.0, 0.6, -0.8])
    points = points_on(prop(make_draws(1), "bag", down))
    along = points @ down
    assert along.max() > 0.25
    assert along.min() > -0.05


def test_an_unknown_prop_is_refused() -> None:
    with pytest.raises(ValueError, match="cup, phone"):
        prop(make_draws(0), "anvil")


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_occluders_are_as_high_as_asked(kind: str) -> None:
    points = points_on(occluder(make_draws(2, occluder__kind=kind), 0.9))
    things = 0.75 if kind in ("desk", "counter") else 0.05
    assert 0.9 - 1e-6 <= points[:, 2].max() < 0.9 + things
    assert points[:, 2].min() == pytest.approx(0, abs=0.12)


@pytest.mark.parametrize("name", [*WALL_FINISHES, *FLOOR_FINISHES])
def test_repeated_textures_join_at_their_edges(name: str) -> None:
    make = {**WALL_FINISHES, **FLOOR_FINISHES}[name]
    texture = make(np.random.default_rng(1), [0.6, 0.5, 0.4]).texture.astype(float)
    for axis in (0, 1):
        steps = np.abs(np.diff(texture, axis=axis)).mean((1 - axis, 2))
        first, last = np.take(texture, 0, axis), np.take(texture, -1, axis)
        seam = np.abs(first - last).mean()
        assert seam <= 1.2 * steps.max() + 1


def test_the_grain_of_wood_runs_along_u() -> None:
    texture = wood(np.random.default_rng(2), "oak").texture.astype(float)
    assert np.abs(np.diff(texture, axis=0)).mean() > 2 * np.abs(np.diff(texture, axis=1)).mean()
