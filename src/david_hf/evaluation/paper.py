"""The tables of the DAViD paper, and what we measured as rows in them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import yaml

from .benchmarks.registry import benchmarks, find_benchmark
from .results import EvaluationResult, Metrics

_GOLIATH = ("goliath-face", "goliath-upper-body", "goliath-full-body")
# Columns that are means of several benchmarks: plain, and by number of images.
_PLAIN_MEAN, _MEAN_OVER_IMAGES = "goliath-mean", "depth-average"
# Options of data sets that are no protocol: what a picture shows or a file means.
_HARMLESS = {"backgrounds", "seed", "depth_unit"}
_COMPOSITES = {_PLAIN_MEAN: _GOLIATH, _MEAN_OVER_IMAGES: (*_GOLIATH, "hi4d")}


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        benchmark: Its name, "goliath-mean" or "depth-average".
        metric: Name of the metric in the paper's unit.
        digits: Digits after the point that the paper prints.
    """

    benchmark: str
    metric: str
    digits: int

    @property
    def parts(self) -> tuple[str, ...]:
        """The benchmarks that it is the mean of: mostly its own alone."""
        return _COMPOSITES.get(self.benchmark, (self.benchmark,))


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        number: "1" to "7", with a letter for the parts of table 4.
        title: What it compares.
        columns: Its columns.
        rows: Values by method, as printed; None where none is.
        reference: The row to compare a model with that the paper does not know.
    """

    number: str
    title: str
    columns: tuple[Column, ...]
    rows: Mapping[str, tuple[str | None, ...]]
    reference: str


@dataclass(frozen=True)
class OurRow:
    """A model of ours in a table of the paper.

    Attributes:
        model: Its label, see `by_model`.
        values: In the units of the columns; None where not measured.
        reference: The row of the paper it is compared with.
        is_same_checkpoint: Whether that row is of this very checkpoint, to go by the names.
        differences: Ours less the reference's; None where either is missing.
        remarks: Why the values do not compare with the paper's to the digit; none if they do.
    """

    model: str
    values: tuple[float | None, ...]
    reference: str
    is_same_checkpoint: bool
    differences: tuple[float | None, ...]
    remarks: tuple[str, ...]

    @property
    def is_comparable(self) -> bool:
        """Whether the values compare with the paper's to the digit."""
        return not self.remarks


@dataclass(frozen=True)
class Comparison:
    """A table of the paper, restricted to columns that we measured, and our rows.

    Attributes:
        number: Of the table.
        title: Of the table.
        columns: Those that a model of ours has a value in.
        paper: The paper's rows, without those that are empty in these columns.
        ours: One row for each model.
    """

    number: str
    title: str
    columns: tuple[Column, ...]
    paper: Mapping[str, tuple[str | None, ...]]
    ours: tuple[OurRow, ...]


def comparisons(results: Sequence[EvaluationResult]) -> list[Comparison]:
    """Compare with every table of the paper that has a column we measured.

    Args:
        results: Of any models on any benchmarks; those of one model make one row.
    """
    models = [_Model(label, found) for label, found in by_model(results).items()]
    found = [_compare(table, models) for table in paper_tables()]
    return [comparison for comparison in found if comparison is not None]


def by_model(results: Sequence[EvaluationResult]) -> dict[str, dict[str, EvaluationResult]]:
    """Results by label of the model and name of the benchmark.

    The label is the model's name. Another model of that name, and another result of the same model
    on the same benchmark, are labelled "NAME (2)" and so on. A model is the same on any device.
    """
    found: dict[str, dict[str, EvaluationResult]] = {}
    models: dict[str, str] = {}  # by label
    for result in results:
        model = json.dumps({**result.settings["model"], "device": None}, sort_keys=True)
        number, label = 1, result.model
        while label in found and (models[label] != model or result.benchmark in found[label]):
            number += 1
            label = f"{result.model} ({number})"
        models[label] = model
        found.setdefault(label, {})[result.benchmark] = result
    return found


def remarks(result: EvaluationResult) -> list[str]:
    """Why a result does not compare with the paper's to the digit; empty if it does.

    A benchmark that is not the paper's has none.
    """
    if result.expected is None or result.benchmark not in benchmarks():
        return []
    benchmark = find_benchmark(result.benchmark)
    found = []
    if not result.is_complete:
        found.append(f"{len(result.images):,} of {result.expected:,} images")
    found += [
        f"{task} measured on {number:,} of {len(result.images):,} images"
        for task, number in _numbers(result).items()
        if number < len(result.images)
    ]
    changed = _changes(benchmark.settings(), result.settings.get("benchmark", {}))
    if changed:
        found.append(f"another protocol: {', '.join(changed)}")
    options = result.settings.get("data", {}).get("options", {})
    found += [f"option {key} = {options[key]}" for key in sorted(set(options) - _HARMLESS)]
    if benchmark.note:
        found.append(benchmark.note)
    return [f"{result.title}: {remark}" for remark in found]


@cache
def paper_tables() -> tuple[PaperTable, ...]:
    """All tables, in the order of the paper."""
    content = _content()
    return tuple(
        _table(number, entry) for number, entry in content.items() if number != "checkpoints"
    )


@cache
def _content() -> dict[str, Any]:
    """The tables as text: numbers keep the digits that are printed."""
    folder = resources.files("david_hf.evaluation.benchmarks")
    text = folder.joinpath("paper_tables.yaml").read_text("utf-8")
    return dict(yaml.load(text, yaml.BaseLoader))


def _table(number: str, entry: dict[str, Any]) -> PaperTable:
    rows = {
        name: tuple(None if value == "null" else value for value in values)
        for name, values in entry["rows"].items()
    }
    columns = tuple(
        Column(benchmark, metric, max(_digits(value) for value in values if value is not None))
        for (benchmark, metric), values in zip(
            entry["columns"], zip(*rows.values(), strict=True), strict=True
        )
    )
    return PaperTable(number, entry["title"], columns, rows, entry["reference"])


def _digits(number: str) -> int:
    return len(number.partition(".")[2])


class _Model:
    """What was measured of one model."""

    def __init__(self, label: str, results: Mapping[str, EvaluationResult]) -> None:
        self.label = label
        self.name = next(iter(results.values())).model
        self._results = results
        self._metrics: dict[str, Metrics] = {
            benchmark: {
                name: value
                for metrics in result.summary.values()
                for name, value in metrics.items()
            }
            for benchmark, result in results.items()
        }

    def column_value(self, column: Column) -> float | None:
        """What it has in a column, in the paper's unit; None unless all parts were measured."""
        values = [self._value(part, column.metric) for part in column.parts]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        weights = [1] * len(known)
        if column.benchmark == _MEAN_OVER_IMAGES:
            weights = [find_benchmark(part).count or 0 for part in column.parts]
        total = sum(weight * value for weight, value in zip(weights, known, strict=True))
        return total / sum(weights)

    def remarks(self, columns: Sequence[Column]) -> tuple[str, ...]:
        """Remarks on all results that columns are made of."""
        used = dict.fromkeys(part for column in columns for part in column.parts)
        return tuple(remark for part in used for remark in remarks(self._results[part]))

    def _value(self, benchmark: str, metric: str) -> float | None:
        name, scale = metric, 1.0
        if metric == "rmse_dm" or (metric == "rmse_mixed" and benchmark in _GOLIATH):
            name, scale = "rmse_m", 10.0
        elif metric == "rmse_mixed":
            name = "rmse_m"
        elif metric.startswith("under_"):
            scale = 100.0
        value = self._metrics.get(benchmark, {}).get(name)
        return None if value is None else scale * value


def _compare(table: PaperTable, models: Sequence[_Model]) -> Comparison | None:
    """A table with our rows; None if it has no column of ours."""
    values = [[model.column_value(column) for column in table.columns] for model in models]
    kept = [
        position
        for position, column in enumerate(zip(*values, strict=True))
        if any(value is not None for value in column)
    ]
    if not kept:
        return None
    paper = {name: tuple(row[position] for position in kept) for name, row in table.rows.items()}
    restricted = PaperTable(
        table.number,
        table.title,
        tuple(table.columns[position] for position in kept),
        paper,
        table.reference,
    )
    ours = [
        _our_row(restricted, model, tuple(row[position] for position in kept))
        for model, row in zip(models, values, strict=True)
        if any(value is not None for value in row)
    ]
    shown = {name: row for name, row in paper.items() if any(row)}
    return Comparison(table.number, table.title, restricted.columns, shown, tuple(ours))


def _our_row(table: PaperTable, model: _Model, values: tuple[float | None, ...]) -> OurRow:
    known = _known_row(model.name, table.number)
    reference = known or table.reference
    differences = tuple(
        None if ours is None or theirs is None else ours - float(theirs)
        for ours, theirs in zip(values, table.rows[reference], strict=True)
    )
    used = [
        column for column, value in zip(table.columns, values, strict=True) if value is not None
    ]
    return OurRow(
        model.label, values, reference, known is not None, differences, model.remarks(used)
    )


def _known_row(model: str, number: str) -> str | None:
    """The row of an official checkpoint, by the last part of its name."""
    name = model.rpartition("/")[2].removesuffix(".onnx")
    rows: dict[str, str] = next(
        (known["rows"] for known in _content()["checkpoints"] if name in known["names"]), {}
    )
    return rows.get(number)


def _numbers(result: EvaluationResult) -> dict[str, int]:
    """Images that each task was measured on, with all of its metrics."""
    return {
        task: min(
            sum(name in image.metrics.get(task, {}) for image in result.images) for name in metrics
        )
        for task, metrics in result.summary.items()
    }


def _changes(wanted: Mapping[str, Any], given: Mapping[str, Any], above: str = "") -> list[str]:
    """What was measured otherwise than a benchmark is defined."""
    found = []
    for name in wanted.keys() & given.keys() - {"title", "note"}:
        one, other = wanted[name], given[name]
        if isinstance(one, dict) and isinstance(other, dict):
            found += _changes(one, other, f"{above}{name}.")
        elif one != other:
            found.append(f"{above}{name} = {other}")
    return sorted(found)
