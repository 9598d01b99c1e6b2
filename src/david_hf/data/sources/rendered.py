"""Data sets of pictures, calibrated cameras and meshes: the labels are rendered when asked for."""

import io
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from david_hf.data.codecs import decode_image, encode_exr, encode_png, png_bytes
from david_hf.data.meshes import PinholeCamera, TriangleMesh, render_mesh, require_packages
from david_hf.data.rows import (
    DEPTH_CHANNELS,
    NORMAL_CHANNELS,
    UNKNOWN_DEPTH,
    DepthCell,
    Row,
    picture,
)

from .base import SampleSource


@dataclass(frozen=True)
class View:
    """A picture and what labels are rendered from.

    Attributes:
        identifier: Of the sample.
        category: face, upper_body, full_body, or "" if unknown.
        image: The encoded picture.
        camera: That took it.
        mesh: What it saw, in the camera's world.
    """

    identifier: str
    category: str
    image: bytes
    camera: PinholeCamera
    mesh: TriangleMesh


class RenderedSource(SampleSource):
    """Samples whose depth, normals and alpha are rendered from a mesh.

    Args:
        root: Folder of the data set.
        split: One of `splits`.
        max_side: Longest side in pixels: larger pictures are scaled down, and their cameras with
            them, before labels are rendered. By default pictures stay byte for byte as they are.

    Raises:
        ValueError: If the split is unknown, if the root holds no such data set, or if packages that
            rendering needs are not installed.
    """

    renders_rows = True

    def __init__(self, root: Path | str, split: str, max_side: int | None = None) -> None:
        super().__init__(root, split)
        require_packages("embreex", "trimesh")
        if max_side is not None and max_side < 1:
            raise ValueError(f"{self.name}: expected a max_side of 1 or more, got {max_side}")
        self.max_side = max_side

    @abstractmethod
    def view(self, position: int) -> View:
        """Read what one sample is made of.

        Raises:
            ValueError: If a file is missing or damaged.
        """

    def row(self, position: int) -> Row:
        """Read one sample and render its labels.

        Raises:
            ValueError: If a file is missing or damaged.
        """
        view = self.view(position)
        image, camera = view.image, view.camera
        if self.max_side is not None and max(camera.height, camera.width) > self.max_side:
            scale = self.max_side / max(camera.height, camera.width)
            camera = camera.resized(
                max(1, round(camera.height * scale)), max(1, round(camera.width * scale))
            )
            image = _resized(image, camera.height, camera.width)
        render = render_mesh(view.mesh.vertices, view.mesh.faces, camera)
        depth = render.depth_m[..., None].copy()
        depth[~render.mask] = UNKNOWN_DEPTH
        return Row(
            image=picture(image),
            alpha=picture(encode_png(render.alpha)),
            depth=DepthCell(exr=encode_exr(depth, DEPTH_CHANNELS), metres_per_unit=1.0),
            normals=encode_exr(render.normals, NORMAL_CHANNELS),
            foreground=None,
            intrinsics=camera.sample_intrinsics().tolist(),
            category=view.category,
            id=view.identifier,
            source=self.name,
            factors=None,
        )


def picture_size(content: bytes, where: object) -> tuple[int, int]:
    """Height and width of an encoded picture, without decoding it.

    Raises:
        ValueError: If it is none; the message begins with `where`.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.height, image.width
    except Exception as error:  # decoders of damaged files raise whatever they stumble over
        raise ValueError(f"{where}: not a readable picture") from error


def _resized(content: bytes, height: int, width: int) -> bytes:
    """The picture scaled down, as PNG."""
    pixels = (decode_image(content) * 255 + 0.5).astype(np.uint8)
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    return png_bytes(np.asarray(small))
