"""`david predict`: photos in, map files out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import errors_in_one_line, silence_libraries, split_words

if TYPE_CHECKING:
    from david_hf.inference import ImageResult, PredictionReport


@errors_in_one_line()
def predict(
    source: Annotated[
        Path, typer.Argument(metavar="PHOTO_OR_FOLDER", help="A photo, or a folder of photos.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the maps.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID_OR_PATH",
            help="Hub id, checkpoint folder or .onnx file.",
            show_default="the checkpoint that comes with the package",
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="TASK,...",
            help="Some of depth, normals, alpha.",
            show_default="all that the model predicts",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, mps, ...", show_default="an accelerator if there is one"),
    ] = None,
) -> None:
    """Predict depth, normals and foreground of each photo and write them to OUT.

    A photo that fails is reported and the others go on; the exit code is then 1.
    """
    report = _predict_with_progress(source, output, model, split_words(tasks), device)
    if report.written:
        done = len(report.results) - len(report.failed)
        typer.echo(f"wrote {len(report.written)} files for {_photos(done)} to {report.output}")
    if report.failed:
        typer.echo(f"david: {_photos(len(report.failed))} failed", err=True)
        raise typer.Exit(1)


def _predict_with_progress(
    source: Path, output: Path, model: str | None, tasks: list[str] | None, device: str | None
) -> "PredictionReport":
    from rich.console import Console
    from rich.progress import Progress

    # Torch loads here only.
    from david_hf.inference import find_images, predict_folder

    silence_libraries()
    total = len(find_images(source))
    # A bar only for folders and only where someone watches: logs and pipes stay clean.
    console = Console(stderr=True)
    hidden = total == 1 or not console.is_terminal
    with Progress(console=console, transient=True, disable=hidden) as progress:
        bar = progress.add_task("predicting", total=total)

        def show(result: "ImageResult") -> None:
            if result.error is not None:
                progress.console.print(f"david: {result.error}", markup=False, soft_wrap=True)
            progress.advance(bar)

        return predict_folder(source, output, model, tasks, device=device, on_result=show)


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"
