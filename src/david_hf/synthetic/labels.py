"""From a Cycles render to a SynthHuman sample: picture, alpha, depth, normals, intrinsics.

File names and units are those of the official data set (`data.synthhuman` reads both):
`rgb_%07d.png`, `alpha_%07d.png`, `depth_%07d.exr` (cm), `normal_%07d.exr`, `cam_%07d.txt`. Two
files are ours: `foreground_%07d.exr`, the premultiplied linear RGBA that can be put on any
background, and `factors_%07d.json`, what was sampled.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import OpenEXR
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from david_hf.data.colour import develop
from david_hf.data.composition import crop_photo, read_photo
from david_hf.data.synthhuman import INVALID_DEPTH_CM

from .camera_rig import Camera
from .materials import to_8bit
from .mesh import FloatArray, normalize
from .scene import Scene

MIN_COVERAGE = 0.02
MAX_RADIANCE = 1000.0


@dataclass(frozen=True)
class Render:
    """What Cycles made of a scene.

    Attributes:
        colour: (H, W, 3) premultiplied linear RGB.
        alpha: (H, W) coverage in [0, 1].
        depth_m: (H, W) z-depth in metres, infinite where nothing was hit.
        normals: (H, W, 3) unit, x right, y up, z to the camera; zero where nothing was hit.
    """

    colour: FloatArray
    alpha: FloatArray
    depth_m: FloatArray
    normals: FloatArray


def read_render(path: Path, camera: Camera) -> Render:
    """Read the multilayer EXR of `render_cycles.py` and divide the AOVs by their weight."""
    passes: dict[str, FloatArray] = {}
    for part in OpenEXR.File(str(path)).parts:
        for name, channel in part.channels.items():
            passes[name.split(".", 1)[-1]] = channel.pixels

    def find(name: str) -> FloatArray:
        found = next(
            pixels for key, pixels in passes.items() if key == name or key.startswith(f"{name}.")
        )
        return found.astype(np.float32)

    combined, weight, depth = find("Combined"), _scalar(find("W")), _scalar(find("Z"))
    alpha = np.clip(combined[..., 3], 0, 1)
    hit = (weight > MIN_COVERAGE) & (alpha > MIN_COVERAGE)
    depth_m = np.where(hit, depth / np.maximum(weight, 1e-3), np.inf)
    normals = camera.to_camera_frame(normalize(find("N")[..., :3]))
    return Render(combined[..., :3], alpha, depth_m, normals * hit[..., None])


def _scalar(pixels: FloatArray) -> FloatArray:
    return pixels if pixels.ndim == 2 else pixels[..., 0]


def exposure(scene: Scene, render: Render, rng: np.random.Generator) -> FloatArray:
    """RGB gain (3,) that exposes the face as its albedo asks and takes most of the tint away.

    Without it half of the pictures are too dark or burnt, and panoramas make blue people. When the
    face looks away, the whole figure is metered. Highlights bound the gain.
    """
    figure = render.alpha > 0.9
    if not figure.any():
        return np.ones(3)
    metered_area, facing_us = _face_disc(scene, figure), True
    target, albedo = 0.62 * scene.skin_albedo.mean() ** 0.65, scene.skin_albedo
    if metered_area.sum() < 8:
        metered_area, facing_us = figure, False
        target, albedo = 0.2, np.ones(3)
    metered = np.maximum(np.median(render.colour[metered_area], axis=0), 1e-3)
    tint = (metered / metered.mean()) / (albedo / albedo.mean())
    balance = np.clip(tint, 0.4, 2.5) ** (-0.75 if facing_us else -0.4)
    gain = target / (metered * balance).mean() * np.exp(rng.normal(0, 0.15))
    brightest = np.percentile((render.colour[figure] * balance).mean(1), 92)
    return float(np.clip(min(gain, 0.95 / max(brightest, 1e-3)), 0.05, 30)) * balance


def _face_disc(scene: Scene, figure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a 5.5 cm disc around the face, none when it is turned away."""
    camera = scene.camera
    to_camera = camera.position - scene.face
    if scene.facing @ to_camera < 0.2 * np.linalg.norm(to_camera):
        return np.zeros_like(figure)
    (centre,), (depth,) = camera.project(scene.face)
    radius = max(0.055 / depth * camera.focal_px, 2.0)
    y, x = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
    return (np.hypot(x - centre[0], y - centre[1]) < radius) & figure


def panorama_background(path: Path, camera: Camera, rotation_deg: float) -> FloatArray:
    """What the camera sees of an equirectangular panorama, linear (H, W, 3)."""
    channels = OpenEXR.File(str(path)).channels()
    pixels = (channels.get("RGB") or channels["RGBA"]).pixels[..., :3].astype(np.float32)
    pixels = np.clip(pixels, 0, MAX_RADIANCE)  # suns overflow half floats
    x, y, z = np.moveaxis(camera.rays(), -1, 0)
    angle = np.deg2rad(rotation_deg)
    azimuth = np.arctan2(
        x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) - y * np.sin(angle)
    )
    u = (0.5 - azimuth / (2 * np.pi)) % 1
    v = 0.5 - np.arctan2(z, np.hypot(x, y)) / np.pi
    at = [v * pixels.shape[0] - 0.5, u * pixels.shape[1] - 0.5]
    bands = [map_coordinates(pixels[..., k], at, order=1, mode="grid-wrap") for k in range(3)]
    return np.stack(bands, -1)


def write_sample(
    folder: Path, index: int, scene: Scene, render: Render, hdri_dir: Path, photos: list[Path]
) -> None:
    """Write all files of one sample; `cam_%07d.txt` comes last and marks it as complete."""
    rng = np.random.default_rng([scene.seed, 7])
    camera = scene.camera
    gain = exposure(scene, render, rng)
    foreground = render.colour * gain
    background: FloatArray
    if photos and rng.random() < 0.7:
        photo = photos[int(rng.integers(len(photos)))]
        background = crop_photo(read_photo(photo), rng, (camera.height, camera.width))
    else:
        panorama = hdri_dir / scene.light["name"]
        background = panorama_background(panorama, camera, scene.light["rotation_deg"]) * gain
        background *= min(1, 0.35 / max(float(np.median(background)), 1e-3))
    rgb = develop(foreground + background * (1 - render.alpha[..., None]))
    depth_cm = np.minimum(render.depth_m * 100, INVALID_DEPTH_CM)
    rgba = np.concatenate([foreground, render.alpha[..., None]], -1)
    factors = {"seed": scene.seed, **scene.factors, "light": scene.light["name"]}
    normals, layers = np.moveaxis(render.normals, -1, 0), np.moveaxis(rgba, -1, 0)
    writers: dict[str, Callable[[Path], object]] = {
        f"rgb_{index:07d}.png": Image.fromarray(to_8bit(rgb)).save,
        f"alpha_{index:07d}.png": Image.fromarray(to_8bit(render.alpha)).save,
        f"depth_{index:07d}.exr": partial(write_exr, Y=depth_cm),
        # cv2 reads B, G, R: the order X, Y, Z of the official files.
        f"normal_{index:07d}.exr": partial(write_exr, **dict(zip("BGR", normals, strict=True))),
        f"foreground_{index:07d}.exr": partial(write_exr, **dict(zip("RGBA", layers, strict=True))),
        f"factors_{index:07d}.json": lambda path: path.write_text(json.dumps(factors)),
        f"cam_{index:07d}.txt": lambda path: np.savetxt(path, camera.intrinsics(), fmt="%.6f"),
    }
    for name, write in writers.items():
        unfinished = folder / f"partial_{name}"
        write(unfinished)
        unfinished.replace(folder / name)


def write_exr(path: Path, **channels: FloatArray) -> None:
    """Write half-float channels (H, W) by name, ZIP compressed."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    pixels = {
        name: np.ascontiguousarray(values.astype(np.float16)) for name, values in channels.items()
    }
    OpenEXR.File(header, pixels).write(str(path))
