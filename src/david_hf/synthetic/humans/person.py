"""One dressed person as meshes and strands, and what the camera must know of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from david_hf.data.colour import srgb_to_linear
from david_hf.synthetic import textures
from david_hf.synthetic.factors import Draws, Tree
from david_hf.synthetic.mesh import FloatArray, Mesh, tessellate
from david_hf.synthetic.scene import Face, Part, Strands, Surface

from .bodies import BodyModel, PosedBody
from .eyes import eye_parts
from .garments import Outfit, dress
from .hair import HairRoots, grow_hair
from .identity import sample_identity
from .makehuman import MakeHumanFolder
from .poses import Pose, sample_pose
from .skin import SkinModel, paint_skin

IVORY, TONGUE = [0.55, 0.52, 0.45], [0.45, 0.12, 0.12]  # linear RGB
CHEST = (
    "spine01", "spine02", "spine03", "spine04", "clavicle.L", "clavicle.R", "shoulder01.L",
    "shoulder01.R",
)  # fmt: skip


@dataclass(frozen=True)
class Studio:
    """What all people are made with.

    Attributes:
        model: The body model.
        skin: Painter of skins.
        makehuman: Assets of a MakeHuman data folder, or None for procedural ones only.
        tree: Distributions of all factors.
        num_strands: Hair strands of a full head that fills the picture.
        texture_size: Side of textures, pixels.
    """

    model: BodyModel
    skin: SkinModel
    makehuman: MakeHumanFolder | None
    tree: Tree
    num_strands: int = 30_000
    texture_size: int = 1024


@dataclass(frozen=True)
class Person:
    """A person in the world.

    Attributes:
        parts: Meshes; they stand on the floor.
        strands: Hair.
        pose: How the body is held up, before `shift`.
        shift: What the body was moved by (3,) for its shoes to stand on the floor.
        face: For metering.
        head, chest, body: Points (N, 3) that a portrait, a half-length and a full picture show.
        factors: What was sampled, by name.
        placed: Rotation (3, 3) and shift (3,) by which the person was moved from the origin.
    """

    parts: list[Part]
    strands: list[Strands]
    pose: Pose
    shift: FloatArray
    face: Face
    head: FloatArray
    chest: FloatArray
    body: FloatArray
    factors: dict[str, Any]
    placed: tuple[FloatArray, FloatArray] = (np.eye(3), np.zeros(3))

    @property
    def radius(self) -> float:
        """Radius of the circle around its place that the person fills, metres."""
        centre = self.placed[1][:2]
        return float(np.percentile(np.linalg.norm(self.body[:, :2] - centre, axis=1), 97))

    def moved(self, yaw: float, shift: FloatArray) -> "Person":
        """The person turned about z by radians, then shifted by (3,) metres."""
        cos, sin = np.cos(yaw), np.sin(yaw)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])

        def to(points: FloatArray) -> FloatArray:
            return points @ turn.T + shift

        face = Face(to(self.face.position), turn @ self.face.facing, self.face.albedo)
        return replace(
            self,
            parts=[part.moved(turn, shift) for part in self.parts],
            strands=[group.moved(turn, shift) for group in self.strands],
            face=face,
            head=to(self.head),
            chest=to(self.chest),
            body=to(self.body),
            placed=(turn, np.asarray(shift)),
        )


def make_person(studio: Studio, seed: list[int], category: str, detail: float) -> Person:
    """Draw a person.

    Each section of the distributions has random numbers of its own: a new distribution of clothes
    leaves body and hair as they are.

    Args:
        studio: What people are made with.
        seed: Numbers that make the person.
        category: Category of the picture.
        detail: Share of the hair strands, in [0, 1].
    """
    draws = {
        name: Draws(np.random.default_rng([*seed, number]), studio.tree, name)
        for number, name in enumerate(("person", "pose", "clothes", "hair"))
    }
    about = draws["person"]
    model, is_close = studio.model, category == "face"
    rest = model.shape(sample_identity(about, model))
    pose = sample_pose(draws["pose"], model, rest, is_close)
    for name in ("clothes", "hair"):
        draws[name].put("sex", about("sex"))
        draws[name].put("age", about("age"))
    draws["clothes"].put("close_up", "true" if is_close else "false")
    draws["clothes"].put("pose", pose.name)
    draws["hair"].put("ancestry", about("main_ancestry"))
    outfit = dress(draws["clothes"], model, pose.body, studio.makehuman, studio.texture_size)
    roots = HairRoots(outfit.outer, outfit.scalp_free, outfit.hair_limit)
    hair = grow_hair(draws["hair"], model, pose.body, roots, int(studio.num_strands * detail))
    texture = paint_skin(about, studio.skin, studio.makehuman, hair, studio.texture_size)
    skin = _skin(about, model, pose.body, outfit, texture, category)
    parts = [skin, *eye_parts(about, model, pose.body), *_mouth(model, pose.body), *outfit.parts]
    # Soles are thicker than feet: the lowest point of all stands on the floor.
    lowest = min(float(part.mesh.vertices[part.mesh.faces, 2].min()) for part in parts)
    shift = np.array([0, 0, -lowest])
    return Person(
        parts=[part.moved(np.eye(3), shift) for part in parts],
        strands=[group.moved(np.eye(3), shift) for group in hair.strands],
        pose=pose,
        shift=shift,
        face=_face(model, pose.body, texture, shift),
        head=_head_points(model, pose.body, hair.strands[:1], shift),
        chest=pose.body.vertices[model.vertices_of(list(CHEST))] + shift,
        body=pose.body.vertices[model.surface_vertices] + shift,
        factors={
            f"{section}.{name}": value
            for section, drawn in draws.items()
            for name, value in drawn.drawn.items()
        }
        | {"clothes.worn": outfit.names},
    )


def _skin(
    draws: Draws,
    model: BodyModel,
    body: PosedBody,
    outfit: Outfit,
    texture: textures.Texture,
    category: str,
) -> Part:
    """The skin that clothes leave free, finer where the camera is near."""
    surface = model.surface
    is_bare = np.ones(len(body.vertices), bool)
    is_bare[outfit.hides] = False
    seen = surface.select(np.asarray(np.any(is_bare[surface.faces], axis=1)))
    mesh = Mesh(body.vertices, seen.faces, seen.uv, seen.uv_faces)
    if category != "full_body":
        mesh = tessellate(mesh)
    look = Surface("skin", draws("skin.roughness"), bump_scale=900, bump_height=1e-4)
    return Part("skin", mesh, texture, look, is_human=True)


def _mouth(model: BodyModel, body: PosedBody) -> Iterator[Part]:
    look = Surface(roughness=0.3)
    for name, colour in (
        ("helper-upper-teeth", IVORY),
        ("helper-lower-teeth", IVORY),
        ("helper-tongue", TONGUE),
    ):
        part = model.parts[name]
        mesh = Mesh(body.vertices, part.faces, part.uv, part.uv_faces)
        yield Part(name, mesh, textures.flat(colour), look, is_human=True)


def _face(model: BodyModel, body: PosedBody, texture: textures.Texture, shift: FloatArray) -> Face:
    """Where the face is; its albedo is that of the whole skin."""
    head = body.transforms[model.bone("head")]
    joints = np.concatenate([body.rest.joints, np.ones((len(body.rest.joints), 1))], 1)
    eyes = [model.bone("eye.L"), model.bone("eye.R")]
    posed = np.einsum("bij,bj->bi", body.transforms[eyes], joints[eyes])[:, :3].mean(0)
    albedo = srgb_to_linear(texture[::8, ::8].reshape(-1, 3) / 255).mean(0)
    front = head[:3, :3] @ [0, -0.02, -0.03]
    return Face(posed + front + shift, head[:3, :3] @ [0, -1.0, 0], albedo)


def _head_points(
    model: BodyModel, body: PosedBody, hair: list[Strands], shift: FloatArray
) -> FloatArray:
    """Points (N, 3) of the head and of the hair above the chin."""
    on_head = model.vertices_of(["head"])
    above = body.rest.vertices[on_head, 2] > body.rest.joints[model.bone("neck03"), 2]
    head = body.vertices[on_head[above]]
    if hair:
        tips = hair[0].points[::50].reshape(-1, 3)
        head = np.concatenate([head, tips[tips[:, 2] > head[:, 2].min() - 0.02]])
    return head + shift
