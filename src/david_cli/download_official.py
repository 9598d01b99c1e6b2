"""`david download-official`: the published ONNX files, to convert them."""

from pathlib import Path
from typing import Annotated

import typer

from .common import errors_in_one_line, split_words, watched_downloads


@errors_in_one_line()
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
    from david_hf.conversion.official import RECORDS_NAME, download, select_official

    files = select_official(split_words(tasks), split_words(sizes))
    total_mib = sum(file.size_mib for file in files)
    typer.echo(f"{_files(len(files))}, {total_mib:,.0f} MiB in all, to {output}", err=True)
    with watched_downloads() as show:
        download(files, output, mirror, lambda file, *counts: show(file.name, *counts))
    verb = "is" if len(files) == 1 else "are"
    typer.echo(f"{_files(len(files))} {verb} in {output}, described in {output / RECORDS_NAME}")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
