"""Clothes: whole outfits over a posed body, procedural or from a MakeHuman folder."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.humans.bodies import BodyModel, PosedBody
from david_hf.synthetic.humans.fabrics import Fabric
from david_hf.synthetic.humans.makehuman import MakeHumanFolder
from david_hf.synthetic.mesh import FloatArray
from david_hf.synthetic.scene import Part

from .bottoms import CUTS as TROUSERS
from .bottoms import SKIRTS, make_skirt, make_trousers, skirt_pattern, trousers_pattern
from .extras import (
    HOODED,
    add_glasses,
    add_headwear,
    add_shoes,
    add_small_things,
    add_socks,
    boot_pattern,
)
from .fitting import Fit
from .head import Head
from .jackets import is_seated, jacket_pattern, make_jacket
from .makehuman_clothes import wear_shoes, wear_suit
from .shells import CLOSED, Pattern
from .tops import add_tie, make_top, top_pattern
from .wardrobe import Wardrobe


@dataclass(frozen=True)
class Outfit:
    """What a person wears.

    Attributes:
        parts: Meshes, all of them human.
        hides: Base vertices whose skin is covered and need not be drawn.
        outer: (19158, 3) posed outermost position over each base vertex; skin where bare.
        scalp_free: (19158,) where hair may root.
        hair_limit: Metres hair may stand off the head beneath headwear, or None.
        names: What is worn.
    """

    parts: list[Part]
    hides: NDArray[np.integer]
    outer: FloatArray
    scalp_free: NDArray[np.bool_]
    hair_limit: float | None
    names: list[str]


def dress(
    draws: Draws,
    model: BodyModel,
    body: PosedBody,
    makehuman: MakeHumanFolder | None,
    texture_size: int,
) -> Outfit:
    """Draw an outfit and make it.

    Args:
        draws: Of the section "clothes"; sex, age, close_up and pose are put beforehand.
        model: The body model.
        body: The posed body.
        makehuman: Garments of a MakeHuman folder, used in some outfits; None for procedural ones.
        texture_size: Side of textures, pixels.
    """
    wardrobe = Wardrobe(draws, Fit(model, body), texture_size)
    draws("theme")
    suited = False
    if draws("makehuman") and makehuman is not None:
        suited = wear_suit(wardrobe, makehuman)
    if not suited:
        _clothe(wardrobe)
    draws.put("makehuman", suited)
    kind = draws("shoes.kind")
    if suited and makehuman is not None and wear_shoes(wardrobe, makehuman):
        draws.put("shoes.kind", "makehuman")
    else:
        add_shoes(wardrobe, kind)
    head = Head(wardrobe.fit)
    scalp, limit = np.ones(len(body.vertices), bool), None
    if draws("headwear.kind") == "hood" and not any(p.name in HOODED for p in wardrobe.parts):
        draws.put("headwear.kind", "beanie")
    if draws("headwear.kind") != "none":
        hat = add_headwear(wardrobe, head, draws("headwear.kind"))
        scalp, limit = hat.scalp_free, hat.hair_limit
    if draws("glasses.kind") != "none":
        add_glasses(wardrobe, head, draws("glasses.kind"))
    add_small_things(wardrobe, head)
    fit = wardrobe.fit
    outer = np.where(fit.covered[:, None], fit.outer, body.vertices)
    return Outfit(wardrobe.parts, np.flatnonzero(fit.hides), outer, scalp, limit, wardrobe.names)


def _clothe(wardrobe: Wardrobe) -> None:
    """Bottom, top and jacket, from the inside out."""
    draws, fit = wardrobe.draws, wardrobe.fit
    bottom, top, jacket = draws("bottom.kind"), draws("top.kind"), draws("jacket.kind")
    if is_seated(fit) and bottom in ("dress", *SKIRTS):  # which would stand off a lap like a bell
        bottom = draws.put("bottom.kind", "straight")
    skirted = bottom in ("dress", *SKIRTS)
    if bottom == "dress":
        top = "dress_top"
        jacket = jacket if jacket in ("cardigan", "blazer", "coat") else "none"
    tucked = skirted or draws("top.tucked")
    draws.put("top.tucked", tucked)
    over = [] if jacket == "none" else [jacket_pattern(wardrobe, jacket)]
    lower = skirt_pattern(fit) if skirted else trousers_pattern(wardrobe, bottom)
    pattern = top_pattern(wardrobe, top)
    if over and not tucked:
        over = [replace(over[0], lowest=min(over[0].lowest, pattern.lowest - 0.02))]
    add_socks(wardrobe)
    if tucked:
        bare = not over or over[0].opening > CLOSED
        shell = make_top(wardrobe, top, pattern, [*over, lower], bare)
        _lower(wardrobe, bottom, lower, [])
    else:
        _lower(wardrobe, bottom, lower, [pattern])
        shell = make_top(wardrobe, top, pattern, over, not over or over[0].opening > CLOSED)
    if draws.put("top.tie", draws("top.tie") and top == "shirt"):
        add_tie(wardrobe, shell)
    if over:
        make_jacket(wardrobe, jacket, over[0])
    draws.put("top.kind", top)  # what is worn, not what was drawn: a dress has its own
    draws.put("jacket.kind", jacket)


def _lower(wardrobe: Wardrobe, bottom: str, pattern: Pattern, beneath: list[Pattern]) -> None:
    if bottom in TROUSERS:
        if wardrobe.draws("shoes.kind") == "boots":
            beneath = [*beneath, boot_pattern(wardrobe)]
        make_trousers(wardrobe, bottom, pattern, beneath)
    elif bottom == "dress":
        fabric = next(
            Fabric(part.texture, part.surface)
            for part in wardrobe.parts
            if part.name == "dress_top"
        )
        make_skirt(wardrobe, wardrobe.draws("bottom.skirt"), fabric)
    else:
        make_skirt(wardrobe, bottom, wardrobe.fabric("bottom", "cotton"))
