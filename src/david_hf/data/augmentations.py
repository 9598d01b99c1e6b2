"""Photometric augmentations of DAViD, appendix B.6: they touch the picture, never the labels."""

from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .sample import Array, HumanSample

# Smallest and largest value of each setting that is not within 0 and 1.
_BOUNDS = {
    "dark": (1.0, 10.0),
    "contrast": (1.0, 10.0),
    "saturation": (1.0, 10.0),
    "hue_deg": (0.0, 180.0),
    "jpeg": (1.0, 100.0),
    "zoom": (0.01, 100.0),
    "rotation_deg": (0.0, 180.0),
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class PhotometricAugmentations:
    """Probability and strength of each augmentation, in the order of a camera's work.

    The paper names all but the dark; all numbers are our choice, and so is the contrast's formula,
    which is missing from every copy we know: a factor about middle grey. Strengths are for sRGB in
    [0, 1].

    Attributes:
        dark_probability: How often the picture is taken in the dark.
        dark: Smallest and largest gamma of that, above 1.
        blur_probability: How often the lens blurs.
        blur: Largest standard deviation of that, as a share of the picture's longer side.
        noise_probability: How often the sensor adds ISO noise (Hewitt et al.): Poissonian, whose
            variance grows with the signal, and Gaussian.
        noise: Largest standard deviation of the Poissonian part at white; the Gaussian has half.
        brightness_probability: How often an offset is added.
        brightness: Largest offset, up or down.
        contrast_probability: How often the contrast is changed.
        contrast: Largest factor about middle grey; the smallest is its inverse.
        hue_probability: How often the hue is turned.
        hue_deg: Largest angle about the grey axis.
        saturation_probability: How often the saturation is changed.
        saturation: Largest factor about the luminance; the smallest is its inverse.
        grey_probability: How often colour is removed.
        jpeg_probability: How often JPEG artefacts are added.
        jpeg: Smallest and largest quality.
    """

    dark_probability: float = 0.15
    dark: tuple[float, float] = (1.3, 2.4)
    blur_probability: float = 0.35
    blur: float = 0.006
    noise_probability: float = 0.4
    noise: float = 0.05
    brightness_probability: float = 0.7
    brightness: float = 0.12
    contrast_probability: float = 0.7
    contrast: float = 1.5
    hue_probability: float = 0.5
    hue_deg: float = 10.0
    saturation_probability: float = 0.7
    saturation: float = 1.8
    grey_probability: float = 0.06
    jpeg_probability: float = 0.5
    jpeg: tuple[int, int] = (25, 95)

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: If a probability or a range is none.
        """
        check_ranges(self)

    def augment(self, sample: HumanSample, rng: np.random.Generator) -> HumanSample:
        """Augment the picture of a sample."""
        return replace(sample, image=self.apply(sample.image, rng))

    def apply(self, image: Array, rng: np.random.Generator) -> Array:
        """Augment an sRGB picture (H, W, 3) in [0, 1]."""
        if rng.random() < self.dark_probability:
            image = _float32(cv2.pow(image, rng.uniform(*self.dark)))
        if rng.random() < self.blur_probability:
            image = _blur(image, rng.uniform(0, self.blur) * max(image.shape[:2]))
        if rng.random() < self.noise_probability:
            image = _add_iso_noise(image, rng.uniform(0, self.noise), rng)
        image = _float32(cv2.transform(image, self._draw_colours(rng))).clip(0, 1)
        if rng.random() < self.jpeg_probability:
            image = _compress(image, int(rng.integers(*self.jpeg, endpoint=True)))
        return image

    def _draw_colours(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(3, 4): a matrix and an offset; brightness, contrast, hue and saturation are affine."""

        def factor(probability: float, largest: float) -> float:
            return float(np.exp(_signed(rng, probability, np.log(largest))))

        contrast = factor(self.contrast_probability, self.contrast)
        offset = 0.5 - 0.5 * contrast
        offset += _signed(rng, self.brightness_probability, self.brightness)
        hue = _hue_rotation(np.radians(_signed(rng, self.hue_probability, self.hue_deg)))
        saturation = factor(self.saturation_probability, self.saturation)
        if rng.random() < self.grey_probability:
            saturation = 0.0
        colours = saturation * np.eye(3) + (1 - saturation) * np.outer(np.ones(3), LUMINANCE)
        matrix = colours @ hue
        return np.column_stack([contrast * matrix, matrix @ np.full(3, offset)])


def check_ranges(settings: Any) -> None:
    """Check a dataclass of probabilities, strengths and ranges (low, high), all numbers.

    Raises:
        ValueError: If one is none.
    """
    for item in fields(settings):
        value = getattr(settings, item.name)
        lowest, highest = _BOUNDS.get(item.name, (0.0, 1.0))
        numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
        is_range = isinstance(item.default, tuple)
        if not (
            all(isinstance(n, int | float) and lowest <= n <= highest for n in numbers)
            and len(numbers) == 1 + is_range
            and list(numbers) == sorted(numbers)
        ):
            what = "a range [low, high]" if is_range else "a number"
            raise ValueError(
                f"{item.name}: expected {what} within {lowest:g} to {highest:g}, got {value!r}"
            )


def _signed(rng: np.random.Generator, probability: float, largest: float) -> float:
    """Zero, or with a probability a number up to `largest` on either side."""
    value, chance = rng.uniform(-1, 1), rng.random()
    return float(value * largest) if chance < probability else 0.0


def _hue_rotation(angle: float) -> NDArray[np.float64]:
    """Rotation (3, 3) of RGB about the grey axis (Rodrigues)."""
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _blur(image: Array, sigma: float) -> Array:
    if sigma < 0.1:  # nothing that a picture of whole pixels could show
        return image
    return _float32(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))


def _add_iso_noise(image: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Poisson noise, as a normal of the same variance, and Gaussian noise: variances add up."""
    deviation = np.sqrt(image.clip(0, 1) * np.float32(sigma**2) + np.float32(sigma**2 / 4))
    return image + deviation * rng.standard_normal(image.shape, np.float32)


def _compress(image: Array, quality: int) -> Array:
    pixels = np.ascontiguousarray((image[..., ::-1] * 255 + 0.5).astype(np.uint8))
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(_float32(decoded)[..., ::-1]) / np.float32(255)


def _float32(values: Any) -> Array:
    return np.asarray(values, np.float32)
