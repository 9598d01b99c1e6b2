from pathlib import Path

import numpy as np
import pytest
import torch
from figures import write_person
from torch.utils.data import default_collate

from david_hf.data.augmentations import Augmentations
from david_hf.data.sample import HumanSample
from david_hf.data.synthhuman import SynthHumanFolder
from david_hf.data.training_set import ComposedHumans, pad_to_square


def humans(root: Path, **options: object) -> ComposedHumans:
    for index in range(4):
        write_person(root, index)
    settings = {"side": 64, "seed": 1, "length": 8, "augmentations": Augmentations()}
    return ComposedHumans([root], **{**settings, **options})  # type: ignore[arg-type]


def test_a_sample_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    dataset = humans(tmp_path)
    dataset[3]

    again, other_seed = humans(tmp_path)[5], humans(tmp_path, seed=2)[5]

    torch.testing.assert_close(dataset[5]["pixel_values"], again["pixel_values"])
    assert not torch.equal(again["pixel_values"], other_seed["pixel_values"])


def test_a_batch_is_what_the_model_takes(tmp_path: Path) -> None:
    dataset = humans(tmp_path)

    batch = default_collate([dataset[number] for number in range(6)])

    assert batch["pixel_values"].shape == (6, 3, 64, 64)
    assert 0 <= batch["pixel_values"].min() <= batch["pixel_values"].max() <= 1
    assert batch["labels"]["depth"].shape == batch["mask"].shape == (6, 64, 64)
    assert batch["labels"]["normals"].shape == (6, 3, 64, 64)
    assert batch["labels"]["alpha"].shape == (6, 1, 64, 64)
    assert batch["mask"].any()
    depth = batch["labels"]["depth"][batch["mask"]]
    assert torch.isfinite(depth).all()
    assert depth.min() > 0.5


def test_figures_that_a_thing_hides_are_not_composed(tmp_path: Path) -> None:
    dataset = humans(tmp_path)
    hidden = SynthHumanFolder(tmp_path).split("train")[0]
    (tmp_path / f"factors_{hidden:07d}.json").write_text('{"occluded": true}')

    assert len(humans(tmp_path).figures) == len(dataset.figures) - 1


def test_padding_repeats_the_border_and_moves_the_principal_point() -> None:
    ramp = np.tile(np.arange(4, dtype=np.float32), (8, 1))
    sample = HumanSample(
        image=np.repeat(ramp[..., None], 3, 2) / 4,
        alpha=ramp / 4,
        depth_m=ramp,
        normals=np.zeros((8, 4, 3), np.float32),
        valid=np.ones((8, 4), bool),
        intrinsics=np.array([[5.0, 0, 2], [0, 5, 4], [0, 0, 1]]),
        category="",
        identifier="",
        source="",
    )

    square = pad_to_square(sample, 8)

    np.testing.assert_array_equal(square.alpha[0] * 4, [0, 0, 0, 1, 2, 3, 3, 3])
    np.testing.assert_array_equal(square.valid[0], [0, 0, 1, 1, 1, 1, 0, 0])
    assert square.intrinsics[0, 2] == 4
    assert square.intrinsics[1, 2] == 4


def test_a_split_without_samples_is_refused(tmp_path: Path) -> None:
    write_person(tmp_path, 0)  # its hash puts it into the training split

    with pytest.raises(ValueError, match="validation split holds no sample"):
        ComposedHumans([tmp_path], side=64, length=1, split="validation")
