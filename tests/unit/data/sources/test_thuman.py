import json
from pathlib import Path

import pytest
from figures import write_person

from david_hf.data.check import check_dataset
from david_hf.data.sources.registry import DATASETS, open_source
from david_hf.data.sources.thuman import THuman20

FRAMINGS = ("face", "upper_body", "full_body")


def write_renders(root: Path, scans: tuple[int, ...] = (0, 4)) -> None:
    """What `david data render` writes of some scans, but for the picture."""
    for scan in scans:
        for number, category in enumerate(FRAMINGS):
            index = 3 * scan + number
            write_person(root, index, with_foreground=False)
            factors = {"category": category, "scan": scan, "index": index}
            (root / f"factors_{index:07d}.json").write_text(json.dumps(factors))


@pytest.mark.parametrize("name", ["thuman2.0", "thuman2.1"])
@pytest.mark.parametrize(("number", "category"), list(enumerate(FRAMINGS)))
def test_a_split_holds_the_pictures_framed_that_way(
    tmp_path: Path, name: str, number: int, category: str
) -> None:
    write_renders(tmp_path)

    source = open_source(name, tmp_path, category)

    assert [sample.identifier for sample in source] == [f"{number:07d}", f"{12 + number:07d}"]
    assert {sample.category for sample in source} == {category}
    assert source[0].source == source.name == name
    assert source.split == category


def test_all_of_them_are_a_split_too(tmp_path: Path) -> None:
    write_renders(tmp_path)

    assert len(THuman20(tmp_path, "all")) == 6
    assert len(open_source("thuman2.0", tmp_path)) == 2  # by default the faces


def test_the_check_tells_that_scans_are_missing(tmp_path: Path) -> None:
    write_renders(tmp_path)

    (report,) = check_dataset("thuman2.0", tmp_path, "upper_body")
    whole = check_dataset("thuman2.1", tmp_path)

    assert report.problems == ["expected 526 samples, found 2: some are missing"]
    assert [(each.split, each.expected) for each in whole] == [("all", 1578)]
    assert sum(DATASETS["thuman2.0"].counts[framing] for framing in FRAMINGS) == 1578


def test_another_split_is_refused(tmp_path: Path) -> None:
    write_renders(tmp_path)

    with pytest.raises(ValueError, match=r"thuman2\.0: expected a split out of face, .*'test'"):
        THuman20(tmp_path, "test")


def test_a_folder_without_such_renders_is_refused(tmp_path: Path) -> None:
    write_person(tmp_path, 0)

    with pytest.raises(ValueError, match=r"none of its 1 samples is a render .* 'full_body'"):
        THuman20(tmp_path, "full_body")
