"""A metric by group of people or pictures: how much worse is the worst group off than the best?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_SIZE = 10


def slice_metric(
    values: ArrayLike,
    labels: Sequence[str],
    min_size: int = MIN_SIZE,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, float]:
    """Slice the values of one metric, one per image, by one factor.

    The intervals are percentiles of the bootstrap (Efron 1979): each group's images are drawn anew,
    with replacement, as many as there are. A gap is never negative: between groups alike, and small
    ones above all, its interval lies above 0. Compare it with the intervals of the means.

    Args:
        values: The metric of each image, shape (N,).
        labels: The group of each image, N of them.
        min_size: Images from which on a group gets a mean. Smaller ones are told by their size
            alone, and have no part in the gap.
        resamples: Number of times to draw.
        confidence: Share of the draws within an interval, above 0 and below 1.
        seed: Seed of the draws.

    Returns:
        `num_images` and `mean`, over all images; `size_<label>` of every group; `mean_<label>`,
        `low_<label>` and `high_<label>` of those large enough; and `gap`, `gap_low` and `gap_high`,
        of the largest less the smallest of these means. All but sizes in the unit of the metric.

    Raises:
        ValueError: If values and labels differ in number, a value is not finite, fewer than two
            groups are large enough, or a setting is out of range.
    """
    array = np.asarray(values, np.float64)
    _check_settings(min_size, resamples, confidence)
    if array.shape != (len(labels),) or not np.isfinite(array).all():
        raise ValueError(
            f"expected one finite value for each of {len(labels)} labels, got values of shape "
            f"{array.shape}, {int((~np.isfinite(array)).sum())} of them not finite"
        )
    groups = {label: array[np.array(labels) == label] for label in sorted(set(labels))}
    large = {label: group for label, group in groups.items() if len(group) >= min_size}
    if len(large) < 2:
        sizes = ", ".join(f"{label} {len(group)}" for label, group in groups.items())
        raise ValueError(
            f"expected at least 2 groups of {min_size} images or more, got {sizes or 'none'}; "
            "add images or lower min_size"
        )
    means = np.array([group.mean() for group in large.values()])
    rng = np.random.default_rng(seed)
    drawn = np.stack([_draw_means(rng, group, resamples) for group in large.values()])
    result = {"num_images": float(len(array)), "mean": float(array.mean())}
    result |= {f"size_{label}": float(len(group)) for label, group in groups.items()}
    for label, mean, draws in zip(large, means, drawn, strict=True):
        result[f"mean_{label}"] = float(mean)
        result[f"low_{label}"], result[f"high_{label}"] = _interval(draws, confidence)
    result["gap"] = float(np.ptp(means))
    result["gap_low"], result["gap_high"] = _interval(np.ptp(drawn, axis=0), confidence)
    return result


def _check_settings(min_size: int, resamples: int, confidence: float) -> None:
    if min_size < 1 or resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            "expected min_size and resamples of at least 1 and a confidence between 0 and 1, got "
            f"{min_size}, {resamples} and {confidence}"
        )


def _draw_means(
    rng: np.random.Generator, group: NDArray[np.float64], resamples: int
) -> NDArray[np.float64]:
    """Means of the group's images drawn anew."""
    size = len(group)
    return np.array([group[rng.integers(size, size=size)].mean() for _ in range(resamples)])


def _interval(draws: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
