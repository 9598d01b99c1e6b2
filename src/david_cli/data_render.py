"""`david data render`: pictures and labels of scanned people."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import errors_in_one_line, print_interrupted

if TYPE_CHECKING:
    from david_hf.synthetic.production.generate import Report
    from david_hf.synthetic.production.worker import Outcome
    from david_hf.synthetic.scans.render import ScanConfig

MAX_LISTED = 5
RENDERED = ("thuman2.0", "thuman2.1")


@errors_in_one_line("data,synthetic")
def render(
    name: Annotated[str, typer.Argument(metavar="NAME", help=" or ".join(RENDERED))],
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="Folder of the scans: 0000/0000.obj, ...")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the samples.")],
    hdri: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Panoramas (.exr), besides Blender's own."),
    ] = None,
    size: Annotated[
        tuple[int, int], typer.Option(metavar="H W", help="Height and width, pixels.")
    ] = (512, 512),
    seed: Annotated[int, typer.Option(min=0, help="Of cameras and light.")] = 0,
    count: Annotated[
        int, typer.Option(min=1, help="Most scans, in the order of their numbers.")
    ] = 526,
    samples_per_pixel: Annotated[int, typer.Option(min=1, help="Rays through a pixel.")] = 32,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that render.", show_default="one per core"),
    ] = None,
    blender: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A Blender binary, or a Python that can import bpy.",
            show_default="$DAVID_BLENDER, what `david synthesize --setup` installed, or blender",
        ),
    ] = None,
) -> None:
    """Render THuman scans with depth, normals and alpha: face, upper and full body of each.

    These are not the images of the papers, whose cameras and panoramas are not published: compare
    numbers on them with each other only. An interrupted run goes on where it stopped.
    """
    from david_hf.synthetic.scans.render import ScanConfig

    if name not in RENDERED:
        raise ValueError(f"expected {' or '.join(RENDERED)}, got {name!r}")
    config = ScanConfig(
        root=root,
        output=output,
        count=count,
        hdri_dir=hdri,
        seed=seed,
        height=size[0],
        width=size[1],
        samples_per_pixel=samples_per_pixel,
        workers=workers,
        blender=blender,
    )
    _render(config)


def _render(config: "ScanConfig") -> None:
    from rich.console import Console
    from rich.progress import Progress

    from david_hf.synthetic.scans.render import render_scans

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("rendering", total=None)

        def show(report: "Report", outcome: "Outcome | None") -> None:
            done = report.made + len(report.failed)
            progress.update(bar, total=report.missing, completed=done)

        report = render_scans(config, show)
    for index, reason in sorted(report.failed.items())[:MAX_LISTED]:
        typer.echo(f"david: sample {index}: {reason}", err=True)
    there = len(config.indices()) - report.missing + report.made
    typer.echo(f"{there} of {len(config.indices())} samples are in {config.output}")
    if report.interrupted:
        print_interrupted()
    if report.failed:
        typer.echo(f"david: {len(report.failed)} samples could not be made", err=True)
        raise typer.Exit(1)
