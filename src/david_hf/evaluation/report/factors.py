"""Results by group of each factor, with intervals and the gap between groups."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from david_hf.evaluation.groups import MIXED
from david_hf.evaluation.metrics.slices import MIN_SIZE, slice_metric
from david_hf.evaluation.results import MAIN_METRICS, ImageResult

from .metric_names import MetricName, metric_name

CATEGORY = "category"


@dataclass(frozen=True)
class Slice:
    """One metric by group.

    Attributes:
        task: Of the metric.
        metric: Its name.
        values: Of each image that has it.
        labels: The group of each of these.
        statistics: As of `slice_metric`; None if fewer than two groups are large enough.
    """

    task: str
    metric: str
    values: tuple[float, ...]
    labels: tuple[str, ...]
    statistics: dict[str, float] | None

    @property
    def name(self) -> MetricName:
        """What the metric is called."""
        return metric_name(self.task, self.metric)


@dataclass(frozen=True)
class Factor:
    """All that is sliced by one factor.

    Attributes:
        name: Of the factor.
        sizes: Images of each group, groups in the order of their names.
        num_mixed: Images left out since their people belong to several groups.
        slices: By metric, those of `MAIN_METRICS` that were measured.
    """

    name: str
    sizes: dict[str, int]
    num_mixed: int
    slices: tuple[Slice, ...]


def slice_by_factors(images: Sequence[ImageResult], min_size: int = MIN_SIZE) -> list[Factor]:
    """Slice the main metrics by every factor that tells two groups apart.

    Pictures of several people who belong to different groups have no part in it: they are harder
    for other reasons.

    Args:
        images: What was measured; each may lack any factor and any metric.
        min_size: Images from which on a group gets a mean.

    Raises:
        ValueError: If a value is not finite.
    """
    names = dict.fromkeys(name for image in images for name in image.groups)
    factors = [
        _factor(name, images, [image.groups.get(name, "") for image in images], min_size)
        for name in names
    ]
    if CATEGORY not in names:
        factors.append(_factor(CATEGORY, images, [image.category for image in images], min_size))
    return [factor for factor in factors if len(factor.sizes) > 1]


def title_of(name: str) -> str:
    """A factor or a group for people."""
    return name.replace("_", " ")


def _factor(
    name: str, images: Sequence[ImageResult], labels: Sequence[str], min_size: int
) -> Factor:
    found = [
        (image, label)
        for image, label in zip(images, labels, strict=True)
        if label not in ("", MIXED)
    ]
    slices = [
        _slice(task, metric, found, min_size)
        for task, metrics in MAIN_METRICS.items()
        for metric in metrics
    ]
    return Factor(
        name=name,
        sizes=dict(sorted(Counter(label for _, label in found).items())),
        num_mixed=sum(label == MIXED for label in labels),
        slices=tuple(one for one in slices if one.values),
    )


def _slice(
    task: str, metric: str, images: Sequence[tuple[ImageResult, str]], min_size: int
) -> Slice:
    pairs = [
        (image.metrics[task][metric], label)
        for image, label in images
        if metric in image.metrics.get(task, {})
    ]
    values, labels = tuple(value for value, _ in pairs), tuple(label for _, label in pairs)
    num_large = sum(size >= min_size for size in Counter(labels).values())
    statistics = slice_metric(values, labels, min_size) if num_large > 1 else None
    return Slice(task, metric, values, labels, statistics)
