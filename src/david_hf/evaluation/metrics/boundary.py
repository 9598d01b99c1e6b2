"""How sharp and well placed the edges of depth are (Depth Pro, Bochkovskii et al. 2024).

Depth has an edge between neighbours, in one of four directions, if one is nearer than the other by
more than a ratio. Only ratios count: the scale of a depth is of no matter, a shift is.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import (
    FloatArray,
    Mask,
    require_alpha,
    require_booleans,
    require_finite,
    require_one_shape,
    require_pixels,
    require_positive_depth,
)

# Ratios at which edges are compared; each counts by its size.
_THRESHOLDS = np.linspace(1.05, 1.25, 10)
_NEAREST = 1e-6
_ALPHA_EDGE = 0.1


def boundary_f1(prediction: FloatArray, target: FloatArray, mask: Mask | None = None) -> float:
    """Agreement of the edges of two depth maps, in [0, 1], 1 being best.

    At each of ten ratios from 1.05 to 1.25, precision and recall are means over the four
    directions, 0 for a direction without edges, and F1 their harmonic mean. The F1 are averaged
    with the ratios as weights.

    Args:
        prediction: Depth of any scale, shape (H, W), aligned unless it is right up to scale. What
            is not above 0 is taken to be very near.
        target: Depth, shape (H, W).
        mask: Where the target is valid, shape (H, W): an edge counts if both its pixels are inside.
            None for all, as published.

    Raises:
        ValueError: If the shapes differ, the mask is empty, or inside it the prediction is not
            finite or the target not a depth.
    """
    mask = np.ones(target.shape, np.bool_) if mask is None else mask
    require_one_shape(2, prediction=prediction, target=target, mask=mask)
    require_booleans(mask)
    require_pixels(int(mask.sum()))
    require_finite("prediction", prediction[mask])
    require_positive_depth(target[mask])
    inside = [one & other for one, other in _neighbours(mask)]
    # Any depth will do outside: edges there do not count.
    ours = _nearness_ratios(np.where(mask, prediction, 1))
    true = _nearness_ratios(np.where(mask, target, 1))
    scores = [_f1(_edges(ours, inside, t), _edges(true, inside, t)) for t in _THRESHOLDS]
    return float(np.average(scores, weights=_THRESHOLDS))


def matting_edge_recall(prediction: FloatArray, alpha: FloatArray) -> float:
    """Share of the edges of a matte that a depth map has as well, in [0, 1], 1 being best.

    The matte has edges where it crosses 0.1, its inside being nearer. The depth's are thinned to
    the strongest of each unbroken run, so that blurred depth gains nothing. Averages are those of
    `boundary_f1`.

    Args:
        prediction: Depth of any scale, shape (H, W), as for `boundary_f1`.
        alpha: Ground truth in [0, 1], shape (H, W).

    Raises:
        ValueError: If the shapes differ, the prediction is not finite, or alpha leaves [0, 1].
    """
    require_one_shape(2, prediction=prediction, alpha=alpha)
    require_finite("prediction", prediction)
    foreground = require_alpha("alpha", alpha) > _ALPHA_EDGE
    true = [one & ~other for one, other in _neighbours(foreground)]
    left, right, up, down = _nearness_ratios(prediction)
    recalls = []
    for threshold in _THRESHOLDS:
        along_rows = [_thin(ratio, threshold) for ratio in (left, right)]
        along_columns = [_thin(ratio.T, threshold).T for ratio in (up, down)]
        recalls.append(_mean_share(true, along_rows + along_columns))
    return float(np.average(recalls, weights=_THRESHOLDS))


def _neighbours(values: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Pairs of a pixel and the one to its right, left, below and above."""
    left, right, top, bottom = values[:, :-1], values[:, 1:], values[:-1], values[1:]
    return [(left, right), (right, left), (top, bottom), (bottom, top)]


def _nearness_ratios(depth: FloatArray) -> list[FloatArray]:
    """How many times nearer each pixel is than its neighbour, in the precision of the depth."""
    return [one / other for one, other in _neighbours(1 / np.maximum(depth, _NEAREST))]


def _edges(ratios: list[FloatArray], inside: list[Mask], threshold: float) -> list[Mask]:
    return [(ratio > threshold) & valid for ratio, valid in zip(ratios, inside, strict=True)]


def _f1(ours: list[Mask], true: list[Mask]) -> float:
    precision, recall = _mean_share(ours, true), _mean_share(true, ours)
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _mean_share(edges: list[Mask], others: list[Mask]) -> float:
    """Share of the edges that are among the others, mean over directions."""
    shares = [
        int((one & other).sum()) / max(int(one.sum()), 1)
        for one, other in zip(edges, others, strict=True)
    ]
    return float(np.mean(shares))


def _thin(ratio: FloatArray, threshold: float) -> Mask:
    """The first of the largest ratios in each run, along a row, of those above the threshold."""
    rows, columns = np.nonzero(ratio > threshold)
    values = ratio[rows, columns]
    goes_on = (np.diff(rows) == 0) & (np.diff(columns) == 1)
    run = np.cumsum(np.concatenate([[0], ~goes_on])) if len(values) else rows
    # By run, then from large to small, then from left to right.
    order = np.lexsort((columns, -values, run))
    _, first = np.unique(run[order], return_index=True)
    thinned = np.zeros(ratio.shape, np.bool_)
    thinned[rows[order[first]], columns[order[first]]] = True
    return thinned
