from pathlib import Path
from typing import Any

import numpy as np
import pytest

from david_hf.data.held_out import HeldOut
from david_hf.synthetic.factors import Draws, load_distributions

ROOT = Path(__file__).parents[3]

TREE = {
    "person": {
        "sex": {"choice": {"male": 1, "female": 3}},
        "age": {"uniform": [20, 30]},
        "size": {"by": "sex", "of": {"male": {"normal": [10, 50, 9, 11]}, "other": 1}},
        "mix": {"shares": {"a": 1, "b": 1, "c": 1}},
        "number": {"integer": [2, 4]},
        "either": {"mixture": [[0, {"uniform": [5, 6]}], [1, {"beta": [1, 1, -2, -1]}]]},
        "far": {"loguniform": [1, 100]},
        "hair": {"dyed": {"chance": 0.0}},
    }
}


def draws(seed: int = 0) -> Draws:
    return Draws(np.random.default_rng(seed), TREE, "person")


def test_choices_follow_their_weights() -> None:
    women = np.mean([draws(seed)("sex") == "female" for seed in range(400)])

    assert women == pytest.approx(0.75, abs=0.08)


def test_every_kind_keeps_its_range() -> None:
    for seed in range(60):
        person = draws(seed)
        assert 20 <= person("age") <= 30
        assert person("number") in (2, 3, 4)
        assert -2 <= person("either") <= -1
        assert 1 <= person("far") <= 100
        assert person("hair.dyed") is False
        assert sum(person("mix").values()) == pytest.approx(1)
        size = person("size")
        assert 9 <= size <= 11 if person("sex") == "male" else size == 1


def test_cases_may_be_numbers_and_truths_as_yaml_reads_them() -> None:
    tree = {"person": {"a": {"by": "number", "of": {2: {"by": "flag", "of": {True: 7}}}}}}
    person = Draws(np.random.default_rng(0), tree, "person")
    person.put("number", 2)
    person.put("flag", True)

    assert person("a") == 7


def test_what_was_drawn_is_kept_with_what_it_depends_on() -> None:
    person = draws()

    size = person("size")

    assert person("size") == size
    assert set(person.drawn) == {"size", "sex"}


def test_a_decision_made_elsewhere_decides_what_depends_on_it() -> None:
    person = draws()
    person.put("sex", "female")

    assert person("size") == 1


def test_a_factor_that_does_not_exist_is_an_error() -> None:
    assert draws().has("hair.dyed") and not draws().has("hair.length")
    with pytest.raises(KeyError):
        draws()("hair.length")


def test_a_users_file_replaces_single_distributions(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("person:\n  sex: {choice: {female: 1}}\n")

    tree = load_distributions(tmp_path / "mine.yaml")

    assert tree["person"]["sex"] == {"choice": {"female": 1}}
    assert tree["person"]["age"] == load_distributions()["person"]["age"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("person: {colour: 1}", "no factor is called person.colour"),
        ("people: {sex: 1}", "no factor is called people"),
        ("person: {sex: {choice: {}}}", "person.sex: choice takes names with weights"),
        ("person: {height: {uniform: [1]}}", "person.height: uniform takes 2 numbers"),
        ("person: {height: {uniform: [2, 1]}}", "low is above high"),
        ("person: {makeup: {chance: 3}}", "a chance lies in 0..1"),
        ("person: {height: {gauss: [2, 1]}}", "person.height: expected a distribution"),
        ("person: {sex: {choice: {male: a}}}", "person.sex: choice takes names with weights"),
        ("person: {height: {mixture: 3}}", "person.height: mixture takes names with weights"),
        ("person: {height: {mixture: [[1, 2, 3]]}}", "person.height: mixture takes .* pairs"),
        ("person: {height: {by: sex}}", "person.height: by takes cases"),
        ("person: {height: {loguniform: [0, 1]}}", "person.height: loguniform cannot be drawn"),
        ("person: {height: {normal: [0, -1, 0, 1]}}", "person.height: normal cannot be drawn"),
        ("person: {height: {uniform: [0, .inf]}}", "person.height: uniform takes finite numbers"),
        ("person: 3", "expected names with distributions"),
        ("person: {height: null}", "person.height: expected a distribution, got None"),
        (
            "person: {height: {by: sex, of: {male: null, other: 1.7}}}",
            "person.height of male: expected a distribution, got None",
        ),
        (
            "person: {height: {mixture: [[1, [1, 2]]]}}",
            r"person.height: expected a distribution, got \[1, 2\]",
        ),
        ("person: {height: [0.1, 0.2]}", r"person.height: expected a distribution, got \[0.1"),
        ("person: [", "expected YAML"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)

    with pytest.raises(ValueError, match=message) as caught:
        load_distributions(tmp_path / "mine.yaml")

    assert "\n" not in str(caught.value)


def without(node: Any, names: set[str]) -> Any:
    """A distribution whose choices lack some names."""
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("choice"), dict):
        return {"choice": {key: value for key, value in node["choice"].items() if key not in names}}
    return {key: without(value, names) for key, value in node.items()}


def test_people_to_train_on_differ_from_others_by_what_is_held_out_alone() -> None:
    held_out = HeldOut.read(ROOT / "training/held_out/names.yaml")
    clothes = {name.removesuffix("_skirt") for name in held_out.clothes}
    expected = load_distributions()
    expected["hair"]["style"] = without(expected["hair"]["style"], set(held_out.hair))
    for part, factor in (
        ("top", "kind"),
        ("jacket", "kind"),
        ("bottom", "kind"),
        ("bottom", "skirt"),
    ):
        node = expected["clothes"][part]
        node[factor] = without(node[factor], clothes)

    assert load_distributions(ROOT / "training/held_out/others.yaml") == expected
    assert expected != load_distributions()


def test_a_case_that_is_missing_is_named() -> None:
    tree = {"person": {"sex": "femal", "height": {"by": "sex", "of": {"male": 1, "female": 2}}}}
    draws = Draws(np.random.default_rng(0), tree, "person")

    with pytest.raises(KeyError, match=r"sex is femal, of which no case is among \['male', 'fem"):
        draws("height")


def test_a_group_that_was_drawn_in_vain_is_forgotten() -> None:
    tree = {"stage": {"lamp": True, "lamps": {"kind": "spot", "count": 2}}}
    draws = Draws(np.random.default_rng(0), tree, "stage")
    for name in ("lamp", "lamps.kind", "lamps.count"):
        draws(name)

    draws.drop("lamps")

    assert draws.drawn == {"lamp": True}


@pytest.mark.parametrize(
    "text",
    [
        "scene: {backdrop: {choice: {rooms: 1}}}",
        "scene: {backdrop: {mixture: [[1, rooms]]}}",
        "scene: {backdrop: {by: dark, of: {true: photo, other: {choice: {rooms: 1}}}}}",
    ],
)
def test_outcomes_that_nothing_knows_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "factors.yaml"
    path.write_text(text)

    with pytest.raises(
        ValueError, match=r"scene\.backdrop: expected panorama, photo, room, got ro"
    ):
        load_distributions(path)
