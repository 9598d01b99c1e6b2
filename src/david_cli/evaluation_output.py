"""What `david evaluate` and `david ablate` show: progress, and tables of results."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from david_hf.evaluation.report.tables import Table
    from david_hf.evaluation.results import EvaluationResult

MAIN = ("1", "2", "3", "6", "7")  # tables of the paper that are no ablations
_TONES = {"better": "green", "worse": "red", "": ""}


@contextmanager
def run_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show bars where someone watches.

    Yields:
        A function to call with what is done, images that are done, and their number.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def show(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what)
            progress.update(bars[what], completed=done, total=total)

        yield show


def print_results(results: "Sequence[EvaluationResult]", tables: Sequence[str] = MAIN) -> None:
    """Print all metrics, and our rows in some of the paper's tables with their differences."""
    from rich.console import Console

    from david_hf.evaluation.report.contents import paper_tables, summary_tables

    console = Console(highlight=False)
    for table in (*summary_tables(results), *paper_tables(results, tables)):
        _print_table(console, table)


def _print_table(console: "Console", table: "Table") -> None:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    groups = [text for text, width in table.spans for _ in range(width)] or [""] * len(table.header)
    # A title over each first column of a group: rich has no cells that span several.
    starts = ["" if i and groups[i] == groups[i - 1] else groups[i] for i in range(len(groups))]
    shown = RichTable(title=Text(table.title), box=box.SIMPLE_HEAD, title_justify="left")
    for number, (group, header) in enumerate(zip(starts, table.header, strict=True)):
        text = Text(f"{group}\n{header}" if table.spans else header)
        shown.add_column(text, justify="right" if number else "left")
    for cells, is_ours in table.rows:
        style = "bold" if is_ours else ""
        shown.add_row(*(Text(text, _TONES[tone]) for text, tone in cells), style=style)
    console.print(shown)
    for note in table.notes:
        console.print(Text(note))
