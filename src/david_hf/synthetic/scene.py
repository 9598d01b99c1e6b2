"""Sample a clothed, haired, posed person before a camera, as plain arrays."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from david_hf.data.colour import srgb_to_linear

from . import hair, poses
from .bodies import BodyModel, Identity, PosedBody
from .camera_rig import Camera, frame_points
from .mesh import FloatArray
from .person import Part, Person, Strands, Studio, Traits

CATEGORIES = ("face", "upper_body", "full_body")


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
        studio: The body model, slow to build, and the assets.
        lights: Names of the HDRI files the renderer will find.
        size: Height and width of the pictures, pixels.
    """

    def __init__(
        self,
        studio: Studio,
        lights: list[str],
        size: tuple[int, int] = (512, 384),
    ) -> None:
        self.studio, self.model = studio, studio.model
        self.lights = lights
        self.size = size

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
        person = Person(self.studio, rng, body, Traits(male, ancestry, melanin, redness))
        parts = person.parts(with_shoes=category == "full_body")
        style, strands, cards = person.hair()
        camera = self._frame(rng, body, category, strands)
        head = body.transforms[self.model.bone("head")]
        facing = head[:3, :3] @ [0, -1.0, 0]
        eyes = skin_joints(body)[[self.model.bone("eye.L"), self.model.bone("eye.R")]].mean(0)
        skin_linear = srgb_to_linear(parts[0].texture / 255).reshape(-1, 3)
        thickness = 1.3e-4 * (30_000 / self.studio.num_strands) ** 0.5 * rng.uniform(0.8, 1.3)
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
