"""Photometric augmentations of DAViD, appendix B.6: they touch the picture, never the labels.

Probabilities and ranges are our choice where the paper gives none. Geometric ones happen in
`composition.place`.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from .sample import Array

WHITE = np.float32(255)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class Augmentations:
    """Probability and strength of each augmentation. Strengths are for sRGB in [0, 1].

    Attributes:
        brightness: Standard deviation of an offset.
        contrast: Standard deviation of the logarithm of a factor about the middle grey.
        saturation: Standard deviation of the logarithm of a factor about the luminance.
        hue: Standard deviation of a rotation about the grey axis, radians.
        dark_probability: How often the picture is taken in the dark: a gamma above 1.
        grey_probability: How often colour is removed.
        blur_probability: How often the picture is blurred.
        blur_share: Largest blur radius as a share of the picture's side.
        noise_probability: How often sensor noise is added.
        noise: Largest standard deviation of its Gaussian part.
        jpeg_probability: How often JPEG artefacts are added.
    """

    brightness: float = 0.06
    contrast: float = 0.2
    saturation: float = 0.3
    hue: float = 0.08
    dark_probability: float = 0.15
    grey_probability: float = 0.06
    blur_probability: float = 0.35
    blur_share: float = 0.006
    noise_probability: float = 0.4
    noise: float = 0.05
    jpeg_probability: float = 0.5

    def apply(self, image: Array, rng: np.random.Generator) -> Array:
        """Augment an sRGB picture (H, W, 3) in [0, 1]."""
        image = self._change_colours(image, rng)
        if rng.random() < self.blur_probability:
            image = _blur(image, rng.uniform(0, self.blur_share) * max(image.shape[:2]))
        if rng.random() < self.noise_probability:
            image = _add_iso_noise(image, rng.uniform(0, self.noise), rng)
        if rng.random() < self.jpeg_probability:
            image = _compress(image, int(rng.integers(25, 95)))
        return np.clip(image, 0, 1)

    def _change_colours(self, image: Array, rng: np.random.Generator) -> Array:
        if rng.random() < self.dark_probability:
            image = image ** rng.uniform(1.3, 2.4)
        image = (image - 0.5) * np.exp(rng.normal(0, self.contrast)) + 0.5
        image = image + rng.normal(0, self.brightness)
        image = image @ _hue_rotation(rng.normal(0, self.hue)).T
        grey = (image @ LUMINANCE)[..., None]
        is_grey = rng.random() < self.grey_probability
        saturation = 0.0 if is_grey else np.exp(rng.normal(0, self.saturation))
        mixed = grey + (image - grey) * saturation
        return np.clip(mixed, 0, 1).astype(np.float32)


def _hue_rotation(angle: float) -> Array:
    """Rotation (3, 3) of RGB about the grey axis (Rodrigues)."""
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn.astype(np.float32)


def _blur(image: Array, radius: float) -> Array:
    picture = Image.fromarray((image * 255 + 0.5).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32) / WHITE


def _add_iso_noise(image: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Poisson (photon) noise, whose variance grows with the signal, and Gaussian (read) noise."""
    photon = rng.normal(size=image.shape) * np.sqrt(np.clip(image, 0, 1)) * sigma
    read = rng.normal(size=image.shape) * sigma / 2
    return (image + photon + read).astype(np.float32)


def _compress(image: Array, quality: int) -> Array:
    buffer = io.BytesIO()
    picture = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    picture.save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), np.float32) / WHITE
