"""Image files in and out: photos of every kind in, map files that appear whole out."""

import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .atomic import whole_file
from .model.image_inputs_david import pil_to_array

# How the names of photos end, where a folder of them is asked for.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

# A file of a few kilobytes may unpack to gigabytes; photos of this size still fit in memory.
MAX_PIXELS = 120_000_000

# Maps are large and smooth: more effort costs far more time than it saves space.
_COMPRESSION = 1
_ROWS_PER_BLOCK = 256
_FILTER_SUB = 1


class ImageReadError(ValueError):
    """A file that cannot be read as an image; the message is one line with path and reason."""


def load_image(path: str | os.PathLike[str]) -> Image.Image:
    """Read a photo as people see it: upright, and in colours that the image processor takes as is.

    The EXIF orientation is applied, CMYK and palettes become RGB, transparency is dropped (the
    colours under it are kept), and of animations the first frame is taken.

    Args:
        path: Image file of any format that Pillow reads.

    Returns:
        Image of mode "RGB"; "I;16" for 16-bit grey; "F" for float images, expected in [0, 1].

    Raises:
        ImageReadError: If the file is missing, damaged, no image, or larger than `MAX_PIXELS`.
    """
    try:
        # Pillow warns of damaged metadata and of sizes that are allowed here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                _check_size(image)
                image.load()
                return _to_plain_mode(_upright(image))
    except FileNotFoundError:
        reason = "no such file"
    except UnidentifiedImageError:
        reason = "not an image, or of a format that cannot be read"
    except Exception as error:  # decoders of damaged files raise whatever they stumble over
        reason = " ".join(str(error).split()) or type(error).__name__
    raise ImageReadError(f"{os.fspath(path)}: {reason}")


def _check_size(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ValueError(
            f"{image.width} x {image.height} pixels are more than the limit of {MAX_PIXELS:,}"
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # a photo with damaged EXIF data is still a photo
        return image
    return image


def _to_plain_mode(image: Image.Image) -> Image.Image:
    if image.mode == "F" and not np.isfinite(np.asarray(image)).all():
        raise ValueError("expected pixels that are finite, got NaN or infinity")
    if image.mode in ("RGB", "F"):
        return image
    # As the image processor reads it, so that a file and a PIL image give the same maps.
    return Image.fromarray(pil_to_array(image))


def to_rgb8(image: Image.Image) -> np.ndarray:
    """Give the pixels of an image from `load_image` as RGB, uint8, shape (H, W, 3)."""
    pixels = np.asarray(image)
    if pixels.dtype == np.uint8:
        return pixels
    unit = pixels / 65535.0 if pixels.dtype == np.uint16 else pixels.clip(0.0, 1.0)
    return np.repeat((unit * 255.0).round().astype(np.uint8)[..., None], 3, axis=-1)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4) as PNG.

    Args:
        path: File to write or replace.
        pixels: uint8 of any of these shapes, or uint16 of shape (H, W) or (H, W, 3).
    """
    with whole_file(path) as file:
        if pixels.dtype == np.uint16 and pixels.ndim == 3:
            _write_rgb16(file, pixels)  # Pillow has no mode for it
        else:
            Image.fromarray(pixels).save(file, "PNG", compress_level=_COMPRESSION)


def write_npy(path: Path, values: np.ndarray) -> None:
    """Write an array in numpy's own format."""
    with whole_file(path) as file:
        np.save(file, values)


def _write_rgb16(file: BinaryIO, pixels: np.ndarray) -> None:
    """Encode RGB, uint16, shape (H, W, 3), after the PNG specification (W3C, 3rd edition)."""
    height, width, _ = pixels.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    # 16 bits per sample, colour type 2 (RGB), the only compression and filter method, no interlace.
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    compressor = zlib.compressobj(_COMPRESSION)
    for start in range(0, height, _ROWS_PER_BLOCK):
        scanlines = _filter_rows(pixels[start : start + _ROWS_PER_BLOCK])
        _write_chunk(file, b"IDAT", compressor.compress(scanlines))
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")


def _filter_rows(rows: np.ndarray) -> bytes:
    """Code each byte as its difference to the pixel at its left, which compresses smooth maps."""
    samples = np.ascontiguousarray(rows, dtype=">u2").view(np.uint8).reshape(len(rows), -1)
    scanlines = np.empty((len(rows), 1 + samples.shape[1]), np.uint8)
    scanlines[:, 0] = _FILTER_SUB
    scanlines[:, 1:7] = samples[:, :6]
    scanlines[:, 7:] = samples[:, 6:] - samples[:, :-6]
    return scanlines.tobytes()


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data)
    file.write(struct.pack(">I", zlib.crc32(kind + data)))
