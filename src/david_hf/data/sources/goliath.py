"""Goliath-4 of Codec Avatar Studio: heads and clothed bodies of four people, seen in domes.

    m--DATE--TIME--SUBJECT--pilot--ProjectGoliath--Head/          faces
    s--DATE--TIME--SUBJECT--pilot--ProjectGoliath--ClothedBody/   upper and full bodies
        camera_calibration.json       "KRT": a list of cameraId, K and T, both stored transposed
        image/cam401650.zip           cam401650/002858.avif
        scan_mesh/scan_mesh.zip       002858.ply

Which frames and cameras are evaluated is said in appendix B.7 of DAViD. K is that of the cameras'
4096 x 2668 pixels; the pictures are published at half of this.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from david_hf.data.meshes import PinholeCamera, TriangleMesh, read_mesh

from .archives import ZipFiles
from .base import DatasetInfo
from .rendered import RenderedSource, View, picture_size

# Meshes and cameras are in millimetres: the domes are 2.4 and 5.5 m wide, people 1.2 and 2.75 m
# from their cameras.
METRES_PER_UNIT = 0.001
CALIBRATED_HEIGHT, CALIBRATED_WIDTH = 4096, 2668

SUBJECTS = ("AXE977", "QZX685", "XKT970", "QVC422")
_CAPTURES = {
    "face": "m--*--{}--pilot--ProjectGoliath--Head",
    "upper_body": "s--*--{}--*--ClothedBody",
    "full_body": "s--*--{}--*--ClothedBody",
}


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


# DAViD, table 8.
CAMERAS = {
    "face": _numbers(
        "401650 401645 401655 401894 401962 402601 402792 402807 402871 402875 402980 403072"
    ),
    "upper_body": _numbers(
        "401541 400874 400883 400894 400895 400898 400926 400929 400933 400934 400936 401534"
    ),
    "full_body": _numbers(
        "401156 401150 401185 401191 402359 402401 402432 402435 402547 402551 402636 402689"
    ),
}
_HEAD_FRAMES = {
    "AXE977": _numbers(
        "02858 13148 23438 28085 29114 34733 49044 62745 "
        "75355 87055 99319 110328 121299 132449 139288 140317"
    ),
    "QZX685": _numbers(
        "03339 13089 22839 28404 29379 30354 46874 62806 "
        "74953 85733 97027 107481 119069 131633 132608 133583"
    ),
    "XKT970": _numbers(
        "03178 12868 22558 28225 29194 30163 37300 53338 "
        "66207 77489 88184 98424 108787 119398 124264 125233"
    ),
    "QVC422": _numbers(
        "03280 13990 24730 28636 29707 30778 31849 33856 "
        "52762 69555 82046 93762 105020 116706 123621 124692"
    ),
}
_BODY_FRAMES = {
    "AXE977": _numbers(
        "00202 02944 05686 08428 11170 13261 14175 22719 "
        "25761 28654 31695 34739 37780 40673 43714 46757"
    ),
    "QZX685": _numbers(
        "00227 02981 05735 08489 11243 13544 14462 22813 "
        "25868 28773 31825 34881 37935 40838 43890 46944"
    ),
    "XKT970": _numbers(
        "00313 03049 05785 08521 11257 13358 14270 22906 "
        "25941 28827 31863 34900 37936 40822 43857 46892"
    ),
    "QVC422": _numbers(
        "00207 02913 05619 08325 11031 13150 14052 22493 "
        "25498 28354 31362 34368 37373 40229 43236 46242"
    ),
}
FRAMES = {"face": _HEAD_FRAMES, "upper_body": _BODY_FRAMES, "full_body": _BODY_FRAMES}


class Goliath(RenderedSource):
    """The frames that DAViD evaluates, of the cameras that are there.

    The paper used all cameras of every subject but two: a camera without an archive of pictures is
    left out. `len` says how many samples there are, and `data.check` how many are expected.

    Args:
        root: Folder of the captures.
        split: face, upper_body or full_body.
        max_side: See `RenderedSource`.

    Raises:
        ValueError: If there is no picture of such a camera, if a subject has two captures, or if
            packages are not installed.
    """

    name = "goliath"
    splits = ("face", "upper_body", "full_body")

    def __init__(self, root: Path | str, split: str = "face", max_side: int | None = None) -> None:
        super().__init__(root, split, max_side)
        # The cameras of a frame come one after the other: they see the same mesh.
        self._samples = [
            (capture, subject, frame, camera)
            for subject in SUBJECTS
            for capture in self._captures(subject)
            for cameras in [[c for c in CAMERAS[split] if _picture_archive(capture, c).is_file()]]
            for frame in FRAMES[split][subject]
            for camera in cameras
        ]
        if not self._samples:
            pattern = _CAPTURES[split].format(SUBJECTS[0])
            raise ValueError(
                f"{root}: expected captures ({pattern}/image/cam{CAMERAS[split][0]}.zip, ...), "
                f"found none; {GOLIATH.how_to_get}"
            )

    def __len__(self) -> int:
        return len(self._samples)

    def sequence(self, position: int) -> str:
        """Subject and camera of a sample."""
        _, subject, _, camera = self._samples[position]
        return f"{subject}/{camera:06d}"

    def view(self, position: int) -> View:
        """Read what one sample is made of.

        Raises:
            ValueError: If a file is missing or damaged.
        """
        capture, subject, frame, camera = self._samples[position]
        archive = _picture_archive(capture, camera)
        image = _open_zip(archive).read(f"{frame:06d}.avif")
        height, width = picture_size(image, f"{archive}: {frame:06d}.avif")
        return View(
            identifier=f"{subject}/{camera:06d}/{frame:06d}",
            category=self.split,
            image=image,
            camera=read_camera(capture / "camera_calibration.json", camera, height, width),
            mesh=_read_scan(capture / "scan_mesh" / "scan_mesh.zip", frame),
        )

    def _captures(self, subject: str) -> list[Path]:
        found = sorted(self.root.glob(_CAPTURES[self.split].format(subject)))
        if len(found) > 1:
            raise ValueError(
                f"{self.root}: expected one capture of {subject}, found {found[0].name} and "
                f"{found[1].name}: move one away"
            )
        return found


def _picture_archive(capture: Path, camera: int) -> Path:
    return capture / "image" / f"cam{camera:06d}.zip"


@lru_cache(maxsize=16)  # the cameras of one subject, and its meshes
def _open_zip(path: Path) -> ZipFiles:
    return ZipFiles(path)


@lru_cache(maxsize=1)
def _read_scan(path: Path, frame: int) -> TriangleMesh:
    content = _open_zip(path).read(f"{frame:06d}.ply")
    try:
        return read_mesh(content, "ply", METRES_PER_UNIT)
    except ValueError as error:
        raise ValueError(f"{path}: member {frame:06d}.ply: {error}") from error


@lru_cache(maxsize=4)
def _read_calibration(path: Path) -> dict[int, dict[str, Any]]:
    try:
        entries = json.loads(path.read_text("utf-8"))["KRT"]
        return {int(entry["cameraId"]): entry for entry in entries}
    except FileNotFoundError as error:
        raise ValueError(f"{path}: missing; download it again") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f'{path}: expected a list "KRT" of cameras ({error!r})') from error


def read_camera(path: Path, camera: int, height: int, width: int) -> PinholeCamera:
    """Read one camera of `camera_calibration.json`.

    Args:
        path: The file.
        camera: Number of the camera.
        height: Of its pictures, pixels.
        width: Of its pictures, pixels.

    Raises:
        ValueError: If the file is damaged, if it does not hold this camera, or if its pictures have
            another shape than its sensor.
    """
    entry = _read_calibration(path).get(camera)
    if entry is None:
        raise ValueError(f"{path}: expected camera {camera}, which is not among its cameras")
    if abs(width * CALIBRATED_HEIGHT - height * CALIBRATED_WIDTH) > CALIBRATED_HEIGHT:
        raise ValueError(
            f"{path}: camera {camera}: expected pictures of {CALIBRATED_HEIGHT} x "
            f"{CALIBRATED_WIDTH} pixels, or scaled from that, got {height} x {width}"
        )
    try:
        pose = np.asarray(entry["T"], np.float64).T
        if not np.allclose(pose[3], [0, 0, 0, 1]):
            raise ValueError(f"expected a transposed pose, got T = {entry['T']}")
        full = PinholeCamera(
            intrinsics=np.asarray(entry["K"], np.float64).T,
            rotation=pose[:3, :3],
            translation=pose[:3, 3] * METRES_PER_UNIT,
            height=CALIBRATED_HEIGHT,
            width=CALIBRATED_WIDTH,
        )
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"{path}: camera {camera}: {error!r}") from error
    return full.resized(height, width)


GOLIATH = DatasetInfo(
    title="Goliath-4",
    source=Goliath,
    content="four people in domes of cameras: faces, upper and full bodies, 1334 x 2048",
    labels=("alpha", "depth", "normals"),
    size="2,272 of the frames; terabytes in all",
    licence="CC BY-NC 4.0",
    how_to_get="ask for access as https://github.com/facebookresearch/goliath says, and download "
    "head and clothed body captures",
    counts={"face": 736, "upper_body": 768, "full_body": 768},
)
