"""`david demo`: the web page, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from .common import errors_in_one_line


@errors_in_one_line("demo")
def demo(
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID_OR_PATH",
            help="Hub id, checkpoint folder or .onnx file with all three heads.",
            show_default="the checkpoint that comes with the package",
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port to serve on.", min=1, max=65535)] = 7860,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    examples: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Photos to offer.", exists=True, file_okay=False),
    ] = None,
) -> None:
    """Serve a web page: upload a photo, see its depth, normals and foreground."""
    # Torch and gradio load here only.
    from david_hf.demo import build_demo
    from david_hf.inference import find_images

    page = build_demo(model, find_images(examples) if examples else ())
    allowed = [str(examples)] if examples else []
    page.launch(server_name=host, server_port=port, allowed_paths=allowed)
