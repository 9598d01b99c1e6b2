"""Garments of a MakeHuman folder: fitted, posed and recoloured."""

import numpy as np
from PIL import Image

from david_hf.synthetic.humans.bodies import skin
from david_hf.synthetic.humans.fabrics import Fabric, colour_of, weave_fabric
from david_hf.synthetic.humans.makehuman import Garment, MakeHumanFolder
from david_hf.synthetic.mesh import Mesh
from david_hf.synthetic.scene import Part
from david_hf.synthetic.textures import Texture, read_texture

from .parts import worn
from .wardrobe import LEATHER, Wardrobe


def wear_suit(wardrobe: Wardrobe, folder: MakeHumanFolder) -> bool:
    """Put on a whole outfit of the folder; false if it holds none for this sex."""
    suits = folder.named(wardrobe.draws.drawn.get("sex", "male"))
    if not suits:
        return False
    suit = suits[int(wardrobe.rng.integers(len(suits)))]
    size = wardrobe.texture_size
    texture = read_texture(suit.texture, size)[..., :3] if suit.texture else None
    if texture is None:
        fabric = wardrobe.fabric("jacket", "cotton", "plain")
    else:
        if wardrobe.rng.random() < 0.8:
            texture = recolour(texture, wardrobe)
        plain = weave_fabric(wardrobe.rng, "cotton", "plain", np.ones(3), np.ones(3), 64)
        fabric = Fabric(texture, plain.surface)
    wardrobe.parts.append(_part(wardrobe, suit, fabric))
    return True


def wear_shoes(wardrobe: Wardrobe, folder: MakeHumanFolder) -> bool:
    """Put on a pair of shoes of the folder; false if it holds none."""
    pairs = folder.named("shoes")
    if not pairs:
        return False
    pair = pairs[int(wardrobe.rng.integers(len(pairs)))]
    if pair.texture:
        texture = recolour(read_texture(pair.texture, 512)[..., :3], wardrobe)
    else:
        colour = colour_of(wardrobe.draws("shoes.tone"), wardrobe.rng)
        texture = weave_fabric(wardrobe.rng, "leather", "plain", colour, colour, 256).texture
    wardrobe.parts.append(_part(wardrobe, pair, Fabric(texture, LEATHER)))
    return True


def recolour(texture: Texture, wardrobe: Wardrobe) -> Texture:
    """Turn the hue, draw saturation and brightness anew; half of the results are dark."""
    rng = wardrobe.rng
    hsv = np.asarray(Image.fromarray(texture).convert("HSV")).astype(np.float64)
    hsv[..., 0] = (hsv[..., 0] + rng.integers(0, 256)) % 256
    dark = rng.random() < 0.5
    saturation = rng.uniform(0.0, 0.4) if dark else rng.uniform(0.1, 1.1)
    gamma = rng.uniform(1.3, 2.6) if dark else rng.uniform(0.6, 1.4)
    hsv[..., 1] *= saturation
    hsv[..., 2] = 255 * (hsv[..., 2] / 255) ** gamma
    picture = Image.fromarray(np.clip(hsv, 0, 255).astype(np.uint8), "HSV")
    return np.asarray(picture.convert("RGB"))


def _part(wardrobe: Wardrobe, garment: Garment, fabric: Fabric) -> Part:
    """Fit at rest, then skin with the base mesh's weights at the binding."""
    fit = wardrobe.fit
    weights = fit.model.skin_weights[garment.base_index] * garment.base_weight[..., None]
    weights = weights.sum(1)
    weights = weights / weights.sum(1, keepdims=True)
    points = skin(garment.fit(fit.rest), weights, fit.body.transforms)
    covered = np.array(sorted(garment.hides), int)
    fit.hides[covered] = True
    fit.covered[covered] = True
    fit.outer[covered] += 0.012 * fit.body.normals[covered]
    wardrobe.names.append(garment.name)
    return worn(
        garment.name,
        Mesh(points, garment.mesh.faces, garment.mesh.uv, garment.mesh.uv_faces),
        fabric,
    )
