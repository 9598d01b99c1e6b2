from collections import deque
from typing import Any

import numpy as np
import pytest

from david_hf.data.trimaps import make_trimap
from david_hf.evaluation.metrics.matting import (
    conn,
    grad_p3m,
    grad_rhemann,
    matting_metrics,
    trimap_metrics,
)


def soft_disc(height: int = 60, width: int = 50, softness: float = 8) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - width / 2)
    return np.clip((0.35 * width - distance) / softness + 0.5, 0, 1)


def noisy(alpha: np.ndarray, amount: float = 0.1, seed: int = 0) -> np.ndarray:
    return np.clip(alpha + np.random.default_rng(seed).normal(0, amount, alpha.shape), 0, 1)


def two_mattes(dtype: Any = np.float64, bits: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A prediction with specks and holes, and its target; in 8-bit steps if wanted."""
    target = soft_disc()
    prediction = noisy(target, 0.2)
    prediction[5:9, 5:9] = target[5:9, 5:9] = 0.93
    if bits:
        prediction, target = np.round(prediction * 255) / 255, np.round(target * 255) / 255
    return prediction.astype(dtype), target.astype(dtype)


def test_whole_image_errors_have_their_textbook_values() -> None:
    target = np.array([[1.0, 1.0], [0.0, 0.0]])
    prediction = np.array([[1.0, 0.0], [0.5, 0.0]])

    metrics = matting_metrics(prediction, target)

    assert metrics["sad"] == pytest.approx(0.0015)
    assert metrics["mad"] == pytest.approx(0.375)
    assert metrics["mse"] == pytest.approx((1 + 0.25) / 4)
    assert metrics["iou"] == pytest.approx(0.5)


def test_errors_by_region_have_their_textbook_values() -> None:
    trimap = np.array([[255, 255, 128], [128, 0, 0]], np.uint8)
    # The target is not quite opaque where the trimap says so: that counts in all of them.
    target = np.array([[1.0, 0.9, 0.5], [0.5, 0.0, 0.0]])
    prediction = np.array([[0.5, 0.9, 0.7], [0.5, 0.3, 0.0]])

    metrics = matting_metrics(prediction, target, trimap)

    assert metrics["sad_t"] == pytest.approx((0.1 + 0.2) / 1000)
    assert metrics["mse_t"] == pytest.approx((0.01 + 0.04) / 2)
    assert metrics["mad_t"] == pytest.approx((0.1 + 0.2) / 2)
    assert metrics["sad_fg"] == pytest.approx(0.5 / 1000)
    assert metrics["sad_bg"] == pytest.approx(0.3 / 1000)
    assert metrics["sad"] == pytest.approx(1.0 / 1000)


def test_regions_add_up_to_the_whole() -> None:
    prediction, target = two_mattes()
    trimap = make_trimap(soft_disc(), 6)

    metrics = matting_metrics(prediction, target, trimap)

    unknown = np.abs(prediction - target)[trimap == 128].sum() / 1000
    assert metrics["sad_fg"] + metrics["sad_bg"] + unknown == pytest.approx(metrics["sad"])


def test_equal_mattes_have_no_error() -> None:
    target = soft_disc()

    metrics = matting_metrics(target, target, make_trimap(target, 6))

    assert metrics.pop("iou") == 1
    assert set(metrics.values()) == {0.0}


def test_two_empty_mattes_overlap() -> None:
    assert matting_metrics(np.zeros((3, 3)), np.zeros((3, 3)))["iou"] == 1


def test_a_half_is_no_foreground() -> None:
    metrics = matting_metrics(np.array([[0.5, 0.6]]), np.array([[0.6, 0.6]]))

    assert metrics["iou"] == 0.5


def test_metrics_do_not_depend_on_orientation_or_precision() -> None:
    prediction, target = two_mattes(np.float32)
    trimap = make_trimap(soft_disc().astype(np.float32), 6)

    metrics = matting_metrics(prediction, target, trimap)

    assert matting_metrics(prediction.T, target.T, trimap.T) == pytest.approx(metrics, rel=1e-6)
    mirrored = matting_metrics(prediction[:, ::-1], target[:, ::-1], trimap[:, ::-1])
    assert mirrored == pytest.approx(metrics, rel=1e-6)
    double = matting_metrics(prediction.astype(np.float64), target.astype(np.float64), trimap)
    assert double == pytest.approx(metrics, rel=1e-6)


# Gradients


def slow_length(alpha: np.ndarray, pad_mode: Any, smooth: np.ndarray, derive: np.ndarray) -> Any:
    """Length of the gradient by a full filter in two axes."""
    reach = len(smooth) // 2
    padded = np.pad(alpha.astype(np.float64), reach, mode=pad_mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (len(smooth),) * 2)
    right = (windows * np.outer(smooth, derive)).sum((-1, -2))
    down = (windows * np.outer(derive, smooth)).sum((-1, -2))
    return np.hypot(right, down)


def slow_grad_p3m(prediction: np.ndarray, target: np.ndarray) -> float:
    offsets = np.arange(-6, 7)
    smooth = np.exp(-0.5 * (offsets / 1.4) ** 2)
    smooth /= smooth.sum()
    derive = offsets / 1.4**2 * smooth
    ours = slow_length(prediction, "symmetric", smooth, derive)
    true = slow_length(target, "symmetric", smooth, derive)
    return ((ours - true) ** 2).sum() / 10


def slow_grad_rhemann(prediction: np.ndarray, target: np.ndarray, counted: np.ndarray) -> float:
    reach = int(np.ceil(1.4 * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * 1.4 * 0.01))))
    assert reach == 4
    offsets = np.arange(-reach, reach + 1)
    smooth = np.exp(-(offsets**2) / (2 * 1.4**2)) / (1.4 * np.sqrt(2 * np.pi))
    derive = -offsets * smooth / 1.4**2
    derive = derive / np.sqrt((np.outer(smooth, derive) ** 2).sum())
    lengths = []
    for alpha in (prediction.astype(np.float64), target.astype(np.float64)):
        stretched = (alpha - alpha.min()) / (alpha.max() - alpha.min())
        lengths.append(slow_length(stretched, "edge", smooth, derive))
    return ((lengths[0] - lengths[1]) ** 2)[counted].sum() / 1000


# Taller than a strip, which is how they are computed, and smaller than the filter.
SHAPES = [(300, 20), (129, 16), (60, 50), (7, 40), (3, 2)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_agree_with_full_filters(shape: tuple[int, int], dtype: Any) -> None:
    target = soft_disc(*shape).astype(dtype)
    target[0, 0] = 0.4
    prediction = noisy(target).astype(dtype)

    assert grad_p3m(prediction, target) == pytest.approx(
        slow_grad_p3m(prediction, target), rel=1e-6
    )
    everywhere = np.ones(shape, bool)
    assert grad_rhemann(prediction, target) == pytest.approx(
        slow_grad_rhemann(prediction, target, everywhere), rel=1e-9
    )


def test_the_unknown_gradient_is_of_the_filled_prediction_where_unknown() -> None:
    prediction, target = two_mattes()
    trimap = make_trimap(soft_disc(), 6)
    filled = np.select([trimap == 255, trimap == 0], [1.0, 0.0], prediction)

    assert grad_rhemann(prediction, target, trimap) == pytest.approx(
        slow_grad_rhemann(filled, target, trimap == 128), rel=1e-9
    )


def test_the_gradient_of_a_ramp_is_its_slope() -> None:
    # Away from the border a derivative of a Gaussian that sums to 1 gives the slope: here 1 / 99,
    # but for the tails that are cut off, over 100 rows of 100 pixels.
    ramp = np.tile(np.linspace(0, 1, 100), (100, 1))

    value = grad_p3m(ramp, np.zeros_like(ramp))

    assert value == pytest.approx(10_000 / 99**2 / 10, rel=0.06)


def test_the_rhemann_gradient_ignores_contrast_and_that_of_p3m_does_not() -> None:
    target = soft_disc()

    assert grad_rhemann(0.5 * target + 0.2, target) == pytest.approx(0, abs=1e-20)
    quarter = grad_p3m(np.zeros_like(target), target) / 4
    assert grad_p3m(0.5 * target, target) == pytest.approx(quarter, rel=1e-5)


def test_a_flat_matte_has_no_gradient() -> None:
    target = soft_disc()
    flat = np.full_like(target, 0.3)

    assert grad_rhemann(flat, flat) == 0
    assert grad_rhemann(flat, target) == pytest.approx(grad_rhemann(0 * flat, target))


# Connectivity


def slow_largest_region(mask: np.ndarray) -> np.ndarray | None:
    """The largest region of four neighbours, the first found by rows; None if there is none."""
    largest: list[tuple[int, int]] = []
    seen = ~mask
    for start in zip(*np.nonzero(mask), strict=True):
        region, queue = [], deque([start])
        while queue:
            row, column = queue.popleft()
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
            if not inside or seen[row, column]:
                continue
            seen[row, column] = True
            region.append((row, column))
            steps = [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
            queue.extend(steps)
        if len(region) > len(largest):
            largest = region
    if not largest:
        return None
    omega = np.zeros(mask.shape, bool)
    omega[tuple(np.array(largest).T)] = True
    return omega


def slow_phi_error(prediction: np.ndarray, target: np.ndarray, variant: str = "p3m") -> np.ndarray:
    level_dtype = np.float32 if variant == "p3m" else target.dtype
    levels = np.full(target.shape, -1, level_dtype)
    steps = np.arange(0, 1.1, 0.1)
    for i in range(1, len(steps)):
        both = (prediction >= steps[i]) & (target >= steps[i])
        omega = slow_largest_region(both)
        if omega is None:
            if variant == "p3m":
                continue
            omega = np.zeros(target.shape, bool)
        levels[(levels == -1) & ~omega] = steps[i - 1]
    levels[levels == -1] = 1
    phis = []
    for alpha in (prediction, target):
        distance = alpha - levels
        phis.append(1 - distance.astype(np.float64) * (distance >= 0.15))
    return np.abs(phis[0] - phis[1])


@pytest.mark.parametrize("variant", ["p3m", "rvm"])
@pytest.mark.parametrize("bits", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_connectivity_agrees_with_its_definition(dtype: Any, bits: bool, variant: Any) -> None:
    prediction, target = two_mattes(dtype, bits)

    expected = slow_phi_error(prediction, target, variant).sum() / 1000

    assert conn(prediction, target, variant=variant) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_of_regions_equal_in_size_the_first_is_taken(seed: int) -> None:
    # Noise in few steps has many ties.
    rng = np.random.default_rng(seed)
    prediction, target = rng.integers(0, 5, (2, 9, 11)) / 4

    expected = slow_phi_error(prediction, target).sum() / 1000

    assert conn(prediction, target) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("variant", ["p3m", "rvm"])
def test_connectivity_of_what_is_unknown_is_of_the_filled_prediction(variant: Any) -> None:
    prediction, target = two_mattes()
    trimap = make_trimap(soft_disc(), 6)
    filled = np.select([trimap == 255, trimap == 0], [1.0, 0.0], prediction)

    expected = slow_phi_error(filled, target, variant)[trimap == 128].sum() / 1000

    assert conn(prediction, target, trimap, variant) == pytest.approx(expected, rel=1e-12)


def test_a_detached_part_counts_with_its_whole_height() -> None:
    # The speck leaves the largest region at the first level: its own is 0.
    target = np.zeros((5, 9))
    target[:, :4] = 1
    prediction = target.copy()
    prediction[2, 8] = 0.8

    assert conn(prediction, target) == pytest.approx(0.8 / 1000)


def test_diagonal_neighbours_are_not_connected() -> None:
    target = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.8]])
    prediction = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.6]])

    assert conn(prediction, target) == pytest.approx(0.2 / 1000)


def test_variants_part_where_no_pixel_reaches_a_level() -> None:
    target, prediction = np.full((4, 4), 0.95), np.full((4, 4), 0.05)

    # Nothing is both: P3M skips all levels, the others let all pixels leave at once.
    assert conn(prediction, target) == 0
    assert conn(prediction, target, variant="rvm") == pytest.approx(16 * 0.95 / 1000)


def test_a_value_on_a_level_counts_as_the_references_compare_it() -> None:
    # 153 / 255 lies below the level 6 * 0.1 = 0.6000000000000001 in float64, and above in float32.
    target = np.ones((3, 3))
    target[1, 1] = 153 / 255
    prediction = target.copy()
    prediction[1, 1] = 0.75

    double = conn(prediction, target)
    single = conn(prediction.astype(np.float32), target.astype(np.float32))

    # From the level 0.5, distances of 0.25 and 0.1, which is too small to count; from 0.6 both are.
    assert double == pytest.approx(0.25 / 1000)
    assert single == 0


# Refusals


@pytest.mark.parametrize("function", [matting_metrics, grad_p3m, grad_rhemann, conn])
@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (np.zeros((3, 2)), r"\(3, 2\) and \(2, 2\); resize"),
        (np.full((2, 2), 255), r"prediction in \[0, 1\], got 255 to 255"),
        (np.full((2, 2), -0.1), r"prediction in \[0, 1\], got -0\.1"),
        (np.full((2, 2), np.nan), r"prediction in \[0, 1\], got nan"),
    ],
)
def test_unfit_mattes_are_refused(function: Any, prediction: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(prediction, np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("trimap", "message"),
    [
        (np.full((2, 3), 128), r"\(2, 2\) and \(2, 3\)"),
        (np.full((2, 2), 1), r"trimap of 0, 128 and 255, got values between 1 and 1"),
        (np.full((2, 2), 255), r"unknown pixels, got none"),
    ],
)
def test_unfit_trimaps_are_refused(trimap: np.ndarray, message: str) -> None:
    empty = np.zeros((2, 2))

    for function in (trimap_metrics, matting_metrics, grad_rhemann, conn):
        with pytest.raises(ValueError, match=message):
            function(empty, empty, trimap)


def test_other_mattes_and_variants_are_refused() -> None:
    with pytest.raises(ValueError, match="2 axes"):
        matting_metrics(np.zeros((2, 2, 1)), np.zeros((2, 2, 1)))
    with pytest.raises(ValueError, match="to have pixels"):
        matting_metrics(np.zeros((0, 2)), np.zeros((0, 2)))
    with pytest.raises(ValueError, match="variant p3m or rvm, got 'matlab'"):
        conn(np.zeros((2, 2)), np.zeros((2, 2)), variant="matlab")  # type: ignore[arg-type]
