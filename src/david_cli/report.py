"""`david report`: what `david evaluate` measured, as a page, as tables, as figures of a card."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import errors_in_one_line

if TYPE_CHECKING:
    from david_hf.evaluation.results import EvaluationResult

PAGE = Path("report.html")


class TableFormat(Enum):
    """Formats of tables."""

    MARKDOWN = "markdown"
    LATEX = "latex"
    HTML = "html"


@errors_in_one_line("evaluation")
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders that `david evaluate` wrote, or folders of such folders.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write.",
            show_default=f"{PAGE}; tables are printed",
        ),
    ] = None,
    table_format: Annotated[
        TableFormat | None,
        typer.Option("--format", help="The tables alone.", show_default="the whole page"),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Write the figures of its model card, CHECKPOINT/metrics.json, from one run; no "
            "page then, unless -o or --format asks for it.",
        ),
    ] = None,
    min_group: Annotated[
        int, typer.Option(min=1, help="Images from which on a group gets means.")
    ] = 10,
) -> None:
    """Write a page about runs: all metrics, the paper's tables, groups of people, pictures.

    The page is one file that needs no other, and may be sent around. Runs of several models on
    several benchmarks come side by side.
    """
    found = _read_runs(runs)
    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        raise ValueError(f"{output}: expected the name of a file in a folder that is there")
    if card is not None:
        _write_card(found, card, min_group)
    if table_format is not None:
        _write_tables(found, table_format, output, min_group)
    elif output is not None or card is None:
        _write_page(found, output or PAGE, min_group)


def _read_runs(sources: list[Path]) -> "dict[Path, EvaluationResult]":
    """Results by their folders."""
    from david_hf.evaluation.results import FILE_NAME, read_result

    folders: list[Path] = []
    for source in sources:
        source = source.parent if source.name == FILE_NAME else source
        below = sorted(path.parent for path in source.rglob(FILE_NAME))
        # Without any, reading says what is missing.
        folders += [source] if (source / FILE_NAME).is_file() or not below else below
    return {folder.resolve(): read_result(folder) for folder in folders}


def _write_page(runs: "dict[Path, EvaluationResult]", output: Path, min_group: int) -> None:
    from david_hf.evaluation.report.page import page

    _write(output, page(runs, min_group))


def _write_tables(
    runs: "dict[Path, EvaluationResult]",
    table_format: TableFormat,
    output: Path | None,
    min_group: int,
) -> None:
    from david_hf.evaluation.report.contents import all_tables
    from david_hf.evaluation.report.tables import write_tables

    text = write_tables(all_tables(list(runs.values()), min_group), table_format.value)
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text)


def _write_card(runs: "dict[Path, EvaluationResult]", checkpoint: Path, min_group: int) -> None:
    from david_hf.evaluation.report.card_metrics import card_metrics, card_text, check_weights

    if len(runs) != 1:
        raise ValueError(f"expected one run with --card, got {len(runs)}; name the one to show")
    (result,) = runs.values()
    check_weights(result, checkpoint)
    _write(checkpoint / "metrics.json", card_text(card_metrics(result, min_group)))


def _write(path: Path, text: str) -> None:
    from david_hf.atomic import write_text

    write_text(path, text)
    typer.echo(f"wrote {path}")
