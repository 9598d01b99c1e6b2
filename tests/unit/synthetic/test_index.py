import json
from pathlib import Path
from typing import Any

import pytest

from david_hf.synthetic.production.folder import sample_names
from david_hf.synthetic.production.index import write_index

parquet = pytest.importorskip("pyarrow.parquet")


def add_sample(folder: Path, index: int, **factors: Any) -> None:
    for name in sample_names(index, foreground=False):
        (folder / name).write_text("")
    (folder / f"factors_{index:07d}.json").write_text(json.dumps(factors))


def read(folder: Path) -> dict[str, list[Any]]:
    return dict(parquet.read_table(write_index(folder)).to_pydict())


def test_there_is_a_row_for_each_complete_sample(tmp_path: Path) -> None:
    for index in (7, 2, 5):
        add_sample(tmp_path, index, seed=4, category="face")
    (tmp_path / "depth_0000005.exr").unlink()

    assert read(tmp_path)["index"] == [2, 7]
    assert read(tmp_path)["seed"] == [4, 4]


def test_nested_factors_become_columns_and_of_people_the_first(tmp_path: Path) -> None:
    people = [{"person": {"sex": "male"}, "hair": {"style": "bob"}}, {"person": {"sex": "female"}}]
    add_sample(tmp_path, 0, people=people, versions={"blender": "5.0.1"}, rejected=["burnt 0.5"])
    add_sample(tmp_path, 1, people=[], rejected=[])

    table = read(tmp_path)

    assert table["num_people"] == [2, 0]
    assert table["person.sex"] == ["male", None]
    assert table["hair.style"] == ["bob", None]
    assert table["versions.blender"] == ["5.0.1", None]
    assert table["rejected"] == [["burnt 0.5"], []]
    assert json.loads(table["factors"][0])["people"][1]["person"] == {"sex": "female"}


def test_samples_may_disagree_about_the_type_of_a_factor(tmp_path: Path) -> None:
    values = {"age": [1, 0.5], "hat": [None, "cap"], "bag": [False, "tote"], "lens": [[1, 2], 3]}
    for index in range(2):
        add_sample(tmp_path, index, **{name: pair[index] for name, pair in values.items()})

    table = read(tmp_path)

    assert table["age"] == [1.0, 0.5]
    assert table["hat"] == [None, "cap"]
    assert table["bag"] == ["false", "tote"]
    assert table["lens"] == ["[1, 2]", "3"]


def test_a_new_index_replaces_the_old_one(tmp_path: Path) -> None:
    add_sample(tmp_path, 0)
    write_index(tmp_path)
    add_sample(tmp_path, 1)

    assert read(tmp_path)["index"] == [0, 1]
    assert not list(tmp_path.glob(".partial-*"))
