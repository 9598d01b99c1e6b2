"""From a render to the picture a photographer would have made: exposure, tint, background."""

from pathlib import Path

import numpy as np
import OpenEXR
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from david_hf.data.backgrounds import crop_photo, read_photo
from david_hf.synthetic.mesh import FloatArray
from david_hf.synthetic.scene import Face, Scene
from david_hf.synthetic.stage.camera_rig import Camera

from .labels import Render

MAX_RADIANCE = 1000.0


def exposure(scene: Scene, render: Render, rng: np.random.Generator) -> FloatArray:
    """RGB gain (3,) that exposes the face as its albedo asks and takes most of the tint away.

    Without it half of the pictures are too dark or burnt, and panoramas make blue people. When the
    face looks away, the whole figure is metered. Highlights bound the gain, and a night stays
    darker than a day.
    """
    figure = render.alpha > 0.9
    if not figure.any():
        return np.ones(3)
    face = scene.faces[0]
    area, facing_us = face_disc(scene.camera, face, figure), True
    target, albedo = 0.62 * face.albedo.mean() ** 0.65, face.albedo
    if area.sum() < 8:
        area, facing_us = figure, False
        target, albedo = 0.2, np.ones(3)
    metered = np.maximum(np.median(render.colour[area], axis=0), 1e-3)
    tint = (metered / metered.mean()) / (albedo / albedo.mean())
    balance = np.clip(tint, 0.4, 2.5) ** (-0.75 if facing_us else -0.4)
    if scene.factors.get("night"):
        target, balance = target * 0.4, balance**0.5
    gain = target / (metered * balance).mean() * np.exp(rng.normal(0, 0.15))
    brightest = np.percentile((render.colour[figure] * balance).mean(1), 92)
    gain = min(gain, 0.95 / max(brightest, 1e-3))
    surroundings = render.cover > 0.99
    if surroundings.mean() > 0.9:  # a room: its walls may be bright, not burnt
        gain = min(gain, 0.8 / max(np.percentile((render.colour * balance).mean(2), 70), 1e-3))
    return float(np.clip(gain, 0.05, 30)) * balance


def face_disc(camera: Camera, face: Face, figure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a 5.5 cm disc around the face, none when it is turned away."""
    to_camera = camera.position - face.position
    if face.facing @ to_camera < 0.2 * np.linalg.norm(to_camera):
        return np.zeros_like(figure)
    (centre,), (depth,) = camera.project(face.position)
    radius = max(0.055 / depth * camera.focal_px, 2.0)
    y, x = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
    return (np.hypot(x - centre[0], y - centre[1]) < radius) & figure


def background(
    scene: Scene, gain: FloatArray, panorama: Path, photo: Path | None, rng: np.random.Generator
) -> FloatArray:
    """What lies behind the render, linear (H, W, 3): a photo, the lighting panorama, or nothing."""
    camera = scene.camera
    if scene.backdrop == "room":  # its walls close the view
        return np.zeros((camera.height, camera.width, 3))
    if photo is not None:
        size = (camera.height, camera.width)
        picture: FloatArray = crop_photo(read_photo(photo), rng, size)
        picture = picture * np.exp(rng.normal(-0.1, 0.3))
    else:
        picture = panorama_view(panorama, camera, scene.light.rotation_deg) * gain
        # Skies are far brighter than faces; a photographer burns them, but not to nothing.
        picture = picture * min(1, 0.35 / max(float(np.median(picture)), 1e-3))
    if scene.factors.get("night"):
        picture = picture * min(1, 0.05 / max(float(np.median(picture)), 1e-3))
    blur = camera.blur_radius_px(np.inf)
    # A disc's standard deviation along an axis is half of its radius.
    return gaussian_filter(picture, (blur / 2, blur / 2, 0)) if blur > 0.5 else picture


def check_panorama(path: Path) -> None:
    """Refuse a file that Cycles cannot read: it would light people in magenta and say nothing.

    Raises:
        ValueError: If it is no OpenEXR file with the channels R, G and B.
    """
    try:
        channels = OpenEXR.File(str(path), header_only=True).header()["channels"]
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: expected a panorama in OpenEXR: {error}") from error
    names = sorted(channel.name for channel in channels)
    if not {"R", "G", "B"} <= set(names):
        raise ValueError(f"{path}: expected the channels R, G and B, got {', '.join(names)}")


def read_panorama(path: Path) -> FloatArray:
    """Pixels of an equirectangular panorama that `check_panorama` lets pass, linear (H, W, 3).

    Raises:
        ValueError: If it is damaged.
    """
    try:
        channels = OpenEXR.File(str(path)).channels()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: expected a panorama that is whole: {error}") from error
    pixels = (channels.get("RGB") or channels["RGBA"]).pixels[..., :3].astype(np.float32)
    return np.clip(pixels, 0, MAX_RADIANCE)  # suns overflow half floats


def panorama_view(path: Path, camera: Camera, rotation_deg: float) -> FloatArray:
    """What the camera sees of an equirectangular panorama, linear (H, W, 3)."""
    pixels = read_panorama(path)
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


def foreground(colour: FloatArray, alpha: FloatArray, surrounded: bool) -> FloatArray:
    """Premultiplied linear colour (H, W, 3) of the people alone.

    Args:
        colour: (H, W, 3) premultiplied colour of the render.
        alpha: (H, W) coverage by people.
        surrounded: Whether things were rendered, too: their part of the mixed pixels at the
            outline is estimated from the pixels beside it, and removed.
    """
    if not surrounded:
        return colour * (alpha > 0)[..., None]
    outside = (alpha < 0.02).astype(np.float32)
    behind = np.zeros_like(colour)
    missing = np.ones_like(alpha)
    for sigma in (1.5, 5.0, 20.0):  # the nearest pixels that show no one, wherever they are
        weight = gaussian_filter(outside, sigma)
        mean = gaussian_filter(colour * outside[..., None], (sigma, sigma, 0))
        known = np.minimum(weight / 0.05, 1) * missing
        behind += known[..., None] * mean / np.maximum(weight, 1e-6)[..., None]
        missing = missing - known
    people = colour - (1 - alpha)[..., None] * behind
    return np.maximum(people, 0) * (alpha > 0.01)[..., None]
