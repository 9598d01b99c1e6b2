"""Results of made-up runs, as `david evaluate` writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from david_hf.evaluation.benchmarks.registry import find_benchmark
from david_hf.evaluation.results import EvaluationResult, Example, ImageResult, Metrics


def make_images(values: Sequence[Mapping[str, Metrics]], **others: Any) -> tuple[ImageResult, ...]:
    """One image for each set of metrics, named 0, 1, ..."""
    image = ImageResult("", "", "0" * 64, 100, {})
    return tuple(
        replace(image, id=str(number), metrics=dict(metrics), **others)
        for number, metrics in enumerate(values)
    )


def make_result(
    benchmark: str, images: tuple[ImageResult, ...], model: str = "nano", **facts: Any
) -> EvaluationResult:
    """The result of a model, of which `facts` tell more."""
    known = find_benchmark(benchmark)
    settings = {
        "benchmark": known.settings(),
        "data": {"num_samples": len(images)},
        "model": {"name": model, "family": "david", "device": "cpu", **facts},
        "versions": {"david-hf": "0.1.0", "torch": "2.13.0"},
    }
    return EvaluationResult(known.name, known.title, settings, known.count, images)


def complete_result(
    benchmark: str, metrics: Mapping[str, Metrics], model: str = "nano", **facts: Any
) -> EvaluationResult:
    """The same metrics on all images of a benchmark."""
    count = find_benchmark(benchmark).count
    assert count is not None
    return make_result(benchmark, make_images([metrics] * count), model, **facts)


def write_run(folder: Path, result: EvaluationResult, with_examples: bool = True) -> Path:
    """Write a result, with pictures of its first image."""
    folder.mkdir(parents=True)
    examples: tuple[Example, ...] = ()
    if with_examples:
        Image.fromarray(np.full((6, 24, 3), 90, np.uint8)).save(folder / "one.png")
        (task, metrics), *_ = result.images[0].metrics.items()
        examples = (Example(task, "best", next(iter(metrics)), result.images[0].id, "one.png"),)
    replace(result, examples=examples).write(folder)
    return folder
