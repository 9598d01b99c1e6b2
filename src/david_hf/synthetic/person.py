"""One dressed person as meshes and strands: skin, eyes, mouth, brows, clothes, hair, beard."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from david_hf.data.colour import linear_to_srgb, srgb_to_linear

from . import clothing, hair, materials
from .bodies import BodyModel, PosedBody, skin
from .hair import HeadFrame
from .makehuman import Garment, MakeHumanFolder
from .mesh import Mesh


@dataclass
class Part:
    """One mesh with one material.

    Attributes:
        kind: Material: skin, fabric, leather, eye, matte (teeth, tongue) or card (alpha-mapped
            hair).
        mesh: Posed mesh, world metres, z up.
        texture: sRGB colour (H, W, 3) uint8.
        opacity: (H, W) uint8 for cards, else None.
    """

    kind: str
    mesh: Mesh
    texture: NDArray[np.uint8]
    opacity: NDArray[np.uint8] | None = None


@dataclass
class Strands:
    """A group of hair strands: points (N, K, 3) metres and their proxy normals (N * K, 3)."""

    points: NDArray[np.float32]
    normals: NDArray[np.float32]


@dataclass(frozen=True)
class Studio:
    """What all people are made with.

    Attributes:
        model: The body model.
        makehuman: Assets of a MakeHuman data folder, or None for procedural ones only.
        num_strands: Hair strands of a full head.
        texture_size: Side of textures, pixels.
    """

    model: BodyModel
    makehuman: MakeHumanFolder | None
    num_strands: int = 30_000
    texture_size: int = 1024


@dataclass(frozen=True)
class Traits:
    """What decides textures and hair: sex, ancestry, and the melanin and redness of the hair."""

    male: bool
    ancestry: str
    melanin: float
    redness: float


class Person:
    """Turns a posed body into parts; each method draws from `rng` in turn.

    Attributes:
        clothes: Names of what is worn, once `parts` was called.
        has_beard: Whether `hair` grew one.
    """

    def __init__(
        self, studio: Studio, rng: np.random.Generator, body: PosedBody, traits: Traits
    ) -> None:
        self.studio, self.model, self.assets = studio, studio.model, studio.makehuman
        self.rng, self.body, self.traits = rng, body, traits
        self.hair_rgb = hair.colour_of_melanin(traits.melanin, traits.redness)
        self.clothes: list[str] = []
        self.has_beard = False

    def parts(self, with_shoes: bool) -> list[Part]:
        """Skin first, then eyes, mouth, brows and clothes."""
        clothes, hidden = self._clothes(with_shoes)
        covered = np.isin(self.model.surface.faces, hidden).any(axis=1)
        surface = self.model.surface.select(np.logical_not(covered))
        skin_part = Part("skin", self._posed(surface), self._skin_texture())
        return [skin_part, *self._eyes(), *self._mouth(), *self._brows(), *clothes]

    def hair(self) -> tuple[str, list[Strands], list[Part]]:
        """Name of the style, strands of head and beard, and hair cards."""
        table = hair.MALE_STYLES if self.traits.male else hair.FEMALE_STYLES
        style = str(self.rng.choice(list(table), p=list(table.values())))
        cards = [card for card in self._of_kind("hair") if card.texture]
        if style == "card" and not cards:
            style = "short"
        groups, parts = [], []
        if style == "card":
            parts.append(self._hair_card(cards[self.rng.integers(len(cards))]))
        elif style != "bald":
            count = self.studio.num_strands // (2 if style == "buzz" else 1)
            groups.append(self._strands(style, count))
        if self.traits.male and self.rng.random() < 0.4:
            self.has_beard = True
            groups.append(self._strands("beard", self.studio.num_strands // 3))
        return style, groups, parts

    def _of_kind(self, kind: str, prefix: str = "") -> list[Garment]:
        return self.assets.of_kind(kind, prefix) if self.assets else []

    def _pick(self, garments: list[Garment]) -> Garment:
        return garments[int(self.rng.integers(len(garments)))]

    def _posed(self, part: Mesh) -> Mesh:
        return Mesh(self.body.vertices, part.faces, part.uv, part.uv_faces)

    def _wear(self, garment: Garment) -> Mesh:
        """Fit at rest, then skin with the base mesh's weights at the binding."""
        weights = self.model.skin_weights[garment.base_index] * garment.base_weight[..., None]
        weights = weights.sum(1)
        weights = weights / weights.sum(1, keepdims=True)
        fitted = skin(garment.fit(self.body.rest.vertices), weights, self.body.transforms)
        return Mesh(fitted, garment.mesh.faces, garment.mesh.uv, garment.mesh.uv_faces)

    def _texture(self, garment: Garment, size: int) -> NDArray[np.uint8] | None:
        return materials.read_texture(garment.texture, size) if garment.texture else None

    def _clothes(self, with_shoes: bool) -> tuple[list[Part], NDArray[np.integer]]:
        suits = self._of_kind("clothes", "male" if self.traits.male else "female")
        parts, hidden = [], []
        if suits and self.rng.random() < 0.4:
            suit = self._pick(suits)
            texture = self._texture(suit, self.studio.texture_size)
            if texture is None:
                texture = materials.fabric(self.rng)
            elif self.rng.random() < 0.8:
                texture = materials.recolour(texture, self.rng)
            parts.append(Part("fabric", self._wear(suit), texture[..., :3]))
            hidden.append(np.array(sorted(suit.hides), int))
            self.clothes.append(suit.name)
        else:
            for piece in clothing.dress(self.rng, self.model, self.body, self.traits.male):
                parts.append(Part("fabric", piece.mesh, materials.fabric(self.rng)))
                hidden.append(piece.hides)
                self.clothes.append(piece.name)
        shoes = self._of_kind("clothes", "shoes")
        if shoes and with_shoes and self.rng.random() < 0.92:
            pair = self._pick(shoes)
            texture = self._texture(pair, 512)
            leather = materials.flat([0.03] * 3) if texture is None else texture
            parts.append(Part("leather", self._wear(pair), materials.recolour(leather, self.rng)))
            hidden.append(np.array(sorted(pair.hides), int))
        return parts, np.concatenate(hidden)

    def _skin_texture(self) -> NDArray[np.uint8]:
        size = self.studio.texture_size
        if self.assets and self.assets.skins:
            return materials.skin_from_pictures(
                self.assets, self.rng, self.traits.ancestry, self.traits.male, size
            )
        masks = self.model.data_dir / "textures"
        return materials.procedural_skin(masks, self.rng, self.traits.ancestry, size)

    def _eyes(self) -> Iterator[Part]:
        meshes = self._of_kind("eyes", "high-poly")
        if meshes and self.assets and self.assets.irises:
            brown = [path for path in self.assets.irises if "brown" in path.name]
            mostly_brown = self.traits.ancestry != "caucasian" and self.rng.random() < 0.95
            choice = brown if brown and mostly_brown else self.assets.irises
            iris = materials.read_texture(choice[int(self.rng.integers(len(choice)))], 512)
            opacity = iris[..., 3] if iris.shape[2] == 4 else None
            yield Part("eye", self._wear(meshes[0]), iris[..., :3], opacity)
            return
        texture = materials.procedural_iris(self.rng)
        for name in ("helper-l-eye", "helper-r-eye"):
            yield Part("eye", self._posed(self._front_projected(self.model.parts[name])), texture)

    def _front_projected(self, part: Mesh) -> Mesh:
        """The eyeball with uv from its front view; its back takes the white's colour."""
        rest = self.body.rest.vertices
        used = np.unique(part.faces)
        centre = rest[used].mean(0)
        unit = (rest - centre) / np.abs(rest[used] - centre).max()
        uv = 0.5 + 0.5 * np.clip(unit[:, [0, 2]], -1, 1)
        uv[unit[:, 1] > 0.3] = 0.01
        return Mesh(rest, part.faces, uv, part.faces)

    def _mouth(self) -> Iterator[Part]:
        ivory, tongue = materials.flat([0.55, 0.52, 0.45]), materials.flat([0.45, 0.12, 0.12])
        teeth = self._of_kind("teeth", "teeth_base")
        if teeth:
            yield Part("matte", self._wear(teeth[0]), ivory)
        else:
            for name in ("helper-upper-teeth", "helper-lower-teeth"):
                yield Part("matte", self._posed(self.model.parts[name]), ivory)
        yield Part("matte", self._posed(self.model.parts["helper-tongue"]), tongue)

    def _brows(self) -> Iterator[Part]:
        for kind, colour in (("eyelashes", np.full(3, 0.02)), ("eyebrows", self.hair_rgb * 0.6)):
            cards = [card for card in self._of_kind(kind) if card.texture]
            if cards:
                card = self._pick(cards)
                texture = self._texture(card, 256)
                if texture is not None and texture.shape[2] == 4:
                    opacity = texture[..., 3]
                    yield Part("card", self._wear(card), materials.flat(colour), opacity)

    def _hair_card(self, card: Garment) -> Part:
        """A card hair with the luminance of its texture and the colour of this person's hair."""
        texture = self._texture(card, self.studio.texture_size)
        if texture is None or texture.shape[2] != 4:
            raise ValueError(f"hair {card.name}: expected an RGBA texture, got {card.texture}")
        luminance = srgb_to_linear(texture[..., :3] / 255).mean(2, keepdims=True)
        visible = texture[..., 3] > 50
        coloured = np.clip(luminance / luminance[visible].mean() * self.hair_rgb, 0, 0.9)
        srgb = materials.to_8bit(linear_to_srgb(coloured))
        return Part("card", self._wear(card), srgb, texture[..., 3])

    @cached_property
    def _head_frame(self) -> HeadFrame:
        """The posed body seen from the head; hair and beard share it."""
        model, head = self.model, self.body.transforms[self.model.bone("head")]
        rotation, origin = head[:3, :3], head[:3, 3]
        vertices = (self.body.vertices - origin) @ rotation
        joints = self.body.rest.joints
        on_head = np.zeros(len(vertices), bool)
        on_head[model.vertices_of(["head", "neck03", "neck02"])] = True
        return HeadFrame(
            vertices=vertices,
            normals=self.body.normals @ rotation,
            faces=model.surface.faces,
            on_head=on_head,
            eyes=joints[[model.bone("eye.L"), model.bone("eye.R")]],
            mouth=vertices[np.unique(model.parts["joint-mouth"].faces)].mean(0),
            down=rotation.T @ [0, 0, -1.0],
        )

    def _strands(self, style: str, count: int) -> Strands:
        """Grow hair in the head's frame, where styles are defined, with the world's gravity."""
        head = self.body.transforms[self.model.bone("head")]
        strands = hair.grow(self.rng, self._head_frame, style, count)
        posed = (strands @ head[:3, :3].T + head[:3, 3]).astype(np.float32)
        on_head = self._head_frame.on_head
        depths = np.array([0.002, 0.008, 0.014])[:, None, None]
        skull = self.body.vertices[on_head] - depths * self.body.normals[on_head]
        return Strands(posed, hair.proxy_normals(posed, skull.reshape(-1, 3)))
