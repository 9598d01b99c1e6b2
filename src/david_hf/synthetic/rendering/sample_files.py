"""The files of one sample, with SynthHuman's names and units: `data.sources.synthhuman` reads them.

`rgb_%07d.png`, `alpha_%07d.png`, `depth_%07d.exr` (cm), `normal_%07d.exr`, `cam_%07d.txt`. Two more
are ours: `factors_%07d.json`, what was sampled, and, if wanted, `foreground_%07d.exr`, the
premultiplied linear RGBA of the people that can be put on any background.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray
from PIL import Image

from david_hf.data.colour import develop
from david_hf.data.rows import UNKNOWN_DEPTH
from david_hf.synthetic.mesh import FloatArray
from david_hf.synthetic.scene import Scene
from david_hf.synthetic.textures import to_8bit

from .develop import background, exposure, foreground
from .labels import Render

PARTIAL = ".partial-"  # begins the names of files that are not complete


@dataclass(frozen=True)
class Sample:
    """A finished sample.

    Attributes:
        rgb: (H, W, 3) uint8 sRGB.
        alpha: (H, W) in [0, 1].
        depth_cm: (H, W) z-depth in centimetres, 65504 where nobody is.
        normals: (H, W, 3) unit, x right, y up, z to the camera; zero where nobody is.
        foreground: (H, W, 4) premultiplied linear RGBA of the people.
        intrinsics: (3, 3) matrix, pixels.
        factors: What was sampled.
    """

    rgb: NDArray[np.uint8]
    alpha: FloatArray
    depth_cm: FloatArray
    normals: FloatArray
    foreground: FloatArray
    intrinsics: FloatArray
    factors: dict[str, Any]


def develop_sample(scene: Scene, render: Render, panorama: Path, photos: list[Path]) -> Sample:
    """Expose a render and put it before its background.

    Args:
        scene: What was rendered.
        render: What Cycles made of it.
        panorama: File of the scene's panorama.
        photos: Photos without people for scenes before a photo; empty for none.
    """
    rng = np.random.default_rng([scene.seed, 7])
    gain = exposure(scene, render, rng)
    is_before_photo = scene.backdrop == "photo" and bool(photos)
    photo = photos[int(rng.integers(len(photos)))] if is_before_photo else None
    behind = background(scene, gain, panorama, photo, rng)
    colour = render.colour * gain
    people = foreground(colour, render.alpha, any(not part.is_human for part in scene.parts))
    return Sample(
        rgb=to_8bit(develop(colour + behind * (1 - render.cover[..., None]))),
        alpha=render.alpha,
        depth_cm=np.minimum(render.depth_m * 100, UNKNOWN_DEPTH),
        normals=render.normals,
        foreground=np.concatenate([people, render.alpha[..., None]], -1),
        intrinsics=scene.camera.intrinsics(),
        factors=scene.factors if photo is None else scene.factors | {"photo": photo.name},
    )


def write_sample(folder: Path, index: int, sample: Sample, with_foreground: bool = True) -> None:
    """Write all files of one sample; `cam_%07d.txt` comes last and marks it as complete.

    Args:
        folder: Where to; it exists.
        index: Number of the sample.
        sample: What to write.
        with_foreground: Whether the foreground layer is written, too.
    """
    normals = np.moveaxis(sample.normals, -1, 0)
    layers = np.moveaxis(sample.foreground, -1, 0)
    writers: dict[str, Callable[[Path], object]] = {
        f"rgb_{index:07d}.png": Image.fromarray(sample.rgb).save,
        f"alpha_{index:07d}.png": Image.fromarray(to_8bit(sample.alpha)).save,
        f"depth_{index:07d}.exr": partial(write_exr, Y=sample.depth_cm),
        # cv2 reads B, G, R: the order X, Y, Z of the official files.
        f"normal_{index:07d}.exr": partial(write_exr, **dict(zip("BGR", normals, strict=True))),
        f"factors_{index:07d}.json": partial(_write_json, sample.factors),
        f"cam_{index:07d}.txt": partial(_write_matrix, sample.intrinsics),
    }
    if with_foreground:
        rgba = dict(zip("RGBA", layers, strict=True))
        writers = {f"foreground_{index:07d}.exr": partial(write_exr, **rgba)} | writers
    for name, write in writers.items():
        unfinished = folder / f"{PARTIAL}{name}"
        write(unfinished)
        unfinished.replace(folder / name)


def write_exr(path: Path, **channels: FloatArray) -> None:
    """Write half-float channels (H, W) by name, ZIP compressed."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    pixels = {
        name: np.ascontiguousarray(values.astype(np.float16)) for name, values in channels.items()
    }
    OpenEXR.File(header, pixels).write(str(path))


def _write_json(content: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content))


def _write_matrix(matrix: FloatArray, path: Path) -> None:
    np.savetxt(path, matrix, fmt="%.6f")
