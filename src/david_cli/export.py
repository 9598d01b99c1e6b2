"""`david export`: a checkpoint as a file for other runtimes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import errors_in_one_line, silence_libraries, split_words

if TYPE_CHECKING:
    from david_hf.conversion.export import ExportReport


@errors_in_one_line("onnx")
def export(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Checkpoint folder or Hub id.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="File to write: .onnx, .xml (OpenVINO) or .pt2; or a folder, for OUT/model.onnx.",
        ),
    ],
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="onnx|openvino|pt2", help="", show_default="as OUT's suffix says"
        ),
    ] = None,
    precision: Annotated[str, typer.Option(metavar="fp32|fp16|int8")] = "fp32",
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="TASK,...",
            help="Some of depth, normals, alpha.",
            show_default="all that the checkpoint predicts",
        ),
    ] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="H W",
            help="Size of the network's input in pixels.",
            show_default="the checkpoint's",
        ),
    ] = None,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="Leave height and width free, from 17 pixels on.")
    ] = False,
    with_processing: Annotated[
        bool,
        typer.Option(
            "--with-processing",
            help="Take photos of any size, uint8 (B, H, W, 3) RGB, and give maps of that size.",
        ),
    ] = False,
    official: Annotated[
        bool | None,
        typer.Option(
            "--official/--own",
            help="As the official files: 512 x 512, BGR, their sign of depth.",
            show_default="official if the checkpoint's processor is",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Photos for int8.", show_default="drawn pictures, less good"
        ),
    ] = None,
    opset: Annotated[int, typer.Option(help="ONNX opset version, 18 or newer.")] = 18,
) -> None:
    """Export CHECKPOINT to OUT, run the result and compare it with PyTorch.

    A file that differs too much is not kept.
    """
    # Torch loads here only.
    from david_hf.conversion.export import ExportSettings, export_checkpoint
    from david_hf.conversion.export_settings import SUFFIXES

    silence_libraries()
    chosen: Any = file_format or _format_of(output)
    if not output.suffix and chosen in SUFFIXES:
        output = output / f"model{SUFFIXES[chosen]}"
    number: Any = precision
    settings = ExportSettings(
        file_format=chosen,
        precision=number,
        tasks=split_words(tasks),
        size=size,
        dynamic=dynamic,
        with_processing=with_processing,
        official=official,
        calibration=calibration,
        opset=opset,
    )
    _print_report(export_checkpoint(checkpoint, output, settings))


def _format_of(output: Path) -> str:
    return {".xml": "openvino", ".pt2": "pt2"}.get(output.suffix, "onnx")


def _print_report(report: "ExportReport") -> None:
    for path in report.files:
        typer.echo(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    shape = ", ".join("free" if side < 0 else str(side) for side in report.input_shape)
    nearer = "larger" if report.metadata["david_hf.depth_is_inverse"] == "true" else "smaller"
    typer.echo(f"input ({shape}), colours {report.metadata['david_hf.channel_order']}")
    for difference in report.differences:
        about = ", as a share of its range" if difference.task == "depth" else ""
        sign = f"; {nearer} = nearer" if difference.task == "depth" else ""
        typer.echo(
            f"{difference.task}: differs from PyTorch by {difference.maximum:.2g} at most{about}"
            f"{sign}"
        )
    if report.losses:
        losses = ", ".join(f"{name} {value:.4g}" for name, value in report.losses.items())
        typer.echo(f"loss against fp32: {losses}")
    for note in report.notes:
        typer.echo(note)
