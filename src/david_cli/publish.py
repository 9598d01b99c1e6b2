"""`david publish`: a checkpoint to the Hub."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import errors_in_one_line

if TYPE_CHECKING:
    from david_hf.hub.publish import PublishReport


@errors_in_one_line()
def publish(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Folder with the checkpoint.")
    ],
    repo_id: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hub.")],
    remote_code: Annotated[
        bool,
        typer.Option("--remote-code", help="Send the code too, for machines without david_hf."),
    ] = False,
    onnx: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="An .onnx file or a folder of some, sent as onnx/."),
    ] = None,
    public: Annotated[
        bool,
        typer.Option(
            "--public", help="Make a repository that all can see.", show_default="private"
        ),
    ] = False,
    message: Annotated[
        str | None, typer.Option(help="First line of the commit.", show_default="Publish NAME")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Write the files to this new folder; send nothing.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be sent, and send nothing.")
    ] = False,
) -> None:
    """Publish CHECKPOINT as OWNER/NAME: model card, weights and image processor, in one commit.

    What is there already is not sent again. The token comes from
    `hf auth login` or from HF_TOKEN.
    """
    # Torch loads here only.
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from david_hf import hub

    # Bars only where someone watches: logs and pipes stay clean.
    if not sys.stderr.isatty():
        disable_progress_bars()
    if output is not None:
        if public or message or dry_run:
            raise typer.BadParameter("--output sends nothing: leave the options of sending out")
        hub.write_release(checkpoint, repo_id, output, remote_code=remote_code, onnx=onnx)
        typer.echo(f"wrote {output}")
        return
    report = hub.publish(
        checkpoint,
        repo_id,
        remote_code=remote_code,
        onnx=onnx,
        public=public,
        commit_message=message,
        dry_run=dry_run,
        on_plan=_print_plan,
    )
    _print_notes(report.warnings)
    typer.echo(_summary(report, dry_run))


def _print_plan(plan: "PublishReport") -> None:
    width = max(len(file.path) for file in plan.files)
    for file in plan.files:
        typer.echo(f"{file.state:8}{file.path:{width}}{_size(file.size):>12}")
    _print_notes(plan.notes)


def _print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        typer.echo(f"david: {note}", err=True)


def _summary(report: "PublishReport", dry_run: bool) -> str:
    removed = sum(file.state == "removed" for file in report.changes)
    counts = {
        "would send" if dry_run else "sent": len(report.changes) - removed,
        "would remove" if dry_run else "removed": removed,
    }
    done = [f"{verb} {_files(count)}" for verb, count in counts.items() if count]
    visibility = "private" if report.private else "public"
    return f"{', '.join(done) or 'up to date'}: {report.url} ({visibility})"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _size(num_bytes: int) -> str:
    """Write a size as the Hub's pages do, in powers of 1000."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
