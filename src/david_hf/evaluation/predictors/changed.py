"""Predictors made of others: renamed ones, and ones whose maps are changed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from .base import Maps, Photo, Predictor


class ChangedPredictor(Predictor):
    """Another predictor under another name, whose normals may be blurred.

    Blurred normals are less faithful, yet on scanned ground truth they score no worse (DAViD,
    appendix B.1): an experiment about the ground truth.

    Args:
        inner: The predictor.
        name: What results call it.
        blur_sigma_px: Standard deviation of the Gaussian that normals are blurred by before they
            are made unit again, in pixels of the photo; 0 leaves them. The paper gives no number.
    """

    def __init__(self, inner: Predictor, name: str, blur_sigma_px: float = 0.0) -> None:
        self.family, self.name, self.tasks = inner.family, name, inner.tasks
        self.depth_space = inner.depth_space
        self._inner, self._sigma = inner, blur_sigma_px

    def predict(self, photos: Sequence[Photo]) -> list[Maps]:
        """Predict as the inner predictor, then blur."""
        return [self._blurred(maps) for maps in self._inner.predict(photos)]

    def describe(self) -> dict[str, Any]:
        """As the inner predictor, with the blur."""
        return {**self._inner.describe(), "blur_sigma_px": self._sigma}

    def _blurred(self, maps: Maps) -> Maps:
        if not self._sigma or maps.normals is None:
            return maps
        blurred = cv2.GaussianBlur(maps.normals, (0, 0), self._sigma)
        length = np.linalg.norm(blurred, axis=-1, keepdims=True)
        return replace(maps, normals=blurred / np.maximum(length, np.float32(1e-6)))
