import re
from pathlib import Path
from typing import Any

import pytest
from layouts import write_p3m
from typer.testing import CliRunner

from david_cli.main import app
from david_hf.data.features import sample_features
from david_hf.data.sources.registry import markdown_table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/data.md"


def test_the_page_holds_the_table_that_the_command_prints() -> None:
    assert markdown_table() in PAGE.read_text("utf-8")


def test_the_page_names_every_column() -> None:
    page = PAGE.read_text("utf-8")

    assert all(f"`{name}`" in page for name in sample_features())


# As many workers as the page says, on machines with fewer cores, too.
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    people = ROOT / "training/sample_data"
    (tmp_path / "data").mkdir()
    (tmp_path / "training").symlink_to(ROOT / "training")
    (tmp_path / "data/SynthHuman").symlink_to(people)
    write_p3m(tmp_path / "data/P3M-10k", "train")
    shard = ["data", "shard", "generated", str(people), "data/shards", "--split", "train"]
    sizes = ["--samples-per-shard", "6", "--samples-per-group", "2"]
    assert CliRunner().invoke(app, [*shard, *sizes]).exit_code == 0
    names: dict[str, Any] = {}

    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for block in blocks:
        exec(block, names)

    assert len(blocks) == 3
    assert names["sample"]["depth"].shape == (256, 192)
    assert next(iter(names["loader"]))["pixel_values"].shape == (8, 3, 512, 512)
    assert {bool(names["dataset"][i]["mask"]["depth"].any()) for i in range(20)} == {True, False}
