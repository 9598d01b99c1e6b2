"""A camera, a scene, and what the renderer writes of it, made up."""

from pathlib import Path

import numpy as np
import OpenEXR

from david_hf.synthetic.rendering.sample_files import write_exr
from david_hf.synthetic.scene import Face, Light, Scene
from david_hf.synthetic.stage.camera_rig import Camera

HEIGHT, WIDTH = 12, 8
CAMERA = Camera(
    position=np.array([0.0, -2.0, 0.0]),
    right=np.array([1.0, 0, 0]),
    up=np.array([0.0, 0, 1]),
    forward=np.array([0.0, 1, 0]),
    fov_y=0.8,
    height=HEIGHT,
    width=WIDTH,
)
FACE = Face(np.zeros(3), np.array([0.0, -1, 0]), np.array([0.5, 0.35, 0.28]))


def scene(**changes: object) -> Scene:
    values = {
        "seed": 5,
        "camera": CAMERA,
        "parts": [],
        "strands": [],
        "light": Light("sky.exr", 30.0),
        "faces": [FACE],
        "factors": {"category": "face"},
    }
    return Scene(**{**values, **changes})  # type: ignore[arg-type]


def write_cycles_exr(
    path: Path, position: np.ndarray, normal: np.ndarray, opacity: float = 1.0, strands: float = 0
) -> None:
    """What Cycles writes of a surface at `position` (H, W, 3) with one normal (3,)."""
    ones = np.ones((*position.shape[:2], 1), np.float32)
    passes = {
        "Combined": np.concatenate([0.2 * ones, 0.1 * ones, 0.1 * ones, opacity * ones], -1),
        "N": np.concatenate([np.tile(opacity * normal, ones.shape), ones], -1),
        "P": np.concatenate([opacity * position, ones], -1),
        "C": np.concatenate([opacity * ones, opacity * ones, strands * ones, ones], -1),
    }
    parts = []
    for name, pixels in passes.items():
        channels = {
            f"ViewLayer.{name}.{letter}": np.ascontiguousarray(pixels[..., k].astype(np.float32))
            for k, letter in enumerate("RGBA")
        }
        header = {"type": OpenEXR.scanlineimage, "name": name}
        parts.append(OpenEXR.Part(header, channels, name))
    OpenEXR.File(parts).write(str(path))


def wall_at(depth: float) -> np.ndarray:
    """Positions (H, W, 3) of a wall that faces the camera, seen at the centres of the pixels."""
    rays = CAMERA.rays()
    return CAMERA.position + rays / (rays @ CAMERA.forward)[..., None] * depth


def write_panorama(path: Path, value: float) -> None:
    pixels = np.full((16, 32), value)
    write_exr(path, R=pixels, G=pixels, B=pixels)
