"""Encoded pictures and maps to arrays, and back.

Everything works on bytes: of a file, of a zip's member, of a Parquet cell.
"""

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .sample import Array

MAX_PIXELS = 120_000_000  # a file of a few kilobytes may unpack to gigabytes


def decode_image(content: bytes) -> Array:
    """Decode any format that Pillow reads to sRGB (H, W, 3) in [0, 1].

    The pixels are taken as they are stored: labels lie over those, not over a turned picture.

    Raises:
        ValueError: If the bytes are no picture, or a damaged or a huge one.
    """
    return np.asarray(_open(content).convert("RGB"), np.float32) / np.float32(255)


def decode_alpha(content: bytes) -> Array:
    """Decode a matte (H, W) in [0, 1]; of several channels the first counts, as all are the same.

    Raises:
        ValueError: As `decode_image`.
    """
    image = _open(content)
    if image.mode in ("1", "P"):
        image = image.convert("L")
    pixels = np.asarray(image)
    scale = np.float32(65535 if pixels.dtype in (np.uint16, np.int32) else 255)
    return (pixels if pixels.ndim == 2 else pixels[..., 0]).astype(np.float32) / scale


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
        found = OpenEXR.File(io.BytesIO(content), separate_channels=True).channels()
    except Exception as error:  # its words name parts and chunks, and no cause
        raise ValueError("not a readable EXR file: damaged or of another format") from error
    missing = [name for name in channels if name not in found]
    if missing:
        raise ValueError(f"expected EXR channels {list(channels)}, found {sorted(found)}")
    maps: Array = np.empty((*found[channels[0]].pixels.shape, len(channels)), np.float32)
    for position, name in enumerate(channels):
        maps[..., position] = found[name].pixels
    return maps


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
