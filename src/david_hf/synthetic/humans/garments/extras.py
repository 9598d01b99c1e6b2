"""Shoes, headwear, glasses, jewellery and other small things, as drawn."""

import numpy as np

from david_hf.synthetic.humans.fabrics import Fabric, colour_of, plain, weave_fabric
from david_hf.synthetic.scene import Surface

from . import accessories, headwear
from .bottoms import add_tights
from .head import Head
from .headwear import Headwear
from .shells import Pattern
from .shoes import Last
from .trimmings import scarf
from .wardrobe import LEATHER, METAL, PLASTIC, RUBBER, Wardrobe, seam_of

# kind: (material, collar above the ankle, throat before it, sole, wall, heel, spread), metres
SHOES = {
    "sneakers": ("cotton", 0.002, 0.045, 0.018, 0.018, 0.004, 0.002),
    "high_tops": ("cotton", 0.045, 0.03, 0.018, 0.016, 0.0, 0.002),
    "leather": ("leather", -0.012, 0.05, 0.010, 0.004, 0.014, 0.003),
    "loafers": ("leather", -0.02, 0.075, 0.010, 0.004, 0.012, 0.002),
    "boots": ("leather", 0.035, 0.02, 0.016, 0.008, 0.016, 0.003),
    "ballerinas": ("leather", -0.034, 0.125, 0.007, 0.002, 0.003, 0.001),
}
HOODED = ("zip", "puffer", "gilet", "hoodie")  # garments whose hood can be up


def add_shoes(wardrobe: Wardrobe, kind: str) -> None:
    """A pair of shoes; sandals and bare feet have their own ways."""
    wardrobe.names.append(kind)
    if kind == "barefoot":
        return
    material, collar, throat, sole, wall, heel, spread = SHOES[kind]
    fit, rng = wardrobe.fit, wardrobe.rng
    first = colour_of(wardrobe.draws("shoes.tone"), rng)
    cloth = weave_fabric(rng, material, "plain", first, first, 256)
    sole_tone = wardrobe.draws("shoes.sole_tone") if kind in ("sneakers", "high_tops") else "black"
    rubber = wardrobe.coloured(sole_tone, RUBBER)
    for side in ("L", "R"):
        last = Last(fit, side, 0.005)
        wardrobe.add("shoe", last.upper(collar, throat).with_rim(0.004, 0.02), cloth)
        wardrobe.put("sole", last.sole(sole, wall, heel, spread), rubber)
        if kind in ("sneakers", "high_tops", "boots", "leather"):
            lace = rubber if kind == "sneakers" else seam_of(cloth)
            wardrobe.put("laces", last.laces(3, throat), lace)
    toes = np.char.startswith(fit.model.bone_of, "toe")
    if kind != "ballerinas":
        toes |= fit.rest[:, 2] < fit.height["ankle"] + collar - 0.04
        toes &= np.char.startswith(fit.model.bone_of, ("toe")) | (
            fit.rest[:, 1] < fit.joint("foot.L")[1] - throat - 0.03
        )
    fit.hides |= toes & fit.on_skin
    if kind == "boots":
        shell = wardrobe.sew("boot legs", boot_pattern(wardrobe))
        wardrobe.add("boots", shell.cloth, cloth, legs=True)


def boot_pattern(wardrobe: Wardrobe) -> Pattern:
    """The legs of boots."""
    ankle = wardrobe.fit.height["ankle"]
    high = ankle + wardrobe.draws("shoes.boot_height") * wardrobe.fit.size
    return Pattern(
        ankle - 0.035, high, is_trousers=True, ease=0.012, loose=0.5, folds=0.003, smoothing=4,
        steps=2,
    )  # fmt: skip


def add_headwear(wardrobe: Wardrobe, head: Head, kind: str) -> Headwear:
    """A hat or scarf of a kind."""
    rng = wardrobe.rng
    makers = {
        "beanie": lambda: headwear.beanie(head, rng, float(rng.uniform(0, 1) ** 2)),
        "cap": lambda: headwear.cap(head, rng),
        "hat": lambda: headwear.brimmed_hat(head, rng, float(rng.uniform(0.045, 0.10))),
        "headband": lambda: headwear.headband(head, rng),
        "helmet": lambda: headwear.helmet(head, rng),
        "hood": lambda: headwear.wrap(head, rng, 0.026, 0.17 * head.scale, 1.12),
        "head_scarf": lambda: headwear.wrap(head, rng, 0.008, 0.25 * head.scale, 0.98),
    }
    made = makers[kind]()
    materials = {"helmet": "nylon", "beanie": "knit", "hood": "fleece", "hat": "wool"}
    pattern = "ribs" if kind == "beanie" else ""
    fabric = wardrobe.fabric("headwear", materials.get(kind, "cotton"), pattern)
    if kind == "helmet":
        fabric = wardrobe.coloured(wardrobe.draws("headwear.tone"), PLASTIC)
    if kind == "hood":
        hooded = next(part for part in wardrobe.parts if part.name in HOODED)
        fabric = Fabric(hooded.texture, hooded.surface)
    same = rng.random() < 0.5 or kind in ("helmet",)
    other = fabric if same else wardrobe.second("headwear", materials.get(kind, "cotton"))
    for index, mesh in enumerate(made.meshes):
        wardrobe.put(kind, mesh, other if index else fabric)
    wardrobe.names.append(kind)
    return made


def add_glasses(wardrobe: Wardrobe, head: Head, kind: str) -> None:
    """Spectacles or sunglasses."""
    shape = wardrobe.draws("glasses.shape")
    thin = wardrobe.draws("glasses.frame") == "metal"
    frame, lenses = accessories.glasses(
        head, shape, 0.0009 if thin else wardrobe.between(0.0015, 0.0024)
    )
    tone = wardrobe.draws("glasses.tone")
    wardrobe.put("frame", frame, wardrobe.coloured(tone, METAL if thin else PLASTIC))
    if kind == "sunglasses":
        tint = plain(
            colour_of("black", wardrobe.rng) + wardrobe.between(0, 0.15), Surface("lens", 0.03)
        )
    else:
        tint = plain(np.full(3, wardrobe.between(0.93, 0.98)), Surface("lens", 0.02))
    wardrobe.put("lenses", lenses, tint)
    wardrobe.names.append(kind)


def add_small_things(wardrobe: Wardrobe, head: Head) -> None:
    """Mask, scarf, earrings, necklace, watch, wristband."""
    draws, fit = wardrobe.draws, wardrobe.fit
    if draws("extras.mask"):
        mask, straps = accessories.face_mask(head)
        tone = str(wardrobe.rng.choice(["white", "pastel", "black"], p=[0.4, 0.4, 0.2]))
        cloth = wardrobe.coloured(tone, Surface("fabric", 0.9, 0.2))
        wardrobe.put("mask", mask, cloth)
        wardrobe.put("straps", straps, wardrobe.coloured("white", RUBBER))
        wardrobe.names.append("mask")
    if draws("extras.scarf"):
        wardrobe.put("scarf", scarf(fit, wardrobe.rng), wardrobe.fabric("scarf", "wool"))
        wardrobe.names.append("scarf")
    covered = draws("headwear.kind") in ("hood", "head_scarf")
    if draws("extras.earrings") != "none" and covered:
        draws.put("extras.earrings", "none")
    if draws("extras.earrings") != "none":
        hoop = draws("extras.earrings") == "hoops"
        mesh = accessories.earrings(head, wardrobe.between(0.008, 0.022), hoop)
        wardrobe.put("earrings", mesh, _metal(wardrobe))
    if draws("extras.necklace"):
        mesh = accessories.necklace(
            fit, wardrobe.between(0.03, 0.12), wardrobe.between(0.001, 0.003)
        )
        wardrobe.put("necklace", mesh, _metal(wardrobe))
    _wrists(wardrobe)


def _wrists(wardrobe: Wardrobe) -> None:
    kind = wardrobe.draws("extras.wrist")
    if kind == "watch":
        strap, dial = accessories.watch(wardrobe.fit, "L")
        wardrobe.put("strap", strap, wardrobe.coloured("black", LEATHER))
        wardrobe.put("dial", dial, _metal(wardrobe))
    elif kind == "wristband":
        band, _, _ = accessories.wristband(wardrobe.fit, "R", 0.012, 0.001)
        wardrobe.put("wristband", band, wardrobe.coloured("vivid", RUBBER))


def _metal(wardrobe: Wardrobe) -> Fabric:
    gold = wardrobe.rng.random() < 0.5
    return plain(np.array([0.85, 0.65, 0.35] if gold else [0.75, 0.75, 0.76]), METAL)


def add_socks(wardrobe: Wardrobe) -> None:
    """Socks up to the calf or tights up to the waist, as drawn."""
    legs, height = wardrobe.draws("legwear.kind"), wardrobe.fit.height
    if legs == "none":
        return
    first = colour_of(wardrobe.draws("legwear.tone"), wardrobe.rng)
    fabric = weave_fabric(wardrobe.rng, "jersey", "plain", first, first, 256)
    high = (
        height["waist"] - 0.05
        if legs == "tights"
        else height["ankle"] + wardrobe.between(0.05, 0.16)
    )
    add_tights(wardrobe, fabric, -9.0, high, legs)
