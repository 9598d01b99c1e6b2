"""Groups of people by what a generator or a user's table says of a picture, to slice results by."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

# Cuts of continuous factors: those below the first value are in the first group, and so on.
# Age is anny's: 0.38 a child of ten, 0.67 a young adult, 0.98 an old person. Tone is melanin.
_CUTS: dict[str, tuple[str, tuple[tuple[float, str], ...], str]] = {
    "age": ("person.age", ((0.55, "child"), (0.72, "young"), (0.86, "middle-aged")), "old"),
    "skin_tone": ("person.skin.tone", ((0.29, "light"), (0.47, "medium")), "dark"),
}
_NAMED = {"sex": "person.sex", "ancestry": "person.main_ancestry", "hair": "hair.style"}
MIXED = "mixed"


def groups_of(factors: str | None) -> dict[str, str]:
    """Groups that a generated picture falls into, by factor.

    Args:
        factors: JSON that the generator wrote beside the picture, or None.

    Returns:
        sex, age, skin_tone, ancestry and hair of its people, "mixed" where they differ; number of
        people; light; and what is behind. Empty without factors.
    """
    if not factors:
        return {}
    try:
        return _groups_of(json.loads(factors))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"expected factors as `david synthesize` writes them ({error})") from error


def _groups_of(found: dict[str, Any]) -> dict[str, str]:
    people = found.get("people", [])
    if not people:
        return {}
    groups = {
        name: _common([_cut(person[key], cuts, last) for person in people if key in person])
        for name, (key, cuts, last) in _CUTS.items()
    }
    groups |= {
        name: _common([str(person[key]) for person in people if key in person])
        for name, key in _NAMED.items()
    }
    groups["people"] = str(len(people)) if len(people) < 3 else "3 or more"
    groups["light"] = "night" if found.get("night") else "day"
    groups["backdrop"] = str(found.get("backdrop", ""))
    return {name: group for name, group in groups.items() if group}


def _cut(value: float, cuts: tuple[tuple[float, str], ...], last: str) -> str:
    return next((name for below, name in cuts if value < below), last)


def _common(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else MIXED if values else ""


def read_groups(path: Path) -> dict[str, dict[str, str]]:
    """Groups of each image, out of a user's CSV table.

    Args:
        path: Table with a column `id` and one for each factor.

    Returns:
        Groups by factor, by id of the image; empty cells are left out.

    Raises:
        ValueError: If it is no such table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable CSV table ({error})") from error
    if not rows or "id" not in rows[0] or len(rows[0]) < 2 or any(None in row for row in rows):
        raise ValueError(
            f"{path}: expected a CSV table with a column id and one for each factor, got the "
            f"columns {', '.join(map(str, rows[0])) if rows else 'of an empty file'}"
        )
    twice = [name for name, count in Counter(row["id"] for row in rows).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: expected each id once, got {twice[0]!r} several times")
    return {
        row["id"]: {name: value for name, value in row.items() if name != "id" and value}
        for row in rows
    }
