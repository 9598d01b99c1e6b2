"""Measure seconds per picture of one network in each form it can run in, on the CPU.

    python benchmarks/runtimes.py [--size nano|base|large] [--threads 2] [--rounds 5]

The peer is what a user of the published ONNX files has: the network exported by the legacy
exporter, nothing fused, run by onnxruntime. Beside it: PyTorch, PyTorch after `model.fuse()`, and
what `david export` writes. Weights are random, of "nano" the bundled ones; each form takes its turn
in every round, and its fastest pass counts. Sizes are of the files; "differs" is the largest
difference of the depth from PyTorch's, as a share of its range.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers.utils import logging

from david_hf import DavidConfig, DavidForDensePrediction, DavidImageProcessor, bundled_checkpoint
from david_hf.conversion import ExportSettings, export_checkpoint
from david_hf.conversion.export_check import make_picture
from david_hf.conversion.export_formats import open_file, quiet
from david_hf.conversion.export_graph import ExportedNetwork

TASKS = ("depth", "normals", "alpha")
PEER = "onnxruntime, as published"


class Form(NamedTuple):
    """One way to run the network: how, and the bytes it is stored in."""

    run: Callable[[torch.Tensor], Any]
    size: int


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="nano", choices=["nano", "base", "large"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        model = build_model(options.size)
        forms = build_forms(model, Path(folder))
        side = int(model.config.input_size)
        image = make_picture(side, side)
        seconds = measure(forms, image, options.rounds)
        expected = model(image).predicted_depth
        spread = expected.max() - expected.min()
        print(f"{options.size}, {side} x {side}, {options.threads} threads")
        print(f"{'form':32}{'s':>9}{'ratio':>8}{'MB':>9}{'differs':>10}")
        for name, form in forms.items():
            depth = torch.as_tensor(form.run(image)[0])
            differs = ((depth - expected).abs().max() / spread).item()
            ratio = seconds[name] / seconds[PEER]
            size = f"{form.size / 1e6:.1f}"
            print(f"{name:32}{seconds[name]:9.4f}{ratio:8.2f}{size:>9}{differs:10.1e}")


def build_model(size: str) -> DavidForDensePrediction:
    """The bundled checkpoint, or a network with random weights."""
    if size == "nano":
        return DavidForDensePrediction.from_pretrained(bundled_checkpoint()).eval()
    return DavidForDensePrediction(DavidConfig.from_size(size, tasks=TASKS)).eval()


def build_forms(model: DavidForDensePrediction, folder: Path) -> dict[str, Form]:
    """Export the network in every form."""
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    plain = ExportedNetwork(model, TASKS).eval()
    legacy = folder / "legacy.onnx"
    export_legacy(plain, legacy, int(model.config.input_size))
    model.save_pretrained(folder / "checkpoint")
    order: dict[str, Any] = {"channel_order": "rgb"}
    DavidImageProcessor(size=model.config.input_size, **order).save_pretrained(
        folder / "checkpoint"
    )
    fused = DavidForDensePrediction.from_pretrained(folder / "checkpoint").fuse()
    forms = {
        PEER: Form(open_file(legacy, "onnx"), legacy.stat().st_size),
        "PyTorch": Form(plain, size),
        "PyTorch, fused": Form(ExportedNetwork(fused, TASKS).eval(), size),
    }
    exports: dict[str, dict[str, Any]] = {
        "onnxruntime, david export": {},
        "onnxruntime, int8": {"precision": "int8"},
        "OpenVINO, david export": {"file_format": "openvino"},
    }
    for name, settings in exports.items():
        file_format = settings.get("file_format", "onnx")
        output = folder / f"{len(forms)}{'.xml' if file_format == 'openvino' else '.onnx'}"
        report = export_checkpoint(
            folder / "checkpoint", output, ExportSettings(official=False, **settings)
        )
        stored = sum(file.stat().st_size for file in report.files)
        forms[name] = Form(open_file(output, file_format), stored)
    return forms


def export_legacy(network: torch.nn.Module, path: Path, side: int) -> None:
    """Export as the published files were: traced, opset 17, free batch."""
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.rand(1, 3, side, side),),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["input"],
            dynamic_axes={"input": {0: "batch"}},
        )


def measure(forms: dict[str, Form], image: torch.Tensor, rounds: int) -> dict[str, float]:
    """Fastest of several passes of each form, in turn."""
    seconds: dict[str, float] = {}
    for _ in range(rounds + 1):  # the first one warms up
        for name, form in forms.items():
            begin = time.perf_counter()
            form.run(image)
            passed = time.perf_counter() - begin
            seconds[name] = min(passed, seconds.get(name, passed))
    return seconds


if __name__ == "__main__":
    main()
