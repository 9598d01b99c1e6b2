"""From sheets of cloth to parts of a scene: texture coordinates, patches of colour."""

import numpy as np

from david_hf.synthetic.humans.fabrics import TILE, Fabric
from david_hf.synthetic.mesh import FloatArray, Mesh, normalize
from david_hf.synthetic.scene import Part

from .cutting import Sheet
from .fitting import Fit

# Radii at which texture runs without stretch, metres.
TRUNK_RADIUS, ARM_RADIUS, LEG_RADIUS = 0.15, 0.05, 0.085


def worn(name: str, mesh: Mesh, fabric: Fabric) -> Part:
    """A part of a person."""
    return Part(name, mesh, fabric.texture, fabric.surface, is_human=True)


def cloth_part(fit: Fit, name: str, sheet: Sheet, fabric: Fabric, legs: bool = False) -> Part:
    """A sheet with a fabric that runs straight round trunk, sleeves and legs."""
    return worn(name, unwrap(fit, sheet, legs), fabric)


def unwrap(fit: Fit, sheet: Sheet, legs: bool = False) -> Mesh:
    """A mesh with cylindrical texture coordinates in tiles of `TILE` metres.

    Trunk, arms and legs have cylinders of their own: they meet where clothes have seams.
    """
    angle, along, radius, seam = _coordinates(fit, sheet, legs)
    faces = sheet.faces
    first = angle[faces[:, :1]]
    turn = angle[faces] - first
    corner_angle = first + turn - np.round(turn / (2 * np.pi)) * 2 * np.pi
    # All corners of a face use the cylinder of the first one, so no face straddles two.
    kind = seam[faces[:, 0]]
    around = corner_angle * radius[faces[:, 0]][:, None]
    length = np.where(kind[:, None] == 1, sheet.arm[faces], along[faces])
    uv = np.stack([around / TILE, length / TILE], 2).reshape(-1, 2)
    return Mesh(sheet.points, faces, uv, np.arange(3 * len(faces)).reshape(-1, 3))


def _coordinates(
    fit: Fit, sheet: Sheet, legs: bool
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Angle, height, radius, and kind (0 trunk, 1 arm, 2 leg) of every vertex."""
    rest = sheet.rest
    angle = np.arctan2(rest[:, 0], -(rest[:, 1] - fit.joint("spine04")[1]))
    radius = np.full(len(rest), TRUNK_RADIUS)
    kind = np.zeros(len(rest), int)
    for sign, side in ((1, "L"), (-1, "R")):
        own = (rest[:, 0] * sign > 0) & (sheet.arm > -0.02)
        shoulder, wrist = fit.joint(f"upperarm01.{side}"), fit.joint(f"wrist.{side}")
        axis = normalize(wrist - shoulder)
        front = normalize(np.cross(axis, [0.0, 1.0, 0.0]))
        side_way = np.cross(axis, front)
        offset = rest[own] - shoulder
        angle[own] = np.arctan2(offset @ side_way, offset @ front) * sign
        radius[own], kind[own] = ARM_RADIUS, 1
        if legs:
            own = (rest[:, 0] * sign > 0) & (rest[:, 2] < fit.height["crotch"])
            hip, ankle = fit.joint(f"upperleg02.{side}"), fit.joint(f"foot.{side}")
            share = (rest[own, 2] - ankle[2]) / (hip[2] - ankle[2])
            offset = rest[own] - (ankle + share[:, None] * (hip - ankle))
            angle[own] = np.arctan2(offset[:, 0] * sign, -offset[:, 1])
            radius[own], kind[own] = LEG_RADIUS, 2
    return angle, rest[:, 2], radius, kind


def print_part(fit: Fit, name: str, sheet: Sheet, fabric: Fabric, span: FloatArray) -> Part:
    """A patch whose texture is one picture over the rest rectangle `span` (x0, z0, x1, z1)."""
    low, high = span[:2], span[2:]
    uv = np.clip((sheet.rest[:, [0, 2]] - low) / (high - low), 0, 1)
    return worn(name, Mesh(sheet.points, sheet.faces, uv, sheet.faces), fabric)
