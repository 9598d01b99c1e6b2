"""Sets of pictures and labels as `datasets` objects."""

from pathlib import Path

import numpy as np
import pytest
from layouts import (
    DISTANCE_M,
    HEIGHT,
    WIDTH,
    matte,
    write_backgrounds,
    write_cut_outs,
    write_p3m,
    write_plain,
    write_ppm,
)

from david_hf.data.loading import load_david_dataset


def write_all(root: Path) -> None:
    for split in ("train", "P3M-500-P", "P3M-500-NP"):
        write_p3m(root / "p3m-10k", split)
    write_ppm(root / "ppm-100")
    write_cut_outs(root / "photomatte85", 2)
    write_backgrounds(root / "backgrounds")
    write_plain(root / "folder")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("p3m-10k", "train"),
        ("p3m-10k", "P3M-500-P"),
        ("p3m-10k", "P3M-500-NP"),
        ("ppm-100", "test"),
        ("photomatte85", "test"),
        ("folder", "all"),
        ("folder", None),
    ],
)
def test_a_set_of_pictures_streams_decoded(tmp_path: Path, name: str, split: str | None) -> None:
    write_all(tmp_path)
    options = {"backgrounds": tmp_path / "backgrounds"} if name == "photomatte85" else {}

    dataset = load_david_dataset(name, tmp_path / name, split, streaming=True, **options)
    samples = list(dataset)

    assert len(samples) == 2
    first = samples[0]
    assert first["source"] == name
    assert first["image"].size == first["alpha"].size == (WIDTH, HEIGHT)
    np.testing.assert_allclose(np.asarray(first["alpha"]), matte(), atol=40)  # PPM-100: JPEG
    if name == "folder":
        assert first["depth"].max() == DISTANCE_M
        assert first["normals"].shape == (HEIGHT, WIDTH, 3)
        assert samples[1]["alpha"] is None
