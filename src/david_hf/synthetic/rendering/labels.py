"""From a Cycles render to a SynthHuman sample: picture, alpha, depth, normals, intrinsics."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR

from david_hf.synthetic.mesh import FloatArray, normalize
from david_hf.synthetic.scene import Scene
from david_hf.synthetic.stage.camera_rig import Camera

MIN_COVERAGE = 0.02


@dataclass(frozen=True)
class Render:
    """What Cycles made of a scene.

    Attributes:
        colour: (H, W, 3) premultiplied linear RGB of everything that was rendered.
        cover: (H, W) coverage in [0, 1] by everything, caught shadows too.
        alpha: (H, W) coverage in [0, 1] by people.
        depth_m: (H, W) z-depth of people in metres, infinite where nobody is.
        normals: (H, W, 3) unit, x right, y up, z to the camera; zero where nobody is.
        strands: (H, W) coverage by strands of hair.
    """

    colour: FloatArray
    cover: FloatArray
    alpha: FloatArray
    depth_m: FloatArray
    normals: FloatArray
    strands: FloatArray


def read_render(path: Path, scene: Scene) -> Render:
    """Read the multilayer EXR of `render_cycles.py` and divide the AOVs by their weight.

    Raises:
        ValueError: If a pass is missing.
    """
    passes = _read_passes(path)
    combined, counts = passes["Combined"], passes["C"]
    weight = counts[..., 0]
    alpha = np.clip(counts[..., 1], 0, 1)
    hit = (weight > MIN_COVERAGE) & (alpha > MIN_COVERAGE)
    normals = normalize(passes["N"][..., :3]) * hit[..., None]
    position = passes["P"][..., :3] / np.maximum(weight, 1e-3)[..., None]
    solid = hit & (np.abs(weight - 1) < 0.02) & (counts[..., 2] < 0.02)
    depth = _depth(scene.camera, position, normals, solid)
    return Render(
        colour=combined[..., :3],
        cover=np.clip(combined[..., 3], 0, 1),
        alpha=alpha,
        depth_m=np.where(hit, depth, np.inf),
        normals=scene.camera.to_camera_frame(normals),
        strands=np.clip(counts[..., 2], 0, 1),
    )


def _read_passes(path: Path) -> dict[str, FloatArray]:
    """The passes by name, (H, W, channels) float32."""
    passes: dict[str, FloatArray] = {}
    for part in OpenEXR.File(str(path)).parts:
        for name, channel in part.channels.items():
            # ViewLayer.Combined, or ViewLayer.Combined.RGBA where Blender splits the channels
            words = [word for word in name.split(".") if word in ("Combined", "N", "P", "C")]
            if words:
                passes[words[0]] = channel.pixels.astype(np.float32)
    missing = {"Combined", "N", "P", "C"} - set(passes)
    if missing:
        raise ValueError(f"{path}: the render lacks the passes {sorted(missing)}")
    return passes


def _depth(
    camera: Camera, position: FloatArray, normals: FloatArray, solid: np.ndarray
) -> FloatArray:
    """Z-depth (H, W) in metres at the centres of the pixels.

    The mean of a pixel's few samples does not lie in its centre, and on a slope that is noise. The
    plane through the mean position, with the mean normal, is cut with the ray of the centre where
    one opaque surface fills the pixel and is not seen edge-on.
    """
    rays = camera.rays()
    rays = rays / (rays @ camera.forward)[..., None]
    relative = position - camera.position
    mean = relative @ camera.forward
    towards = (normals * rays).sum(-1)
    cosine = np.abs(towards) / np.linalg.norm(rays, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        centred = (normals * relative).sum(-1) / towards
    # Samples lie within 0.6 pixels of the centre: a larger step is no noise but a mix of surfaces.
    step = 0.6 * mean / camera.focal_px * np.sqrt(1 - np.minimum(cosine, 1) ** 2) / (cosine + 1e-6)
    usable = solid & (cosine > 0.15) & (np.abs(centred - mean) <= step)
    return np.where(usable, centred, mean)
