"""A report as one HTML file: no script, nothing loaded from elsewhere, light and dark."""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from david_hf.evaluation.metrics.slices import MIN_SIZE
from david_hf.evaluation.paper import remarks
from david_hf.evaluation.results import MAIN_METRICS, EvaluationResult, Example, ImageResult

from .contents import (
    TASKS,
    category_tables,
    count_images,
    factor_table,
    glossary,
    labelled,
    paper_tables,
    summary_tables,
)
from .factors import Factor, slice_by_factors
from .metric_names import metric_name
from .plots import histogram, strips
from .render import render
from .tables import Table

_MAX_SIDE = 1600  # pixels of an embedded picture
_NAMED_IMAGES = 5  # of those a note holds for


@dataclass(frozen=True)
class Plot:
    """A plot or picture, and what it shows."""

    content: Markup
    caption: str


@dataclass(frozen=True)
class FactorPart:
    """What a page says of one factor."""

    table: Table
    plots: tuple[Plot, ...]


@dataclass(frozen=True)
class RunPart:
    """What a page says of one run; empty parts are left out.

    Attributes:
        anchor: Name for links.
        title: Model and benchmark.
        facts: Number of images, and why it does not compare with the paper.
        histograms: How main metrics are distributed.
        categories: Metrics by category.
        factors: Metrics by group.
        examples: Pictures by task.
        notes: Each note, the number of its images, and some of them.
        settings: What decides the numbers, by path.
    """

    anchor: str
    title: str
    facts: tuple[str, ...]
    histograms: tuple[Plot, ...]
    categories: tuple[Table, ...]
    factors: tuple[FactorPart, ...]
    examples: Mapping[str, tuple[Plot, ...]]
    notes: tuple[tuple[str, int, str], ...]
    settings: Mapping[str, str]


def page(runs: Mapping[Path, EvaluationResult], min_size: int = MIN_SIZE) -> str:
    """The HTML of a report.

    Args:
        runs: Results by their folders, which hold the pictures.
        min_size: Images from which on a group gets a mean.

    Raises:
        ValueError: If a value is not finite, or a picture is broken or outside of its folder.
    """
    folders = {id(result): folder for folder, result in runs.items()}
    results = list(runs.values())
    parts = [
        _run_part(number, label, result, folders[id(result)], min_size)
        for number, (label, result) in enumerate(labelled(results), start=1)
    ]
    return render(
        "page.html",
        title=f"Evaluation of {', '.join(dict.fromkeys(result.model for result in results))}",
        summary=summary_tables(results),
        glossary=glossary(results),
        paper=paper_tables(results),
        runs=parts,
        min_size=min_size,
    )


def _run_part(
    number: int, label: str, result: EvaluationResult, folder: Path, min_size: int
) -> RunPart:
    title = f"{label}, {result.title}"
    factors = slice_by_factors(result.images, min_size)
    return RunPart(
        anchor=f"run-{number}",
        title=title,
        facts=(count_images(result), *remarks(result)),
        histograms=tuple(_histograms(result)),
        categories=tuple(category_tables(result, label)),
        factors=tuple(_factor_part(factor, min_size, title) for factor in factors),
        examples=_examples(result, folder),
        notes=tuple(_notes(result.images)),
        settings={"folder": folder.name, **dict(_flat(result.settings))},
    )


def _histograms(result: EvaluationResult) -> Iterator[Plot]:
    for task, (metric, *_) in MAIN_METRICS.items():
        values = [
            image.metrics[task][metric]
            for image in result.images
            if metric in image.metrics.get(task, {})
        ]
        if values:
            name = metric_name(task, metric)
            yield Plot(Markup(histogram(values, name)), f"{TASKS[task]}: {name.title}")


def _factor_part(factor: Factor, min_size: int, about: str) -> FactorPart:
    plots = []
    for one in factor.slices:
        if one.metric == MAIN_METRICS[one.task][0]:
            caption = f"{TASKS[one.task]}: {one.name.title}"
            drawn = strips(one, f"{about}, {caption}, by {factor.name}")
            plots.append(Plot(Markup(drawn), caption))
    return FactorPart(factor_table(factor, min_size), tuple(plots))


def _examples(result: EvaluationResult, folder: Path) -> dict[str, tuple[Plot, ...]]:
    images = {image.id: image for image in result.images}
    found: dict[str, tuple[Plot, ...]] = {}
    for example in result.examples:
        plot = _example(example, images.get(example.id), folder)
        found[example.task] = (*found.get(example.task, ()), plot)
    return {TASKS.get(task, task): plots for task, plots in found.items()}


def _example(example: Example, image: ImageResult | None, folder: Path) -> Plot:
    name = metric_name(example.task, example.metric)
    caption = f"{example.rank}: {example.id}"
    if image is not None and example.metric in image.metrics.get(example.task, {}):
        value = name.format(image.metrics[example.task][example.metric])
        caption += f", {name.label} {value} {name.unit}".rstrip()
    source = _data_uri(folder, example.file)
    return Plot(Markup('<img src="{}" alt="{}">').format(source, caption), caption)


def _data_uri(folder: Path, name: str) -> str:
    """A picture as text, smaller if it is large.

    Raises:
        ValueError: If it is no picture inside the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{folder}: expected pictures inside the folder, got {name!r}")
    buffer = io.BytesIO()
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((_MAX_SIDE, _MAX_SIDE))
        picture.save(buffer, "WEBP", quality=90)
    except OSError as error:
        raise ValueError(
            f"{path}: expected the picture of an example ({error}); copy the whole folder, or run "
            "`david evaluate` again"
        ) from error
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _notes(images: Sequence[ImageResult]) -> Iterator[tuple[str, int, str]]:
    """Each note, the number of images it holds for, and the first of these."""
    for note in dict.fromkeys(note for image in images for note in image.notes):
        found = [image.id for image in images if note in image.notes]
        more = ", ..." if len(found) > _NAMED_IMAGES else ""
        yield note, len(found), ", ".join(found[:_NAMED_IMAGES]) + more


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Settings of a tree by path."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value if isinstance(value, str) else json.dumps(value)
