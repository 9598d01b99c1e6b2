import json
from pathlib import Path
from typing import Any

import pytest

from david_hf.evaluation.groups import groups_of, read_groups


def person(**changes: Any) -> dict[str, Any]:
    return {
        "person.sex": "female",
        "person.age": 0.6,
        "person.skin.tone": 0.2,
        "person.main_ancestry": "asian",
        "hair.style": "lob",
    } | changes


def groups(*people: dict[str, Any], **scene: Any) -> dict[str, str]:
    return groups_of(json.dumps({"people": people, "backdrop": "room", **scene}))


def test_one_person_decides_the_groups() -> None:
    assert groups(person(), night=True) == {
        "sex": "female", "age": "young", "skin_tone": "light", "ancestry": "asian", "hair": "lob",
        "people": "1", "light": "night", "backdrop": "room",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("factor", "value", "name", "group"),
    [
        ("person.age", 0.38, "age", "child"),
        ("person.age", 0.55, "age", "young"),
        ("person.age", 0.8, "age", "middle-aged"),
        ("person.age", 0.98, "age", "old"),
        ("person.skin.tone", 0.29, "skin_tone", "medium"),
        ("person.skin.tone", 0.47, "skin_tone", "dark"),
    ],
)
def test_continuous_factors_are_cut(factor: str, value: float, name: str, group: str) -> None:
    assert groups(person(**{factor: value}))[name] == group


def test_people_who_differ_are_mixed_in_what_they_differ_in() -> None:
    found = groups(person(), person(**{"person.sex": "male"}), person())

    assert found["sex"] == "mixed"
    assert found["hair"] == "lob"
    assert found["people"] == "3 or more"


def test_pictures_without_factors_have_no_groups() -> None:
    assert groups_of(None) == {}
    assert groups_of("{}") == {}


def test_a_table_gives_groups_by_id_and_empty_cells_none(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("id,sex,studio\na,female,north\nb,,south\n")

    assert read_groups(table) == {
        "a": {"sex": "female", "studio": "north"},
        "b": {"studio": "south"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("name,sex\na,female\n", "got the columns name, sex"),
        ("id\na\n", "one for each factor, got the columns id"),
        ("id,sex\na,female,x\n", "expected a CSV table"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "groups.csv"
    table.write_text(text)

    with pytest.raises(ValueError, match=message):
        read_groups(table)
