"""From maps and labels to metrics: what is compared where, and what shares an alignment."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from david_hf.data.sample import HumanSample

from .benchmarks.registry import Benchmark, DepthProtocol
from .metrics.depth import align_group, depth_metrics
from .metrics.matting import matting_metrics
from .metrics.normals import NormalPool, check_convention, normal_metrics
from .predictors.base import Map, Maps
from .results import ImageResult, Metrics
from .samples import TestSample

# Steps per degree in which errors of normals are counted for the median over all pixels.
POOL_BINS_PER_DEG = 100
MIN_PIXELS = 2  # that scale and shift can be fitted to


@dataclass(frozen=True)
class Measured:
    """What was measured on one image, and what metrics over the pixels of all need of it.

    Attributes:
        image: For metrics.json.
        normal_pool: State of a `NormalPool` of this image alone, or None.
    """

    image: ImageResult
    normal_pool: dict[str, Any] | None = None


class AlignmentGroup:
    """Measures images that share one alignment of depth: mostly a single one.

    Args:
        benchmark: What is measured, and how.
        protocol: How depth is aligned, with the space decided.
    """

    def __init__(self, benchmark: Benchmark, protocol: DepthProtocol) -> None:
        self._benchmark, self._protocol = benchmark, protocol
        self._measured: list[Measured] = []
        # Prediction, target and mask by number of the image: rows of the pixels inside its mask.
        self._depths: dict[int, tuple[Map, Map, NDArray[np.bool_]]] = {}

    def add(self, test: TestSample, maps: Maps) -> None:
        """Measure what needs no other image; keep depth of the pixels inside the mask.

        Raises:
            ValueError: If maps or labels are unfit.
        """
        sample, notes = test.sample, list(test.notes)
        metrics: dict[str, Metrics] = {}
        mask, pool = sample.foreground, None
        if mask.sum() < MIN_PIXELS:
            if sample.depth_m is not None or sample.normals is not None:
                notes.append("nobody inside the mask: depth and normals not measured")
        else:
            self._keep_depth(sample, maps, mask)
            pool = self._add_normals(sample, maps, mask, metrics, notes)
        if self._has("alpha", sample.alpha, maps.alpha):
            assert maps.alpha is not None and sample.alpha is not None
            metrics["alpha"] = matting_metrics(maps.alpha, sample.alpha, test.trimap)
        image = ImageResult(
            id=sample.identifier,
            category=sample.category,
            sha256=test.sha256,
            num_pixels=int(mask.sum()),
            metrics=metrics,
            groups=test.groups,
            notes=tuple(notes),
        )
        self._measured.append(Measured(image, pool))

    def finish(self) -> list[Measured]:
        """Align depth and return what was measured of each image, in the order they were added.

        Raises:
            ValueError: If depth cannot be aligned.
        """
        for number, metrics in self._measure_depths():
            measured = self._measured[number]
            image = replace(measured.image, metrics={"depth": metrics, **measured.image.metrics})
            self._measured[number] = replace(measured, image=image)
        return self._measured

    def _has(self, task: str, label: object, prediction: object) -> bool:
        return task in self._benchmark.tasks and label is not None and prediction is not None

    def _keep_depth(self, sample: HumanSample, maps: Maps, mask: NDArray[np.bool_]) -> None:
        if self._has("depth", sample.depth_m, maps.depth):
            assert maps.depth is not None and sample.depth_m is not None
            depth, target = maps.depth[mask][None], sample.depth_m[mask][None]
            self._depths[len(self._measured)] = (depth, target, np.ones(depth.shape, np.bool_))

    def _add_normals(
        self,
        sample: HumanSample,
        maps: Maps,
        mask: NDArray[np.bool_],
        metrics: dict[str, Metrics],
        notes: list[str],
    ) -> dict[str, Any] | None:
        """Measure normals and return the state of their pool."""
        if not self._has("normals", sample.normals, maps.normals):
            return None
        assert maps.normals is not None and sample.normals is not None
        check_convention(sample.normals, mask, f"ground truth of {sample.identifier}")
        metrics["normals"] = normal_metrics(maps.normals, sample.normals, mask)
        if maps.normals[mask][:, 2].mean(dtype=np.float64) < 0:
            notes.append("predicted normals look away from the camera: another convention?")
        pool = NormalPool(POOL_BINS_PER_DEG)
        pool.add(maps.normals, sample.normals, mask)
        return pool.state()

    def _measure_depths(self) -> Iterator[tuple[int, Metrics]]:
        """Number and metrics of each image with depth."""
        if not self._depths:
            return
        aligned = align_group(list(self._depths.values()), **self._protocol.arguments())
        for (number, (_, target, inside)), depth in zip(self._depths.items(), aligned, strict=True):
            yield number, depth_metrics(depth, target, inside, method="none")
