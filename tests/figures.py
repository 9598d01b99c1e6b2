"""A person whose labels are known in closed form: a half sphere before the camera."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from david_hf.data.rows import UNKNOWN_DEPTH
from david_hf.synthetic.rendering.sample_files import write_exr

HEIGHT, WIDTH, FOCAL_PX = 48, 36, 60.0
CENTRE_X, CENTRE_Y, RADIUS = 18.0, 22.0, 10.0
DISTANCE_M = 2.0


def half_sphere() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Alpha (H, W), depth in metres (H, W) and normals (H, W, 3); zero outside of the disc."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    across, up = (x - CENTRE_X) / RADIUS, (CENTRE_Y - y) / RADIUS
    alpha = (across**2 + up**2 < 1).astype(float)
    towards = np.sqrt(np.clip(1 - across**2 - up**2, 0, None))
    normals = np.stack([across, up, towards], -1) * alpha[..., None]
    return alpha, (DISTANCE_M - 0.1 * towards) * alpha, normals


def write_person(root: Path, index: int, with_foreground: bool = True) -> None:
    """Write the half sphere as sample `index` of a SynthHuman folder, in red on grey."""
    from PIL import Image

    root.mkdir(parents=True, exist_ok=True)
    alpha, depth_m, normals = half_sphere()
    colour = alpha[..., None] * [0.6, 0.2, 0.1]
    rgb = np.where(alpha[..., None] > 0, colour, 0.5)
    Image.fromarray((rgb * 255).astype(np.uint8)).save(root / f"rgb_{index:07d}.png")
    Image.fromarray((alpha * 255).astype(np.uint8)).save(root / f"alpha_{index:07d}.png")
    depth_cm = np.where(alpha > 0, depth_m * 100, UNKNOWN_DEPTH)
    write_exr(root / f"depth_{index:07d}.exr", Y=depth_cm)
    x, y, z = np.moveaxis(normals, -1, 0)
    write_exr(root / f"normal_{index:07d}.exr", B=x, G=y, R=z)
    if with_foreground:
        red, green, blue = np.moveaxis(colour, -1, 0)
        write_exr(root / f"foreground_{index:07d}.exr", R=red, G=green, B=blue, A=alpha)
    intrinsics = [[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1]]
    np.savetxt(root / f"cam_{index:07d}.txt", intrinsics)
