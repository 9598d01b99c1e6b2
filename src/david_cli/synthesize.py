"""`david synthesize`: render people with perfect labels."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import errors_in_one_line, print_interrupted

if TYPE_CHECKING:
    from david_hf.synthetic.production.config import GenerateConfig
    from david_hf.synthetic.production.generate import Report
    from david_hf.synthetic.production.worker import Outcome

WHAT, LOOK, ASSETS, MACHINES, INSTEAD = (
    "What to make",
    "Pictures",
    "Assets",
    "Machines",
    "Instead of making samples",
)
LOG_PERIOD_S = 30.0
MAX_LISTED = 20  # failures that are named one by one


@errors_in_one_line("synthetic")
def synthesize(
    output: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUT",
            help="Folder of the samples; on a Ray cluster, one that all nodes see.",
            show_default=False,
        ),
    ] = None,
    output_option: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="The same.", hidden=True)
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, help="Number of samples.", rich_help_panel=WHAT)
    ] = 100,
    start: Annotated[
        int, typer.Option(min=0, help="Index of the first sample.", rich_help_panel=WHAT)
    ] = 0,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**63 - 1,
            help="Sample I depends on the seed and on I alone.",
            rich_help_panel=WHAT,
        ),
    ] = 0,
    factors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML file with distributions that replace the package's.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    size: Annotated[
        tuple[int, int],
        typer.Option(metavar="H W", help="Height and width, pixels.", rich_help_panel=LOOK),
    ] = (512, 384),
    samples_per_pixel: Annotated[
        int, typer.Option(min=1, help="Cycles samples.", rich_help_panel=LOOK)
    ] = 16,
    strands: Annotated[
        int, typer.Option(min=100, help="Hair strands of a full head.", rich_help_panel=LOOK)
    ] = 30_000,
    texture_size: Annotated[
        int, typer.Option(min=16, help="Side of textures, pixels.", rich_help_panel=LOOK)
    ] = 1024,
    foreground: Annotated[
        bool,
        typer.Option(
            help="Also write the people without background, to be composed anew in training.",
            rich_help_panel=LOOK,
        ),
    ] = True,
    lens_labels: Annotated[
        str,
        typer.Option(
            metavar="ignore|keep",
            help="Whether depth and normals ignore the lenses of spectacles and show what is "
            "behind them.",
            rich_help_panel=LOOK,
        ),
    ] = "ignore",
    hdri: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Panoramas (.exr) for the light, besides Blender's own.",
            rich_help_panel=ASSETS,
        ),
    ] = None,
    hdri_only: Annotated[
        bool,
        typer.Option(
            "--hdri-only",
            help="Draw from the panoramas of --hdri alone.",
            rich_help_panel=ASSETS,
        ),
    ] = False,
    makehuman: Annotated[
        Path | None,
        typer.Option(
            "--makehuman-data",
            metavar="DIR",
            help="MakeHuman data folder: suits, shoes, skins.",
            rich_help_panel=ASSETS,
        ),
    ] = None,
    makehuman_alias: Annotated[Path | None, typer.Option("--makehuman", hidden=True)] = None,
    backgrounds: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Photos without people.", rich_help_panel=ASSETS),
    ] = None,
    anny_cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where anny keeps its blend shapes.", rich_help_panel=ASSETS
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that sample and render; each takes about 2.5 GB of memory.",
            show_default="one per core",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    blender: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A Blender binary, or a Python that can import bpy.",
            show_default="$DAVID_BLENDER, what --setup installed, or blender",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    render_limit: Annotated[
        float,
        typer.Option(min=1, help="Seconds that one render may take.", rich_help_panel=MACHINES),
    ] = 600.0,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|auto",
            help="Ray cluster that does the work; OUT and the asset folders must lie where all "
            "of its nodes see them.",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    setup: Annotated[
        bool,
        typer.Option(
            "--setup",
            help="Install Blender (bpy, GPL-3, 400 MB) into an environment of its own.",
            rich_help_panel=INSTEAD,
        ),
    ] = False,
    print_factors: Annotated[
        bool,
        typer.Option(
            "--print-factors",
            help="Print all distributions as YAML, with those of --factors.",
            rich_help_panel=INSTEAD,
        ),
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURE",
            help="Write a picture of the samples that lie in OUT.",
            rich_help_panel=INSTEAD,
        ),
    ] = None,
) -> None:
    """Render clothed, haired people with depth, normals and alpha into OUT, as SynthHuman files.

    An interrupted run goes on where it stopped. OUT gets an index.parquet of all that was sampled
    and a contact_sheet.jpg.
    """
    if setup:
        _set_up()
        return
    if print_factors:
        _print_factors(factors)
        return
    folder = output or output_option
    if folder is None:
        raise typer.BadParameter("name the folder of the samples: david synthesize OUT")
    if sheet is not None:
        _write_sheet(folder, sheet)
        return
    if lens_labels not in ("ignore", "keep"):
        raise typer.BadParameter("--lens-labels takes ignore or keep")
    from david_hf.synthetic.production.config import GenerateConfig

    config = GenerateConfig(
        output=folder,
        count=count,
        start=start,
        seed=seed,
        height=size[0],
        width=size[1],
        samples_per_pixel=samples_per_pixel,
        num_strands=strands,
        texture_size=texture_size,
        workers=workers,
        render_limit_s=render_limit,
        blender=blender,
        hdri_dir=hdri,
        blender_hdri=not hdri_only,
        makehuman_dir=makehuman or makehuman_alias,
        backgrounds_dir=backgrounds,
        anny_cache_dir=anny_cache,
        factors=factors,
        foreground=foreground,
        lens_labels=lens_labels == "keep",
        ray_address=ray,
    )
    _generate(config)


def _set_up() -> None:
    from david_hf.synthetic.rendering.blender import set_up_blender

    typer.echo("installing Blender; this downloads 400 MB", err=True)
    typer.echo(f"Blender is at {set_up_blender()}")


def _print_factors(path: Path | None) -> None:
    import yaml

    from david_hf.synthetic.factors import load_distributions

    if path is not None and not path.is_file():
        raise ValueError(f"{path}: no such file")
    tree = load_distributions(path)
    typer.echo(yaml.safe_dump(tree, sort_keys=False, default_flow_style=None), nl=False)


def _write_sheet(folder: Path, path: Path) -> None:
    from david_hf.data.contact_sheet import write_contact_sheet
    from david_hf.data.sources.synthhuman import SynthHuman

    typer.echo(f"wrote {write_contact_sheet(SynthHuman(folder), path)}")


def _generate(config: "GenerateConfig") -> None:
    from david_hf.synthetic.production.generate import generate

    with _progress() as show:
        report = generate(config, show)
    for index, reason in sorted(report.failed.items())[:MAX_LISTED]:
        typer.echo(f"david: sample {index}: {reason}", err=True)
    if len(report.failed) > MAX_LISTED:
        typer.echo(f"david: and {len(report.failed) - MAX_LISTED} more failed", err=True)
    typer.echo(_summary(report, config))
    if report.interrupted:
        print_interrupted()
    if report.failed:
        raise typer.Exit(1)


def _summary(report: "Report", config: "GenerateConfig") -> str:
    there = config.count - report.missing + report.made
    text = f"{there} of {config.count} samples are in {config.output}"
    if report.made:
        text += f"; made {report.made} at {report.per_hour:.0f} an hour"
    if report.rejected:
        text += f"; rejected and drawn again: {_counts(report)}"
    return text


def _counts(report: "Report") -> str:
    return ", ".join(f"{reason} {count}" for reason, count in report.rejected.most_common())


@contextmanager
def _progress() -> Iterator[Callable[["Report", "Outcome | None"], None]]:
    """A bar where someone watches, else a line now and then."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns: list[Any] = [*Progress.get_default_columns()[:2], MofNCompleteColumn()]
    columns += [TimeRemainingColumn(), TextColumn("{task.fields[news]}")]
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("rendering", total=None, news="starting")

        def show(report: "Report", outcome: "Outcome | None") -> None:
            done = report.made + len(report.failed)
            news = f"{report.per_hour:.0f}/h" if report.made else "loading"
            if report.rejected:
                news += f", rejected {report.rejected.total()}"
            if report.failed:
                news += f", failed {len(report.failed)}"
            progress.update(bar, total=report.missing, completed=done, news=news)

        yield show


class _Lines:
    """Progress for logs: at the start, and then a line every half minute."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, report: "Report", outcome: "Outcome | None") -> None:
        if outcome is None:
            typer.echo(f"{report.missing} samples to make", err=True)
            return
        if time.monotonic() - self._last < LOG_PERIOD_S:
            return
        self._last = time.monotonic()
        done = report.made + len(report.failed)
        left = (report.missing - done) * report.seconds / done / 60
        typer.echo(
            f"{done}/{report.missing} samples, {report.per_hour:.0f}/h, {left:.0f} min left, "
            f"rejected {report.rejected.total()}, failed {len(report.failed)}",
            err=True,
        )
