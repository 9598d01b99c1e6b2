"""Measure seconds per picture of one network in each form it can run in, on the CPU.

    python -m benchmarks.runtimes [--size nano|base|large] [--threads 2] [--rounds 3]
        [--output FILE]

The peer is what a user of the published ONNX files has: the network exported by the legacy
exporter, nothing merged, run by onnxruntime. Beside it: PyTorch, PyTorch after `model.fuse()`, with
channels last too, as `david predict` runs it, and what `david export` writes. Weights are random,
of "nano" the bundled ones. In every round each form runs for some passes in a process of its own,
since the threads of one runtime are in the way of another's, and its fastest pass counts. Sizes are
of the files; "differs" is the largest difference of the depth from PyTorch's, as a share of its
range. Prints a table and writes it under the size to benchmarks/runtimes.json.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from benchmarks.speed import describe_device
from transformers.utils import logging

from david_hf import (
    DavidConfig,
    DavidForDensePrediction,
    DavidImageProcessor,
    DavidPredictor,
    bundled_checkpoint,
)
from david_hf.atomic import write_text
from david_hf.conversion import ExportSettings, export_checkpoint
from david_hf.conversion.export_check import Runner, make_picture
from david_hf.conversion.export_formats import open_file, quiet
from david_hf.conversion.export_graph import ExportedNetwork

RESULTS = Path(__file__).parent / "runtimes.json"
TASKS = ("depth", "normals", "alpha")
PEER = "onnxruntime, as published"
PASSES = 10


class Form(NamedTuple):
    """One way to run the network: what opens it, a file or folder, and the bytes it takes."""

    runtime: str
    path: Path
    size: int


def main() -> None:
    """Measure, print a table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="nano", choices=["nano", "base", "large"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = build_model(options.size)
        side = int(model.config.input_size)
        forms = build_forms(model, Path(folder))
        seconds: dict[str, float] = {}
        depths: dict[str, torch.Tensor] = {}
        for _ in range(options.rounds):
            for name, form in forms.items():
                passed, depths[name] = in_new_process(form, side, options.threads)
                seconds[name] = min(passed, seconds.get(name, passed))
        expected = depths["PyTorch"]
        spread = expected.max() - expected.min()
        rows = {
            name: {
                "seconds": round(seconds[name], 5),
                "ratio": round(seconds[name] / seconds[PEER], 3),
                "megabytes": round(form.size / 1e6, 1),
                "differs": float(f"{(depths[name] - expected).abs().max() / spread:.1e}"),
            }
            for name, form in forms.items()
        }
    device = describe_device(options.threads)
    print(f"{options.size}, {side} x {side}, {options.threads} threads of {device['cpu']}")
    print(f"{'form':32}{'s':>9}{'ratio':>8}{'MB':>9}{'differs':>10}")
    for name, row in rows.items():
        print("{:32}{:9.4f}{:8.2f}{:9.1f}{:10.1e}".format(name, *row.values()))
    results = json.loads(options.output.read_text()) if options.output.is_file() else {}
    results[options.size] = {"device": device, "side": side, "forms": rows}
    write_text(options.output, json.dumps(results, indent=2) + "\n")
    print(f"wrote {options.output}")


def build_model(size: str) -> DavidForDensePrediction:
    """The bundled checkpoint, or a network with random weights."""
    if size == "nano":
        return DavidForDensePrediction.from_pretrained(bundled_checkpoint()).eval()
    return DavidForDensePrediction(DavidConfig.from_size(size, tasks=TASKS)).eval()


def build_forms(model: DavidForDensePrediction, folder: Path) -> dict[str, Form]:
    """Write the network in every form."""
    side = int(model.config.input_size)
    checkpoint, legacy = folder / "checkpoint", folder / "legacy.onnx"
    model.save_pretrained(checkpoint)
    order: dict[str, Any] = {"channel_order": "rgb"}
    DavidImageProcessor(size=side, **order).save_pretrained(checkpoint)
    export_legacy(ExportedNetwork(model, TASKS).eval(), legacy, side)
    weights = (checkpoint / "model.safetensors").stat().st_size
    forms = {
        PEER: Form("onnx", legacy, legacy.stat().st_size),
        "PyTorch": Form("torch", checkpoint, weights),
        "PyTorch, fused": Form("torch, fused", checkpoint, weights),
        "PyTorch, david predict": Form("torch, predict", checkpoint, weights),
    }
    exports: dict[str, dict[str, Any]] = {
        "onnxruntime, david export": {},
        "onnxruntime, int8": {"precision": "int8"},
        "OpenVINO, david export": {"file_format": "openvino"},
    }
    for name, settings in exports.items():
        file_format = settings.get("file_format", "onnx")
        output = folder / f"{len(forms)}{'.xml' if file_format == 'openvino' else '.onnx'}"
        report = export_checkpoint(checkpoint, output, ExportSettings(official=False, **settings))
        stored = sum(file.stat().st_size for file in report.files)
        forms[name] = Form(file_format, output, stored)
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


def in_new_process(form: Form, side: int, threads: int) -> tuple[float, torch.Tensor]:
    """Measure in a process that ends afterwards."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        seconds, depth = pool.submit(measure, form, side, threads).result()
    return seconds, torch.as_tensor(depth)


@torch.inference_mode()
def measure(form: Form, side: int, threads: int) -> tuple[float, Any]:
    """Fastest of several passes, and the depth."""
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    run, image = open_form(form), make_picture(side, side)
    seconds = []
    for _ in range(PASSES):
        begin = time.perf_counter()
        maps = run(image)
        seconds.append(time.perf_counter() - begin)
    return min(seconds), maps[0].numpy()


def open_form(form: Form) -> Runner:
    """Load a form, to be run on the CPU."""
    if not form.runtime.startswith("torch"):
        return open_file(form.path, form.runtime)
    model: Any
    if form.runtime == "torch, predict":
        model = DavidPredictor.from_pretrained(form.path, device="cpu").model
    else:
        model = DavidForDensePrediction.from_pretrained(form.path).eval()
    if form.runtime == "torch, fused":
        model.fuse()
    network: Runner = ExportedNetwork(model, TASKS).eval()
    return network


if __name__ == "__main__":
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    main()
