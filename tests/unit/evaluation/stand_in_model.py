"""A predictor whose maps are closed forms of the photo, so that results are known."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from david_hf.evaluation.predictors.base import Maps, Photo, Predictor


class StandInModel(Predictor):
    """Depth is brightness, normals face the camera, alpha is 1.

    Args:
        tasks: What it predicts.
        digest: What tells it from others.
    """

    family = "stand-in"
    name = "stand-in"
    depth_space = "depth"

    def __init__(
        self, tasks: tuple[str, ...] = ("depth", "normals", "alpha"), digest: str = "a"
    ) -> None:
        self.tasks = tasks
        self.batches: list[int] = []
        self._digest = digest

    def predict(self, photos: Sequence[Photo]) -> list[Maps]:
        self.batches.append(len(photos))
        return [self._maps(photo) for photo in photos]

    def describe(self) -> dict[str, Any]:
        return {"sha256": self._digest}

    def _maps(self, photo: Photo) -> Maps:
        brightness = photo.mean(-1, dtype=np.float32)
        facing = np.zeros((*brightness.shape, 3), np.float32)
        facing[..., 2] = 1
        maps = {"depth": brightness, "normals": facing, "alpha": np.ones_like(brightness)}
        return Maps(**{task: maps[task] for task in self.tasks})
