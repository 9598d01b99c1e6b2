"""Sample a clothed, haired, posed person before a camera, as plain arrays."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from david_hf.data.colour import linear_to_srgb, srgb_to_linear

from . import clothing, hair, materials, poses
from .bodies import BodyModel, Identity, PosedBody, skin
from .camera_rig import Camera, frame_points
from .makehuman import Garment, MakeHumanFolder
from .mesh import FloatArray, Mesh, vertex_normals

CATEGORIES = ("face", "upper_body", "full_body")


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


@dataclass
class Scene:
    """Everything the renderer and the label writer need.

    Attributes:
        seed: Seeds the renderer and the composition.
        camera: The camera.
        parts: Meshes.
        strands: Hair and beard.
        hair: Shader values: melanin, redness and the strand radius in metres.
        light: Name of the HDRI file and its rotation about z in degrees.
        face: World position (3,) near the tip of the nose.
        facing: Unit direction (3,) the face looks in.
        skin_albedo: Mean linear RGB (3,) of the skin.
        factors: What was sampled (category, sex, age, ancestry, pose, hair, ...), for slicing
            results.
    """

    seed: int
    camera: Camera
    parts: list[Part]
    strands: list[Strands]
    hair: dict[str, float]
    light: dict[str, Any]
    face: FloatArray
    facing: FloatArray
    skin_albedo: FloatArray
    factors: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write one npz file without pickles: arrays, and the rest as JSON in `header`."""
        arrays: dict[str, Any] = {}
        for index, part in enumerate(self.parts):
            arrays |= {
                f"part{index}/vertices": part.mesh.vertices.astype(np.float32),
                f"part{index}/faces": part.mesh.faces.astype(np.int32),
                f"part{index}/uv": part.mesh.uv[part.mesh.uv_faces].astype(np.float32),
                f"part{index}/texture": part.texture,
            }
            if part.opacity is not None:
                arrays[f"part{index}/opacity"] = part.opacity
        for index, group in enumerate(self.strands):
            arrays |= {
                f"strands{index}/points": group.points,
                f"strands{index}/normals": group.normals,
            }
        header = {
            "seed": self.seed,
            "camera": asdict(self.camera),
            "kinds": [part.kind for part in self.parts],
            "num_strand_groups": len(self.strands),
            "hair": self.hair,
            "light": self.light,
        }
        arrays["header"] = np.array(json.dumps(header, default=_to_json))
        np.savez(path, **arrays)


def _to_json(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


class SceneSampler:
    """Draws scenes. One seed gives one scene, whatever was drawn before.

    Args:
        body_model: The body model (slow to build: share it).
        makehuman: Assets of a MakeHuman data folder, or None for procedural ones only.
        lights: Names of the HDRI files the renderer will find.
        size: Height and width of the pictures, pixels.
        num_strands: Hair strands of a full head.
        texture_size: Side of textures, pixels.
    """

    def __init__(
        self,
        body_model: BodyModel,
        makehuman: MakeHumanFolder | None,
        lights: list[str],
        size: tuple[int, int] = (512, 384),
        num_strands: int = 30_000,
        texture_size: int = 1024,
    ) -> None:
        self.model = body_model
        self.assets = makehuman
        self.lights = lights
        self.size = size
        self.num_strands = num_strands
        self.texture_size = texture_size

    def sample(self, seed: int) -> Scene:
        """The scene of `seed`."""
        rng = np.random.default_rng(seed)
        category = CATEGORIES[seed % 3]  # equal thirds, as in SynthHuman
        male = bool(rng.random() < 0.5)
        ancestry = str(rng.choice(["african", "asian", "caucasian"]))
        identity = sample_identity(rng, self.model, male, ancestry)
        rest = self.model.shape(identity)
        pose, body = poses.sample_pose(rng, self.model, rest, close_up=category == "face")
        melanin, redness = hair.sample_melanin(rng, ancestry)
        person = _Person(self, rng, body, male, ancestry, melanin, redness)
        parts = person.parts(with_shoes=category == "full_body")
        style, strands, cards = person.hair()
        camera = self._frame(rng, body, category, strands)
        head = body.transforms[self.model.bone("head")]
        facing = head[:3, :3] @ [0, -1.0, 0]
        eyes = skin_joints(body)[[self.model.bone("eye.L"), self.model.bone("eye.R")]].mean(0)
        skin_linear = srgb_to_linear(parts[0].texture / 255).reshape(-1, 3)
        thickness = 1.3e-4 * (30_000 / self.num_strands) ** 0.5 * rng.uniform(0.8, 1.3)
        return Scene(
            seed=seed,
            camera=camera,
            parts=parts + cards,
            strands=strands,
            hair={"melanin": melanin, "redness": redness, "radius": float(thickness)},
            light={
                "name": self.lights[int(rng.integers(len(self.lights)))],
                "rotation_deg": float(rng.uniform(0, 360)),
            },
            face=eyes + head[:3, :3] @ [0, 0.02, -0.03],
            facing=facing,
            skin_albedo=skin_linear.mean(0),
            factors={
                "category": category,
                "sex": "male" if male else "female",
                "ancestry": ancestry,
                "age": round(identity.phenotype["age"], 3),
                "weight": round(identity.phenotype["weight"], 3),
                "pose": pose,
                "hair": style,
                "beard": person.has_beard,
                "melanin": round(melanin, 3),
                "skin_luminance": round(float(skin_linear.mean()), 4),
                "clothes": person.clothes,
            },
        )

    def _frame(
        self, rng: np.random.Generator, body: PosedBody, category: str, strands: list[Strands]
    ) -> Camera:
        """Frame the head, the upper body or the whole body from around its front."""
        model = self.model
        neck = body.rest.joints[model.bone("neck03"), 2]
        on_head = model.vertices_of(["head"])
        on_head = on_head[body.rest.vertices[on_head, 2] > neck]
        points = [body.vertices[on_head]]
        chin = body.vertices[on_head, 2].min()
        if strands:
            tips = strands[0].points[::50].reshape(-1, 3)
            points.append(tips[tips[:, 2] > chin - 0.02])
        facing = body.transforms[model.bone("head")][:3, :3] @ [0, -1.0, 0]
        azimuth, elevation = np.arctan2(facing[0], -facing[1]), rng.normal(0, 0.14)
        if category == "face":
            azimuth, margin = azimuth + rng.normal(0, 0.55), rng.uniform(0.97, 1.7)
        elif category == "upper_body":
            chest = ["spine01", "spine02", "spine03", "clavicle.L", "clavicle.R"]
            chest += ["spine04", "spine05"][: int(rng.integers(3))]
            points.append(body.vertices[model.vertices_of(chest)])
            azimuth, margin = azimuth + rng.normal(0, 0.6), rng.uniform(1.02, 1.4)
        else:
            points.append(body.vertices[model.surface_vertices])
            azimuth, margin = rng.normal(0, 1.0), rng.uniform(1.03, 1.3)
        direction = np.array(
            [
                np.sin(azimuth) * np.cos(elevation),
                -np.cos(azimuth) * np.cos(elevation),
                np.sin(elevation),
            ]
        )
        fov_y = np.deg2rad(rng.uniform(16, 50))
        # Who frames a head or a chest does not leave it at the picture's foot.
        lowest = -1.0 if category == "full_body" else -0.25
        points_seen = np.concatenate(points)
        return frame_points(rng, points_seen, direction, fov_y, self.size, margin, lowest)


def sample_identity(
    rng: np.random.Generator, model: BodyModel, male: bool, ancestry: str
) -> Identity:
    """Body shape, face shape and expression."""
    grown = rng.random() < 0.87  # anny: 0.4 is a child of about ten, 0.67 a young adult
    phenotype = {
        "gender": float(rng.uniform(0, 0.15) if male else rng.uniform(0.85, 1)),
        "age": float(rng.uniform(0.55, 0.98) if grown else rng.uniform(0.38, 0.55)),
        "muscle": float(rng.uniform(0.2, 0.8)),
        "weight": float(rng.uniform(0.15, 0.9)),
        "height": float(rng.uniform(0.3, 0.7)),
        "proportions": float(rng.uniform(0.3, 0.9)),
        "cupsize": float(rng.uniform(0.3, 0.7)),
        "firmness": float(rng.uniform(0.3, 0.7)),
    } | {name: float(name == ancestry) for name in ("african", "asian", "caucasian")}
    regions = ("nose", "mouth", "chin", "cheek", "head", "eye", "ear", "forehead", "neck")
    of_face = [
        label
        for label in model.local_change_labels
        if any(label.startswith(region) or f"-{region}" in label for region in regions)
    ]
    changes = {
        label: float(np.clip(rng.normal(0, 0.22), -0.6, 0.6))
        for label in of_face
        if rng.random() < 0.5
    }
    expression = {
        label: float(rng.beta(0.5, 3))
        for label in model.facial_action_labels
        if rng.random() < 0.2 and "tongue" not in label
    }
    if rng.random() < 0.4:
        expression["mouthSmileLeft"] = expression["mouthSmileRight"] = rng.uniform(0.3, 0.9)
    return Identity(phenotype, changes, expression)


def skin_joints(body: PosedBody) -> FloatArray:
    """Posed joint positions (bones, 3)."""
    rest = np.concatenate([body.rest.joints, np.ones((len(body.rest.joints), 1))], 1)
    return np.einsum("bij,bj->bi", body.transforms, rest)[:, :3]


class _Person:
    """Turns a posed body into parts. Holds what the parts have in common."""

    def __init__(
        self,
        sampler: SceneSampler,
        rng: np.random.Generator,
        body: PosedBody,
        male: bool,
        ancestry: str,
        melanin: float,
        redness: float,
    ) -> None:
        self.sampler, self.model, self.assets = sampler, sampler.model, sampler.assets
        self.rng, self.body = rng, body
        self.male, self.ancestry = male, ancestry
        self.hair_rgb = hair.colour_of_melanin(melanin, redness)
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
        table = hair.MALE_STYLES if self.male else hair.FEMALE_STYLES
        style = str(self.rng.choice(list(table), p=list(table.values())))
        cards = [card for card in self._of_kind("hair") if card.texture]
        if style == "card" and not cards:
            style = "short"
        groups, parts = [], []
        if style == "card":
            parts.append(self._hair_card(cards[self.rng.integers(len(cards))]))
        elif style != "bald":
            count = self.sampler.num_strands // (2 if style == "buzz" else 1)
            groups.append(self._strands(style, count))
        if self.male and self.rng.random() < 0.4:
            self.has_beard = True
            groups.append(self._strands("beard", self.sampler.num_strands // 3))
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
        suits = self._of_kind("clothes", "male" if self.male else "female")
        parts, hidden = [], []
        if suits and self.rng.random() < 0.4:
            suit = self._pick(suits)
            texture = self._texture(suit, self.sampler.texture_size)
            if texture is None:
                texture = materials.fabric(self.rng)
            elif self.rng.random() < 0.8:
                texture = materials.recolour(texture, self.rng)
            parts.append(Part("fabric", self._wear(suit), texture[..., :3]))
            hidden.append(np.array(sorted(suit.hides), int))
            self.clothes.append(suit.name)
        else:
            for piece in clothing.dress(self.rng, self.model, self.body, self.male):
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
        size = self.sampler.texture_size
        if self.assets and self.assets.skins:
            return materials.skin_from_pictures(
                self.assets, self.rng, self.ancestry, self.male, size
            )
        masks = self.model.data_dir / "textures"
        return materials.procedural_skin(masks, self.rng, self.ancestry, size)

    def _eyes(self) -> Iterator[Part]:
        meshes = self._of_kind("eyes", "high-poly")
        if meshes and self.assets and self.assets.irises:
            brown = [path for path in self.assets.irises if "brown" in path.name]
            mostly_brown = self.ancestry != "caucasian" and self.rng.random() < 0.95
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
        texture = self._texture(card, self.sampler.texture_size)
        if texture is None or texture.shape[2] != 4:
            raise ValueError(f"hair {card.name}: expected an RGBA texture, got {card.texture}")
        luminance = srgb_to_linear(texture[..., :3] / 255).mean(2, keepdims=True)
        visible = texture[..., 3] > 50
        coloured = np.clip(luminance / luminance[visible].mean() * self.hair_rgb, 0, 0.9)
        srgb = materials.to_8bit(linear_to_srgb(coloured))
        return Part("card", self._wear(card), srgb, texture[..., 3])

    def _strands(self, style: str, count: int) -> Strands:
        """Grow hair in the head's frame, where styles are defined, with the world's gravity."""
        model, head = self.model, self.body.transforms[self.model.bone("head")]
        rotation, origin = head[:3, :3], head[:3, 3]
        vertices = (self.body.vertices - origin) @ rotation
        joints = self.body.rest.joints
        on_head = np.zeros(len(vertices), bool)
        on_head[model.vertices_of(["head", "neck03", "neck02"])] = True
        frame = hair.HeadFrame(
            vertices=vertices,
            normals=vertex_normals(vertices, model.surface.faces),
            faces=model.surface.faces,
            on_head=on_head,
            eyes=joints[[model.bone("eye.L"), model.bone("eye.R")]],
            mouth=vertices[np.unique(model.parts["joint-mouth"].faces)].mean(0),
            down=rotation.T @ [0, 0, -1.0],
        )
        strands = hair.grow(self.rng, frame, style, count)
        posed = (strands @ rotation.T + origin).astype(np.float32)
        depths = np.array([0.002, 0.008, 0.014])[:, None, None]
        skull = self.body.vertices[on_head] - depths * self.body.normals[on_head]
        return Strands(posed, hair.proxy_normals(posed, skull.reshape(-1, 3)))
