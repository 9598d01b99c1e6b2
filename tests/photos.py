"""Photos, awkward ones too, and checkpoints of random weights, for tests of prediction."""

from pathlib import Path

import numpy as np
import torch
from factories import tiny_model
from PIL import Image

from david_hf.model import DavidImageProcessor, DavidPreTrainedModel


def save_checkpoint(model_class: type[DavidPreTrainedModel], folder: Path) -> Path:
    """Save a tiny model with random weights and its processor."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = tiny_model(model_class)
    model.save_pretrained(folder)
    DavidImageProcessor(size=model.config.input_size).save_pretrained(folder)
    return folder


def make_picture(height: int, width: int) -> Image.Image:
    """A picture with structure everywhere: colour ramps under coarse noise, RGB."""
    noise = np.random.default_rng(0).random((8, 6, 3)) * 60
    coarse = Image.fromarray(noise.astype(np.uint8)).resize((width, height))
    rows = np.linspace(0, 180, height)[:, None]
    columns = np.linspace(0, 180, width)[None]
    ramps = np.stack(np.broadcast_arrays(rows, columns, 180 - rows), axis=-1)
    return Image.fromarray((ramps + np.asarray(coarse)).astype(np.uint8))


def save_photos(folder: Path) -> None:
    """Seven photos that can be read and two files that cannot."""
    picture = make_picture(60, 40)
    picture.save(folder / "good.jpg")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(folder / "sixteen_bits.png")
    palette = picture.quantize(16)
    palette.save(folder / "palette.png", transparency=bytes(range(0, 256, 16)))
    picture.resize((1, 1)).save(folder / "pixel.png")
    picture.resize((1500, 1100)).save(folder / "large.webp")
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright, the sensor saw the scene lying
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpeg", exif=turned)
    picture.resize((400, 300)).save(folder / "truncated.jpg")
    jpeg = (folder / "truncated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "text.jpg").write_text("no picture at all")
