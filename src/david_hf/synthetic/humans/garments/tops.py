"""Shirts, sweaters, hoodies and whatever is worn directly on the trunk."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from david_hf.synthetic.humans.fabrics import Fabric, colour_of, emblem

from .parts import print_part
from .shells import Pattern, Shell
from .trimmings import (
    buttons,
    folded_collar,
    hood_down,
    rectangle,
    ring,
    standing_collar,
    tie,
)
from .wardrobe import PLASTIC, Wardrobe, ribs_of, seam_of

# kind: (material, ease, looseness, smoothing, height of folds)
CUTS = {
    "t_shirt": ("jersey", 0.008, 0.6, 5, 0.0050),
    "v_neck": ("jersey", 0.007, 0.5, 5, 0.0045),
    "scoop": ("jersey", 0.005, 0.3, 4, 0.0035),
    "tank": ("jersey", 0.005, 0.3, 4, 0.0035),
    "long_sleeve": ("jersey", 0.007, 0.5, 5, 0.0050),
    "sweater": ("knit", 0.014, 0.8, 9, 0.0065),
    "turtleneck": ("knit", 0.010, 0.5, 7, 0.0050),
    "hoodie": ("fleece", 0.016, 0.9, 9, 0.0075),
    "polo": ("cotton", 0.009, 0.7, 6, 0.0050),
    "shirt": ("cotton", 0.009, 0.8, 6, 0.0060),
    "blouse": ("silk", 0.008, 0.6, 6, 0.0060),
    "dress_top": ("cotton", 0.006, 0.2, 5, 0.0035),
}
SHORT_SLEEVED = ("t_shirt", "v_neck", "scoop", "polo", "dress_top")
RIBBED = ("sweater", "turtleneck", "hoodie")


def top_pattern(wardrobe: Wardrobe, kind: str) -> Pattern:
    """Measures of a top of a kind."""
    fit, height = wardrobe.fit, wardrobe.fit.height
    _, ease, loose, smoothing, folds = CUTS[kind]
    tucked = wardrobe.draws("top.tucked")
    hem = height["waist"] - 0.06 if tucked else height["hip"] - wardrobe.between(-0.03, 0.06)
    sleeves = _sleeves(kind, wardrobe.draws("top.sleeves"))
    lengths = {
        "none": -0.045,
        "short": fit.elbow * wardrobe.between(0.5, 0.85),
        "elbow": fit.elbow * wardrobe.between(0.95, 1.25),
        "long": fit.arm_length - wardrobe.between(0.0, 0.03),
    }
    size = wardrobe.draws("top.size")
    loose = min(1.0, loose * {"tight": 0.3, "regular": 1.0, "oversize": 1.5}[size])
    ease = ease * {"tight": 0.75, "regular": 1.0, "oversize": 1.6}[size]
    pattern = Pattern(
        hem, sleeve=lengths[sleeves], ease=ease, loose=loose, smoothing=smoothing, folds=folds,
        steps=wardrobe.steps, flare=wardrobe.between(0, 0.015) * loose,
    )  # fmt: skip
    neck, depth, width = _neckline(wardrobe, kind)
    return replace(pattern, neck=neck, neck_depth=depth, neck_width=width)


def _sleeves(kind: str, drawn: str) -> str:
    """The sleeves a kind of top can have that come nearest to what was drawn."""
    if kind == "tank":
        return "none"
    if kind in SHORT_SLEEVED:
        return "short" if drawn == "long" else drawn
    if kind in ("shirt", "blouse") or drawn == "elbow":
        return "short" if drawn == "none" else drawn
    return "long"


def _neckline(wardrobe: Wardrobe, kind: str) -> tuple[float, float, float]:
    """Height of a neckline, depth of its V or scoop, and half its width (see `Pattern`)."""
    between = wardrobe.between
    if kind == "v_neck":
        return 0.0, between(0.05, 0.12), between(0.05, 0.07)
    if kind in ("scoop", "tank", "dress_top"):
        return between(-0.025, -0.005), between(0.04, 0.10), -0.085
    if kind == "turtleneck":
        return 0.012, 0.0, 0.06
    if kind in ("shirt", "polo", "blouse"):
        closed = bool(wardrobe.draws("top.tie")) and kind == "shirt"
        depth = 0.0 if closed else between(0.02, 0.11)
        return 0.006, depth, 0.028 + 0.15 * depth
    return between(-0.012, 0.004), 0.0, 0.06


def make_top(
    wardrobe: Wardrobe, kind: str, pattern: Pattern, beneath: Sequence[Pattern], bare: bool
) -> Shell:
    """Sew a top with everything that belongs to its kind.

    Args:
        wardrobe: What it is made with.
        kind: One of `CUTS`.
        pattern: Its measures.
        beneath: Garments worn over it.
        bare: Whether its front can be seen: false under a closed jacket.
    """
    material = CUTS[kind][0]
    ribbed = kind in RIBBED and wardrobe.rng.random() < 0.4
    fabric = wardrobe.fabric("top", material, "ribs" if ribbed else "")
    shell = wardrobe.sew(kind, pattern, beneath)
    sleeves = wardrobe.second("top", material) if wardrobe.draws("top.colour_block") else None
    add_body(wardrobe, kind, shell, fabric, sleeves)
    if bare:
        _finish(wardrobe, kind, shell, fabric)
    return shell


def add_body(
    wardrobe: Wardrobe, name: str, shell: Shell, fabric: Fabric, sleeves: Fabric | None
) -> None:
    """Add the cloth itself, with sleeves of another fabric if one is given."""
    if sleeves is None:
        wardrobe.add(name, shell.cloth, fabric)
        return
    arm = shell.sheet.arm - 0.005
    for part, half in ((fabric, -arm), (sleeves, arm)):
        piece = shell.sheet.cut(np.minimum(shell.level, half))
        if len(piece.faces):
            wardrobe.add(name, piece.with_rim(0.002, 0.012), part)


def _finish(wardrobe: Wardrobe, kind: str, shell: Shell, fabric: Fabric) -> None:
    if kind in RIBBED:
        add_ribs(wardrobe, shell, ribs_of(fabric, wardrobe.rng), 0.05)
    elif kind in ("t_shirt", "v_neck", "long_sleeve", "scoop", "tank"):
        _add_neck_binding(wardrobe, shell, fabric)
    if kind in ("shirt", "polo", "blouse"):
        _add_shirt_front(wardrobe, kind, shell, fabric)
    elif kind == "turtleneck":
        mesh = folded_collar(wardrobe.fit, 0.055, 0.05, 0.004, 0.0, 0.0)
        wardrobe.put("turtleneck", mesh, ribs_of(fabric, wardrobe.rng))
    elif kind == "hoodie":
        if wardrobe.draws("headwear.kind") != "hood":
            size = wardrobe.between(0.85, 1.2)
            wardrobe.put("hood", hood_down(wardrobe.fit, wardrobe.rng, size), fabric)
        pocket = rectangle(
            shell, (-0.12, 0.12), (shell.pattern.lowest + 0.05, shell.pattern.lowest + 0.22)
        )
        side = np.abs(shell.sheet.rest[:, 0]) + 0.5 * (
            shell.sheet.rest[:, 2] - shell.pattern.lowest
        )
        wardrobe.add("pocket", shell.patch(np.minimum(pocket, 0.17 - side), 0.003), fabric)
    if kind in ("t_shirt", "long_sleeve", "sweater", "hoodie") and wardrobe.draws("top.print"):
        _add_print(wardrobe, shell, fabric)


def add_ribs(wardrobe: Wardrobe, shell: Shell, ribs: Fabric, width: float) -> None:
    """Knitted bands at hem, cuffs and neckline."""
    pattern, sheet = shell.pattern, shell.sheet
    on_trunk = sheet.arm < -0.05
    hem = np.where(on_trunk, pattern.lowest + width - sheet.rest[:, 2], -0.1)
    cuff = sheet.arm - (pattern.sleeve - width)
    wardrobe.add("hem", shell.patch(hem, 0.0012), ribs)
    if pattern.sleeve > 0.1:
        wardrobe.add("cuffs", shell.patch(cuff, 0.0012), ribs)
    neck = np.where(on_trunk, 0.02 - _to_neckline(wardrobe, shell), -0.1)
    wardrobe.add("neckband", shell.patch(neck, 0.0015), ribs)


def _to_neckline(wardrobe: Wardrobe, shell: Shell) -> np.ndarray:
    high = wardrobe.fit.above_neck(shell.sheet.rest) > -0.2
    return np.where(high, shell.level, 1.0)


def _add_neck_binding(wardrobe: Wardrobe, shell: Shell, fabric: Fabric) -> None:
    contrast = wardrobe.rng.random() < 0.15
    binding = wardrobe.second("top", "jersey") if contrast else seam_of(fabric)
    width = wardrobe.between(0.012, 0.022)
    near = np.where(shell.sheet.arm < -0.06, width - _to_neckline(wardrobe, shell), -0.1)
    shade = (fabric.texture * 0.93).astype(np.uint8)
    band = binding if contrast else Fabric(shade, fabric.surface)
    wardrobe.add("neckband", shell.patch(near, 0.0016), band)
    if shell.pattern.sleeve > 0:
        edge = shell.pattern.sleeve - shell.sheet.arm
        wardrobe.add(
            "seam", shell.patch(ring(shell, edge, 0.019, 0.0215), 0.0006, 0.0006), seam_of(fabric)
        )
    hem = shell.sheet.rest[:, 2] - shell.pattern.lowest
    line = np.where(shell.sheet.arm < -0.05, ring(shell, hem, 0.02, 0.0225), -0.1)
    wardrobe.add("seam", shell.patch(line, 0.0006, 0.0006), seam_of(fabric))


def _add_shirt_front(wardrobe: Wardrobe, kind: str, shell: Shell, fabric: Fabric) -> None:
    fit, pattern = wardrobe.fit, shell.pattern
    neck = fit.joint("neck01")[2]
    low = neck - 0.22 if kind == "polo" else pattern.lowest
    front = rectangle(shell, (-0.016, 0.016), (low, neck + 0.02))
    wardrobe.add("placket", shell.patch(front, 0.0022), fabric)
    top = neck - 0.075 - pattern.neck_depth
    heights = np.arange(top, low + 0.02, -0.075 if kind == "polo" else -0.085)
    pearl = wardrobe.coloured("white" if wardrobe.rng.random() < 0.7 else "black", PLASTIC)
    if len(heights):
        wardrobe.put("buttons", buttons(shell, heights, 0.0, 0.0055, 0.003), pearl)
    tied = bool(wardrobe.draws("top.tie")) and kind == "shirt"
    start = 0.06 if tied else 0.16 + 2.2 * pattern.neck_depth
    stand = wardrobe.between(0.026, 0.036)
    collar = folded_collar(
        fit,
        stand,
        stand + wardrobe.between(0.008, 0.018),
        0.006,
        start,
        0.006 if wardrobe.draws("jacket.kind") != "none" else wardrobe.between(0.01, 0.03),
    )
    other = kind == "polo" and wardrobe.draws("top.colour_block")
    wardrobe.put("collar", collar, wardrobe.second("top", "cotton") if other else fabric)
    if pattern.sleeve > fit.elbow * 1.3:
        cuff = shell.sheet.arm - (pattern.sleeve - 0.055)
        wardrobe.add("cuffs", shell.patch(cuff, 0.0018), fabric)
    if kind == "shirt" and not tied and wardrobe.rng.random() < 0.5:
        add_pocket(wardrobe, shell, fabric, 0.075)


def add_pocket(wardrobe: Wardrobe, shell: Shell, fabric: Fabric, x: float) -> None:
    """A patch pocket on the chest; x at rest, metres, positive on the left."""
    z = wardrobe.fit.height["chest"] + 0.06 * wardrobe.fit.size
    level = rectangle(shell, (x - 0.05, x + 0.05), (z, z + 0.115))
    point = z + 0.35 * np.abs(shell.sheet.rest[:, 0] - x)
    level = np.minimum(level, shell.sheet.rest[:, 2] - point + 0.0)
    wardrobe.add("pocket", shell.patch(level, 0.0022), fabric)
    line = np.minimum(level - 0.004, 0.006 - level)
    wardrobe.add("seam", shell.patch(line, 0.0027, 0.0004), seam_of(fabric))


def add_tie(wardrobe: Wardrobe, shell: Shell) -> None:
    """A necktie in a fabric of its own."""
    end = wardrobe.fit.height["waist"] - 0.02
    mesh = tie(wardrobe.fit, shell, end, wardrobe.between(0.026, 0.042))
    wardrobe.put("tie", mesh, wardrobe.fabric("tie", "silk"))
    wardrobe.names.append("tie")


def _add_print(wardrobe: Wardrobe, shell: Shell, fabric: Fabric) -> None:
    ground = fabric.texture.reshape(-1, 3).mean(0) / 255
    ink = colour_of(wardrobe.draws("top.second_tone"), wardrobe.rng)
    if np.abs(ink - ground).max() < 0.2:
        ink = 1 - ground
    half = wardrobe.between(0.04, 0.12)
    z = wardrobe.fit.height["chest"] + 0.08 * wardrobe.fit.size
    x = 0.0 if half > 0.06 else 0.07
    level = rectangle(shell, (x - half, x + half), (z - half, z + half))
    sheet = shell.sheet.cut(np.minimum(level, shell.level - 0.02)).raised(0.0006)
    if len(sheet.faces):
        picture = Fabric(emblem(wardrobe.rng, ground, ink), fabric.surface)
        span = np.array([x - half, z - half, x + half, z + half])
        wardrobe.parts.append(print_part(wardrobe.fit, "print", sheet, picture, span))


def add_zip_collar(wardrobe: Wardrobe, fabric: Fabric, start: float, height: float) -> None:
    """A collar that stands up, of a jacket with a zip."""
    wardrobe.put("collar", standing_collar(wardrobe.fit, height, 0.016, start), fabric)
