"""`david convert`: ONNX files of DAViD to checkpoints."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import errors_in_one_line, silence_libraries, split_words

if TYPE_CHECKING:
    from david_hf.conversion import Conversion


@errors_in_one_line("onnx")
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE_OR_FOLDER", help="An .onnx file, or with --all a folder of official ones."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="OUT", help="New folder for the checkpoint, or for all."
        ),
    ],
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Convert each official file that FOLDER holds to OUT/david-..., and go on where "
            "it stopped.",
        ),
    ] = False,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="TASK,...",
            help="Outputs in the file's order: depth, normals, alpha.",
            show_default="what the file tells",
        ),
    ] = None,
    depth_grows: Annotated[
        bool | None,
        typer.Option(
            "--depth-grows-nearer/--depth-grows-farther",
            help="Sign of the file's depth.",
            show_default="nearer if depth is the only output, as in the official files",
        ),
    ] = None,
    channel_order: Annotated[
        str | None,
        typer.Option(metavar="bgr|rgb", help="Colours of the input.", show_default="bgr"),
    ] = None,
    photo: Annotated[
        Path | None,
        typer.Option(
            metavar="PHOTO", help="Compare on this photo.", show_default="one of the package"
        ),
    ] = None,
) -> None:
    """Read the network out of an ONNX file and prove that the checkpoint computes the same.

    Nothing is written if the outputs differ by 1e-4 or more (depth: of its range). The folder's
    conversion.json says what was inferred and measured.
    """
    silence_libraries()
    if everything:
        if tasks or channel_order or depth_grows is not None:
            raise typer.BadParameter("--all knows the official files: leave the other options out")
        _convert_all(source, output, photo)
        return
    # Torch loads here only.
    from david_hf.conversion import convert_onnx

    done = convert_onnx(
        source,
        output,
        tasks=split_words(tasks),
        depth_is_inverse=depth_grows,
        channel_order=channel_order,
        photo=photo,
    )
    _print(done)


def _convert_all(source: Path, output: Path, photo: Path | None) -> None:
    """Convert the official files of a folder; one that fails does not stop the others."""
    from david_hf.conversion.convert import ConversionError, convert_onnx, is_converted
    from david_hf.conversion.official import OFFICIAL_FILES, find_official

    found = find_official(source)
    if not found:
        names = ", ".join(file.name for file in OFFICIAL_FILES)
        raise ConversionError(
            f"{source}: expected official files, found none of {names}; "
            "david download-official fetches them"
        )
    failed = 0
    for file, path in found.items():
        folder = output / file.checkpoint
        if is_converted(path, folder):
            typer.echo(f"{folder} is there already")
            continue
        tasks: Sequence[str] | None = None if file.task == "multi" else [file.task]
        try:
            _print(convert_onnx(path, folder, tasks=tasks, photo=photo))
        except ConversionError as error:
            failed += 1
            typer.echo(f"david: {error}", err=True)
    missing = [file.name for file in OFFICIAL_FILES if file not in found]
    if missing:
        typer.echo(f"not in {source}: {', '.join(missing)}")
    if failed:
        typer.echo(f"david: {failed} of {len(found)} files failed", err=True)
        raise typer.Exit(1)


def _print(done: "Conversion") -> None:
    config = done.config
    typer.echo(f"wrote {done.folder}")
    typer.echo(
        f"{', '.join(config.tasks)}: ViT of {config.num_hidden_layers} blocks, width "
        f"{config.hidden_size}, decoded blocks {', '.join(map(str, config.out_indices))}"
    )
    for difference in done.differences:
        share = f" ({difference.judged:.2g} of its range)" if difference.task == "depth" else ""
        typer.echo(
            f"{difference.task}: differs by {difference.maximum:.2g}{share} on {difference.image}"
        )
    if done.in_half_precision:
        typer.echo("the file computes in half precision; compared was what it computes in single")
