from typing import Any

import numpy as np
import pytest

from david_hf.evaluation.metrics.depth import align_group
from david_hf.evaluation.metrics.temporal import depth_flicker, dtssd

ALL = np.ones((3, 2, 2), bool)


def test_dtssd_has_its_textbook_value() -> None:
    target = np.zeros((3, 1, 2))
    # Changes of 0.3 and 0 in the first pair, of 0 and 0.4 in the second.
    prediction = np.array([[[0.0, 0.0]], [[0.3, 0.0]], [[0.3, 0.4]]])

    expected = 100 * (np.sqrt(0.09 / 2) + np.sqrt(0.16 / 2)) / 2

    assert dtssd(prediction, target) == pytest.approx(expected)
    assert dtssd(prediction.astype(np.float32), target) == pytest.approx(expected)


def test_dtssd_of_a_video_is_the_mean_of_its_pairs() -> None:
    rng = np.random.default_rng(0)
    prediction, target = rng.random((2, 5, 4, 3))

    pairs = [dtssd(prediction[t : t + 2], target[t : t + 2]) for t in range(4)]

    assert dtssd(prediction, target) == pytest.approx(np.mean(pairs))
    assert dtssd(prediction.swapaxes(1, 2), target.swapaxes(1, 2)) == pytest.approx(np.mean(pairs))


def test_an_error_that_stays_does_not_flicker() -> None:
    rng = np.random.default_rng(1)
    target, error = rng.random((3, 2, 2)) / 2, rng.random((2, 2)) / 2

    assert dtssd(target + error, target) == pytest.approx(0, abs=1e-12)
    assert depth_flicker(target + 1 + error, target + 1, ALL) == pytest.approx(0, abs=1e-12)


def test_flicker_has_its_textbook_value() -> None:
    target = np.full((3, 1, 1), 2.0)
    prediction = np.array([2.0, 2.1, 2.0]).reshape(3, 1, 1)

    assert depth_flicker(prediction, target, ALL[:, :1, :1]) == pytest.approx(5)


def test_only_pixels_valid_in_both_frames_count() -> None:
    target = np.full((3, 2, 2), 2.0)
    prediction = target.copy()
    prediction[0, 0, 0] = np.nan
    prediction[1, 0, 0] = 9
    mask = ALL.copy()
    mask[0, 0, 0] = mask[2] = False

    assert depth_flicker(prediction, target, mask) == 0


def test_a_fit_by_frame_takes_off_what_flickers_as_a_whole() -> None:
    rng = np.random.default_rng(2)
    target = rng.random((3, 2, 2)) + 1
    prediction = target * np.array([1.0, 1.2, 0.9]).reshape(3, 1, 1)
    frames = list(zip(prediction, target, ALL, strict=True))

    by_sequence = np.stack(align_group(frames))
    by_frame = np.stack([align_group([frame])[0] for frame in frames])

    assert depth_flicker(by_frame, target, ALL) == pytest.approx(0, abs=1e-9)
    assert depth_flicker(by_sequence, target, ALL) > 5


def test_flicker_does_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(3)
    prediction, target = rng.random((2, 3, 2, 2)) + 1

    metres = depth_flicker(prediction, target, ALL)

    assert depth_flicker(100 * prediction, 100 * target, ALL) == pytest.approx(metres)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": ~ALL}, "two frames in a row, got none"),
        ({"mask": ALL * 1}, "mask of booleans"),
        ({"prediction_m": np.full((3, 2, 2), np.nan)}, "finite prediction"),
        ({"target_m": np.zeros((3, 2, 2))}, "target depth above 0"),
        ({"target_m": np.ones((3, 2, 1))}, r"\(3, 2, 2\) and \(3, 2, 1\)"),
    ],
)
def test_unfit_depth_is_refused(change: dict[str, Any], message: str) -> None:
    fit = {"prediction_m": np.ones((3, 2, 2)), "target_m": np.ones((3, 2, 2)), "mask": ALL}

    with pytest.raises(ValueError, match=message):
        depth_flicker(**(fit | change))


def test_unfit_mattes_are_refused() -> None:
    frames = np.ones((3, 2, 2))

    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        dtssd(frames[:1], frames[:1])
    with pytest.raises(ValueError, match="3 axes"):
        dtssd(frames[0], frames[0])
    with pytest.raises(ValueError, match=r"target in \[0, 1\], got 2 to 2"):
        dtssd(frames, 2 * frames)
