from typing import Any

import numpy as np
import pytest

from david_hf.evaluation.metrics.boundary import boundary_f1, matting_edge_recall

THRESHOLDS = [1.05 + 0.2 * i / 9 for i in range(10)]


def scene(seed: int, dtype: Any = np.float64) -> np.ndarray:
    """Steps of several heights, and some noise."""
    rng = np.random.default_rng(seed)
    depth = 2 + rng.random((12, 9)) * 0.3
    depth[3:8, 2:6] -= 0.6
    depth[5:11, 5:8] -= 0.3
    return depth.astype(dtype)


def pixel_pairs(shape: tuple[int, int]) -> list[list[tuple[tuple[int, int], tuple[int, int]]]]:
    """Pairs of near and far pixel in each of the four directions, by rows or by columns."""
    height, width = shape
    along_rows = [((r, c), (r, c + 1)) for r in range(height) for c in range(width - 1)]
    along_columns = [((r, c), (r + 1, c)) for c in range(width) for r in range(height - 1)]
    turned = [[(far, near) for near, far in pairs] for pairs in (along_rows, along_columns)]
    return [along_rows, turned[0], along_columns, turned[1]]


def slow_share(edges: list[set[Any]], others: list[set[Any]]) -> float:
    shares = [len(one & other) / max(len(one), 1) for one, other in zip(edges, others, strict=True)]
    return sum(shares) / 4


def slow_f1(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    scores = []
    for limit in THRESHOLDS:
        ours, true = (
            [
                {(a, b) for a, b in pairs if mask[a] and mask[b] and depth[b] / depth[a] > limit}
                for pairs in pixel_pairs(target.shape)
            ]
            for depth in (prediction, target)
        )
        precision, recall = slow_share(ours, true), slow_share(true, ours)
        scores.append(2 * precision * recall / max(precision + recall, 1e-300))
    return sum(t * score for t, score in zip(THRESHOLDS, scores, strict=True)) / sum(THRESHOLDS)


def slow_recall(depth: np.ndarray, alpha: np.ndarray) -> float:
    recalls = []
    for limit in THRESHOLDS:
        ours, true = [], []
        for pairs in pixel_pairs(alpha.shape):
            true.append({(a, b) for a, b in pairs if alpha[a] > 0.1 and not alpha[b] > 0.1})
            peaks, run = set(), []
            line = 0 if pairs[0][0][0] == pairs[0][1][0] else 1
            for pair, after in zip(pairs, [*pairs[1:], None], strict=True):
                ratio = depth[pair[1]] / depth[pair[0]]
                if ratio > limit:
                    run.append((ratio, pair))
                ends = after is None or after[0][line] != pair[0][line]
                if run and (ratio <= limit or ends):
                    peaks.add(max(run, key=lambda entry: entry[0])[1])
                    run = []
            ours.append(peaks)
        recalls.append(slow_share(true, ours))
    return sum(t * recall for t, recall in zip(THRESHOLDS, recalls, strict=True)) / sum(THRESHOLDS)


@pytest.mark.parametrize("seed", range(3))
def test_f1_agrees_with_its_definition(seed: int) -> None:
    prediction, target = scene(seed), scene(seed + 10)
    mask = np.random.default_rng(seed).random(target.shape) > 0.2

    everywhere = np.ones_like(mask)
    assert boundary_f1(prediction, target) == pytest.approx(slow_f1(prediction, target, everywhere))
    assert boundary_f1(prediction, target, mask) == pytest.approx(slow_f1(prediction, target, mask))
    assert 0 < boundary_f1(prediction, target, mask) < 1


@pytest.mark.parametrize("seed", range(3))
def test_recall_agrees_with_its_definition(seed: int) -> None:
    depth, alpha = scene(seed), (scene(seed + 10) < 1.9) * 0.4

    recall = matting_edge_recall(depth, alpha)

    assert recall == pytest.approx(slow_recall(depth, alpha))
    assert 0 < recall < 1


def test_equal_depth_has_all_edges_if_there_are_some_in_every_direction() -> None:
    target = np.full((6, 6), 2.0)
    target[2:4, 2:4] = 1

    assert boundary_f1(target, target) == pytest.approx(1)
    assert matting_edge_recall(target, (target < 1.5) * 1.0) == pytest.approx(1)
    assert boundary_f1(np.ones((4, 4)), np.ones((4, 4))) == 0


def test_an_edge_in_one_direction_is_a_fourth() -> None:
    # Directions without edges count as 0 in both means: 2 (1/4)^2 / (1/2).
    target = np.array([[1.0, 1.0, 2.0, 2.0]])

    assert boundary_f1(target, target) == pytest.approx(0.25)
    assert matting_edge_recall(target, (target < 1.5) * 1.0) == pytest.approx(0.25)


def test_thresholds_count_by_their_size() -> None:
    # A ratio of 1.1 lies above the first three of ten: 1.05, 1.0722 and 1.0944.
    target = np.array([[1.0, 2.0]])

    weight = sum(THRESHOLDS[:3]) / sum(THRESHOLDS)

    assert boundary_f1(np.array([[1.0, 1.1]]), target) == pytest.approx(0.25 * weight)
    assert matting_edge_recall(np.array([[1.0, 1.1]]), np.array([[1.0, 0.0]])) == pytest.approx(
        0.25 * weight
    )


def test_scale_and_orientation_are_no_matter() -> None:
    prediction, target = scene(1), scene(2)
    alpha = (target < 1.9) * 1.0

    for factor, turn in [(7.0, False), (1.0, True)]:
        ours, true, matte = (
            values.T if turn else values for values in (factor * prediction, target, alpha)
        )
        assert boundary_f1(ours, true) == pytest.approx(boundary_f1(prediction, target))
        assert matting_edge_recall(ours, matte) == pytest.approx(
            matting_edge_recall(prediction, alpha)
        )


def test_a_far_inside_is_no_edge_of_the_matte() -> None:
    alpha = np.zeros((6, 6))
    alpha[2:4, 2:4] = 1

    assert matting_edge_recall(2 - alpha, alpha) == pytest.approx(1)
    assert matting_edge_recall(1 + alpha, alpha) == 0


def test_blurred_depth_keeps_one_edge_per_run() -> None:
    # Three ratios in a row exceed 1.05; the last is the largest, and the matte ends at the first.
    depth, alpha = np.array([[1.0, 1.3, 1.7, 2.3]]), np.array([[1.0, 0.0, 0.0, 0.0]])

    assert matting_edge_recall(depth, alpha) == 0
    assert matting_edge_recall(depth, np.array([[1.0, 1.0, 1.0, 0.0]])) == pytest.approx(0.25)


def test_alpha_of_exactly_a_tenth_is_background() -> None:
    depth = np.array([[1.0, 2.0]])

    assert matting_edge_recall(depth, np.array([[0.11, 0.1]])) == pytest.approx(0.25)
    assert matting_edge_recall(depth, np.array([[0.1, 0.0]])) == 0


def test_depth_behind_the_camera_is_near() -> None:
    assert boundary_f1(np.array([[-1.0, 2.0]]), np.array([[1.0, 2.0]])) == pytest.approx(0.25)


def test_precision_hardly_matters() -> None:
    prediction, target = scene(4, np.float32), scene(5, np.float32)

    double = boundary_f1(prediction.astype(np.float64), target.astype(np.float64))

    assert boundary_f1(prediction, target) == pytest.approx(double)


def test_what_lies_outside_the_mask_may_be_anything() -> None:
    prediction, target = scene(1), scene(2)
    mask = np.ones(target.shape, bool)
    mask[:2] = False
    expected = boundary_f1(prediction, target, mask)
    prediction[0], target[:2] = np.nan, 0

    assert boundary_f1(prediction, target, mask) == expected
    assert boundary_f1(prediction[2:], target[2:]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prediction", "target", "mask", "message"),
    [
        (np.ones((2, 2)), np.ones((2, 3)), None, r"\(2, 2\) and \(2, 3\)"),
        (np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2), bool), "at least 1 pixel"),
        (np.ones((2, 2)), np.zeros((2, 2)), None, "target depth above 0"),
        (np.full((2, 2), np.inf), np.ones((2, 2)), None, "finite prediction"),
    ],
)
def test_unfit_depth_is_refused(prediction: Any, target: Any, mask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        boundary_f1(prediction, target, mask)


@pytest.mark.parametrize(
    ("depth", "alpha", "message"),
    [
        (np.ones((2, 2)), np.ones((2, 3)), r"\(2, 2\) and \(2, 3\)"),
        (np.ones((2, 2)), np.full((2, 2), 255), r"alpha in \[0, 1\]"),
        (np.full((2, 2), np.nan), np.ones((2, 2)), "finite prediction"),
    ],
)
def test_unfit_mattes_are_refused(depth: Any, alpha: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matting_edge_recall(depth, alpha)
