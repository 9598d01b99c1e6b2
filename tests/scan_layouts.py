"""Miniature data sets of meshes and cameras, in exactly the layouts that are published.

A ball stands for a person wherever closed forms are wanted.
"""

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 32, 24
# Of the shape of Goliath's sensors, 4096 x 2668.
TALL, NARROW = 46, 30

Vertices = NDArray[np.float64]
Faces = NDArray[np.int64]


def ball(
    centre: tuple[float, float, float], radius: tuple[float, float, float], rings: int = 24
) -> tuple[Vertices, Faces, NDArray[np.float64]]:
    """An ellipsoid that looks outwards: vertices, triangles, and a (u, v) for each vertex.

    Longitude and latitude, the poles on Y; the seam has its vertices twice, as in textured files.
    """
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rings + 1)
    longitude = np.linspace(0, 2 * np.pi, 2 * rings + 1)
    up, around = np.meshgrid(latitude, longitude, indexing="ij")
    unit = np.stack([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)], -1)
    unit[[0, -1]] = [[[0, -1, 0]], [[0, 1, 0]]]
    unit[:, -1] = unit[:, 0]
    uv = np.stack([around / (2 * np.pi), up / np.pi + 0.5], -1)
    number = np.arange(unit[..., 0].size).reshape(up.shape)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    vertices = unit.reshape(-1, 3) * radius + centre
    corners = vertices[faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    return vertices, faces[area > 1e-9], uv.reshape(-1, 2)


def obj_text(
    vertices: Vertices,
    faces: Faces,
    uv: NDArray[np.float64] | None = None,
    material: str | None = None,
) -> str:
    """A Wavefront file; with texture coordinates, one for each vertex."""
    lines = ["# scan"]
    lines += [f"mtllib {material}", "usemtl material0"] if material else []
    lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in vertices]
    lines += [f"vt {u:.9g} {v:.9g}" for u, v in ([] if uv is None else uv)]
    corner = "{0}" if uv is None else "{0}/{0}"
    lines += ["f " + " ".join(corner.format(i + 1) for i in face) for face in faces]
    return "\n".join(lines) + "\n"


def ply_bytes(vertices: Vertices, faces: Faces) -> bytes:
    """A binary PLY file."""
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(vertices)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    body = b"".join(struct.pack("<Biii", 3, *face) for face in faces.tolist())
    return header.encode() + vertices.astype("<f4").tobytes() + body


def picture_bytes(height: int, width: int, file_format: str) -> bytes:
    """A picture of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format)
    return buffer.getvalue()


HI4D_INTRINSICS = np.array([[30.0, 0, 12.5], [0, 31.0, 15.0], [0, 0, 1]])
HI4D_DISTORTION = np.array([-0.1, 0.05, 0.001, -0.002, 0.01])
HI4D_BALL = ((0.1, 1.2, 3.0), (0.5, 0.7, 0.5))  # centre and radii, in the world


def hi4d_extrinsics() -> NDArray[np.float64]:
    """World to camera (3, 4): the world's Y is up, the camera's is down."""
    angle = 0.2
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    rotation = turn @ np.diag([-1.0, -1.0, 1.0])
    return np.concatenate([rotation, [[0.2], [1.1], [0.1]]], 1)


def write_hi4d(
    root: Path,
    pair: int = 28,
    action: str = "talk",
    frames: tuple[int, ...] = (11, 12),
    key: str = "intirnsics",
) -> Path:
    """One action; its camera 4 has the constants above, the other seven have another place.

    Returns:
        Folder of the action.
    """
    folder = root / f"pair{pair:02d}" / f"{action}{pair:02d}"
    for name in ("cameras", "frames", "images/4", "images/16"):
        (folder / name).mkdir(parents=True)
    extrinsics = np.tile(hi4d_extrinsics(), (8, 1, 1))
    extrinsics[1:, :, 3] += 5
    np.savez(
        folder / "cameras" / "rgb_cameras.npz",
        ids=np.array([4, 16, 28, 40, 52, 64, 76, 88]),
        extrinsics=extrinsics,
        dist_coeffs=np.tile(HI4D_DISTORTION, (8, 1)),
        **{key: np.tile(HI4D_INTRINSICS, (8, 1, 1))},
    )
    vertices, faces, uv = ball(*HI4D_BALL)
    for frame in frames:
        mesh = obj_text(vertices, faces, uv, f"MatLib-F{frame:05d}.mtl")
        (folder / "frames" / f"mesh-f{frame:05d}.obj").write_text(mesh)
        picture = picture_bytes(HEIGHT, WIDTH, "JPEG")
        for camera in (4, 16):
            (folder / "images" / str(camera) / f"{frame:06d}.jpg").write_bytes(picture)
    return folder


GOLIATH_INTRINSICS = np.array([[3000.0, 0, 1300], [0, 3100.0, 2000], [0, 0, 1]])
GOLIATH_RADIUS_MM, GOLIATH_DISTANCE_MM = 300.0, 1200.0


def goliath_pose() -> NDArray[np.float64]:
    """World to camera (4, 4), millimetres: no row is its own column."""
    pose = np.eye(4)
    pose[:3, :3] = [[0, 0, -1], [0, -1, 0], [-1, 0, 0]]
    pose[:3, 3] = [10.0, 20.0, GOLIATH_DISTANCE_MM]
    return pose


def write_goliath_capture(
    root: Path,
    name: str,
    frames: tuple[int, ...],
    cameras: tuple[int, ...],
    size: tuple[int, int] = (TALL, NARROW),
    metres: bool = False,
) -> Path:
    """One capture: a ball at the world's origin, seen by cameras at the same place.

    Returns:
        Its folder.
    """
    folder = root / name
    for part in ("image", "scan_mesh"):
        (folder / part).mkdir(parents=True)
    pose = goliath_pose()
    radius = GOLIATH_RADIUS_MM
    if metres:
        pose[:3, 3] /= 1000
        radius /= 1000
    entry = {"K": GOLIATH_INTRINSICS.T.tolist(), "T": pose.T.tolist()}
    krt = [{"cameraId": str(camera), **entry} for camera in cameras]
    (folder / "camera_calibration.json").write_text(json.dumps({"KRT": krt}))
    picture = picture_bytes(*size, "AVIF")
    for camera in cameras:
        with zipfile.ZipFile(folder / "image" / f"cam{camera:06d}.zip", "w") as archive:
            for frame in frames:
                archive.writestr(f"cam{camera:06d}/{frame:06d}.avif", picture)
    scan = ply_bytes(*ball((0, 0, 0), (radius, radius, radius))[:2])
    with zipfile.ZipFile(folder / "scan_mesh" / "scan_mesh.zip", "w") as archive:
        for frame in frames:
            archive.writestr(f"{frame:06d}.ply", scan)
    return folder


def write_thuman(root: Path, number: int, height: float = 1.75, rings: int = 12) -> Path:
    """A textured scan: a ball with a head, two legs and an arm to its left, facing +z, y up.

    The texture is red at the top and blue at the foot of each ball, and dark behind.

    Returns:
        Its folder.
    """
    folder = root / f"{number:04d}"
    folder.mkdir(parents=True)
    parts = [
        ball((0, 0.92, 0), (0.05, 0.08, 0.06), rings),
        ball((0, 0.65, 0), (0.13, 0.22, 0.08), rings),
        ball((0.08, 0.24, 0), (0.06, 0.24, 0.06), rings),
        ball((-0.08, 0.24, 0), (0.06, 0.24, 0.06), rings),
        ball((0.22, 0.75, 0.02), (0.14, 0.04, 0.04), rings),
    ]
    offsets = np.cumsum([0, *(len(part[0]) for part in parts)])
    vertices = np.concatenate([part[0] for part in parts])
    faces = np.concatenate([part[1] + at for part, at in zip(parts, offsets, strict=False)])
    uv = np.concatenate([part[2] for part in parts])
    text = obj_text(vertices * height + [3, -5, 1], faces, uv, "material0.mtl")
    (folder / f"{number:04d}.obj").write_text(text)
    (folder / "material0.mtl").write_text("newmtl material0\nmap_Kd material0.jpeg\n")
    u, v = np.meshgrid(np.linspace(0, 1, 64), np.linspace(1, 0, 64))  # rows run downwards
    front = 0.5 + 0.5 * np.cos(2 * np.pi * u)
    rgb = np.stack([60 + 180 * v, 40 + 120 * front, 60 + 180 * (1 - v)], -1)
    Image.fromarray(rgb.astype(np.uint8)).save(folder / "material0.jpeg", quality=95)
    return folder
