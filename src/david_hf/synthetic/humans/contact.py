"""Where limbs of a posed body enter other parts of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from david_hf.synthetic.mesh import FloatArray, IntArray, normalize

from .bodies import BodyModel, PosedBody

TOLERANCE = 0.008  # metres of flesh that gives way
# A vertex farther from the surface than this is not judged by it.
RANGE = 0.08
STRIDE = 2


@dataclass(frozen=True)
class Contact:
    """The deepest place at which one limb enters another part of the body.

    Attributes:
        limb: "arm", "upper_arm" or "leg".
        side: "L" or "R".
        depth: Metres below the surface that is entered.
        push: Unit direction (3,) that leads out of it.
        entered: Bone whose skin is entered at the deepest place.
    """

    limb: str
    side: str
    depth: float
    push: FloatArray
    entered: str


@dataclass(frozen=True)
class _Region:
    """Vertices `part` of a limb that must not be inside the surface around `others`."""

    limb: str
    side: str
    part: IntArray
    others: IntArray


def find_contacts(model: BodyModel, body: PosedBody) -> list[Contact]:
    """What each limb enters, limbs that enter nothing left out; neighbours do not count."""
    return list(_contacts(model, body))


def penetration(model: BodyModel, body: PosedBody) -> float:
    """Depth in metres of the deepest vertex of a limb inside another part; 0 if there is none.

    Forearms and hands are tested against torso, head, legs and the other arm, elbows against the
    torso, and legs from the knee down against each other.
    """
    return max((contact.depth for contact in _contacts(model, body)), default=0.0)


def _contacts(model: BodyModel, body: PosedBody) -> Iterator[Contact]:
    for region in _regions(model):
        vertices = body.vertices[region.part]
        if not len(vertices):
            continue
        low, high = vertices.min(0) - RANGE, vertices.max(0) + RANGE
        others = body.vertices[region.others]
        near = region.others[((others > low) & (others < high)).all(1)]
        if len(near) < 4:
            continue
        distance, nearest = cKDTree(body.vertices[near]).query(
            vertices, k=3, distance_upper_bound=RANGE
        )
        close = np.flatnonzero(np.isfinite(distance).all(1))
        if not len(close):
            continue
        anchors = near[nearest[close]]
        offset = vertices[close, None] - body.vertices[anchors]
        # A vertex is inside when it lies below all of its nearest tangent planes.
        depth = -(offset * body.normals[anchors]).sum(2).max(1)
        if depth.max() > 0:
            push = (np.maximum(depth, 0)[:, None] ** 2 * body.normals[anchors[:, 0]]).sum(0)
            entered = str(model.bone_of[anchors[depth.argmax(), 0]])
            yield Contact(region.limb, region.side, float(depth.max()), normalize(push), entered)


@cache
def _regions(model: BodyModel) -> list[_Region]:
    index = model.surface_vertices
    bone = model.bone_of[index]
    upper_leg_weight = model.weight_of(["upperleg02.L", "upperleg02.R"])[index]
    regions = []
    for side in ("L", "R"):
        own = np.char.endswith(bone, f".{side}")
        arm = _starts(bone, "lowerarm", "wrist", "finger", "metacarpal")
        upper_arm = _starts(bone, "upperarm", "shoulder", "clavicle")
        torso = _starts(bone, "spine", "root", "pelvis")
        leg = _starts(bone, "lowerleg", "foot", "toe") | (
            _starts(bone, "upperleg02") & (upper_leg_weight > 0.9)
        )
        elbow = model.weight_of([f"upperarm02.{side}", f"lowerarm01.{side}"])[index] > 0.97
        elbow &= _starts(bone, "upperarm02")
        regions += [
            _Region("arm", side, index[own & arm][::STRIDE], index[~(own & (arm | upper_arm))]),
            _Region("upper_arm", side, index[elbow & own], index[torso]),
            _Region("leg", side, index[own & leg][::STRIDE], index[~own & leg]),
        ]
    return regions


def _starts(names: NDArray[np.str_], *prefixes: str) -> NDArray[np.bool_]:
    return np.logical_or.reduce([np.char.startswith(names, prefix) for prefix in prefixes])
