"""`david synthesize`: render people with perfect labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from david_hf.synthetic.generate import GenerateConfig


def synthesize(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the samples.")],
    hdri: Annotated[
        Path,
        typer.Option(
            exists=True, file_okay=False, help="Folder of panoramas (.exr, .hdr): the light."
        ),
    ],
    count: Annotated[int, typer.Option(min=1, help="Number of samples.")] = 100,
    start: Annotated[int, typer.Option(min=0, help="Index of the first sample.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Added to the index.")] = 0,
    size: Annotated[tuple[int, int], typer.Option(help="Height and width, pixels.")] = (512, 384),
    samples_per_pixel: Annotated[int, typer.Option(min=1, help="Cycles samples.")] = 16,
    strands: Annotated[int, typer.Option(min=100, help="Hair strands of a full head.")] = 30_000,
    texture_size: Annotated[int, typer.Option(min=16, help="Side of textures, pixels.")] = 1024,
    workers: Annotated[int, typer.Option(min=1, help="Render processes of one thread each.")] = 2,
    blender: Annotated[
        str, typer.Option(help="A Blender binary, or a Python that can import bpy.")
    ] = "blender",
    makehuman: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="MakeHuman data folder: clothes, skins, eyes, brows."
        ),
    ] = None,
    backgrounds: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Photos without people.")
    ] = None,
    anny_cache: Annotated[
        Path | None, typer.Option(file_okay=False, help="Where anny keeps its blend shapes.")
    ] = None,
) -> None:
    """Render clothed, haired people with depth, normals and alpha into OUT, as SynthHuman files.

    An interrupted run goes on where it stopped: sample I depends on SEED + I alone.
    """
    # Imports of scipy, anny and torch happen here only.
    try:
        from david_hf.synthetic.generate import GenerateConfig, RenderError
    except ImportError as error:
        _fail(f"{error.name} is not installed: pip install 'david-hf[synthetic]'")
    config = GenerateConfig(
        output=output,
        count=count,
        blender=blender,
        hdri_dir=hdri,
        start=start,
        seed=seed,
        height=size[0],
        width=size[1],
        samples_per_pixel=samples_per_pixel,
        num_strands=strands,
        texture_size=texture_size,
        workers=workers,
        makehuman_dir=makehuman,
        backgrounds_dir=backgrounds,
        anny_cache_dir=anny_cache,
    )
    try:
        failed = _generate_with_progress(config)
    except (ImportError, OSError, ValueError, RenderError) as error:
        _fail(str(error))
    for index, reason in sorted(failed.items()):
        typer.echo(f"david: sample {index}: {reason}", err=True)
    typer.echo(f"{count - len(failed)} samples are in {output}")
    if failed:
        raise typer.Exit(1)


def _generate_with_progress(config: "GenerateConfig") -> dict[int, str]:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from david_hf.synthetic.generate import generate

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        missing = len(config.missing())
        bar = progress.add_task("rendering", total=missing)
        return generate(config, on_sample=lambda _: progress.advance(bar))


def _fail(message: str) -> NoReturn:
    typer.echo(f"david: {message}", err=True)
    raise typer.Exit(1)
