import json
import sys
from pathlib import Path

import pytest
import write_card as script
import yaml
from config import TrainConfig
from figures import write_person
from layouts import write_backgrounds


def test_people_are_counted_once(tmp_path: Path) -> None:
    for index in range(3):
        write_person(tmp_path / "people", index)
        factors = {"category": "face", "people": [{"hair.style": "bun" if index == 1 else "bob"}]}
        (tmp_path / f"people/factors_{index:07d}.json").write_text(json.dumps(factors))
    (tmp_path / "held_out.yaml").write_text("hair: [bun]\n")
    write_backgrounds(tmp_path / "photos", 2)
    people = str(tmp_path / "people")
    parts = (
        {"root": people, "split": "all", "composed": True},
        {"root": people, "split": "all", "options": {"categories": ["face"]}},
    )

    found = script.count_training_data(
        TrainConfig(
            parts,
            "x",
            backgrounds=str(tmp_path / "photos"),
            held_out=str(tmp_path / "held_out.yaml"),
        )
    )

    assert found["categories"] == {"face": 2}
    assert found["num_held_out_indices"] == 1
    assert found["seed_range"] == [0, 2]
    assert found["num_backgrounds"] == 2


def test_a_training_without_rendered_people_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(({"root": str(tmp_path), "name": "folder", "split": "all"},), "x")
    (tmp_path / "training_config.yaml").write_text(yaml.safe_dump(config.plain()))
    (tmp_path / "template.md").write_text("# $name")
    monkeypatch.setattr(sys, "argv", ["write_card.py", str(tmp_path), f"{tmp_path}/template.md"])

    with pytest.raises(SystemExit, match="error: expected a training on people of `david synth"):
        script.main()

    assert not (tmp_path / "training_data.json").exists()
