"""Ground truth from a mesh: what a calibrated camera sees of it, by ray casting.

Needs embreex and trimesh: `pip install 'david-hf[data]'`.
"""

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .sample import Array

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]

RAYS_AT_ONCE = 1 << 20  # some 200 MB of intermediate results
UNDISTORT_STEPS = 20  # each leaves a third of the error or less, for all but fisheye lenses
# Lines of an OBJ that name other files, or divide the mesh: only its shape is wanted.
_NO_SHAPE = re.compile(rb"^[ \t]*(?:mtllib|usemtl|o|g|s)\b[^\n]*$", re.MULTILINE)


@dataclass(frozen=True)
class PinholeCamera:
    """A calibrated camera as OpenCV has it: X right, Y down, Z forward.

    Attributes:
        intrinsics: (3, 3) matrix in pixels: the centre of the first pixel is (0, 0).
        rotation: (3, 3), from the world to the camera.
        translation: (3,) metres, of the world's origin in the camera.
        height: Picture height, pixels.
        width: Picture width, pixels.
        distortion: OpenCV's k1, k2, p1, p2, k3; None for a picture without.

    Raises:
        ValueError: If a part has another shape, or is no such matrix.
    """

    intrinsics: FloatArray
    rotation: FloatArray
    translation: FloatArray
    height: int
    width: int
    distortion: FloatArray | None = None

    def __post_init__(self) -> None:
        for name, shape in (("intrinsics", (3, 3)), ("rotation", (3, 3)), ("translation", (3,))):
            found = np.shape(getattr(self, name))
            if found != shape:
                raise ValueError(f"expected {name} of shape {shape}, got {found}")
        if self.distortion is not None and np.shape(self.distortion) != (5,):
            raise ValueError(
                f"expected 5 distortion coefficients, got shape {np.shape(self.distortion)}"
            )
        if not np.allclose(self.intrinsics[2], [0, 0, 1]):
            raise ValueError(
                f"expected intrinsics that end in 0, 0, 1, got {self.intrinsics.tolist()}: "
                "are they transposed?"
            )
        is_orthogonal = np.allclose(self.rotation @ self.rotation.T, np.eye(3), atol=1e-3)
        if not is_orthogonal or np.linalg.det(self.rotation) < 0:
            raise ValueError(f"expected a rotation matrix, got {self.rotation.tolist()}")

    def resized(self, height: int, width: int) -> "PinholeCamera":
        """The camera of the picture scaled to another size."""
        scale = np.array([width / self.width, height / self.height, 1.0])
        intrinsics = self.intrinsics * scale[:, None]
        # The corner of the picture stays where it is, and that is not where pixel centres count.
        intrinsics[:2, 2] += (scale[:2] - 1) / 2
        return replace(self, intrinsics=intrinsics, height=height, width=width)

    def sample_intrinsics(self) -> FloatArray:
        """The matrix of a `HumanSample`, where the centre of the first pixel is (0.5, 0.5)."""
        return self.intrinsics + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])

    def directions(self, pixels: FloatArray) -> FloatArray:
        """Viewing directions (N, 3), in the camera and with Z = 1, of pixel positions (N, 2)."""
        homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], 1)
        rays = homogeneous @ np.linalg.inv(self.intrinsics).T
        if self.distortion is not None:
            rays[:, :2] = _undistort(rays[:, :2], self.distortion)
        return rays


def _undistort(distorted: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Undo OpenCV's lens model on points (N, 2) at depth 1, by fixed-point iteration."""
    k1, k2, p1, p2, k3 = coefficients
    x, y = distorted.T
    for _ in range(UNDISTORT_STEPS):
        square = x * x + y * y
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        across = 2 * p1 * x * y + p2 * (square + 2 * x * x)
        down = 2 * p2 * x * y + p1 * (square + 2 * y * y)
        x, y = (distorted[:, 0] - across) / radial, (distorted[:, 1] - down) / radial
    return np.stack([x, y], 1)


@dataclass(frozen=True)
class TriangleMesh:
    """Triangles; vertices at one place are one vertex, so that normals run smoothly over seams.

    Attributes:
        vertices: (N, 3) metres.
        faces: (F, 3) indices into `vertices`.
        uv: (M, 2) texture coordinates, V upwards; None if there are none.
        uv_faces: (F, 3) indices into `uv`.
    """

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray | None = None
    uv_faces: IntArray | None = None


def require_packages(*names: str) -> None:
    """Make sure that optional packages are installed.

    Raises:
        ValueError: If one is not.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"reading meshes needs {' and '.join(missing)}, not installed here: "
            "pip install 'david-hf[data]'"
        )


def read_mesh(
    content: bytes, file_type: Literal["obj", "ply"], metres_per_unit: float = 1.0
) -> TriangleMesh:
    """Read the shape in a mesh file; materials and pictures it names are not looked for.

    Args:
        content: Of the file.
        file_type: Its format.
        metres_per_unit: Size of the file's unit.

    Raises:
        ValueError: If the file is damaged, or holds no triangles.
    """
    import trimesh

    if file_type == "obj":
        content = _NO_SHAPE.sub(b"", content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # What numpy says of text that is no number: the rest of the file would be left out.
            warnings.filterwarnings("error", message="string or file could not be read")
            loaded: Any = trimesh.load_mesh(
                io.BytesIO(content), file_type=file_type, process=False, skip_materials=True
            )
            vertices = np.asarray(loaded.vertices, np.float64)
            faces = np.asarray(loaded.faces, np.int64)
    except Exception as error:  # parsers of damaged files raise whatever they stumble over
        raise ValueError(f"not a readable {file_type.upper()} file: damaged or empty") from error
    _check_mesh(vertices, faces)
    # Readers split vertices along the seams of a texture.
    welded, position = np.unique(vertices, axis=0, return_inverse=True)
    uv = getattr(loaded.visual, "uv", None)
    return TriangleMesh(
        vertices=welded * metres_per_unit,
        faces=position.reshape(-1)[faces],
        uv=None if uv is None else np.asarray(uv, np.float64),
        uv_faces=None if uv is None else faces,
    )


def _check_mesh(vertices: FloatArray, faces: IntArray) -> None:
    if faces.ndim != 2 or faces.shape[1:] != (3,) or not len(faces):
        raise ValueError(f"expected triangles, got faces of shape {faces.shape}")
    if vertices.ndim != 2 or vertices.shape[1:] != (3,) or not np.isfinite(vertices).all():
        raise ValueError(f"expected finite vertices (N, 3), got shape {vertices.shape}")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(
            f"faces name vertices {faces.min()} to {faces.max()}, there are {len(vertices)}"
        )


@dataclass(frozen=True)
class MeshRender:
    """What a camera sees of a mesh.

    Attributes:
        depth_m: (H, W) z-depth in metres at the centres of the pixels; 0 where nothing is hit.
        normals: (H, W, 3) unit, X right, Y up, Z to the camera; zero where nothing is hit.
        mask: (H, W), whether the centre of the pixel is hit.
        alpha: (H, W) coverage in [0, 1].
    """

    depth_m: Array
    normals: Array
    mask: Mask
    alpha: Array


def render_mesh(
    vertices: FloatArray,
    faces: IntArray,
    camera: PinholeCamera,
    *,
    smooth: bool = True,
    supersample: int = 3,
) -> MeshRender:
    """Cast a ray through the centre of each pixel, and more where the outline runs.

    Surfaces that are seen from behind, as scans are open, get the normal of the side that is seen.

    Args:
        vertices: (N, 3) metres, in the world.
        faces: (F, 3) indices into `vertices`.
        camera: Who sees it.
        smooth: Whether normals are interpolated between the vertices, or those of the triangles.
        supersample: Rays along each side of a pixel for the coverage; 1 makes the hard mask.

    Raises:
        ValueError: If faces name vertices that are not there, or if vertices are not finite.
    """
    vertices = np.asarray(vertices, np.float64)
    faces = np.asarray(faces, np.int64)
    _check_mesh(vertices, faces)
    scene = _Scene(vertices, faces, camera, smooth)
    num_pixels = camera.height * camera.width
    depth: Array = np.zeros(num_pixels, np.float32)
    normals: Array = np.zeros((num_pixels, 3), np.float32)
    y, x = np.divmod(np.arange(num_pixels), camera.width)
    for chunk, hit, seen_depth, seen_normals in scene.trace(np.stack([x, y], 1)):
        depth[chunk][hit] = seen_depth
        normals[chunk][hit] = seen_normals
    mask = (depth > 0).reshape(camera.height, camera.width)
    return MeshRender(
        depth_m=depth.reshape(mask.shape),
        normals=normals.reshape(*mask.shape, 3),
        mask=mask,
        alpha=_coverage(scene, mask, supersample),
    )


class _Scene:
    """A mesh in the frame of a camera, whose rays start in the origin: floats are finest there."""

    def __init__(
        self, vertices: FloatArray, faces: IntArray, camera: PinholeCamera, smooth: bool
    ) -> None:
        from embreex.mesh_construction import TriangleMesh as EmbreeMesh
        from embreex.rtcore_scene import EmbreeScene
        from trimesh import Trimesh

        placed = vertices @ camera.rotation.T + camera.translation
        self._camera, self._faces = camera, faces
        # Robust: rays do not slip through between two triangles.
        self._scene = EmbreeScene(robust=True)
        self._mesh = EmbreeMesh(self._scene, placed.astype(np.float32), faces.astype(np.int32))
        self._normals: FloatArray | None = None
        if smooth:
            self._normals = np.asarray(Trimesh(placed, faces, process=False).vertex_normals)

    def trace(self, pixels: FloatArray) -> Iterator[tuple[slice, Mask, FloatArray, FloatArray]]:
        """Cast a ray through each pixel position (N, 2).

        Yields:
            Part by part: which positions these are; which of them hit the mesh; z-depth and normals
            where they do.
        """
        for start in range(0, len(pixels), RAYS_AT_ONCE):
            chunk = slice(start, start + RAYS_AT_ONCE)
            rays = self._camera.directions(pixels[chunk]).astype(np.float32)
            found = self._scene.run(np.zeros_like(rays), rays, output=True)
            hit: Mask = found["primID"] >= 0
            seen = {name: values[hit] for name, values in found.items()}
            # The rays have Z = 1: how often they fit in is the z-depth.
            yield chunk, hit, seen["tfar"], self._seen_normals(seen, rays[hit])

    def _seen_normals(self, seen: dict[str, Any], rays: Array) -> FloatArray:
        normals = flat = seen["Ng"] / np.linalg.norm(seen["Ng"], axis=1, keepdims=True)
        if self._normals is not None:
            u, v = seen["u"], seen["v"]
            corners = self._normals[self._faces[seen["primID"]]]
            normals = np.einsum("kn,nkc->nc", np.stack([1 - u - v, u, v]), corners)
            length = np.linalg.norm(normals, axis=1, keepdims=True)
            normals = np.where(length > 1e-6, normals / np.maximum(length, 1e-6), flat)
        # The triangle says which side is seen: at an outline a smooth normal may look away.
        is_back = np.einsum("nc,nc->n", flat, rays) > 0
        return np.where(is_back[:, None], -normals, normals) * [1, -1, -1]


def _coverage(scene: _Scene, mask: Mask, supersample: int) -> Array:
    """Share of rays (H, W) that hit; pixels beside which all or none do are not looked at again."""
    alpha = mask.astype(np.float32)
    if supersample > 1:
        y, x = np.nonzero(_dilated(mask) & _dilated(~mask))
        places = (np.arange(supersample) + 0.5) / supersample - 0.5
        across, down = np.meshgrid(places, places)
        offsets = np.stack([across.ravel(), down.ravel()], 1)
        pixels = np.stack([x, y], 1)[:, None] + offsets
        hits = [hit for _, hit, _, _ in scene.trace(pixels.reshape(-1, 2))]
        if hits:
            alpha[y, x] = np.concatenate(hits).reshape(len(y), -1).mean(1)
    return alpha


def _dilated(mask: Mask) -> Mask:
    """The mask, grown by one pixel in all eight directions."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
