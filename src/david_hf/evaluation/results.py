"""What one evaluation found: the contents of its metrics.json, and means over its images."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from david_hf.atomic import write_text

Metrics = dict[str, float]

# What images are ranked and groups compared by: none that grows with the picture. The first of each
# task is the one where a single one is shown.
MAIN_METRICS = {
    "depth": ("abs_rel",),
    "normals": ("mean_deg",),
    "alpha": ("mad", "iou"),
}

FILE_NAME = "metrics.json"
FORMAT = 1


@dataclass(frozen=True)
class ImageResult:
    """What was measured on one image.

    Attributes:
        id: Its name within the data set.
        category: face, upper_body, full_body, or "" if unknown.
        sha256: Digest of the encoded picture and labels.
        num_pixels: Pixels inside the mask of depth and normals.
        metrics: Of each task that was measured, by name; see `evaluation.metrics`.
        groups: Group of each factor by which results may be sliced, such as sex.
        notes: What was left out or made up, and why.
    """

    id: str
    category: str
    sha256: str
    num_pixels: int
    metrics: dict[str, Metrics]
    groups: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """A picture of one image: input, prediction, ground truth, error.

    Attributes:
        task: "depth", "normals" or "alpha".
        rank: "best", "median" or "worst" of all images, by `metric`.
        metric: Name of a metric of the task.
        id: Of the image.
        file: Name of the picture, relative to the folder of metrics.json.
    """

    task: str
    rank: str
    metric: str
    id: str
    file: str


@dataclass(frozen=True)
class EvaluationResult:
    """One model on one benchmark.

    Attributes:
        benchmark: Name of the benchmark.
        title: Its title.
        settings: All that decides the numbers: protocol, data set, model, versions.
        expected: Images of the complete benchmark; None if that has no fixed number.
        images: What was measured on each, in the order of the data set.
        pooled: Metrics over the pixels of all images taken together, by task.
        examples: Pictures of some images.
    """

    benchmark: str
    title: str
    settings: dict[str, Any]
    expected: int | None
    images: tuple[ImageResult, ...]
    pooled: dict[str, Metrics] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.settings["model"]["name"])

    @property
    def is_complete(self) -> bool:
        """Whether these are all images of the benchmark, so that the paper's rows compare."""
        return self.expected == len(self.images)

    @property
    def summary(self) -> dict[str, Metrics]:
        """Mean over images of every metric, by task."""
        return mean_metrics(self.images)

    def by_category(self) -> dict[str, tuple[ImageResult, ...]]:
        """Images of each category, in the order of the names."""
        names = sorted({image.category for image in self.images})
        return {
            name: tuple(image for image in self.images if image.category == name) for name in names
        }

    def write(self, folder: Path) -> Path:
        """Write metrics.json, whole or not at all, and return its path."""
        content = {
            "format": FORMAT,
            "benchmark": self.benchmark,
            "title": self.title,
            "num_images": len(self.images),
            "expected": self.expected,
            "summary": self.summary,
            "pooled": self.pooled,
            "settings": self.settings,
            "examples": [asdict(example) for example in self.examples],
            "images": [asdict(image) for image in self.images],
        }
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        return write_text(folder / FILE_NAME, text)


def read_result(source: Path) -> EvaluationResult:
    """Read what `EvaluationResult.write` wrote.

    Args:
        source: A metrics.json, or the folder of one.

    Raises:
        ValueError: If there is none, or it is something else.
    """
    path = source / FILE_NAME if source.is_dir() else source
    if not path.is_file():
        raise ValueError(f"{source}: no {FILE_NAME} here; `david evaluate` writes it at its end")
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}")
        settings = content["settings"]
        if "name" not in settings["model"] or not {"benchmark", "versions"} <= set(settings):
            raise ValueError("its settings are incomplete")
        return EvaluationResult(
            benchmark=content["benchmark"],
            title=content["title"],
            settings=content["settings"],
            expected=content["expected"],
            images=tuple(image_from_json(image) for image in content["images"]),
            pooled=content["pooled"],
            examples=tuple(Example(**example) for example in content["examples"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected metrics of format {FORMAT}, as `david evaluate` writes them, got "
            f"another file ({error!r})"
        ) from error


def image_from_json(content: dict[str, Any]) -> ImageResult:
    """The image that `dataclasses.asdict` and JSON made this of.

    Raises:
        TypeError: If it is something else.
    """
    image = ImageResult(**{**content, "notes": tuple(content["notes"])})
    numbers = [value for metrics in image.metrics.values() for value in metrics.values()]
    if not all(isinstance(value, int | float) for value in numbers):
        raise TypeError(f"a metric of {image.id} is no number")
    if not all(isinstance(group, str) for group in image.groups.values()):
        raise TypeError(f"a group of {image.id} is no text")
    return image


def mean_metrics(images: Sequence[ImageResult]) -> dict[str, Metrics]:
    """Mean of every metric over the images that have it, by task.

    The sum is exact before it is rounded, whatever the order of the images.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for image in images:
        for task, metrics in image.metrics.items():
            for name, value in metrics.items():
                values.setdefault(task, {}).setdefault(name, []).append(value)
    return {
        task: {name: math.fsum(found) / len(found) for name, found in named.items()}
        for task, named in values.items()
    }


def ranked(images: Sequence[ImageResult], task: str, metric: str) -> list[ImageResult]:
    """Images that have a metric, smallest value first."""
    found = [image for image in images if metric in image.metrics.get(task, {})]
    values = [image.metrics[task][metric] for image in found]
    return [found[position] for position in np.argsort(values, kind="stable")]
