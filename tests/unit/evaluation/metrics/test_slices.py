from typing import Any

import numpy as np
import pytest

from david_hf.evaluation.metrics.slices import slice_metric

# Images of the four subsets of table 1, and its columns (DAViD, section 4.2): RMSE of Goliath face,
# upper body, full body and Hi4D, then of all; then AbsRel.
NUM_IMAGES = {"face": 736, "upper_body": 768, "full_body": 768, "hi4d": 1195}
TABLE_1 = {
    "MiDaS-DPT_L": ([0.224, 0.553, 0.973, 0.148, 0.437], [0.016, 0.015, 0.027, 0.042, 0.027]),
    "DepthAnythingV2-L": ([0.229, 0.492, 1.039, 0.130, 0.433], [0.017, 0.014, 0.029, 0.034, 0.025]),
    "Sapiens-0.3B": ([0.179, 0.368, 0.690, 0.116, 0.312], [0.012, 0.010, 0.019, 0.035, 0.021]),
    "Sapiens-2B": ([0.158, 0.204, 0.266, 0.095, 0.170], [0.009, 0.005, 0.007, 0.030, 0.015]),
    "Depth-Pro": ([0.295, 0.442, 0.723, 0.084, 0.350], [0.020, 0.010, 0.016, 0.018, 0.016]),
    "Ours-Base": ([0.142, 0.316, 0.376, 0.085, 0.212], [0.009, 0.009, 0.010, 0.024, 0.014]),
    "Ours-Large": ([0.140, 0.283, 0.334, 0.072, 0.191], [0.009, 0.008, 0.009, 0.019, 0.012]),
}


@pytest.mark.parametrize("method", TABLE_1)
def test_the_average_of_table_1_is_the_mean_over_images(method: str) -> None:
    labels = np.repeat(list(NUM_IMAGES), list(NUM_IMAGES.values())).tolist()

    for *columns, average in TABLE_1[method]:
        values = np.repeat(columns, list(NUM_IMAGES.values()))
        sliced = slice_metric(values, labels, resamples=1)
        # Half a digit for the rounding of the columns, and half for that of the average.
        assert sliced["mean"] == pytest.approx(average, abs=0.001)
        assert sliced["mean_hi4d"] == pytest.approx(columns[3])

    rmse = TABLE_1[method][0]
    assert np.mean(rmse[:4]) != pytest.approx(rmse[4], abs=0.01)


def test_sizes_means_and_gap_have_their_textbook_values() -> None:
    labels = ["dark"] * 2 + ["light"] * 3 + ["tan"]

    sliced = slice_metric([1.0, 3.0, 5.0, 6.0, 7.0, 99.0], labels, min_size=2)

    assert sliced["num_images"] == 6
    assert sliced["mean"] == pytest.approx(121 / 6)
    assert (sliced["size_dark"], sliced["size_light"], sliced["size_tan"]) == (2, 3, 1)
    assert (sliced["mean_dark"], sliced["mean_light"], sliced["gap"]) == (2, 6, 4)
    assert "mean_tan" not in sliced


def test_intervals_of_a_group_of_two_are_its_values() -> None:
    # Both draws are the same one a fourth of the time each, which 95 % does not leave out.
    sliced = slice_metric([1.0, 3.0, 9.0, 9.0], ["a", "a", "b", "b"], min_size=2)

    assert (sliced["low_a"], sliced["high_a"]) == (1, 3)
    assert (sliced["low_b"], sliced["high_b"]) == (9, 9)
    assert (sliced["gap_low"], sliced["gap_high"]) == (6, 8)


def test_intervals_are_about_two_standard_errors_wide() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 400), rng.normal(5, 2, 400)])

    sliced = slice_metric(values, ["a"] * 400 + ["b"] * 400)

    width = sliced["high_a"] - sliced["low_a"]
    assert width == pytest.approx(2 * 1.96 * values[:400].std() / 20, rel=0.1)
    error = np.hypot(values[:400].std(), values[400:].std()) / 20
    assert sliced["gap_high"] - sliced["gap_low"] == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert sliced["low_b"] < 5 < sliced["high_b"]


def test_draws_are_seeded_and_confidence_widens_intervals() -> None:
    values, labels = np.random.default_rng(1).random(40), ["a", "b"] * 20

    sliced = slice_metric(values, labels)

    assert slice_metric(values, labels) == sliced
    assert slice_metric(values, labels, seed=1) != sliced
    narrow = slice_metric(values, labels, confidence=0.5)
    assert sliced["low_a"] < narrow["low_a"] < narrow["high_a"] < sliced["high_a"]


def test_the_order_of_groups_is_no_matter() -> None:
    values = np.random.default_rng(2).random(40)

    forwards = slice_metric(values, ["a"] * 20 + ["b"] * 20)
    backwards = slice_metric(np.roll(values, 20), ["b"] * 20 + ["a"] * 20)

    assert backwards == pytest.approx(forwards)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a", "b"]}, r"each of 2 labels, got values of shape \(4,\)"),
        ({"values": [1, 2, np.nan, 4]}, "1 of them not finite"),
        ({"min_size": 3}, r"2 groups of 3 images or more, got a 2, b 2"),
        ({"values": [], "labels": []}, "got none"),
        ({"confidence": 1.0}, "confidence between 0 and 1"),
        ({"resamples": 0}, "at least 1"),
    ],
)
def test_unfit_input_is_refused(change: dict[str, Any], message: str) -> None:
    fit = {"values": [1.0, 2, 3, 4], "labels": ["a", "a", "b", "b"], "min_size": 2}

    with pytest.raises(ValueError, match=message):
        slice_metric(**(fit | change))
