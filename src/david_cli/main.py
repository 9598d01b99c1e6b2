"""The `david` command line.

A sub-command is a typed function in a module of its own, added here. Those modules import torch and
whatever else is heavy inside the function, so that `--help` and `--version` do not wait for it.
"""

from importlib.metadata import version
from typing import Annotated

import typer

from .ablate import ablate
from .convert import convert
from .data import data_app
from .demo import demo
from .download_official import download_official
from .evaluate import evaluate
from .export import export
from .predict import predict
from .publish import publish
from .report import report
from .synthesize import synthesize

app = typer.Typer(
    name="david",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    predict,
    demo,
    publish,
    synthesize,
    evaluate,
    report,
    ablate,
    convert,
    export,
    download_official,
):
    app.command()(command)
app.add_typer(data_app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"david {version('david-hf')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Depth, surface normals and a soft foreground mask of people, from one photo."""


if __name__ == "__main__":
    app()
