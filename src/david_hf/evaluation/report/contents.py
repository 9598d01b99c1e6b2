"""What a report says, as tables."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from david_hf.evaluation.benchmarks.registry import benchmarks
from david_hf.evaluation.metrics.slices import MIN_SIZE
from david_hf.evaluation.paper import Column, Comparison, OurRow, by_model, comparisons
from david_hf.evaluation.results import EvaluationResult, Metrics, mean_metrics

from .factors import Factor, Slice, slice_by_factors, title_of
from .metric_names import metric_name, paper_metric_name
from .tables import DASH, MINUS, MISSING, Cell, Row, Table, row

TASKS = {"depth": "relative depth", "normals": "surface normals", "alpha": "soft foreground"}
_COMPOSITES = {"goliath-mean": "Goliath, mean of three", "depth-average": "Mean over images"}
_NOT_EXACT = "\N{NO-BREAK SPACE}†"  # marks rows that do not compare with the paper's to the digit


def all_tables(results: Sequence[EvaluationResult], min_size: int = MIN_SIZE) -> list[Table]:
    """Every table of a report, in its order.

    Args:
        results: Of any models on any benchmarks.
        min_size: Images from which on a group gets a mean.

    Raises:
        ValueError: If a value is not finite.
    """
    tables = [*summary_tables(results), *paper_tables(results)]
    for label, result in labelled(results):
        about = f"{label}, {result.title}"
        tables += category_tables(result, about)
        factors = slice_by_factors(result.images, min_size)
        tables += [factor_table(factor, min_size, about) for factor in factors]
    return tables


def labelled(results: Sequence[EvaluationResult]) -> list[tuple[str, EvaluationResult]]:
    """Results with the labels of their models, those of one model together."""
    return [
        (label, result) for label, found in by_model(results).items() for result in found.values()
    ]


def summary_tables(results: Sequence[EvaluationResult]) -> list[Table]:
    """For each benchmark and task, every metric of every model.

    Means over images, and what was measured over the pixels of all images taken together.
    """
    tables = []
    for benchmark in dict.fromkeys(result.benchmark for result in results):
        found = [pair for pair in labelled(results) if pair[1].benchmark == benchmark]
        columns: dict[str, dict[str, Metrics]] = {}
        for label, result in found:
            columns[label] = result.summary
            columns[f"{label}, all pixels"] = result.pooled
        counts = "; ".join(f"{label}: {count_images(result)}" for label, result in found)
        tables += _metric_tables(found[0][1].title, columns, f"Mean over images. {counts}.")
    return tables


def glossary(results: Sequence[EvaluationResult]) -> dict[str, dict[str, str]]:
    """Full names of all metrics there are, by task and short name."""
    found: dict[str, dict[str, str]] = {}
    for task, title in TASKS.items():
        metrics = dict.fromkeys(m for result in results for m in result.summary.get(task, {}))
        names = [metric_name(task, metric) for metric in metrics]
        if names:
            found[title] = {name.label: name.title for name in names}
    return found


def count_images(result: EvaluationResult) -> str:
    """The number of images, and that of the complete benchmark if it is another."""
    count = f"{len(result.images):,}"
    if result.expected is not None and not result.is_complete:
        count += f" of {result.expected:,}"
    return f"{count} images"


def paper_tables(
    results: Sequence[EvaluationResult], numbers: Sequence[str] | None = None
) -> list[Table]:
    """The paper's tables with our rows, and their differences to a row of the paper.

    Args:
        results: Of any models on any benchmarks.
        numbers: Of the tables that are wanted; None for all.
    """
    return [
        _paper_table(comparison)
        for comparison in comparisons(results)
        if numbers is None or comparison.number in numbers
    ]


def category_tables(result: EvaluationResult, about: str) -> list[Table]:
    """Every metric by category, if there are several."""
    categories = {title_of(name) or "other": found for name, found in result.by_category().items()}
    if len(categories) < 2:
        return []
    columns = {"all": result.summary}
    columns |= {name: mean_metrics(images) for name, images in categories.items()}
    sizes = ", ".join(f"{name} {len(images):,}" for name, images in categories.items())
    return _metric_tables(f"{about}, by category", columns, f"Images: {sizes}.")


def factor_table(factor: Factor, min_size: int, about: str = "") -> Table:
    """Main metrics by the groups of a factor, with intervals, and the gap between groups.

    Args:
        factor: What to show.
        min_size: Images from which on a group gets a mean.
        about: Model and benchmark, for the title.
    """
    slices = [one for one in factor.slices if one.statistics is not None]
    rows = [
        row([title_of(group), f"{size:,}", *(_statistic(one, group) for one in slices)])
        for group, size in factor.sizes.items()
    ]
    notes = []
    if slices:
        gaps = [_statistic(one) for one in slices]
        rows.append(row([f"largest {MINUS} smallest", "", *gaps], is_ours=True))
    else:
        notes.append(f"No means: fewer than two groups have {min_size} images.")
    if factor.num_mixed:
        notes.append(f"Left out: {factor.num_mixed:,} images with people of several groups.")
    title = f"by {title_of(factor.name)}: mean (95 % interval)"
    return Table(
        title=f"{about}, {title}" if about else title.capitalize(),
        header=(title_of(factor.name), "images", *(one.name.header for one in slices)),
        rows=tuple(rows),
        spans=(("", 2), *_spans([TASKS[one.task] for one in slices])),
        notes=tuple(notes),
    )


def _statistic(one: Slice, group: str | None = None) -> str:
    """Mean of a group, or the gap between groups, with its interval."""
    found = one.statistics or {}
    keys = ("gap", "gap_low", "gap_high")
    if group is not None:
        keys = (f"mean_{group}", f"low_{group}", f"high_{group}")
    if keys[0] not in found:
        return MISSING
    value, low, high = (one.name.format(found[key]) for key in keys)
    return f"{value} ({low}{DASH}{high})"


def _metric_tables(
    title: str, columns: Mapping[str, Mapping[str, Metrics]], note: str
) -> list[Table]:
    """A table for each task, with a row for each metric."""
    return [
        _metric_table(f"{title}: {TASKS[task]}", task, found, note)
        for task in TASKS
        if (found := {name: metrics[task] for name, metrics in columns.items() if task in metrics})
    ]


def _metric_table(title: str, task: str, columns: Mapping[str, Metrics], note: str) -> Table:
    rows = []
    for metric in dict.fromkeys(metric for metrics in columns.values() for metric in metrics):
        name = metric_name(task, metric)
        values = [
            name.format(metrics[metric]) if metric in metrics else MISSING
            for metrics in columns.values()
        ]
        rows.append(row([name.header, *values]))
    return Table(title, ("metric", *columns), tuple(rows), notes=(note,))


def _paper_table(comparison: Comparison) -> Table:
    columns = comparison.columns
    rows = [
        row([name, *(value or MISSING for value in values)])
        for name, values in comparison.paper.items()
    ]
    notes = []
    for ours in comparison.ours:
        rows += _our_rows(ours, columns)
        if ours.remarks:
            reasons = "; ".join(remark.rstrip(".") for remark in ours.remarks)
            notes.append(f"† {ours.model} does not compare to the digit: {reasons}.")
    return Table(
        title=f"Table {comparison.number} of the paper: {comparison.title}",
        header=("method", *(paper_metric_name(column.metric).header for column in columns)),
        rows=tuple(rows),
        spans=(("", 1), *_spans([_benchmark_title(column.benchmark) for column in columns])),
        notes=tuple(notes),
    )


def _our_rows(ours: OurRow, columns: Sequence[Column]) -> list[Row]:
    """Our values, and below them how they differ from the paper's."""
    values = [
        MISSING if value is None else f"{value:.{column.digits}f}"
        for value, column in zip(ours.values, columns, strict=True)
    ]
    differences = [
        _difference(value, column) for value, column in zip(ours.differences, columns, strict=True)
    ]
    label = ours.model if ours.is_comparable else ours.model + _NOT_EXACT
    same = ", the same checkpoint" if ours.is_same_checkpoint else ""
    return [
        row([label, *values], is_ours=True),
        row([f"difference to {ours.reference}{same}", *differences]),
    ]


def _difference(value: float | None, column: Column) -> Cell:
    """A signed difference, and whether it is for the better."""
    if value is None:
        return Cell(MISSING)
    rounded = round(value, column.digits)
    if rounded == 0:
        return Cell(f"{0:.{column.digits}f}")
    is_better = (rounded > 0) == bool(paper_metric_name(column.metric).higher_is_better)
    text = f"{rounded:+.{column.digits}f}".replace("-", MINUS)
    return Cell(text, "better" if is_better else "worse")


def _benchmark_title(name: str) -> str:
    return _COMPOSITES.get(name) or benchmarks()[name].title


def _spans(titles: Sequence[str]) -> list[tuple[str, int]]:
    """Neighbours of one title, with their number."""
    return [(title, len(list(group))) for title, group in groupby(titles)]
