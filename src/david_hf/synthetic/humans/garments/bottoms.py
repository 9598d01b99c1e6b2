"""Trousers, shorts, skirts, tights, socks and belts."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from david_hf.synthetic.humans.fabrics import Fabric
from david_hf.synthetic.mesh import vertex_normals

from .cutting import Sheet
from .fitting import Fit
from .folds import noise, ridges
from .shells import Pattern, Shell
from .trimmings import ring
from .wardrobe import LEATHER, METAL, Wardrobe, seam_of

# kind: (material, ease, looseness, smoothing, height of folds)
CUTS = {
    "jeans": ("denim", 0.006, 0.45, 3, 0.0050),
    "slim": ("cotton", 0.005, 0.2, 3, 0.0040),
    "straight": ("wool", 0.007, 0.8, 4, 0.0055),
    "wide": ("cotton", 0.010, 1.0, 5, 0.0080),
    "joggers": ("fleece", 0.010, 0.8, 5, 0.0080),
    "cargo": ("cotton", 0.010, 0.9, 5, 0.0080),
    "shorts": ("cotton", 0.009, 1.0, 4, 0.0055),
    "leggings": ("jersey", 0.003, 0.0, 2, 0.0012),
}
SKIRTS = ("pencil", "a_line", "pleated", "maxi")


def trousers_pattern(wardrobe: Wardrobe, kind: str) -> Pattern:
    """Measures of trousers of a kind."""
    height, between = wardrobe.fit.height, wardrobe.between
    _, ease, loose, smoothing, folds = CUTS[kind]
    low = height["ankle"] + between(-0.035, 0.02)
    if kind == "shorts":
        low = height["knee"] + between(-0.02, 0.16)
    elif kind == "joggers":
        low = height["ankle"] + between(0.0, 0.03)
    waist = height["waist"] - between(0.0, 0.05)
    flare = 0.02 if kind == "wide" else 0.0
    return Pattern(
        low, waist, is_trousers=True, ease=ease, loose=loose, smoothing=smoothing, folds=folds,
        steps=2, flare=flare,
    )  # fmt: skip


def make_trousers(
    wardrobe: Wardrobe, kind: str, pattern: Pattern, beneath: Sequence[Pattern]
) -> Shell:
    """Sew trousers with waistband, belt, seams and pockets."""
    fabric = wardrobe.fabric("bottom", CUTS[kind][0])
    shell = wardrobe.sew(kind, pattern, beneath)
    wardrobe.add(kind, shell.cloth, fabric, legs=True)
    rest, high = shell.sheet.rest, pattern.highest
    if kind == "leggings":
        return shell
    if kind == "joggers":
        cuff = pattern.lowest + 0.045 - rest[:, 2]
        wardrobe.add("cuffs", shell.patch(cuff, 0.0012), seam_of(fabric), legs=True)
        if wardrobe.draws("bottom.stripe"):
            side = np.abs(rest[:, 1] - wardrobe.fit.joint("upperleg02.L")[1])
            outer = np.abs(rest[:, 0]) > np.abs(wardrobe.fit.joint("upperleg02.L")[0])
            stripe = np.where(outer, 0.016 - side, -0.1)
            wardrobe.add(
                "stripe", shell.patch(stripe, 0.0008), wardrobe.second("bottom", "nylon"), legs=True
            )
    if wardrobe.draws("top.tucked"):  # else the top hangs over it
        band = ring(shell, rest[:, 2], high - 0.038, high + 0.01)
        wardrobe.add("waistband", shell.patch(band, 0.0015), fabric, legs=True)
        if kind != "joggers" and wardrobe.draws("bottom.belt"):
            _belt(wardrobe, shell)
    _seams(wardrobe, kind, shell, fabric)
    return shell


def _belt(wardrobe: Wardrobe, shell: Shell) -> None:
    rest, high = shell.sheet.rest, shell.pattern.highest
    leather = wardrobe.coloured("black" if wardrobe.rng.random() < 0.5 else "earth", LEATHER)
    belt = ring(shell, rest[:, 2], high - 0.036, high - 0.004)
    wardrobe.add("belt", shell.patch(belt, 0.004, 0.003), leather)
    buckle = np.minimum(belt, 0.022 - np.abs(rest[:, 0]))
    buckle = np.where(rest[:, 1] < 0, buckle, -0.1)
    wardrobe.add("buckle", shell.patch(buckle, 0.007, 0.003), wardrobe.coloured("grey", METAL))
    wardrobe.names.append("belt")


def _seams(wardrobe: Wardrobe, kind: str, shell: Shell, fabric: Fabric) -> None:
    rest, pattern, height = shell.sheet.rest, shell.pattern, wardrobe.fit.height
    dark = seam_of(fabric)
    fly = np.minimum(0.0018 - np.abs(rest[:, 0] - 0.0), rest[:, 2] - height["hip"] + 0.05)
    wardrobe.add("seam", shell.patch(np.where(rest[:, 1] < 0, fly, -0.1), 0.0008, 0.0005), dark)
    pocket = np.abs(rest[:, 2] - (pattern.highest - 0.04) + 1.3 * (np.abs(rest[:, 0]) - 0.07))
    near = np.minimum(0.0025 - pocket, 0.125 - np.abs(rest[:, 0]))
    near = np.where((rest[:, 1] < 0.0) & (rest[:, 2] > pattern.highest - 0.13), near, -0.1)
    wardrobe.add("seam", shell.patch(near, 0.0008, 0.0005), dark)
    if kind in ("jeans", "cargo"):
        x, z = np.abs(np.abs(rest[:, 0]) - 0.085), rest[:, 2] - pattern.highest + 0.15
        patch = np.minimum(np.minimum(0.06 - x, 0.07 - z), z + 0.07 - 0.3 * x)
        patch = np.where(rest[:, 1] > 0.02, patch, -0.1)
        wardrobe.add("pocket", shell.patch(patch, 0.0022), fabric)
    if kind == "cargo":
        side = np.abs(rest[:, 1] + 0.02)
        z = rest[:, 2] - (height["knee"] + 0.17)
        patch = np.minimum(0.075 - side, 0.09 - np.abs(z))
        outer = np.abs(rest[:, 0]) > np.abs(wardrobe.fit.joint("upperleg02.L")[0]) + 0.01
        wardrobe.add(
            "pocket", shell.patch(np.where(outer, patch, -0.1), 0.006, 0.005), fabric, legs=True
        )


def skirt_sheet(
    fit: Fit, rng: np.random.Generator, gap: float, flare: float, pleats: int, folds: float
) -> Sheet:
    """The base mesh's own skirt as a fine sheet.

    Args:
        fit: The body.
        rng: Source of randomness for the folds.
        gap: Distance from the helper mesh, metres.
        flare: Extra distance at the height of the knee.
        pleats: Number of pleats, 0 for soft folds only.
        folds: Height of folds at the knee, metres.
    """
    used = np.unique(fit.model.parts["helper-skirt"].faces)
    rest = fit.rest.copy()
    waist, knee = fit.height["waist"], fit.height["knee"]
    fall = np.clip((waist - rest[used, 2]) / (waist - knee), 0, 1.4)
    centre = np.array([0.0, fit.joint("upperleg01.L")[1]])
    out = rest[used, :2] - centre
    out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-9
    rest[used, :2] += out * (gap + flare * fall)[:, None]
    posed = fit.posed(rest)
    sheet = fit.sheet(posed, rest, "helper-skirt", 2)
    fall = np.clip((waist - sheet.rest[:, 2]) / (waist - knee), 0, 1.3)
    offset = sheet.rest[:, :2] - centre
    angle = np.arctan2(offset[:, 0], -offset[:, 1])
    if pleats:
        sway = 0.15 * noise(sheet.rest, rng, np.array([0.3, 0.3, 0.5]))
        wave = np.abs(((pleats * angle / (2 * np.pi) + sway) % 1) - 0.3) * 1.4
        height = 1.6 * folds * (0.25 + fall) * wave
    else:
        stretched = sheet.rest * [1, 1, 0.25]
        height = folds * fall * 2.0 * ridges(stretched, rng, np.array([0.10, 0.10, 0.12]))
    raised = _outside(fit, sheet.raised(height), 0.009)
    normals = vertex_normals(raised.points, raised.faces)
    return Sheet(raised.points, normals, raised.rest, raised.arm, raised.faces)


def _outside(fit: Fit, sheet: Sheet, gap: float) -> Sheet:
    """The sheet pushed out of the layers beneath."""
    own = fit.model.surface_vertices
    own = own[(fit.rest[own, 2] < fit.height["waist"] + 0.12) & (fit.arm_weight[own] < 0.01)]
    normals = vertex_normals(fit.outer, fit.model.surface.faces)
    distance, near = cKDTree(fit.outer[own]).query(sheet.points, distance_upper_bound=0.06)
    index = own[np.minimum(near, len(own) - 1)]
    height = ((sheet.points - fit.outer[index]) * normals[index]).sum(1)
    lift = np.where(np.isfinite(distance), np.clip(gap - height, 0, 0.05), 0)
    points = sheet.points + normals[index] * lift[:, None]
    return Sheet(points, sheet.normals, sheet.rest, sheet.arm, sheet.faces)


def _record(fit: Fit, skirt: Sheet) -> None:
    """Let jackets know how far the skirt stands off the hips."""
    height = fit.height
    near = fit.on_skin & (fit.rest[:, 2] > height["crotch"]) & (fit.arm_weight < 0.01)
    own = np.flatnonzero(near & (fit.rest[:, 2] < height["waist"] + 0.02))
    normals = vertex_normals(fit.outer, fit.model.surface.faces)[own]
    nearest = cKDTree(skirt.points).query(fit.outer[own])[1]
    rise = ((skirt.points[nearest] - fit.outer[own]) * normals).sum(1)
    fit.outer[own] += normals * np.clip(rise + 0.003, 0, 0.05)[:, None]
    fit.covered[own] = True


def skirt_pattern(fit: Fit) -> Pattern:
    """What a skirt covers of a top that is tucked into it."""
    return Pattern(fit.height["knee"], fit.height["waist"] + 0.02, is_trousers=True)


def make_skirt(wardrobe: Wardrobe, kind: str, fabric: Fabric) -> None:
    """A skirt of a kind, or the lower half of a dress."""
    fit, height, between = wardrobe.fit, wardrobe.fit.height, wardrobe.between
    hem = {
        "pencil": height["knee"] + between(-0.05, 0.1),
        "a_line": height["knee"] + between(-0.12, 0.2),
        "pleated": height["knee"] + between(-0.15, 0.2),
        "maxi": height["ankle"] + between(0.07, 0.2),
    }[kind]
    flare = {"pencil": 0.0, "a_line": between(0.03, 0.09), "pleated": 0.05, "maxi": 0.06}[kind]
    pleats = int(wardrobe.rng.integers(24, 44)) if kind == "pleated" else 0
    folds = 0.003 if kind == "pencil" else between(0.008, 0.014)
    sheet = skirt_sheet(fit, wardrobe.rng, 0.012, flare, pleats, folds)
    rest, top = sheet.rest, height["waist"] + 0.02
    level = np.minimum(rest[:, 2] - hem, top - rest[:, 2])
    wardrobe.add("skirt", sheet.cut(level).with_rim(0.003, 0.02), fabric)
    band = sheet.cut(np.minimum(top + 0.003 - rest[:, 2], rest[:, 2] - top + 0.03)).raised(0.002)
    wardrobe.add("waistband", band.with_rim(0.004, 0.01), seam_of(fabric))
    _record(fit, sheet.cut(level))
    legs = (fit.rest[:, 2] > hem + 0.06) & (fit.rest[:, 2] < height["waist"] - 0.02)
    legs &= fit.arm_weight < 0.01
    fit.hides |= legs & fit.on_skin
    wardrobe.names.append(f"{kind}_skirt")


def add_tights(wardrobe: Wardrobe, fabric: Fabric, low: float, high: float, name: str) -> None:
    """Tights or socks between two rest heights."""
    pattern = Pattern(low, high, is_trousers=True, ease=0.0022, loose=0, folds=0.0003, smoothing=1)
    shell = wardrobe.sew(name, pattern)
    wardrobe.add(name, shell.cloth, fabric, legs=True)
