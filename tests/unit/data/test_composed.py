from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from figures import write_person
from numpy.typing import NDArray
from torch.utils.data import default_collate

from david_hf.data.augmentations import PhotometricAugmentations
from david_hf.data.composed import ComposedHumans, shade
from david_hf.data.geometry import GeometricAugmentations
from david_hf.data.mixture import Mixture
from david_hf.data.sample import HumanSample
from david_hf.data.sources.synthhuman import GeneratedHumans
from david_hf.data.transforms import TrainingTransform


def humans(root: Path, seed: int = 1) -> ComposedHumans:
    for index in range(4):
        write_person(root, index)
    return ComposedHumans([root], side=64, seed=seed)


def test_a_composition_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    people = humans(tmp_path)
    people.draw(3)

    again, other_seed = humans(tmp_path).draw(5), humans(tmp_path, seed=2).draw(5)

    np.testing.assert_array_equal(people.draw(5).image, again.image)
    assert again.size != other_seed.size or (again.image != other_seed.image).any()


def test_two_streams_of_a_seed_have_nothing_in_common(tmp_path: Path) -> None:
    one = humans(tmp_path)
    other = ComposedHumans([tmp_path], side=64, seed=1, stream=1)

    sizes = [(one.draw(i).image.shape, other.draw(i).image.shape) for i in range(12)]

    assert any(shapes[0] != shapes[1] for shapes in sizes)


def test_a_damaged_figure_is_named(tmp_path: Path) -> None:
    write_person(tmp_path, 0)
    (tmp_path / "foreground_0000000.exr").write_bytes(b"nonsense")

    with pytest.raises(ValueError, match=r"foreground_0000000.exr: not a readable EXR"):
        ComposedHumans([tmp_path], side=64, split="all")


def test_a_batch_is_what_the_model_takes(tmp_path: Path) -> None:
    transform = TrainingTransform(64, photometric=PhotometricAugmentations())
    samples = Mixture([(humans(tmp_path), 1.0)], length=6, transform=transform)

    batch = default_collate([samples[number] for number in range(6)])

    assert batch["pixel_values"].shape == (6, 3, 64, 64)
    assert 0 <= batch["pixel_values"].min() <= batch["pixel_values"].max() <= 1
    assert batch["labels"]["depth"].shape == batch["mask"]["depth"].shape == (6, 64, 64)
    assert batch["labels"]["normals"].shape == (6, 3, 64, 64)
    assert batch["labels"]["alpha"].shape == (6, 1, 64, 64)
    assert batch["mask"]["alpha"].all()
    depth = batch["labels"]["depth"][batch["mask"]["depth"]]
    assert len(depth)
    assert torch.isfinite(depth).all()
    assert depth.min() > 0.5


def test_renders_are_placed_anew_and_compositions_stay(tmp_path: Path) -> None:
    composed, render = humans(tmp_path).draw(3), GeneratedHumans(tmp_path, "train")[0]
    zoomed = GeometricAugmentations(zoom=(2.0, 2.0), zoom_probability=1.0)

    def augment(sample: HumanSample, geometric: GeometricAugmentations | None) -> NDArray[Any]:
        return TrainingTransform(64, geometric).augment(sample, np.random.default_rng(0)).image

    np.testing.assert_array_equal(augment(composed, zoomed), augment(composed, None))
    assert (augment(render, zoomed) != augment(render, None)).any()


def test_shades_leave_what_is_above_them() -> None:
    for number in range(20):
        factors = shade(np.random.default_rng(number), (60, 40))

        assert factors.shape == (3, 60, 40)
        assert 0 < factors.min() < factors.max() < 3
        np.testing.assert_allclose(factors[:, 0], 1, atol=0.4)
        assert (factors[:, -1] - 1).abs().max() > 0.1


def test_figures_that_a_thing_hides_are_not_composed(tmp_path: Path) -> None:
    dataset = humans(tmp_path)
    hidden = GeneratedHumans(tmp_path, "train").indices[0]
    (tmp_path / f"factors_{hidden:07d}.json").write_text('{"occluded": true}')

    assert len(humans(tmp_path).figures) == len(dataset.figures) - 1


def test_a_split_without_samples_is_refused(tmp_path: Path) -> None:
    write_person(tmp_path, 0)  # its hash puts it into the training split

    with pytest.raises(ValueError, match="no sample falls to validation"):
        ComposedHumans([tmp_path], side=64, split="validation")
