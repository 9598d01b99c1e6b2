"""Blazers, coats, cardigans, zipped jackets, vests: what is worn over a top."""

from dataclasses import replace

import numpy as np

from david_hf.synthetic.humans.fabrics import Fabric, plain
from david_hf.synthetic.scene import Surface

from .bottoms import skirt_sheet
from .fitting import Fit
from .shells import CLOSED, Pattern, Shell, front_width
from .tops import add_body, add_pocket, add_ribs, add_zip_collar
from .trimmings import buttons, folded_collar, hood_down, lapels, rectangle, ring
from .wardrobe import METAL, PLASTIC, Wardrobe, ribs_of, seam_of

# kind: (material, ease, looseness, smoothing, height of folds)
CUTS = {
    "blazer": ("wool", 0.014, 0.8, 10, 0.0045),
    "coat": ("wool", 0.020, 0.8, 10, 0.0055),
    "cardigan": ("knit", 0.013, 0.7, 8, 0.0060),
    "zip": ("nylon", 0.015, 0.8, 8, 0.0075),
    "denim": ("denim", 0.013, 0.8, 9, 0.0060),
    "leather": ("leather", 0.014, 0.8, 10, 0.0070),
    "puffer": ("nylon", 0.022, 0.7, 9, 0.0140),
    "gilet": ("nylon", 0.018, 0.6, 8, 0.0110),
    "hi_vis": ("nylon", 0.015, 0.8, 8, 0.0060),
}


def jacket_pattern(wardrobe: Wardrobe, kind: str) -> Pattern:
    """Measures of a jacket of a kind, open or closed."""
    fit, height = wardrobe.fit, wardrobe.fit.height
    _, ease, loose, smoothing, folds = CUTS[kind]
    sleeve = fit.arm_length - wardrobe.between(0.0, 0.015)
    if kind in ("gilet", "hi_vis"):
        sleeve = -0.03
    hem = height["hip"] - wardrobe.between(0.02, 0.07)
    if kind == "coat" and not is_seated(fit):
        hem = height["waist"] - 0.02
    if kind in ("denim", "leather"):
        hem = height["hip"] + wardrobe.between(-0.01, 0.04)
    pattern = Pattern(
        hem, sleeve=sleeve, ease=ease, loose=loose, smoothing=smoothing, folds=folds,
        steps=wardrobe.steps, neck=0.006, flare=0.006,
        ring_height=wardrobe.between(0.05, 0.10) if kind in ("puffer", "gilet") else 0.0,
    )  # fmt: skip
    is_open = wardrobe.draws("jacket.open")
    width = wardrobe.between(0.03, 0.10) if is_open else -0.003
    if kind in ("blazer", "coat"):
        foot = height["chest"] + wardrobe.between(-0.08, 0.02)
        return replace(pattern, opening=width, lapel=foot)
    if kind in ("cardigan", "hi_vis", "denim", "leather"):
        return replace(pattern, opening=width, lapel=height["chest"] + wardrobe.between(0.02, 0.10))
    return replace(pattern, opening=width) if is_open else replace(pattern, opening=CLOSED)


def is_seated(fit: Fit) -> bool:
    """Whether a thigh is lifted so far that a long coat would stand off the body."""
    lifted = [
        fit.body.transforms[fit.model.bone(f"upperleg01.{side}")][2, 2] for side in ("L", "R")
    ]
    return min(lifted) < 0.6


def make_jacket(wardrobe: Wardrobe, kind: str, pattern: Pattern) -> Shell:
    """Sew a jacket with collar, pockets and fastenings."""
    fabric = wardrobe.fabric("jacket", CUTS[kind][0])
    if kind == "hi_vis":
        fabric = _hi_vis(wardrobe)
    shell = wardrobe.sew(kind, pattern)
    block = kind in ("zip", "puffer") and wardrobe.draws("jacket.colour_block")
    add_body(wardrobe, kind, shell, fabric, wardrobe.second("jacket", "nylon") if block else None)
    if kind in ("blazer", "coat"):
        _tailored(wardrobe, kind, shell, fabric)
    elif kind == "hi_vis":
        _reflective_bands(wardrobe, shell)
    elif kind == "cardigan":
        _button_band(wardrobe, shell, ribs_of(fabric, wardrobe.rng))
        add_ribs(wardrobe, shell, ribs_of(fabric, wardrobe.rng), 0.05)
    else:
        _casual(wardrobe, kind, shell, fabric)
    return shell


def _hi_vis(wardrobe: Wardrobe) -> Fabric:
    colours = ([1.0, 0.35, 0.05], [0.82, 0.98, 0.1], [1.0, 0.2, 0.1])
    colour = np.array(colours[int(wardrobe.rng.integers(3))])
    return plain(colour, Surface("fabric", 0.7, 0.3))


def _tailored(wardrobe: Wardrobe, kind: str, shell: Shell, fabric: Fabric) -> None:
    fit, pattern = wardrobe.fit, shell.pattern
    width = wardrobe.between(0.04, 0.065)
    wardrobe.add("lapels", lapels(fit, shell, width), fabric)
    top = fit.height["shoulder"]
    start = float(
        np.clip(np.arctan2(front_width(pattern, np.array(top)) + 0.4 * width, 0.075), 0.3, 1.2)
    )
    collar = folded_collar(fit, 0.030, 0.050, 0.016, start, 0.012)
    wardrobe.put("collar", collar, fabric)
    _front_edge(wardrobe, shell, fabric)
    count = int(wardrobe.rng.integers(1, 4))
    heights = pattern.lapel - 0.012 - 0.09 * np.arange(count)
    x = max(pattern.opening, 0) + 0.016
    dark = wardrobe.coloured("black", PLASTIC)
    wardrobe.put("buttons", buttons(shell, heights, x, 0.009, 0.004), dark)
    low = max(pattern.lowest, fit.height["hip"] - 0.05) + 0.09
    for side in (1, -1):
        inner, outer = 0.075 + max(pattern.opening, 0), 0.20 + max(pattern.opening, 0)
        x_range = (inner, outer) if side > 0 else (-outer, -inner)
        flap = rectangle(shell, x_range, (low, low + 0.05))
        wardrobe.add("flap", shell.patch(flap, 0.004, 0.003), fabric)
    if wardrobe.rng.random() < 0.3 and kind == "blazer":
        z = fit.height["chest"] + 0.10
        square = rectangle(shell, (0.075, 0.135), (z, z + 0.022))
        wardrobe.add(
            "handkerchief", shell.patch(square, 0.003), wardrobe.coloured("white", fabric.surface)
        )
    if kind == "coat" and not is_seated(fit):
        _coat_skirt(wardrobe, shell, fabric)


def _coat_skirt(wardrobe: Wardrobe, shell: Shell, fabric: Fabric) -> None:
    """The part of a coat below the hip, and its belt."""
    fit, height = wardrobe.fit, wardrobe.fit.height
    hem = height["knee"] + wardrobe.between(-0.08, 0.22)
    sheet = skirt_sheet(fit, wardrobe.rng, 0.02, 0.08, 0, 0.008)
    rest = sheet.rest
    slit = np.abs(rest[:, 0]) - max(shell.pattern.opening, 0.002)
    slit = slit - 0.02 * (height["waist"] - rest[:, 2])
    front = np.where(rest[:, 1] < fit.front, slit, 1.0)
    level = np.minimum(rest[:, 2] - hem, height["waist"] + 0.01 - rest[:, 2])
    wardrobe.add("coat", sheet.cut(np.minimum(level, front)).with_rim(0.004, 0.02), fabric)
    belt = ring(shell, rest[:, 2], height["waist"] - 0.035, height["waist"] + 0.014)
    if shell.pattern.opening > 0:
        belt = np.minimum(belt, front)
    belt_sheet = sheet.cut(belt).raised(0.003).with_rim(0.004, 0.004)
    wardrobe.add("belt", belt_sheet, seam_of(fabric))


def _front_edge(wardrobe: Wardrobe, shell: Shell, fabric: Fabric) -> None:
    """A closed front laps over: a step down the middle."""
    pattern = shell.pattern
    if pattern.opening > 0:
        return
    rest = shell.sheet.rest
    lap = rectangle(shell, (-0.02, 0.06), (pattern.lowest, pattern.lapel))
    lap = np.minimum(lap, pattern.lapel - rest[:, 2])
    edge = np.minimum(rest[:, 0] + 0.02, -0.017 - rest[:, 0])
    wardrobe.add("seam", shell.patch(np.minimum(lap, edge), 0.001, 0.001), seam_of(fabric))


def _reflective_bands(wardrobe: Wardrobe, shell: Shell) -> None:
    sheet, height = shell.sheet, wardrobe.fit.height
    silver = plain(np.full(3, 0.62), Surface("plain", 0.35, 0.6, metallic=0.3))
    for z in (height["waist"] + 0.02, height["waist"] + 0.13):
        band = np.where(sheet.arm < -0.05, ring(shell, sheet.rest[:, 2], z, z + 0.05), -0.1)
        wardrobe.add("band", shell.patch(band, 0.0012), silver)
    strap = np.minimum(
        0.022 - np.abs(np.abs(sheet.rest[:, 0]) - 0.10), sheet.rest[:, 2] - height["waist"] - 0.12
    )
    wardrobe.add("band", shell.patch(strap, 0.001), silver)


def _button_band(wardrobe: Wardrobe, shell: Shell, ribs: Fabric) -> None:
    pattern, rest = shell.pattern, shell.sheet.rest
    edge = np.abs(rest[:, 0]) - front_width(pattern, rest[:, 2])
    band = np.where((rest[:, 1] < -0.01) & (shell.sheet.arm < -0.05), 0.03 - edge, -0.1)
    wardrobe.add("placket", shell.patch(band, 0.002), ribs)
    heights = np.arange(pattern.lapel - 0.01, pattern.lowest + 0.03, -0.075)
    dark = wardrobe.coloured("earth", PLASTIC)
    wardrobe.put(
        "buttons", buttons(shell, heights, max(pattern.opening, 0) + 0.014, 0.009, 0.004), dark
    )


def _casual(wardrobe: Wardrobe, kind: str, shell: Shell, fabric: Fabric) -> None:
    fit, pattern = wardrobe.fit, shell.pattern
    gap = 0.25 if pattern.opening > 0 or pattern.lapel < 1 else 0.08
    if kind in ("denim", "leather"):
        wardrobe.put("collar", folded_collar(fit, 0.030, 0.054, 0.016, 0.75, 0.02), fabric)
    elif wardrobe.draws("jacket.hood"):
        if wardrobe.draws("headwear.kind") != "hood":
            size = wardrobe.between(1.0, 1.3)
            wardrobe.put("hood", hood_down(fit, wardrobe.rng, size), fabric)
    else:
        add_zip_collar(wardrobe, fabric, gap, wardrobe.between(0.035, 0.065))
    if kind in ("puffer", "gilet"):
        return
    if kind == "denim":
        for x in (0.085, -0.085):
            add_pocket(wardrobe, shell, fabric, x)
    if pattern.opening <= 0:
        line = rectangle(shell, (-0.006, 0.006), (pattern.lowest, min(pattern.lapel, 9.0)))
        silver = kind == "leather" or wardrobe.rng.random() < 0.4
        zipper = wardrobe.coloured("grey", METAL) if silver else seam_of(fabric)
        wardrobe.add("zip", shell.patch(line, 0.0012, 0.001), zipper)
    add_ribs(wardrobe, shell, ribs_of(fabric, wardrobe.rng), 0.045) if kind == "zip" else None
