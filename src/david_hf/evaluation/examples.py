"""Pictures of the best, the median and the worst image: photo, prediction, truth and error."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from david_hf.image_io import write_png
from david_hf.visualization import (
    alpha_to_grey,
    colorize_depth,
    colorize_error,
    colorize_normals,
    overview,
)

from .benchmarks.registry import DepthProtocol
from .metrics.depth import align
from .metrics.normals import angular_error_deg
from .predictors.base import Maps
from .results import MAIN_METRICS, Example, ImageResult, ranked
from .samples import TestSample

FOLDER = "examples"
_SIDE = 320  # pixels of the longer side of each panel
_LARGEST_ANGLE_DEG = 60.0

Picture = NDArray[np.uint8]
Panels = list[tuple[str, Picture]]


def write_examples(
    images: Sequence[ImageResult],
    predict: Callable[[int], tuple[TestSample, Maps]],
    output: Path,
    protocol: DepthProtocol,
) -> tuple[Example, ...]:
    """Write a picture for the best, the median and the worst image of each task.

    Args:
        images: What was measured.
        predict: Gives sample and maps of the image at an index of `images`.
        output: Folder of the results.
        protocol: How depth is aligned; here by each image alone, whatever its group.

    Returns:
        What was written, best first; images may be too few for three.
    """
    (output / FOLDER).mkdir(exist_ok=True)
    examples = []
    for task, (metric, *_) in MAIN_METRICS.items():
        order = ranked(images, task, metric)
        if not order:
            continue
        chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
        for rank, image in chosen.items():
            test, maps = predict(images.index(image))
            name = f"{FOLDER}/{task}_{rank}.png"
            write_png(output / name, overview(_panels(task, test, maps, protocol)))
            examples.append(Example(task, rank, metric, image.id, name))
    return tuple(examples)


def _panels(task: str, test: TestSample, maps: Maps, protocol: DepthProtocol) -> Panels:
    make = {"depth": _depth_panels, "normals": _normal_panels, "alpha": _alpha_panels}[task]
    panels = [("photo", test.photo), *make(test, maps, protocol)]
    return [(title, _shrunk(picture)) for title, picture in panels]


def _depth_panels(test: TestSample, maps: Maps, protocol: DepthProtocol) -> Panels:
    sample, mask = test.sample, test.sample.foreground
    assert maps.depth is not None and sample.depth_m is not None
    # What else shares its alignment is not at hand.
    aligned = align(maps.depth, sample.depth_m, mask, **protocol.arguments())
    share = np.zeros(mask.shape)
    share[mask] = np.abs(aligned[mask] - sample.depth_m[mask]) / sample.depth_m[mask]
    largest = float(max(np.percentile(share[mask], 99), 1e-3))
    weight = mask.astype(np.float32)
    return [
        ("depth", colorize_depth(-aligned, weight)),
        ("ground truth", colorize_depth(-sample.depth_m, weight)),
        (f"error, 0 to {largest:.1%}", colorize_error(share, largest)),
    ]


def _normal_panels(test: TestSample, maps: Maps, protocol: DepthProtocol) -> Panels:
    sample, mask = test.sample, test.sample.foreground
    assert maps.normals is not None and sample.normals is not None
    error = np.where(mask, angular_error_deg(maps.normals, sample.normals), 0)
    weight = mask.astype(np.float32)
    return [
        ("normals", colorize_normals(np.moveaxis(maps.normals, -1, 0), weight)),
        ("ground truth", colorize_normals(np.moveaxis(sample.normals, -1, 0), weight)),
        (
            f"error, 0 to {_LARGEST_ANGLE_DEG:g} degrees",
            colorize_error(error, _LARGEST_ANGLE_DEG),
        ),
    ]


def _alpha_panels(test: TestSample, maps: Maps, protocol: DepthProtocol) -> Panels:
    assert maps.alpha is not None and test.sample.alpha is not None
    error = np.abs(maps.alpha - test.sample.alpha)
    return [
        ("foreground", _grey(maps.alpha)),
        ("ground truth", _grey(test.sample.alpha)),
        ("error, 0 to 1", colorize_error(error, 1.0)),
    ]


def _grey(alpha: NDArray[np.float32]) -> Picture:
    return np.repeat(alpha_to_grey(alpha)[..., None], 3, axis=-1)


def _shrunk(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
