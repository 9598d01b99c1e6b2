"""The data sets as objects of `datasets`, and the way from a folder to a batch and back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, IterableDataset, load_from_disk
from datasets.distributed import split_dataset_by_node
from factories import tiny_vit_config
from figures import write_person
from PIL import Image
from torch.utils.data import DataLoader

from david_hf import DavidForDensePrediction
from david_hf.data.features import sample_features
from david_hf.data.loading import DatasetSamples, load_david_dataset, stream_samples
from david_hf.data.mixture import Mixture
from david_hf.data.shards import Format, write_shards
from david_hf.data.sources.registry import DATASETS, open_source
from david_hf.data.stream import ShardStream
from david_hf.data.transforms import TrainingTransform

SAMPLES = Path(__file__).parents[3] / "training/sample_data"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for index in range(5):
        write_person(tmp_path / "people", index, with_foreground=index != 2)
    return tmp_path / "people"


@pytest.mark.parametrize("streaming", [False, True])
def test_items_are_pictures_and_maps(people: Path, streaming: bool) -> None:
    loaded = load_david_dataset("synthhuman", people, "all", streaming=streaming)
    expected = open_source("synthhuman", people, "all")

    assert isinstance(loaded, IterableDataset if streaming else Dataset)
    assert loaded.features == sample_features()
    items = list(loaded)
    assert len(items) == 5
    for item, sample in zip(items, expected, strict=True):
        assert isinstance(item["image"], Image.Image)
        assert item["image"].size == item["alpha"].size == (36, 48)
        np.testing.assert_array_equal(item["depth"], sample.depth_m)
        np.testing.assert_allclose(item["normals"], sample.normals, atol=1e-6)
        assert item["id"] == sample.identifier
        assert item["category"] == "face"
    assert items[0]["foreground"].shape == (48, 36, 4)
    assert items[2]["foreground"] is None


def test_arrow_items_become_samples_again(people: Path) -> None:
    loaded = load_david_dataset("synthhuman", people, "all")
    assert isinstance(loaded, Dataset)

    samples = DatasetSamples(loaded.select([3, 1]))

    assert [sample.identifier for sample in samples] == ["0000003", "0000001"]
    np.testing.assert_array_equal(
        samples[0].image, open_source("synthhuman", people, "all")[3].image
    )


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("shard_format", ["parquet", "webdataset"])
def test_shards_load_as_the_data_set_they_were_made_of(
    people: Path, tmp_path: Path, shard_format: Format, streaming: bool
) -> None:
    write_shards(
        open_source("synthhuman", people, "all"),
        tmp_path / "shards",
        shard_format,
        samples_per_shard=2,
    )

    loaded = load_david_dataset("shards", tmp_path / "shards", "all", streaming=streaming)

    assert loaded.features == sample_features()
    for item, original in zip(loaded, load_david_dataset("synthhuman", people, "all"), strict=True):
        assert item["id"] == original["id"]
        np.testing.assert_array_equal(np.asarray(item["image"]), np.asarray(original["image"]))
        np.testing.assert_array_equal(item["normals"], original["normals"])


def test_a_stream_is_divided_among_processes(people: Path) -> None:
    loaded = load_david_dataset("synthhuman", people, "all", streaming=True)

    shares = [[i["id"] for i in split_dataset_by_node(loaded, rank, 2)] for rank in range(2)]

    assert min(map(len, shares)) >= 2
    assert sorted(shares[0] + shares[1]) == [f"{i:07d}" for i in range(5)]


def test_features_take_arrays(tmp_path: Path) -> None:
    depth = np.float32([[1.5, 0.0], [2.0, 3.25]])
    normals = np.zeros((2, 2, 3), np.float32)
    normals[..., 2] = 1
    features = sample_features()

    made = Dataset.from_dict(
        {"depth": [depth], "normals": [normals]},
        features=Features({name: features[name] for name in ("depth", "normals")}),
    )

    np.testing.assert_array_equal(made[0]["depth"], depth)
    np.testing.assert_array_equal(made[0]["normals"], normals)
    assert made.with_format("torch")[0]["depth"].dtype == torch.float32


def test_from_our_generator_through_shards_to_a_batch_and_back_to_pictures(tmp_path: Path) -> None:
    source = open_source("generated", SAMPLES, "all")
    write_shards(source, tmp_path, samples_per_shard=8, samples_per_group=4)
    transform = TrainingTransform(256)
    stream = ShardStream(tmp_path, "all", prepare=transform.prepare, buffer_size=0, endless=False)

    batches = list(DataLoader(stream, batch_size=6))

    pixels = torch.cat([batch["pixel_values"] for batch in batches])
    labels = {
        name: torch.cat([batch["labels"][name] for batch in batches])
        for name in ("alpha", "depth", "normals")
    }
    assert pixels.shape == (24, 3, 256, 256)
    for number, sample in enumerate(source):
        inside = slice(32, 224)  # 192 columns, padded to 256
        picture = pixels[number].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(picture[:, inside], sample.image)
        np.testing.assert_array_equal(labels["alpha"][number, 0].numpy()[:, inside], sample.alpha)
        np.testing.assert_allclose(
            labels["depth"][number].numpy()[:, inside], sample.depth_m, rtol=1e-6
        )
        normals = labels["normals"][number].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(normals[:, inside], sample.normals, atol=1e-6)


def test_samples_without_labels_are_left_out_of_the_loss(people: Path, tmp_path: Path) -> None:

    photos = tmp_path / "photos"
    (photos / "images").mkdir(parents=True)
    Image.new("RGB", (40, 30), "teal").save(photos / "images/a.png")
    both = Mixture(
        [
            (open_source("synthhuman", people, "all"), 1.0),
            (open_source("folder", photos, "all"), 1.0),
        ],
        length=40,
        transform=TrainingTransform(64),
    )
    batch = next(iter(DataLoader(both, batch_size=40)))
    labelled = batch["mask"]["alpha"].flatten(1).any(1)
    torch.manual_seed(0)
    model = DavidForDensePrediction(tiny_vit_config(image_size=64)).eval()

    mixed = model(**batch).losses
    only = model(
        pixel_values=batch["pixel_values"][labelled],
        labels={task: values[labelled] for task, values in batch["labels"].items()},
        mask={task: values[labelled] for task, values in batch["mask"].items()},
    ).losses

    assert 10 < labelled.sum() < 30
    for name, part in only.items():
        torch.testing.assert_close(mixed[name], part, rtol=1e-4, atol=1e-5, msg=name)


def test_streaming_items_become_samples_again_whatever_columns_were_added(people: Path) -> None:
    streaming = load_david_dataset("synthhuman", people, "all", streaming=True)
    copied = load_david_dataset("synthhuman", people, "all")
    assert isinstance(streaming, IterableDataset)
    assert isinstance(copied, Dataset)
    source = open_source("synthhuman", people, "all")

    streamed = list(stream_samples(streaming.map(lambda item: {"mine": 1})))
    chosen = DatasetSamples(copied.add_column("mine", list(range(5))))

    for number in range(5):
        np.testing.assert_array_equal(streamed[number].depth_m, source[number].depth_m)
        np.testing.assert_array_equal(chosen[number].image, source[number].image)


def test_a_data_set_is_written_mapped_and_read_as_any_other(people: Path, tmp_path: Path) -> None:
    loaded = load_david_dataset("synthhuman", people, "all")
    assert isinstance(loaded, Dataset)
    depth, normals = loaded[0]["depth"], loaded[0]["normals"]

    loaded.to_parquet(tmp_path / "a.parquet")
    loaded.save_to_disk(tmp_path / "disk")
    doubled = loaded.map(lambda item: {"depth": item["depth"] * 2}, features=loaded.features)

    for again in (
        Dataset.from_parquet(str(tmp_path / "a.parquet")),
        load_from_disk(tmp_path / "disk"),
    ):
        assert again.features == loaded.features
        np.testing.assert_array_equal(again[0]["depth"], depth)
        np.testing.assert_array_equal(again[0]["normals"], normals)
    np.testing.assert_array_equal(doubled[0]["depth"], depth * 2)
    assert doubled[2]["foreground"] is None


def test_a_copy_is_made_anew_when_a_file_changes(people: Path) -> None:
    before = load_david_dataset("synthhuman", people, "all")[1]["image"]
    Image.new("RGB", (36, 48), "teal").save(people / "rgb_0000001.png")

    after = load_david_dataset("synthhuman", people, "all")[1]["image"]

    assert before.getpixel((0, 0)) != after.getpixel((0, 0)) == (0, 128, 128)


def test_turned_photos_lie_under_their_labels_for_every_reader(tmp_path: Path) -> None:
    for folder in ("images", "alphas"):
        (tmp_path / folder).mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    stored = Image.new("RGB", (40, 30))
    stored.paste((255, 0, 0), (0, 0, 20, 30))
    stored.save(tmp_path / "images/a.jpg", exif=exif)
    Image.new("L", (30, 40), 255).save(tmp_path / "alphas/a.png")

    item = next(iter(load_david_dataset("folder", tmp_path, streaming=True)))
    sample = open_source("folder", tmp_path)[0]

    assert item["image"].size == item["alpha"].size == (30, 40)
    assert sample.size == (40, 30)
    np.testing.assert_allclose(sample.image[5, 15], [1, 0, 0], atol=0.05)
    np.testing.assert_allclose(sample.image[35, 15], 0, atol=0.05)


def test_an_unknown_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown data set 'nothing'; known are synthhuman"):
        load_david_dataset("nothing", tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_a_missing_root_is_named_whatever_the_data_set(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing: no such folder|backgrounds"):
        load_david_dataset(name, tmp_path / "missing")
