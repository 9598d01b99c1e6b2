"""A scene as plain arrays: samplers make it, the renderer draws it, the label writer reads it.

World: metres, z up, the floor at z = 0. The first person stands near the origin and faces -y.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mesh import FloatArray, Mesh
from .stage.camera_rig import Camera

SURFACE_KINDS = ("skin", "fabric", "eye", "lens", "plain")


@dataclass(frozen=True)
class Surface:
    """How a mesh is shaded.

    Attributes:
        kind: skin (subsurface scattering), fabric (sheen), eye (wet), lens (the glass of
            spectacles) or plain (everything else).
        roughness: Of the reflection, in [0, 1].
        specular: Strength of the reflection, in [0, 1]; 0.5 is the index of refraction 1.5.
        metallic: 1 for metals.
        emission: Radiance per unit of the texture's colour; 0 for what does not glow.
        bump_scale: Cells per metre of a noise that roughens the shading.
        bump_height: Its height in metres. Labels keep the normal of the mesh: what they shall
            show must be in the vertices.
    """

    kind: str = "plain"
    roughness: float = 0.5
    specular: float = 0.5
    metallic: float = 0.0
    emission: float = 0.0
    bump_scale: float = 0.0
    bump_height: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in SURFACE_KINDS:
            raise ValueError(f"expected a surface of {SURFACE_KINDS}, got {self.kind!r}")


@dataclass(frozen=True)
class Part:
    """One mesh with one material.

    Attributes:
        name: What it is, for people who look into scenes.
        mesh: World metres, z up.
        texture: sRGB colour (H, W, 3) uint8.
        surface: How it is shaded.
        is_human: Whether it is a person or worn by one: the labels are of these parts alone, and
            every other part only hides them.
    """

    name: str
    mesh: Mesh
    texture: NDArray[np.uint8]
    surface: Surface = field(default_factory=Surface)
    is_human: bool = False

    def moved(self, rotation: FloatArray, shift: FloatArray) -> "Part":
        """The part turned, or mirrored, by a matrix (3, 3), then shifted by (3,) metres."""
        mesh, matrix = self.mesh, np.asarray(rotation)
        faces, uv_faces = mesh.faces, mesh.uv_faces
        if np.linalg.det(matrix) < 0:  # a mirrored triangle looks inwards
            faces, uv_faces = faces[:, ::-1], uv_faces[:, ::-1]
        vertices = mesh.vertices @ matrix.T + shift
        return replace(self, mesh=Mesh(vertices, faces, mesh.uv, uv_faces))


@dataclass(frozen=True)
class HairColour:
    """Colour of strands: melanin of the Principled Hair BSDF, or a dye.

    Attributes:
        melanin: 0 is white, 1 is black.
        redness: Share of pheomelanin, in [0, 1].
        dye: Linear RGB reflectance, or None for natural hair.
    """

    melanin: float
    redness: float
    dye: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Strands:
    """A group of strands of one colour.

    Attributes:
        points: (N, K, 3) float32, world metres, from root to tip.
        normals: (N * K, 3) float32 unit: those of the coarse proxy surface (DAViD, appendix A.1).
        radius: Radius at the root, metres; tips are thinner.
        colour: What the strands are coloured with.
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    radius: float
    colour: HairColour

    def moved(self, rotation: FloatArray, shift: FloatArray) -> "Strands":
        """The strands turned by a matrix (3, 3), then shifted by (3,) metres."""
        turn = np.asarray(rotation, np.float32).T
        points = (self.points @ turn + np.asarray(shift, np.float32)).astype(np.float32)
        return replace(self, points=points, normals=self.normals @ turn)


@dataclass(frozen=True)
class Lamp:
    """A square area light.

    Attributes:
        position: Centre (3,), metres.
        direction: Unit direction (3,) it shines in.
        size: Edge, metres.
        power: Watts of Cycles: about 10 lights a face from one metre.
        colour: Linear RGB, brightest channel 1.
    """

    position: FloatArray
    direction: FloatArray
    size: float
    power: float
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Light:
    """What lights a scene.

    Attributes:
        panorama: Name of the HDRI file.
        rotation_deg: Its rotation about z.
        gain: Factor on its radiance; 0 leaves the lamps alone.
        lamps: Area lights.
    """

    panorama: str
    rotation_deg: float = 0.0
    gain: float = 1.0
    lamps: Sequence[Lamp] = ()


@dataclass(frozen=True)
class Face:
    """What metering and quality control ask of a person.

    Attributes:
        position: World position (3,) near the tip of the nose.
        facing: Unit direction (3,) the face looks in.
        albedo: Mean linear RGB (3,) of the skin.
    """

    position: FloatArray
    facing: FloatArray
    albedo: FloatArray


@dataclass(frozen=True)
class Scene:
    """Everything the renderer and the label writer need.

    Attributes:
        seed: Seeds the renderer and the development of the picture, below 2^31.
        camera: The camera.
        parts: Meshes of people and things.
        strands: Hair, beards, brows and lashes.
        light: The light.
        faces: One for each person; the first is the one the camera frames.
        backdrop: What lies behind: "panorama", "photo", or "room" when parts close the view.
        ground: Whether to catch shadows on the plane z = 0 before a panorama or a photo.
        lens_labels: Whether depth and normals show the lenses of spectacles, or what is behind
            them (DAViD, appendix A.2).
        factors: What was sampled, for slicing results.
    """

    seed: int
    camera: Camera
    parts: Sequence[Part]
    strands: Sequence[Strands]
    light: Light
    faces: Sequence[Face]
    backdrop: str = "panorama"
    ground: bool = False
    lens_labels: bool = False
    factors: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write what the renderer needs as one npz file without pickles; `header` is JSON."""
        arrays: dict[str, Any] = {}
        for index, part in enumerate(self.parts):
            arrays |= {
                f"part{index}/vertices": part.mesh.vertices.astype(np.float32),
                f"part{index}/faces": part.mesh.faces.astype(np.int32),
                f"part{index}/uv": part.mesh.uv[part.mesh.uv_faces].astype(np.float32),
                f"part{index}/texture": part.texture,
            }
        for index, group in enumerate(self.strands):
            arrays[f"strands{index}/points"] = group.points
            arrays[f"strands{index}/normals"] = group.normals
        header = {
            "seed": self.seed,
            "camera": asdict(self.camera),
            "parts": [
                {"name": part.name, "is_human": part.is_human, **asdict(part.surface)}
                for part in self.parts
            ],
            "strands": [{"radius": group.radius, **asdict(group.colour)} for group in self.strands],
            "light": asdict(self.light),
            "ground": self.ground,
            "lens_labels": self.lens_labels,
        }
        arrays["header"] = np.array(json.dumps(header, default=_to_json))
        np.savez(path, **arrays)


def _to_json(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
