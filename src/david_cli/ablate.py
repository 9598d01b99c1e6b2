"""`david ablate`: the paper's ablations, over checkpoints of yours."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .common import errors_in_one_line, parse_options, silence_libraries


def _list_ablations(wanted: bool) -> None:
    if wanted:
        from david_hf.evaluation.ablations import ABLATIONS

        for name, ablation in ABLATIONS.items():
            typer.echo(f"{name}: {ablation.question} Table {ablation.table} of the paper.")
        raise typer.Exit


@errors_in_one_line("evaluation")
def ablate(
    ablation: Annotated[
        str,
        typer.Argument(
            metavar="ABLATION", help="blur, data-source, data-size, model-size or multi-task."
        ),
    ],
    model: Annotated[
        list[str],
        typer.Option(
            metavar="LABEL=ID_OR_PATH",
            help="A checkpoint and what tables call it, such as 60K=runs/60k. Once for each.",
        ),
    ],
    data: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=ROOT",
            help="Folder of a data set (goliath, hi4d, ...) or of the data of one benchmark. "
            "Once for each.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="OUT", help="Folder for the results."),
    ] = Path("ablations"),
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, mps, ...", show_default="an accelerator if there is one"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Most images of each benchmark.", show_default="all"),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos predicted together.")] = 1,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="What the data sets take besides."),
    ] = None,
    blur_sigma: Annotated[
        float, typer.Option(min=0.1, help="Of the ablation blur, pixels; the paper says none.")
    ] = 3.0,
    list_: Annotated[
        bool, typer.Option("--list", callback=_list_ablations, is_eager=True, help="Name them.")
    ] = False,
) -> None:
    """Evaluate several checkpoints on the same benchmarks and print them beside the paper's table.

    Each pair of checkpoint and benchmark has a folder in OUT: `david report` makes a page of them.
    """
    silence_libraries()
    import torch

    from david_hf.evaluation.ablations import choose_benchmarks, find_ablation, run_ablation
    from david_hf.evaluation.predictors.opening import open_predictor
    from david_hf.evaluation.runner import RunOptions, process_device

    from .evaluation_output import print_results, run_progress

    wanted = find_ablation(ablation)
    roots = {name: Path(root) for name, root in _pairs("--data", data).items()}
    choose_benchmarks(wanted, roots)  # refuses before a model is loaded
    torch.set_num_threads(1)
    models = {
        label: partial(open_predictor, path, device=process_device(device))
        for label, path in _pairs("--model", model).items()
    }
    options = RunOptions(batch_size=batch_size, limit=limit, data_options=parse_options(option))
    with run_progress() as show:
        results = run_ablation(wanted, models, roots, output, options, blur_sigma, show)
    if results:
        print_results(results, [wanted.table])
        typer.echo(f"wrote {len(results)} results to {output}")


def _pairs(name: str, given: list[str]) -> dict[str, str]:
    """Read each "KEY=VALUE".

    Raises:
        ValueError: If one is something else, or a key comes twice.
    """
    found: dict[str, str] = {}
    for item in given:
        key, sign, value = item.partition("=")
        if not sign or not key or not value or key in found:
            raise ValueError(f"expected {name} with NAME=VALUE, each name once, got {item!r}")
        found[key] = value
    return found
