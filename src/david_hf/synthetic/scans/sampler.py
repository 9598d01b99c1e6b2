"""Scenes of scans: one person, a panorama, and a camera that frames face, upper or full body.

Scans lie as THuman's do: `NNNN/NNNN.obj` with `NNNN/material0.jpeg`, y up.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from david_hf.data.codecs import decode_image
from david_hf.data.meshes import read_mesh
from david_hf.data.sources.base import read_bytes
from david_hf.synthetic.mesh import FloatArray, Mesh
from david_hf.synthetic.scene import Face, Light, Part, Scene, Surface
from david_hf.synthetic.stage.camera_rig import Camera, direction_from, frame_points
from david_hf.synthetic.textures import Texture, to_8bit

# Raised by every change after which the same seed gives another picture.
RECIPE_VERSION = 1
TEXTURE_NAME = "material0.jpeg"
MAX_TEXTURE_SIDE = 4096  # the renderer holds textures as floats: 256 MB
PLAUSIBLE_HEIGHT_M = (1.2, 2.3)
ASSUMED_HEIGHT_M = 1.7
LOWEST_CAMERA_M = 0.15  # above the ground
ELEVATION_DEG = (-10.0, 20.0)


@dataclass(frozen=True)
class Framing:
    """What a picture shows of a scan.

    Fields of view are chosen by distance: the ratio of RMSE to AbsRel in table 7 of DAViD says that
    people are about 1.1, 1.25 and 1.6 m away.

    Attributes:
        share: Of the height, from the top, that must be seen.
        fov_deg: Vertical field of view, from and to.
        margin: Size of the picture over that of what must be seen, from and to.
    """

    share: float
    fov_deg: tuple[float, float]
    margin: tuple[float, float]


FRAMINGS = {
    "face": Framing(1 / 7.5, (17.0, 23.0), (1.4, 2.0)),
    "upper_body": Framing(1 / 2, (38.0, 50.0), (1.1, 1.3)),
    "full_body": Framing(1.0, (55.0, 70.0), (1.1, 1.3)),
}
CATEGORIES = tuple(FRAMINGS)


@dataclass(frozen=True)
class Scan:
    """A textured scan that stands on the ground, its bounding box around the origin.

    Attributes:
        mesh: World metres, z up.
        texture: sRGB colour (H, W, 3) uint8.
        scale: What its own units were multiplied with.
    """

    mesh: Mesh
    texture: Texture
    scale: float

    @property
    def height_m(self) -> float:
        """From the ground to the top."""
        return float(self.mesh.vertices[:, 2].max())


def list_scans(root: Path) -> list[int]:
    """Numbers of the scans in a folder, ascending.

    Raises:
        ValueError: If there are none.
    """
    folders = root.iterdir() if root.is_dir() else []
    found = [
        int(folder.name)
        for folder in folders
        if re.fullmatch(r"\d{4}", folder.name) and scan_path(root, int(folder.name)).is_file()
    ]
    if not found:
        raise ValueError(f"{root}: expected scans (0000/0000.obj, 0000/{TEXTURE_NAME}), found none")
    return sorted(found)


def scan_path(root: Path, number: int) -> Path:
    """The mesh file of a scan."""
    return root / f"{number:04d}" / f"{number:04d}.obj"


@lru_cache(maxsize=1)  # the framings of a scan come one after the other
def read_scan(root: Path, number: int) -> Scan:
    """Read a scan; its material file, which could name any file, is not looked at.

    Raises:
        ValueError: If a file is missing or damaged, or if the mesh has no texture coordinates.
    """
    path = scan_path(root, number)
    try:
        found = read_mesh(read_bytes(path), "obj")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if found.uv is None or found.uv_faces is None:
        raise ValueError(f"{path}: expected texture coordinates, found none")
    x, y, z = found.vertices.T
    upright = np.stack([x, -z, y], 1)  # who faced +z faces -y, as made-up people do
    low, high = upright.min(0), upright.max(0)
    height = high[2] - low[2]
    if not height > 0:
        raise ValueError(f"{path}: expected a body, got a mesh without height")
    is_plausible = PLAUSIBLE_HEIGHT_M[0] <= height <= PLAUSIBLE_HEIGHT_M[1]
    scale = 1.0 if is_plausible else ASSUMED_HEIGHT_M / float(height)
    foot = np.array([*(low + high)[:2] / 2, low[2]])
    mesh = Mesh((upright - foot) * scale, found.faces, found.uv, found.uv_faces)
    return Scan(mesh, _read_texture(path.with_name(TEXTURE_NAME)), scale)


def _read_texture(path: Path) -> Texture:
    try:
        pixels = to_8bit(decode_image(read_bytes(path)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    image = Image.fromarray(pixels)
    image.thumbnail((MAX_TEXTURE_SIDE, MAX_TEXTURE_SIDE))
    return np.asarray(image)


@dataclass(frozen=True)
class ScanSampler:
    """Makes the scenes of scans: three numbers give one scene, whatever was made before.

    Attributes:
        root: Folder of the scans.
        lights: Names of the panoramas.
        size: Height and width of the pictures, pixels.
    """

    root: Path
    lights: tuple[str, ...]
    size: tuple[int, int]

    def sample(self, seed: int, index: int, attempt: int = 0) -> Scene:
        """The scene of a seed, an index and an attempt.

        Args:
            seed: Of the whole set.
            index: Three times the number of the scan, plus the number of the framing.
            attempt: Counts the scenes that were made for this sample and rejected.

        Raises:
            ValueError: If the scan cannot be read.
        """
        number, framing = divmod(index, len(CATEGORIES))
        category = CATEGORIES[framing]
        scan = read_scan(self.root, number)
        rng = np.random.default_rng([seed, number, framing, attempt])
        azimuth = float(rng.uniform(0, 360))
        camera, drawn = frame_scan(scan, category, azimuth, self.size, rng)
        light = Light(str(rng.choice(self.lights)), rotation_deg=float(rng.uniform(0, 360)))
        surface = Surface(roughness=0.8, specular=0.2)
        return Scene(
            seed=int(rng.integers(2**31)),
            camera=camera,
            parts=[Part("scan", scan.mesh, scan.texture, surface, is_human=True)],
            strands=[],
            light=light,
            faces=[_unknown_face(scan, camera)],
            ground=category == "full_body",
            factors={
                "category": category,
                "scan": number,
                "scale": scan.scale,
                "height_m": scan.height_m,
                "camera": drawn,
                "light": {"panorama": light.panorama, "rotation_deg": light.rotation_deg},
            },
        )


def make_scan_sampler(
    lights: list[str], size: tuple[int, int], tree: dict[str, Any], **_: object
) -> ScanSampler:
    """The sampler of one worker.

    Args:
        lights: Names of the panoramas.
        size: Height and width of the pictures, pixels.
        tree: "scans" names the folder of the scans.
        **_: What samplers of made-up people take.
    """
    return ScanSampler(Path(tree["scans"]), tuple(lights), size)


def frame_scan(
    scan: Scan, category: str, azimuth_deg: float, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Camera, dict[str, float]]:
    """A camera that looks at the upper part of a scan, and what was drawn for it.

    Args:
        scan: Whom it looks at.
        category: One of `FRAMINGS`.
        azimuth_deg: Where it stands, 0 is before the scan.
        size: Height and width of the picture, pixels.
        rng: Draws the rest.
    """
    framing = FRAMINGS[category]
    points = seen_points(scan, framing.share)
    elevation = float(rng.uniform(*ELEVATION_DEG))
    fov, margin = float(rng.uniform(*framing.fov_deg)), float(rng.uniform(*framing.margin))
    wish = rng.random(2)
    while True:
        camera = frame_points(
            points,
            direction_from(np.deg2rad(azimuth_deg), np.deg2rad(elevation)),
            np.deg2rad(fov),
            size,
            margin,
            0.0,
            wish,
            # The rest of the body fills the picture below a face or a chest.
            lowest=-1.0 if category == "full_body" else -0.25,
        )
        if camera.position[2] > LOWEST_CAMERA_M:
            break
        elevation += 3
    drawn = {
        "azimuth_deg": azimuth_deg,
        "elevation_deg": elevation,
        "fov_deg": fov,
        "margin": margin,
    }
    return camera, drawn


def seen_points(scan: Scan, share: float) -> FloatArray:
    """Vertices (N, 3) in the upper `share` of a scan's height."""
    vertices = scan.mesh.vertices
    return vertices[vertices[:, 2] >= (1 - share) * scan.height_m]


def _unknown_face(scan: Scan, camera: Camera) -> Face:
    """A face turned away, so that the figure is metered: nobody says which way a scan looks."""
    head = seen_points(scan, FRAMINGS["face"].share)
    return Face((head.min(0) + head.max(0)) / 2, camera.forward, np.full(3, 0.4))
