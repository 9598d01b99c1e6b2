"""`david data download`: SynthHuman from its publisher."""

from pathlib import Path
from typing import Annotated

import typer

from .common import errors_in_one_line, watched_downloads


@errors_in_one_line("data")
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="synthhuman, or one it tells about.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the files.")
    ] = None,
    parts: Annotated[
        str | None,
        typer.Option(
            metavar="PARTS", help="Some of the 60 archives, as 0-3,7; or all of them: all."
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="The archive of a single sample.")
    ] = False,
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Fetch URL/NAME instead.", show_default="the publisher's address"
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Archives at a time.")] = 4,
    unpack: Annotated[
        bool, typer.Option("--unpack", help="Unpack the archives; they can be read as they are.")
    ] = False,
    remove_zips: Annotated[
        bool, typer.Option("--remove-zips", help="Remove archives that were unpacked.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file in them with its checksum.")
    ] = False,
) -> None:
    """Fetch SynthHuman: 5,000 people in each of 60 archives, of up to 8.75 GB, 330 GB in all.

    Faces are in parts 0 to 19, full bodies in 19 to 39, upper bodies in 39 to 59. Run it again
    after an interruption: it goes on where it stopped, and complete archives are not fetched again.
    FOLDER/downloads.json records where each came from, and its SHA-256. For any other data set it
    says where that is obtained.
    """
    from david_hf.data.download import (
        RECORDS_NAME,
        FailedPartsError,
        download_synthhuman,
        select_parts,
    )
    from david_hf.data.sources.registry import find_dataset

    info = find_dataset(name)
    if name != "synthhuman":
        raise ValueError(
            f"{info.title} is not fetched by this command; how to get it: {info.how_to_get} "
            f"(licence: {info.licence})"
        )
    if output is None:
        raise ValueError("expected --output FOLDER, got none")
    if sample == (parts is not None):
        raise ValueError("expected one of --sample, --parts 0-3,7 and --parts all")
    if remove_zips and not unpack:
        raise ValueError("--remove-zips goes with --unpack: nothing would be left")
    names = select_parts("sample" if parts is None else parts)
    typer.echo(f"{_archives(len(names))} to {output}, under {info.licence}", err=True)
    try:
        with watched_downloads(keep_finished=False) as show:
            download_synthhuman(
                names,
                output,
                mirror=mirror,
                jobs=jobs,
                unpack=unpack,
                remove_zips=remove_zips,
                verify=verify,
                on_progress=show,
            )
    except FailedPartsError as error:
        typer.echo("\n".join(f"david: {line}" for line in error.failures), err=True)
        raise typer.Exit(1) from None
    verb = "is" if len(names) == 1 else "are"
    what = "in it, unpacked" if unpack else "in it"
    typer.echo(f"{output}: {_archives(len(names))} {verb} {what}; see {output / RECORDS_NAME}")


def _archives(count: int) -> str:
    return "1 archive" if count == 1 else f"{count} archives"
