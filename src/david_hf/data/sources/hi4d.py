"""Hi4D (Yin et al., CVPR 2023): two people in close contact, pictures and textured scans.

    pairXX/ACTION/cameras/rgb_cameras.npz   ids, `intirnsics` (sic), extrinsics, dist_coeffs
    pairXX/ACTION/frames/mesh-f00XXX.obj    metres
    pairXX/ACTION/images/CAMERA/000XXX.jpg  distorted, as the lens shows it

Where an archive was unpacked into a folder of its own, actions may lie one folder deeper.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from david_hf.data.meshes import PinholeCamera, TriangleMesh, read_mesh

from .base import DatasetInfo, read_bytes
from .rendered import RenderedSource, View, picture_size

CALIBRATION = Path("cameras", "rgb_cameras.npz")
# What the papers evaluate: https://github.com/facebookresearch/sapiens/issues/194
EVALUATED_PAIRS = (28, 32, 37)
EVALUATED_CAMERA = 4


class Hi4D(RenderedSource):
    """Frames of some pairs, from one camera: all that have both a picture and a mesh.

    Args:
        root: Folder of the pairs.
        split: test.
        pairs: Their numbers.
        camera: Its number, one of 4, 16, 28, 40, 52, 64, 76, 88.
        max_side: See `RenderedSource`.

    Raises:
        ValueError: If there is no frame, or if packages are not installed.
    """

    name = "hi4d"
    splits = ("test",)

    def __init__(
        self,
        root: Path | str,
        split: str = "test",
        pairs: Iterable[int] = EVALUATED_PAIRS,
        camera: int = EVALUATED_CAMERA,
        max_side: int | None = None,
    ) -> None:
        super().__init__(root, split, max_side)
        self.camera = camera
        pairs = sorted(pairs)
        self._frames = [
            (action, *files)
            for pair in pairs
            for action in _actions(self.root / f"pair{pair:02d}")
            for files in _frames(action, camera)
        ]
        if not self._frames:
            listed = ", ".join(f"pair{pair:02d}" for pair in pairs)
            raise ValueError(
                f"{root}: expected frames of {listed} (pair28/ACTION/frames/mesh-f00001.obj and "
                f"pair28/ACTION/images/{camera}/000001.jpg), found none; {HI4D.how_to_get}"
            )

    def __len__(self) -> int:
        return len(self._frames)

    def sequence(self, position: int) -> str:
        """Name of the action that a sample is a frame of."""
        return self._frames[position][0].relative_to(self.root).as_posix()

    def view(self, position: int) -> View:
        """Read what one sample is made of.

        Raises:
            ValueError: If a file is missing or damaged.
        """
        action, image_path, mesh_path = self._frames[position]
        image = read_bytes(image_path)
        height, width = picture_size(image, image_path)
        names = (*action.relative_to(self.root).parts, image_path.stem)
        return View(
            identifier="/".join(names),
            category="",
            image=image,
            camera=read_camera(action / CALIBRATION, self.camera, height, width),
            mesh=_read_mesh(mesh_path),
        )


@lru_cache(maxsize=1)  # all cameras of a frame see the same mesh
def _read_mesh(path: Path) -> TriangleMesh:
    try:
        return read_mesh(read_bytes(path), "obj")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _actions(pair: Path) -> list[Path]:
    found = [*pair.glob(f"*/{CALIBRATION}"), *pair.glob(f"{pair.name}/*/{CALIBRATION}")]
    return sorted(path.parent.parent for path in found)


def _frames(action: Path, camera: int) -> list[tuple[Path, Path]]:
    """Pictures and meshes of the frames that have both, in order."""
    pictures = _numbered(action / "images" / str(camera), r"(\d+)\.jpg")
    meshes = _numbered(action / "frames", r"mesh-f(\d+)\.obj")
    return [(pictures[frame], meshes[frame]) for frame in sorted(pictures.keys() & meshes.keys())]


def _numbered(folder: Path, pattern: str) -> dict[int, Path]:
    """Files by the number in their name."""
    if not folder.is_dir():
        return {}
    matches = ((path, re.fullmatch(pattern, path.name)) for path in folder.iterdir())
    return {int(match[1]): path for path, match in matches if match}


def read_camera(path: Path, camera: int, height: int, width: int) -> PinholeCamera:
    """Read one camera of `rgb_cameras.npz`.

    Args:
        path: The file.
        camera: Number of the camera.
        height: Of its pictures, pixels.
        width: Of its pictures, pixels.

    Raises:
        ValueError: If the file is damaged, or if it does not hold this camera.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name.replace("intirnsics", "intrinsics"): file[name] for name in file.files}
        ids = [int(number) for number in found["ids"]]
        extrinsics = np.asarray(found["extrinsics"], np.float64)
        intrinsics = np.asarray(found["intrinsics"], np.float64)
        distortion = np.asarray(found["dist_coeffs"], np.float64)
    except Exception as error:  # numpy and zipfile raise whatever they stumble over
        raise ValueError(
            f"{path}: expected ids, intirnsics, extrinsics and dist_coeffs ({error})"
        ) from error
    if camera not in ids:
        raise ValueError(f"{path}: expected a camera out of {ids}, got {camera}")
    number = ids.index(camera)
    try:
        return PinholeCamera(
            intrinsics=intrinsics[number],
            rotation=extrinsics[number, :, :3],
            translation=extrinsics[number, :, 3],
            height=height,
            width=width,
            distortion=distortion[number].reshape(-1),
        )
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: camera {camera}: {error}") from error


HI4D = DatasetInfo(
    title="Hi4D",
    source=Hi4D,
    content="pairs of people in close contact, 940 x 1280: pairs 28, 32 and 37, camera 4",
    labels=("alpha", "depth", "normals"),
    size="1,195 of the frames",
    licence="non-commercial research, after registration",
    how_to_get="ask for access at https://hi4d.ait.ethz.ch and unpack pair28, pair32 and pair37",
    counts={"test": 1_195},
)
