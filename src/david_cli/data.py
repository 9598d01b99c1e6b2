"""`david data`: data sets of people, from download to shards."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import errors_in_one_line, parse_options
from .data_download import download
from .data_render import render

if TYPE_CHECKING:
    from david_hf.data.sample import HumanSample
    from david_hf.data.sources.base import SampleSource

data_app = typer.Typer(
    name="data",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Data sets of people: list, download, check, look at, shard.",
)
data_app.command()(download)
data_app.command()(render)

NAME = Annotated[str, typer.Argument(metavar="NAME", help="One that `david data list` names.")]
ROOT = Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of the data set.")]
SPLIT = Annotated[str | None, typer.Option(help="One split.", show_default="the first")]
OPTIONS = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="What this data set takes besides: backgrounds=FOLDER, depth_unit=0.001, "
        "matte_snap=2, max_side=1024, ... May be given several times.",
    ),
]


class ShardFormat(Enum):
    """Formats of shards."""

    PARQUET = "parquet"
    WEBDATASET = "webdataset"


@data_app.command("list")
@errors_in_one_line("data")
def list_datasets(
    markdown: Annotated[bool, typer.Option("--markdown", help="As a table for a page.")] = False,
) -> None:
    """Say which data sets are known, what they hold, where they come from, under which terms."""
    from rich.console import Console
    from rich.padding import Padding

    from david_hf.data.sources.registry import DATASETS, markdown_table

    if markdown:
        typer.echo(markdown_table())
        return
    console = Console(highlight=False)
    for name, info in DATASETS.items():
        facts = {
            "content": f"{info.content}; {', '.join(info.labels)}",
            "size": info.size,
            "splits": ", ".join(info.source.splits),
            "licence": info.licence,
            "how to get": info.how_to_get.replace("`", ""),
        }
        console.print(f"[bold]{name}[/bold]: {info.title}")
        for title, text in facts.items():
            console.print(Padding(f"{title}: {text}", (0, 0, 0, 2)), markup=False)


@data_app.command()
@errors_in_one_line("data")
def check(
    name: NAME,
    root: ROOT,
    split: Annotated[str | None, typer.Option(help="One split.", show_default="all")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Most samples to decode of each split.", show_default="all"),
    ] = None,
    option: OPTIONS = None,
) -> None:
    """Verify a data set: number, pairing, sizes and value ranges of its samples.

    Exits with 1 if anything is missing or wrong, and says what, and where the data set is obtained.
    """
    from rich.progress import Progress

    from david_hf.data.check import check_dataset
    from david_hf.data.sources.registry import find_dataset

    info = find_dataset(name)
    with Progress(transient=True) as progress:
        bars = {}

        def show(part: str, done: int, total: int) -> None:
            if part not in bars:
                bars[part] = progress.add_task(part, total=total)
            progress.update(bars[part], completed=done)

        options = parse_options(option)
        reports = check_dataset(name, root, split, limit, show, **options)
    for report in reports:
        typer.echo("\n".join(report.lines()))
    if any(report.problems for report in reports):
        typer.echo(f"{info.title} is obtained from: {info.how_to_get} (licence: {info.licence})")
        raise typer.Exit(1)


@data_app.command()
@errors_in_one_line("data")
def show(
    name: NAME,
    root: ROOT,
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="sheet.jpg or sheet.png.")],
    split: SPLIT = None,
    count: Annotated[int, typer.Option(min=1, help="Most samples to show.")] = 24,
    augmented: Annotated[
        int | None,
        typer.Option(
            min=16, metavar="SIDE", help="As training sees them, in squares of this side."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the augmentations.")] = 0,
    option: OPTIONS = None,
) -> None:
    """Write a picture of samples with their labels: picture, alpha, depth, normals."""
    from david_hf.data.contact_sheet import write_contact_sheet
    from david_hf.data.sources.registry import open_source

    options = parse_options(option)
    source = open_source(name, root, split, **options)
    samples: Sequence[HumanSample] = source
    if augmented is not None:
        samples = _augmented(source, augmented, count, seed)
    write_contact_sheet(samples, picture, count)
    typer.echo(f"wrote {picture}")


@data_app.command()
@errors_in_one_line("data")
def shard(
    name: NAME,
    root: ROOT,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the shards.")],
    split: SPLIT = None,
    shard_format: Annotated[
        ShardFormat, typer.Option("--format", help="webdataset writes tars.")
    ] = ShardFormat.PARQUET,
    samples_per_shard: Annotated[
        int, typer.Option(min=1, help="512 samples of 384 x 512 are some 500 MB.")
    ] = 512,
    samples_per_group: Annotated[
        int, typer.Option(min=1, help="What a reader of Parquet takes at once.")
    ] = 32,
    workers: Annotated[int, typer.Option(min=1, help="Processes that write.")] = 1,
    option: OPTIONS = None,
) -> None:
    """Write a data set as Parquet or WebDataset shards, for streaming and for the Hub.

    Nothing is encoded again. Run it again after an interruption: it goes on where it stopped.
    """
    from rich.progress import Progress

    from david_hf.data.shards import write_shards
    from david_hf.data.sources.registry import open_source

    options = parse_options(option)
    source = open_source(name, root, split, **options)
    with Progress(transient=True) as progress:
        bar = progress.add_task(source.split, total=len(source))
        manifest = write_shards(
            source,
            output,
            shard_format.value,
            samples_per_shard=samples_per_shard,
            samples_per_group=samples_per_group,
            workers=workers,
            on_progress=lambda done, total: progress.update(bar, completed=done),
        )
    files = "1 file" if manifest.num_shards == 1 else f"{manifest.num_shards:,} files"
    typer.echo(f"{manifest.samples:,} samples of {name}, {source.split}: {files} in {output}")


def _augmented(source: "SampleSource", side: int, count: int, seed: int) -> "list[HumanSample]":
    from david_hf.data.augmentations import PhotometricAugmentations
    from david_hf.data.geometry import GeometricAugmentations
    from david_hf.data.randomness import Purpose, generator
    from david_hf.data.transforms import TrainingTransform

    transform = TrainingTransform(side, GeometricAugmentations(), PhotometricAugmentations())
    return [
        transform.augment(
            source[number % len(source)], generator(Purpose.AUGMENTATION, seed, number)
        )
        for number in range(count)
    ]
