from pathlib import Path

from david_hf.data.features import sample_features
from david_hf.data.sources.registry import markdown_table

PAGE = Path(__file__).parents[2] / "docs/data.md"


def test_the_page_holds_the_table_that_the_command_prints() -> None:
    assert markdown_table() in PAGE.read_text("utf-8")


def test_the_page_names_every_column() -> None:
    page = PAGE.read_text("utf-8")

    assert all(f"`{name}`" in page for name in sample_features())
