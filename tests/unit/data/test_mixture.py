from collections import Counter
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from david_hf.data.mixture import BLOCK, Mixture, Shuffled
from david_hf.data.randomness import Purpose, generator
from david_hf.data.sample import HumanSample


class Numbers:
    """A data set whose samples are numbers: the mixture never looks inside."""

    def __init__(self, start: int, count: int) -> None:
        self.start, self.count = start, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> Any:
        return self.start + position


def number_and_noise(sample: Any, rng: np.random.Generator) -> tuple[int, int]:
    return int(sample), int(rng.integers(1 << 30))


def mixture(length: int = 5000, seed: int = 0) -> Mixture:
    small: Any = Numbers(0, 7)
    large: Any = Numbers(1000, 800)
    return Mixture(
        [(Shuffled(small, 1), 1.0), (Shuffled(large, 2), 3.0)],
        length=length,
        transform=number_and_noise,
        seed=seed,
    )


def test_weights_hold_in_every_block() -> None:
    data = mixture()

    for start in range(0, 5000, BLOCK):
        drawn = [data[i][0] for i in range(start, start + BLOCK)]
        assert sum(number < 1000 for number in drawn) == BLOCK // 4


def test_every_sample_comes_once_before_any_comes_again() -> None:
    data = mixture()

    large = [number for number, _ in (data[i] for i in range(3000)) if number >= 1000]
    small = [number for number, _ in (data[i] for i in range(3000)) if number < 1000]

    assert sorted(large[:800]) == list(range(1000, 1800))
    assert sorted(large[800:1600]) == list(range(1000, 1800))
    assert large[:800] != large[800:1600]
    assert all(sorted(small[i : i + 7]) == list(range(7)) for i in range(0, 700, 7))
    assert max(Counter(small).values()) - min(Counter(small).values()) <= 1


def test_an_item_depends_on_the_seed_and_its_number_alone() -> None:
    first, again, other = mixture(), mixture(), mixture(seed=1)

    order = np.random.default_rng(3).permutation(2000)
    shuffled = {int(i): first[int(i)] for i in order}

    assert [shuffled[i] for i in range(2000)] == [again[i] for i in range(2000)]
    assert [again[i] for i in range(100)] != [other[i] for i in range(100)]
    assert len({again[i][1] for i in range(2000)}) == 2000


def test_data_sets_of_one_size_are_not_shuffled_alike() -> None:
    first, second = [f"a{i}" for i in range(50)], [f"b{i}" for i in range(50)]
    parts: Any = [(first, 1.0), (second, 1.0)]
    both = Mixture(parts, length=BLOCK, transform=lambda sample, rng: sample)

    drawn = [both[i] for i in range(BLOCK)]

    orders = [[item[1:] for item in drawn if item[0] == name][:50] for name in "ab"]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_a_mixture_ends_at_its_length() -> None:
    data = mixture(5)

    assert len(list(data)) == 5
    with pytest.raises(IndexError, match="item 5 of 5"):
        data[5]


def test_augmentations_do_not_depend_on_what_was_composed() -> None:
    """numpy fills keys with zeros: two generators of one seed and number would be the same."""
    drawn = {
        generator(purpose, *key).integers(1 << 60)
        for purpose in Purpose
        for key in ((0,), (0, 0), (0, 1), (1, 0), (0, 1, 0))
    }

    assert len(drawn) == len(Purpose) * 5


def test_a_loader_with_workers_gives_the_same_items() -> None:
    data = mixture(64)

    loaded = [item for batch in DataLoader(data, 8, num_workers=2) for item in batch[0].tolist()]

    assert loaded == [data[i][0] for i in range(64)]


@pytest.mark.parametrize("weights", [[], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_weights_that_are_not_positive_are_refused(weights: list[float]) -> None:
    part: Any = Numbers(0, 3)

    with pytest.raises(ValueError, match="positive weights"):
        Mixture([(Shuffled(part), w) for w in weights], length=1, transform=number_and_noise)


def test_a_weight_that_draws_nothing_is_refused() -> None:
    part: Any = Numbers(0, 3)

    with pytest.raises(ValueError, match="below a thousandth"):
        Mixture([(Shuffled(part), 1), (Shuffled(part), 1e-5)], length=1, transform=number_and_noise)


def test_an_empty_data_set_is_refused() -> None:
    empty: list[HumanSample] = []

    with pytest.raises(ValueError, match="an empty one"):
        Shuffled(empty)
