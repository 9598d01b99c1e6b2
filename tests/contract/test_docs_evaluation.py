import re
from pathlib import Path

import pytest
import yaml

from david_hf.data.sources.registry import DATASETS
from david_hf.evaluation.ablations import ABLATIONS
from david_hf.evaluation.benchmarks.registry import benchmarks, markdown_table
from david_hf.synthetic.factors import load_distributions

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/evaluation.md"
HELD_OUT = ROOT / "training/held_out"


def test_the_page_holds_the_table_that_the_command_prints() -> None:
    assert markdown_table() in PAGE.read_text("utf-8")


def test_the_code_of_the_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for block in blocks:
        exec(block, {})

    assert len(blocks) == 1
    printed = [float(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == pytest.approx([0, 45, 0.5], abs=1e-9)


def test_benchmarks_are_of_data_sets_that_have_their_split_and_count() -> None:
    for benchmark in benchmarks().values():
        info = DATASETS[benchmark.dataset]
        assert benchmark.split in info.source.splits
        if benchmark.count is not None:
            assert benchmark.count == info.counts[benchmark.split]


def test_ablations_are_of_tables_of_the_paper() -> None:
    assert {ablation.table for ablation in ABLATIONS.values()} == {"4a", "4b", "4c", "4d", "5"}


def test_people_held_out_wear_only_what_no_training_may_see() -> None:
    names = yaml.safe_load((HELD_OUT / "names.yaml").read_text("utf-8"))
    tree = load_distributions(HELD_OUT / "factors.yaml")
    clothes, styles = tree["clothes"], tree["hair"]["style"]["of"]

    assert set(styles["male"]["choice"]) | set(styles["female"]["choice"]) == set(names["hair"])
    assert set(clothes["top"]["kind"]["choice"]) <= set(names["clothes"])
    assert set(clothes["jacket"]["kind"]["choice"]) - {"none"} <= set(names["clothes"])
    bottoms = clothes["bottom"]["kind"]["of"]["other"]["choice"]
    worn = {"pleated": "pleated_skirt"}  # of the garments, one has another name than its kind
    assert {worn.get(kind, kind) for kind in bottoms} <= set(names["clothes"])
    assert clothes["makehuman"] is False
