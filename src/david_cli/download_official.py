"""`david download-official`: the published ONNX files, to convert them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import split_words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from david_hf.conversion.official import OfficialFile


def download_official(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the files.")
    ],
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="TASK,...",
            help="Some of depth, normals, alpha, multi (all three in one pass).",
            show_default="all",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(metavar="SIZE,...", help="Some of base, large.", show_default="all"),
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Fetch URL/NAME instead.", show_default="the publisher's address"
        ),
    ] = None,
) -> None:
    """Fetch the ONNX files that Microsoft published: 428 MiB per base, 1.3 GiB per large one.

    Run it again after an interruption: it goes on where it stopped, and complete files are not
    fetched again. FOLDER/official.json records where each came from, and its SHA-256.
    """
    # Torch loads here only.
    from david_hf.conversion.official import RECORDS_NAME, DownloadError, download, select_official

    try:
        files = select_official(split_words(tasks), split_words(sizes))
        total_mib = sum(file.size_mib for file in files)
        typer.echo(f"{_files(len(files))}, {total_mib:,.0f} MiB in all, to {output}", err=True)
        with _watched() as show:
            download(files, output, mirror, show)
    except DownloadError as error:
        typer.echo(f"david: {error}", err=True)
        raise typer.Exit(1) from None
    verb = "is" if len(files) == 1 else "are"
    typer.echo(f"{_files(len(files))} {verb} in {output}, described in {output / RECORDS_NAME}")


@contextmanager
def _watched() -> Iterator["Callable[[OfficialFile, int, int], None]"]:
    """Show progress where someone watches, and what the library warns of always."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    handler = _ConsoleHandler(console)
    logger = logging.getLogger("david_hf.conversion")
    logger.addHandler(handler)
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            yield _advance(progress)
    finally:
        logger.removeHandler(handler)


def _advance(progress: "Progress") -> "Callable[[OfficialFile, int, int], None]":
    """Make the function that moves the bar of each file, new ones included."""
    bars = {}

    def show(file: "OfficialFile", done: int, total: int) -> None:
        if file not in bars:
            bars[file] = progress.add_task(file.name, total=total, completed=done)
        progress.update(bars[file], completed=done, total=total)

    return show


class _ConsoleHandler(logging.Handler):
    """Prints warnings above the bars."""

    def __init__(self, console: "Console") -> None:
        super().__init__(level=logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        line = f"david: {record.getMessage()}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
