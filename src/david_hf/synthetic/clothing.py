"""Procedural garments: the body's surface pushed outwards, wrinkled, cut at smooth hems."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bodies import BodyModel, PosedBody, skin
from .mesh import FloatArray, Mesh, cut_at_level_set, vertex_normals


@dataclass(frozen=True)
class Cut:
    """What a garment covers and how it hangs. Lengths in metres.

    Attributes:
        bones: Covers the skin that follows these bones.
        lowest: Rest height of its lower hem.
        highest: Rest height of its upper edge.
        offset: Distance from the skin.
        flare: Extra distance at the lower hem, growing from the chest down.
        smoothing: Laplacian steps; more of them bridge the hollows of the body.
        wrinkle: Amplitude of the folds.
        opening: Half width of a front opening at its foot, or None if it is closed.
    """

    bones: tuple[str, ...]
    lowest: float
    highest: float
    offset: float
    flare: float
    smoothing: int
    wrinkle: float
    opening: float | None = None


@dataclass(frozen=True)
class Piece:
    """A fitted garment: posed mesh and the base vertices it hides."""

    name: str
    mesh: Mesh
    hides: NDArray[np.integer]


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}.{side}" for name in names for side in "LR")


TORSO = (
    "spine05",
    "spine04",
    "spine03",
    "spine02",
    "spine01",
    "root",
    *_both("clavicle", "shoulder01", "pelvis", "breast"),
)
SLEEVES = {
    "sleeveless": (),
    "short": _both("upperarm01"),
    "elbow": _both("upperarm01", "upperarm02"),
    "long": _both("upperarm01", "upperarm02", "lowerarm01", "lowerarm02"),
}
HIPS = ("spine05", "root", *_both("pelvis", "upperleg01", "upperleg02"))


def dress(
    rng: np.random.Generator, model: BodyModel, body: PosedBody, male: bool
) -> Iterator[Piece]:
    """A random outfit: trousers, shorts or skirt, a top, and often an open jacket over it."""
    rest = body.rest.vertices
    waist = float(rest[np.isin(model.bone_of, ["spine05", "spine04"]), 2].mean())
    knee = float(body.rest.joints[model.bone("lowerleg01.L"), 2])
    ankle = float(body.rest.joints[model.bone("foot.L"), 2])
    if not male and rng.random() < 0.35:
        yield _skirt(rng, model, body, rng.uniform(knee - 0.3, knee + 0.15))
    else:
        yield _tailor(rng, model, body, "trousers", _trousers(rng, waist, knee, ankle))
    yield _tailor(rng, model, body, "top", _top(rng, waist))
    if rng.random() < 0.4:
        yield _tailor(rng, model, body, "jacket", _jacket(rng, waist, knee))


def _trousers(rng: np.random.Generator, waist: float, knee: float, ankle: float) -> Cut:
    long = rng.random() < 0.75
    lowest = ankle + rng.uniform(-0.02, 0.06) if long else knee + rng.uniform(-0.05, 0.2)
    return Cut(
        bones=HIPS + _both("lowerleg01", "lowerleg02"),
        lowest=lowest,
        highest=waist + 0.02,
        offset=0.006,
        flare=rng.choice([0.0, 0.01, 0.03]),
        smoothing=2,
        wrinkle=rng.uniform(0.001, 0.003),
    )


def _top(rng: np.random.Generator, waist: float) -> Cut:
    sleeve = str(rng.choice(list(SLEEVES), p=[0.12, 0.30, 0.13, 0.45]))
    collar = ("neck01",) if rng.random() < 0.35 else ()
    return Cut(
        bones=TORSO + SLEEVES[sleeve] + collar,
        lowest=waist - rng.uniform(0.08, 0.24),
        highest=9.0,
        offset=rng.uniform(0.009, 0.02),
        flare=rng.uniform(0.0, 0.035),
        smoothing=int(rng.integers(3, 10)),
        wrinkle=rng.uniform(0.001, 0.004),
    )


def _jacket(rng: np.random.Generator, waist: float, knee: float) -> Cut:
    is_coat = rng.random() < 0.25
    return Cut(
        bones=TORSO + SLEEVES["long"] + (("neck01",) if rng.random() < 0.6 else ()) + (
            _both("upperleg01", "upperleg02") if is_coat else ()
        ),
        lowest=knee + rng.uniform(-0.1, 0.15) if is_coat else waist - rng.uniform(0.15, 0.28),
        highest=9.0,
        offset=rng.uniform(0.028, 0.036),
        flare=rng.uniform(0.01, 0.04),
        smoothing=int(rng.integers(5, 11)),
        wrinkle=rng.uniform(0.001, 0.003),
        opening=rng.choice([0.004, 0.02, 0.05]),
    )  # fmt: skip


def _tailor(
    rng: np.random.Generator, model: BodyModel, body: PosedBody, name: str, cut: Cut
) -> Piece:
    """Cut one garment out of the offset body."""
    rest = body.rest.vertices
    normals = vertex_normals(rest, model.surface.faces)
    covered = model.weight_of([bone for bone in cut.bones if bone in model.bones]) - 0.5
    field = np.minimum(covered, np.minimum(rest[:, 2] - cut.lowest, cut.highest - rest[:, 2]) * 20)
    if cut.opening is not None:
        field = np.minimum(field, _front_opening(body, model, cut.opening))
    shell = _loosen(rng, model, rest, normals, cut, covered)
    mesh = Mesh(
        skin(shell, model.skin_weights, body.transforms),
        model.surface.faces,
        model.surface.uv,
        model.surface.uv_faces,
    )
    hidden = np.zeros(0, int) if cut.opening is not None else _well_inside(model, field > 0)
    return Piece(name, cut_at_level_set(mesh, field), hidden)


def _loosen(
    rng: np.random.Generator,
    model: BodyModel,
    rest: FloatArray,
    normals: FloatArray,
    cut: Cut,
    covered: FloatArray,
) -> FloatArray:
    """Rest vertices pushed out, smoothed and wrinkled, never too close to the skin."""
    chest = cut.lowest + 0.45
    hang = np.clip((chest - rest[:, 2]) / max(chest - cut.lowest, 0.1), 0, 1) ** 1.5
    # Near the edge of the covered skin (neck, armhole) the cloth lies close: no gaping rims.
    edge = np.clip(0.15 + 5 * covered, 0.15, 1)
    shell = rest + normals * ((cut.offset + cut.flare * hang) * edge)[:, None]
    active = (covered > -0.3)[:, None]
    for _ in range(cut.smoothing):
        shell = np.where(active, 0.5 * shell + 0.5 * (model.neighbour_mean @ shell), shell)
    height = ((shell - rest) * normals).sum(1)
    shell = shell + normals * np.maximum(0, 0.6 * cut.offset * edge - height)[:, None]
    return shell + normals * (_folds(rng, rest) * cut.wrinkle * edge)[:, None] * active


def _folds(rng: np.random.Generator, points: FloatArray) -> FloatArray:
    """Warped sines at three scales, (N,), about +-2."""
    total = np.zeros(len(points))
    for scale in (1, 2, 4):
        for _ in range(3):
            bend = 2 * np.sin(points @ rng.normal(0, 15 * scale, 3))
            total += np.sin(points @ rng.normal(0, 25 * scale, 3) + bend) / scale
    return total


def _front_opening(body: PosedBody, model: BodyModel, half_width: float) -> FloatArray:
    """Level set that opens a jacket in front: a slit that widens into lapels towards the neck."""
    rest = body.rest.vertices
    chest = float(body.rest.joints[model.bone("spine02"), 2])
    width = half_width + np.clip(rest[:, 2] - chest, 0, None) * 0.35
    is_front = rest[:, 1] < body.rest.joints[model.bone("spine01"), 1]
    return np.where(is_front, (np.abs(rest[:, 0]) - width) * 20, 1.0)


def _skirt(rng: np.random.Generator, model: BodyModel, body: PosedBody, hem: float) -> Piece:
    """The base mesh's own skirt helper, cut at `hem`."""
    part = model.parts["helper-skirt"]
    posed = Mesh(body.vertices, part.faces, part.uv, part.uv_faces)
    rest = body.rest.vertices
    mesh = cut_at_level_set(posed, (rest[:, 2] - hem) * 20)
    beneath = model.weight_of(list(HIPS)) - 0.5
    field = np.minimum(beneath, (rest[:, 2] - hem - 0.03) * 20)
    return Piece("skirt", mesh, _well_inside(model, field > 0))


def _well_inside(model: BodyModel, covered: NDArray[np.bool_]) -> NDArray[np.integer]:
    """Covered base vertices at least three rings away from the hem: skin stays beneath the edge."""
    hidden = covered.copy()
    faces = model.surface.faces
    for _ in range(3):
        border = faces[~hidden[faces].all(1)].ravel()
        hidden[border] = False
    return np.flatnonzero(hidden)
