"""Hair of a person as strands: on the head, beard, brows and lashes, with proxy normals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.humans.bodies import BodyModel, Landmarks, PosedBody
from david_hf.synthetic.mesh import FloatArray
from david_hf.synthetic.scene import HairColour, Strands

from . import regions
from .facial import brow_strands, lash_strands
from .gathered import grow_gathered
from .growth import HeadFrame, grow
from .proxy import proxy_normals
from .styles import HairStyle, draw_colour, draw_style, linear_rgb

__all__ = ["Hair", "HairRoots", "grow_hair", "linear_rgb"]

RADIUS = 1.3e-4  # metres, of one of 30,000 strands; fewer are thicker: the head must be covered
FULL_HEAD = 30_000


@dataclass(frozen=True)
class HairRoots:
    """Where clothes leave room for hair.

    Attributes:
        outer: (V, 3) outermost posed surface over each vertex of the body, world metres.
        free: (V,) bool: where hair may root.
        limit: Largest distance of hair from the skin beneath headwear, metres, or None.
    """

    outer: FloatArray
    free: NDArray[np.bool_]
    limit: float | None = None


@dataclass(frozen=True)
class Hair:
    """All hair of a person.

    Attributes:
        strands: Groups of strands.
        colour: Colour of the head's hair.
        scalp: (V,) density of the head's hair, to paint the skin beneath it.
        stubble: (V,) density of facial hair, to paint the skin beneath it.
    """

    strands: list[Strands]
    colour: HairColour
    scalp: FloatArray
    stubble: FloatArray


def grow_hair(
    draws: Draws, model: BodyModel, body: PosedBody, roots: HairRoots, num_strands: int
) -> Hair:
    """Grow the hair of a person.

    Args:
        draws: Section "hair"; knows sex, age and ancestry.
        model: The body model.
        body: The posed body.
        roots: Where clothes leave room.
        num_strands: Strands of a full head.
    """
    colour = draw_colour(draws)
    frame = _head_frame(model, body, roots.outer)
    barber = _Barber(draws, model, body, frame, roots, num_strands)
    groups, scalp = barber.head()
    beard, stubble = barber.beard()
    strands = [barber.finish(groups, colour)] if groups else []
    natural = _facial_colour(colour, draws.rng)
    if beard is not None:
        strands.append(barber.finish([beard], natural))
    brows = brow_strands(draws.rng, model, body, draws("brows"), draws("brow_arch"))
    lashes = lash_strands(draws.rng, model, body, draws("lashes"))
    strands.append(_on_skin(brows, natural, model, body, 7e-5))
    strands.append(_on_skin(lashes, HairColour(0.98, 0.1), model, body, 8e-5))
    return Hair(strands, colour, scalp, stubble)


def _facial_colour(colour: HairColour, rng: np.random.Generator) -> HairColour:
    """Brows and beards are a little darker and redder than hair, and not dyed."""
    if colour.dye is not None:
        return HairColour(float(rng.uniform(0.6, 0.97)), 0.3)
    darker = min(1.0, colour.melanin + 0.25 * (1 - colour.melanin))
    return HairColour(darker, min(1.0, colour.redness + 0.1))


def _on_skin(
    points: FloatArray, colour: HairColour, model: BodyModel, body: PosedBody, radius: float
) -> Strands:
    """Strands that lie on the skin and take its normal."""
    from scipy.spatial import cKDTree

    used = np.unique(model.face_faces)
    _, nearest = cKDTree(body.vertices[used]).query(points.reshape(-1, 3))
    normals = body.normals[used][nearest].astype(np.float32)
    return Strands(points.astype(np.float32), normals, radius, colour)


def _head_frame(model: BodyModel, body: PosedBody, outer: FloatArray) -> HeadFrame:
    """The posed, dressed body seen from the head."""
    head = body.transforms[model.bone("head")]
    rotation, origin = head[:3, :3], head[:3, 3]
    joints = body.rest.joints
    return HeadFrame(
        skin=(body.vertices - origin) @ rotation,
        outer=(outer - origin) @ rotation,
        normals=body.normals @ rotation,
        faces=model.head_faces,
        on_head=model.on_head,
        eyes=joints[[model.bone("eye.L"), model.bone("eye.R")]],
        down=rotation.T @ [0, 0, -1.0],
    )


@dataclass(frozen=True)
class _Barber:
    draws: Draws
    model: BodyModel
    body: PosedBody
    frame: HeadFrame
    roots: HairRoots
    num_strands: int

    def head(self) -> tuple[list[NDArray[np.float32]], FloatArray]:
        """Groups of strands in the head's frame, and the density of their roots."""
        draws, rng = self.draws, self.draws.rng
        neutral, marks = self.model.neutral.vertices, self.model.landmarks
        full = regions.scalp(rng, neutral, marks, draws("hairline"), draws("temples"))
        name = draws("style")
        if name == "bald":
            return [], np.zeros_like(full)
        style = draw_style(draws, name)
        if self.roots.limit is not None and style.gather == "none" and style.length < 0.05:
            if name != "crop":
                draws.drop(f"styles.{name}")
            style = draw_style(draws, draws.put("style", "crop"))
        density = _area(style, full, neutral, marks) * self.roots.free
        if density.max() < 0.5:  # all of it is beneath a scarf
            return [], density
        count = self.num_strands // (2 if style.length < 0.012 else 1)
        if style.gather != "none":
            if self.roots.limit is None:
                return grow_gathered(rng, self.frame, style, density, count), density
            draws.put("style", "loose")  # beneath headwear
        return [grow(rng, self.frame, style, density, count, self.roots.limit)], density

    def beard(self) -> tuple[NDArray[np.float32] | None, FloatArray]:
        """Strands of the beard in the head's frame, or None, and the density of their roots."""
        draws, neutral = self.draws, self.model.neutral.vertices
        bare = np.zeros(len(neutral))
        if draws("sex") == "female" or draws("age") < 0.6 or draws("beard") == "none":
            draws.put("beard", "none")
            return None, bare
        kind = draws("beard")
        density = regions.beard(neutral, self.model.landmarks, kind) * self.roots.free
        if density.max() < 0.5:
            return None, bare
        is_long = kind in ("full", "goatee") and draws("long_beard")
        named = {"stubble": "stubble", "moustache": "moustache"}.get(kind, "beard")
        style = draw_style(draws, "long_beard" if is_long else named)
        count = self.num_strands // 3
        return grow(draws.rng, self.frame, style, density, count), density

    def finish(self, groups: list[NDArray[np.float32]], colour: HairColour) -> Strands:
        """Groups of one colour in the world, with the normals of their common proxy."""
        head = self.body.transforms[self.model.bone("head")]
        length = max(group.shape[1] for group in groups)
        points = np.concatenate([_resampled(group, length) for group in groups])
        posed = (points @ head[:3, :3].T + head[:3, 3]).astype(np.float32)
        on_head = self.model.on_head
        # Deep enough that the proxy's inner wall is never the nearest one.
        depths = np.arange(0.002, 0.040, 0.005)[:, None, None]
        skull = self.body.vertices[on_head] - depths * self.body.normals[on_head]
        normals = proxy_normals(posed, skull.reshape(-1, 3))
        radius = RADIUS * (FULL_HEAD / self.num_strands) ** 0.5 * self.draws("thickness")
        return Strands(posed, normals, float(radius), colour)


def _area(style: HairStyle, full: FloatArray, neutral: FloatArray, marks: Landmarks) -> FloatArray:
    """The part of the scalp a style grows on."""
    if style.area == "ring":
        return full * (1 - regions.crown(neutral, marks))
    if style.area == "receding":
        return full * (1 - 0.8 * regions.crown(neutral, marks))
    return full


def _resampled(strands: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Strands (N, K, 3) with `length` points, linearly interpolated."""
    if strands.shape[1] == length:
        return strands
    at = np.linspace(0, strands.shape[1] - 1, length)
    low = np.minimum(at.astype(int), strands.shape[1] - 2)
    share = (at - low)[None, :, None].astype(np.float32)
    return strands[:, low] * (1 - share) + strands[:, low + 1] * share
