import json
from pathlib import Path

import pytest

from david_hf.hub.model_card import COLUMNS, metrics_table, render_model_card, write_model_card

ROW = dict.fromkeys(COLUMNS, 0.25)
METRICS = {
    "num_images": 3,
    "torch": "2.13.0",
    "protocol": "mean over images",
    "overall": ROW,
    "by_category": {"full_body": {"num_images": 3, **ROW}},
}


def test_the_table_has_a_row_for_all_and_one_per_category() -> None:
    lines = metrics_table(METRICS).splitlines()

    assert len(lines) == 4
    assert lines[2].startswith("| all | 3 | 0.250 |")
    assert lines[3].startswith("| full body | 3 |")
    assert "| 25% |" in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_a_card_is_filled_from_the_metrics(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    template = tmp_path / "template.md"
    template.write_text("# $name on $num_images images\n$metrics_table\n")

    card = write_model_card(tmp_path, template, {"name": "nano"})

    assert card == tmp_path / "README.md"
    assert card.read_text().startswith("# nano on 3 images\n| images |")


def test_an_unknown_name_in_the_template_is_refused() -> None:
    with pytest.raises(ValueError, match=r"asks for \$seed, known are \['name'\]"):
        render_model_card("$name $seed", {"name": "nano"})


def test_a_checkpoint_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"training/evaluate\.py writes it"):
        write_model_card(tmp_path, tmp_path / "x.md", {})
