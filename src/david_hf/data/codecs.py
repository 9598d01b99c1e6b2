"""Encoded pictures and maps to arrays, and back.

Everything works on bytes: of a file, of a zip's member, of a Parquet cell.
"""

import io
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .sample import Array

MAX_PIXELS = 120_000_000  # a file of a few kilobytes may unpack to gigabytes
_ORIENTATION = 0x0112  # the EXIF tag


def decode_image(content: bytes) -> Array:
    """Decode any format that Pillow reads to sRGB (H, W, 3) in [0, 1].

    The pixels are taken as they are stored: labels lie over those, not over a turned picture.

    Raises:
        ValueError: If the bytes are no picture, or a damaged or a huge one.
    """
    image = _open(content)
    if image.mode.startswith(("I", "F")):  # Pillow would cut their values off at 255
        grey = _unit_range(image)
        return np.repeat(grey[..., None], 3, -1)
    return np.asarray(image.convert("RGB"), np.float32) / np.float32(255)


def decode_alpha(content: bytes) -> Array:
    """Decode a matte (H, W) in [0, 1].

    Of a picture with an alpha channel, such as a cut-out, that channel is it; of others with
    several channels the first counts, as all are the same.

    Raises:
        ValueError: As `decode_image`; or if a matte of floats is not in [0, 1].
    """
    image = _open(content)
    if image.mode in ("RGBA", "LA", "PA"):
        image = image.getchannel("A")
    elif image.mode in ("1", "P"):
        image = image.convert("L")
    return _unit_range(image)


def _unit_range(image: Image.Image) -> Array:
    """First channel (H, W) of 8-bit, 16-bit or float pixels, in [0, 1].

    Raises:
        ValueError: If floats are not in [0, 1].
    """
    pixels = np.asarray(image)
    if pixels.ndim == 3:
        pixels = pixels[..., 0]
    if pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and 0 <= pixels.min() <= pixels.max() <= 1):
            raise ValueError("expected floats in [0, 1]")
        return pixels.astype(np.float32)
    # Pillow reads 16 bits as 16 or, of some files, as 32.
    return pixels.astype(np.float32) / np.float32(255 if pixels.dtype.itemsize == 1 else 65535)


def without_orientation(content: bytes, *, turn: bool = False) -> bytes:
    """A picture that every reader sees alike: some turn it by its EXIF orientation, some do not.

    Args:
        content: The file; returned as it is if it has no orientation.
        turn: Whether its pixels are turned as it says, or stay as they are stored.
    """
    if b"Exif" not in content and b"eXIf" not in content:
        return content
    image = _open(content)
    if image.getexif().get(_ORIENTATION, 1) == 1:
        return content
    pixels = np.asarray((ImageOps.exif_transpose(image) if turn else image).convert("RGB"))
    return png_bytes(pixels)


def encode_png(pixels: Array) -> bytes:
    """Encode a picture (H, W, 3) or a matte (H, W) in [0, 1] as 8-bit PNG."""
    return png_bytes((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (H, W) or (H, W, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _open(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, and of sizes allowed here
            image = Image.open(io.BytesIO(content))
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f"{image.width} x {image.height} pixels are more than the limit of "
                    f"{MAX_PIXELS:,}"
                )
            image.load()
    except UnidentifiedImageError as error:
        raise ValueError("not a picture, or of a format that cannot be read") from error
    except Exception as error:  # decoders of damaged files raise whatever they stumble over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"not a readable picture: {reason}") from error
    return image


def decode_exr(content: bytes, channels: str) -> Array:
    """Decode channels of an EXR file, (H, W, len(channels)) float32, in the order asked for.

    Raises:
        ValueError: If the bytes are no EXR file or a damaged one, or if a channel is missing.
    """
    import OpenEXR

    try:
        header = OpenEXR.File(io.BytesIO(content), header_only=True).header()
        first, last = header["dataWindow"]
        is_huge = int(last[0] - first[0] + 1) * int(last[1] - first[1] + 1) > MAX_PIXELS
        found = {}
        if not is_huge:
            found = OpenEXR.File(io.BytesIO(content), separate_channels=True).channels()
    except Exception as error:  # its words name parts and chunks, and no cause
        raise ValueError("not a readable EXR file: damaged or of another format") from error
    if is_huge:
        raise ValueError(f"more pixels than the limit of {MAX_PIXELS:,}")
    missing = [name for name in channels if name not in found]
    if missing:
        raise ValueError(f"expected EXR channels {list(channels)}, found {sorted(found)}")
    stored = np.stack([found[name].pixels for name in channels], -1)
    if stored.dtype == np.float16:
        return np.asarray(torch.from_numpy(stored).float())  # numpy takes six times as long
    return stored.astype(np.float32)


def encode_exr(maps: Array, channels: str) -> bytes:
    """Encode maps (H, W, len(channels)) as EXR, ZIP compressed: half floats where they are exact.

    Args:
        maps: float32, finite where it matters.
        channels: One-letter names.
    """
    import OpenEXR

    with np.errstate(over="ignore"):
        half = maps.astype(np.float16)
    exact = bool((half == maps).all())
    stored = half if exact else maps.astype(np.float32)
    header: dict[str, Any] = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
    }
    planes = {name: np.ascontiguousarray(stored[..., i]) for i, name in enumerate(channels)}
    buffer = io.BytesIO()
    OpenEXR.File(header, planes).write(buffer)
    return buffer.getvalue()
