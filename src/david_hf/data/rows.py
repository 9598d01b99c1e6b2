"""A sample as it lies in a file, a shard or an Arrow table: encoded, complete, self-describing.

Every source yields rows, and a `HumanSample` is a decoded row. What a source already has encoded is
passed on byte for byte.
"""

from typing import TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from .codecs import (
    decode_alpha,
    decode_exr,
    decode_image,
    encode_exr,
    encode_png,
    without_orientation,
)
from .sample import Array, HumanSample

UNKNOWN_DEPTH = 65504.0  # the largest half float: what SynthHuman writes where nobody is
# cv2, for which SynthHuman was written, reads B, G, R in this order: they are X, Y, Z.
NORMAL_CHANNELS = "BGR"
DEPTH_CHANNELS = "Y"


class Picture(TypedDict):
    """An encoded picture, as `datasets.Image` stores it."""

    bytes: bytes
    path: str | None


class DepthCell(TypedDict):
    """Encoded z-depth: an EXR with a channel Y, and the unit of its values."""

    exr: bytes
    metres_per_unit: float


class Row(TypedDict):
    """One sample; what is unknown is None.

    image: any format, 8-bit RGB. alpha: 8-bit grey, or any matte that `decode_alpha` takes.
    depth: `DepthCell`, at least 65504 where unknown. normals: EXR whose B, G, R are X right, Y up,
    Z to the camera, zero where unknown. foreground: EXR, premultiplied linear RGBA of the people.
    intrinsics: 3 rows of 3 numbers, pixels. factors: JSON of what a generator sampled.
    """

    image: Picture
    alpha: Picture | None
    depth: DepthCell | None
    normals: bytes | None
    foreground: bytes | None
    intrinsics: list[list[float]] | None
    category: str
    id: str
    source: str
    factors: str | None


def decode_depth(cell: DepthCell) -> tuple[Array, NDArray[np.bool_]]:
    """Z-depth (H, W) in metres, 0 where unknown, and where it is known.

    Raises:
        ValueError: If the EXR file is damaged.
    """
    stored = decode_exr(cell["exr"], DEPTH_CHANNELS)[..., 0]
    valid = np.isfinite(stored) & (stored > 0) & (stored < UNKNOWN_DEPTH)
    metres = np.where(valid, stored * np.float64(cell["metres_per_unit"]), 0)
    return metres.astype(np.float32), valid


def decode_normals(content: bytes) -> tuple[Array, NDArray[np.bool_]]:
    """Unit normals (H, W, 3), zero where unknown, and where they are known.

    Raises:
        ValueError: If the EXR file is damaged.
    """
    stored = decode_exr(content, NORMAL_CHANNELS)
    length = lengths(stored)
    if not np.isfinite(length).all():
        stored = np.nan_to_num(stored, nan=0, posinf=0, neginf=0)
        length = lengths(stored)
    valid = length > 0.5
    scale = (valid / np.maximum(length, np.float32(0.5))).astype(np.float32)
    return stored * scale[..., None], valid


def lengths(vectors: Array) -> Array:
    """Lengths (H, W) of vectors (H, W, 3); many times as fast as numpy's norm."""
    squares = cv2.transform(cv2.multiply(vectors, vectors), np.ones((1, 3)))
    return np.asarray(np.sqrt(squares), np.float32)


def decode_row(row: Row, where: str = "") -> HumanSample:
    """Decode and check a row.

    Args:
        row: What a source, a shard or a table holds.
        where: What error messages begin with; by default source and identifier.

    Raises:
        ValueError: If a part is damaged, if the maps differ in size, or if the normals are not in
            the data set's frame.
    """
    where = where or f"{row['source']} sample {row['id']}"
    part = "image"
    alpha = depth_m = normals = None
    maps_valid = []
    try:
        image = decode_image(row["image"]["bytes"])
        if row["alpha"] is not None:
            part = "alpha"
            alpha = decode_alpha(row["alpha"]["bytes"])
        if row["depth"] is not None:
            part = "depth"
            depth_m, known = decode_depth(row["depth"])
            maps_valid.append(known)
        if row["normals"] is not None:
            part = "normals"
            normals, known = decode_normals(row["normals"])
            maps_valid.append(known)
    except ValueError as error:
        raise ValueError(f"{where}: {part}: {error}") from error
    _check_sizes(where, image=image, alpha=alpha, depth=depth_m, normals=normals)
    valid = np.full(image.shape[:2], bool(maps_valid))
    for known in maps_valid:
        valid &= known
    if normals is not None:
        seen = valid if alpha is None else valid & (alpha > 0.5)
        check_normals_frame(normals, seen, where)
        normals[~valid & maps_valid[-1]] = 0
    return HumanSample(
        image=image,
        alpha=alpha,
        depth_m=None if depth_m is None else depth_m * valid,
        normals=normals,
        valid=valid,
        intrinsics=None if row["intrinsics"] is None else np.array(row["intrinsics"], np.float64),
        category=row["category"],
        identifier=row["id"],
        source=row["source"],
    )


def encode_sample(sample: HumanSample) -> Row:
    """Encode a sample: pictures with 8 bits, maps without loss."""
    unknown = ~sample.valid
    depth = normals = None
    if sample.depth_m is not None:
        stored = np.where(unknown, np.float32(UNKNOWN_DEPTH), sample.depth_m)[..., None]
        depth = DepthCell(exr=encode_exr(stored, DEPTH_CHANNELS), metres_per_unit=1.0)
    if sample.normals is not None:
        normals = encode_exr(sample.normals, NORMAL_CHANNELS)
    return Row(
        image=picture(encode_png(sample.image)),
        alpha=None if sample.alpha is None else picture(encode_png(sample.alpha)),
        depth=depth,
        normals=normals,
        foreground=None,
        intrinsics=None if sample.intrinsics is None else sample.intrinsics.tolist(),
        category=sample.category,
        id=sample.identifier,
        source=sample.source,
        factors=None,
    )


def picture(content: bytes) -> Picture:
    """Wrap an encoded picture, without an EXIF orientation: labels lie over pixels as stored."""
    return Picture(bytes=without_orientation(content), path=None)


def _check_sizes(where: str, **maps: Array | None) -> None:
    sizes = {name: values.shape[:2] for name, values in maps.items() if values is not None}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {h} x {w}" for name, (h, w) in sizes.items())
        raise ValueError(f"{where}: the maps differ in size (height x width): {listed}")


def check_normals_frame(normals: Array, mask: NDArray[np.bool_], where: str) -> None:
    """Refuse normals that do not face the camera: the channel order or the frame is wrong.

    Raises:
        ValueError: If, over `mask`, the third channel is not the one with the largest, positive
            mean.
    """
    if not mask.any():
        return
    weights = mask.ravel().astype(np.float32)
    mean = weights @ normals.reshape(-1, 3) / weights.sum()
    # A figure seen from high above may have more Y than Z: only a clear contradiction is refused.
    if mean[2] <= 0 or mean[2] < mean.max() - 0.2:
        raise ValueError(
            f"{where}: expected normals X right, Y up, Z to the camera, so Z > 0 on average; got "
            f"means {np.round(mean, 3).tolist()}: the channel order or the frame differs"
        )
