"""Hair that is tied: combed along the skull to a knot, and the tail or the bun behind it."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from david_hf.synthetic.humans.surface_points import scatter
from david_hf.synthetic.mesh import FloatArray, normalize

from .growth import NUM_GUIDES, HeadFrame, curl, cut_tips, interpolate, trace
from .styles import HairStyle

SLEEK_POINTS = 12
TAIL_SHARE = 0.35  # of all strands
KNOT_RADIUS = 0.011  # metres


def grow_gathered(
    rng: np.random.Generator, head: HeadFrame, style: HairStyle, density: FloatArray, count: int
) -> list[NDArray[np.float32]]:
    """Groups of strands (N, K, 3) of tied hair in the head's frame, metres."""
    knots = _knots(rng, head, style)
    sleek = replace(style, points=SLEEK_POINTS, clump=0.15)
    bound = scatter(rng, head.skin, head.faces, density, NUM_GUIDES)
    guides = _to_knots(head, sleek, bound.of(head.skin), knots)
    num_tail = int(count * TAIL_SHARE)
    roots = scatter(rng, head.skin, head.faces, density, count - num_tail).of(head.skin)
    groups = [interpolate(rng, sleek, guides, roots).astype(np.float32)]
    for knot in knots:
        make = _bun if style.gather == "bun" else _tail
        groups.append(make(rng, head, style, knot, num_tail // len(knots)).astype(np.float32))
    return groups


def _knots(rng: np.random.Generator, head: HeadFrame, style: HairStyle) -> FloatArray:
    """Points (M, 3) on the skull where the hair is tied."""
    if style.gather == "pigtails":
        height = rng.uniform(-0.15, 0.35)
        wanted = np.array([[side, 0.75, height] for side in (-1.0, 1.0)])
    else:
        elevation = rng.uniform(-0.25, 0.75) + (0.3 if style.gather == "bun" else 0.0)
        wanted = np.array([[0.0, np.cos(elevation), np.sin(elevation)]])
    on_skull = np.flatnonzero(head.on_head & (head.skin[:, 2] > head.eyes[:, 2].mean() - 0.07))
    directions = normalize(head.skin[on_skull] - head.centre)
    found = on_skull[(normalize(wanted) @ directions.T).argmax(1)]
    return head.skin[found] + head.normals[found] * 0.012


def _to_knots(
    head: HeadFrame, style: HairStyle, roots: FloatArray, knots: FloatArray
) -> FloatArray:
    """Guides (N, SLEEK_POINTS, 3) along great circles of the skull from roots to their knot."""
    nearest = np.linalg.norm(roots[:, None] - knots, axis=-1).argmin(1)
    start, end = roots - head.centre, knots[nearest] - head.centre
    first, last = normalize(start), normalize(end)
    angle = np.arccos(np.clip((first * last).sum(1), -0.999, 0.9999))[:, None]
    lengths = np.linalg.norm(start, axis=1, keepdims=True), np.linalg.norm(end, axis=1)[:, None]
    points = []
    for share in np.linspace(0, 1, SLEEK_POINTS):
        turned = np.sin((1 - share) * angle) * first + np.sin(share * angle) * last
        radius = (1 - share) * lengths[0] + share * lengths[1]
        point = head.centre + normalize(turned) * radius
        margin = np.full(len(roots), style.margin * min(1.0, 4 * share))
        points.append(point if share == 0 else head.push_out(point, margin))
    return np.stack(points, 1)


def _tail(
    rng: np.random.Generator, head: HeadFrame, style: HairStyle, knot: FloatArray, count: int
) -> FloatArray:
    """Strands (count, points, 3) that hang from a knot."""
    outward = normalize(knot - head.centre)

    def at_knot(number: int) -> FloatArray:
        return knot + KNOT_RADIUS * rng.normal(size=(number, 3)) * 0.5

    roots = at_knot(150)
    leave = normalize(outward + 0.25 * rng.normal(size=(len(roots), 3)))
    comb = np.tile(outward, (len(roots), 1))
    length = style.length * (1 + 0.1 * rng.normal(size=(len(roots), 1))).clip(0.7, 1.3)
    guides = trace(head, style, roots, leave, comb, length, np.zeros(len(roots)))
    # The tie lets the tail open behind it.
    guides = curl(rng, style, guides, length)
    return cut_tips(rng, interpolate(rng, replace(style, clump=0.1), guides, at_knot(count)))


def _bun(
    rng: np.random.Generator, head: HeadFrame, style: HairStyle, knot: FloatArray, count: int
) -> FloatArray:
    """Strands (count, points, 3) wound around a ball behind the knot."""
    outward = normalize(knot - head.centre)
    radius = rng.uniform(0.026, 0.042)
    centre = knot + outward * radius * 0.75
    axis = normalize(outward + 0.55 * rng.normal(size=(count, 1, 3)))
    first = normalize(np.cross(axis, rng.normal(size=(count, 1, 3))))
    second = np.cross(axis, first)
    arc = np.linspace(0, 1, style.points) * rng.uniform(2.5, 5.0, (count, 1))
    distance = radius * rng.uniform(0.8, 1.02, (count, 1, 1))
    tilt = rng.normal(0, 0.35, (count, 1, 1))
    ring = first * np.cos(arc)[..., None] + second * np.sin(arc)[..., None]
    return centre + distance * (ring * np.cos(tilt) + axis * np.sin(tilt))
