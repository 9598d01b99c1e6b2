"""`david evaluate`: a model on a benchmark, as the paper measures it."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from .common import errors_in_one_line, parse_options, silence_libraries

MODEL, PROTOCOL, RUN = "Model", "Protocol (the paper's unless given)", "Run"


def _list_benchmarks(wanted: bool) -> None:
    if wanted:
        from david_hf.evaluation.benchmarks.registry import markdown_table

        typer.echo(markdown_table())
        raise typer.Exit


@errors_in_one_line("evaluation")
def evaluate(
    benchmark: Annotated[
        str, typer.Argument(metavar="BENCHMARK", help="One that --list names, such as ppm-100.")
    ],
    data: Annotated[Path, typer.Option(metavar="ROOT", help="Folder of its data set.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID_OR_PATH",
            help="Hub id, checkpoint folder or .onnx file; of DAViD or any model of transformers "
            "for depth, normals or matting.",
            show_default="the checkpoint that comes with the package",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Folder for the results; a run that was killed goes on in it.",
            show_default="evaluations/MODEL/BENCHMARK",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="cpu, cuda, mps, ...",
            show_default="an accelerator if there is one",
            rich_help_panel=MODEL,
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16 or float16.",
            show_default="as the checkpoint is stored",
            rich_help_panel=MODEL,
        ),
    ] = None,
    depth_space: Annotated[
        str | None,
        typer.Option(
            metavar="depth|disparity",
            help="What the model's depth is affine to.",
            show_default="by the kind of model",
            rich_help_panel=MODEL,
        ),
    ] = None,
    normals_convention: Annotated[
        str | None,
        typer.Option(
            metavar="opengl|opencv",
            help="Frame of the model's normals.",
            show_default="by the kind of model",
            rich_help_panel=MODEL,
        ),
    ] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run code that comes with the model.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    align: Annotated[
        str | None,
        typer.Option(
            metavar="scale_shift|scale|median|none",
            help="What is fitted before depth is compared.",
            show_default="scale_shift",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    align_space: Annotated[
        str | None,
        typer.Option(
            metavar="depth|disparity",
            help="Where it is fitted.",
            show_default="that of the model",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            metavar="lstsq|lad|trimmed|median_mad",
            help="How it is fitted.",
            show_default="lstsq",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    align_group: Annotated[
        str | None,
        typer.Option(
            metavar="image|sequence|dataset",
            help="What shares one fit.",
            show_default="image",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    max_depth: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Farthest depth in metres that a disparity may stand for.",
            show_default="10",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Scale larger pictures down to so many pixels first; 0 for never.",
            show_default="by the benchmark",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Most images, spread evenly.", show_default="all", rich_help_panel=RUN
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Photos predicted together.", rich_help_panel=RUN)
    ] = 1,
    num_threads: Annotated[
        int,
        typer.Option(
            min=1,
            help="Threads of each process on a CPU. They change the last digits of numbers; more "
            "processes do not.",
            rich_help_panel=RUN,
        ),
    ] = 1,
    num_workers: Annotated[
        int, typer.Option(min=0, help="Loader processes.", rich_help_panel=RUN)
    ] = 1,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="What the data set takes besides, such as backgrounds=FOLDER. May be given "
            "several times.",
            rich_help_panel=RUN,
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Table with a column id and one for each factor that `david report` shall slice "
            "the results by.",
            rich_help_panel=RUN,
        ),
    ] = None,
    examples: Annotated[
        bool,
        typer.Option(
            help="Make pictures of the best, median and worst images.", rich_help_panel=RUN
        ),
    ] = True,
    list_: Annotated[
        bool,
        typer.Option(
            "--list", callback=_list_benchmarks, is_eager=True, help="Name the benchmarks."
        ),
    ] = False,
) -> None:
    """Measure a model on a benchmark and write OUT/metrics.json, with the values of every image.

    Prints our row inside the paper's table where the benchmark is the paper's. Under
    `accelerate launch -m david_cli evaluate ...` the processes share the images.
    """
    silence_libraries()
    import torch

    from david_hf.evaluation.benchmarks.registry import find_benchmark
    from david_hf.evaluation.groups import read_groups
    from david_hf.evaluation.predictors.opening import open_predictor
    from david_hf.evaluation.runner import RunOptions, process_device
    from david_hf.evaluation.runner import evaluate as run

    from .evaluation_output import print_results, run_progress

    wanted = find_benchmark(benchmark)
    changed = {
        "method": align,
        "space": align_space,
        "estimator": estimator,
        "group": align_group,
        "max_depth_m": max_depth,
    }
    wanted = wanted.with_protocol(
        {name: value for name, value in changed.items() if value is not None}, max_pixels
    )
    options = RunOptions(
        batch_size=batch_size,
        num_workers=num_workers,
        limit=limit,
        data_options=parse_options(option),
        groups=read_groups(groups) if groups is not None else {},
        examples=examples,
    )
    wanted.open(data, options.data_options)  # refuses before a model is loaded
    torch.set_num_threads(num_threads)
    predictor = open_predictor(
        model,
        device=process_device(device),
        depth_space=cast("Any", depth_space),
        normals_convention=cast("Any", normals_convention),
        dtype=dtype,
        trust_remote_code=trust_remote_code,
    )
    folder = output or Path("evaluations") / Path(predictor.name).name / benchmark
    with run_progress() as show:
        what = f"{predictor.name}, {benchmark}"
        result = run(wanted, data, predictor, folder, options, partial(show, what))
    if result is not None:
        print_results([result])
        typer.echo(f"wrote {folder / 'metrics.json'}; `david report {folder}` makes a page")
