"""Measure seconds per picture and peak memory of each size on the CPU, beside peers of their kind.

    python benchmarks/speed.py [--threads 2] [--rounds 3] [--models NAME ...] [--output FILE]

Every model runs in a process of its own, on a batch of one random picture of its usual input size,
in float32. Weights are random: they change nothing here. What is timed is the network alone, not
reading, resizing or writing. All models take their turn in every round, and the fastest pass of
each counts, since other work on the machine only ever makes a pass slower. If the second fastest
took far longer, the machine is too busy to measure on, and nothing is written. Prints a table of
ratios to the first peer and writes it with the device to benchmarks/speed.json, from which the
model cards are made.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
)

from david_hf.atomic import write_text
from david_hf.hub.card_parts import speed_table
from david_hf.model import DavidConfig, DavidForDensePrediction, DavidForDepthEstimation

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "speed.json"
DAVID_TINY = ROOT / "training" / "checkpoints" / "david-tiny"
PASSES = 3  # in each round
STEADY = 1.1  # of the fastest pass, what the second fastest takes at most on a quiet machine
PEERS = ("DPT-Large", "Depth Anything V2 Large")
_VIT_LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
}
_NECK_LARGE: dict[str, Any] = {
    "neck_hidden_sizes": [256, 512, 1024, 1024],
    "fusion_hidden_size": 256,
}


class Subject(NamedTuple):
    """A model to measure: how to build it, and the side of its input in pixels."""

    build: Callable[[], torch.nn.Module]
    side: int


def david(size: str, tasks: list[str]) -> Callable[[], torch.nn.Module]:
    """Return a builder of a DAViD model: the dense one for several tasks, otherwise depth."""

    def build() -> torch.nn.Module:
        config = DavidConfig.from_size(size, tasks=tasks)
        return (DavidForDensePrediction if len(tasks) > 1 else DavidForDepthEstimation)(config)

    return build


def dpt_large() -> torch.nn.Module:
    """Build DPT-Large (Ranftl et al. 2021), the network DAViD adapts, as Intel/dpt-large has it."""
    config = DPTConfig(
        **_VIT_LARGE, **_NECK_LARGE, intermediate_size=4096, backbone_out_indices=[5, 11, 17, 23]
    )
    return DPTForDepthEstimation(config)


def depth_anything_v2_large() -> torch.nn.Module:
    """Build Depth Anything V2 Large (Yang et al. 2024) as its checkpoint on the Hub has it."""
    backbone: dict[str, Any] = {
        **_VIT_LARGE,
        "image_size": 518,
        "patch_size": 14,
        "out_indices": [5, 12, 18, 24],
        "reshape_hidden_states": False,
    }
    config = DepthAnythingConfig(
        **_NECK_LARGE, backbone_config=Dinov2Config(**backbone), reassemble_hidden_size=1024
    )
    return DepthAnythingForDepthEstimation(config)


def david_tiny() -> torch.nn.Module:
    """Build the ViT of our checkpoint, which is smaller than the preset of its name."""
    return DavidForDensePrediction(DavidConfig.from_pretrained(DAVID_TINY))


SUBJECTS = {
    PEERS[0]: Subject(dpt_large, 384),
    PEERS[1]: Subject(depth_anything_v2_large, 518),
    "nano, 3 heads": Subject(david("nano", ["depth", "normals", "alpha"]), 256),
    "tiny, 3 heads": Subject(david_tiny, 256),
    "base, 1 head": Subject(david("base", ["depth"]), 512),
    "large, 1 head": Subject(david("large", ["depth"]), 512),
    "large, 3 heads": Subject(david("large", ["depth", "normals", "alpha"]), 512),
}


def main() -> None:
    """Measure every model in a process of its own, print the table, write the file."""
    arguments = _parse()
    if arguments.measure:
        print(json.dumps(measure(SUBJECTS[arguments.measure])))
        return
    rounds = [
        {name: _run_alone(name, arguments.threads) for name in arguments.models}
        for _ in range(arguments.rounds)
    ]
    models = {
        name: combine(name, [results[name] for results in rounds]) for name in arguments.models
    }
    report = {
        "device": describe_device(arguments.threads),
        "peers": [name for name in PEERS if name in models],
        "models": models,
    }
    print(speed_table(report, list(models)))
    write_text(arguments.output, json.dumps(report, indent=2) + "\n")
    print(f"wrote {arguments.output}")


def measure(subject: Subject) -> dict[str, Any]:
    """Time some forward passes after one that does not count.

    Returns:
        Side of the input in pixels, number of parameters, seconds of each pass, and the peak memory
        of the process in MiB.
    """
    model = subject.build().eval()
    picture = torch.rand(1, 3, subject.side, subject.side)
    with torch.inference_mode():
        model(picture)
        seconds = []
        for _ in range(PASSES):
            start = time.perf_counter()
            model(picture)
            seconds.append(round(time.perf_counter() - start, 4))
    return {
        "input_size": subject.side,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "all_seconds": seconds,
        "peak_memory_mib": peak_memory_mib(),
    }


def combine(name: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    """One row out of one model's rounds: the fastest pass, all passes, the largest memory."""
    seconds = [one for result in results for one in result["all_seconds"]]
    fastest, second = sorted(seconds)[:2]
    if second > STEADY * fastest:
        sys.exit(f"error: the machine is busy: passes of {name} took {seconds} s; nothing written")
    return {
        **results[0],
        "seconds": fastest,
        "all_seconds": seconds,
        "peak_memory_mib": max(result["peak_memory_mib"] for result in results),
    }


def peak_memory_mib() -> int:
    """Largest resident memory this process has had."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage, which on Linux starts from what the parent process had.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return round(int(lines["VmHWM"].split()[0]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)  # bytes on macOS


def describe_device(threads: int) -> dict[str, Any]:
    """Processor, threads used, and version of torch."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "threads": threads,
        "torch": torch.__version__,
        "dtype": "float32",
    }


def _run_alone(name: str, threads: int) -> dict[str, Any]:
    """Measure one model in a fresh process, whose peak memory is the model's."""
    command = [sys.executable, __file__, "--measure", name]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"error: measuring {name} ended with exit code {result.returncode}")
    return dict(json.loads(result.stdout.splitlines()[-1]))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Seconds per picture and peak memory on the CPU.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--rounds", type=int, default=3, help="times that each model takes its turn"
    )
    parser.add_argument("--models", nargs="+", default=list(SUBJECTS), choices=list(SUBJECTS))
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--measure", choices=list(SUBJECTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.threads < 1:
        parser.error("--rounds and --threads must be 1 or more")
    if PEERS[0] not in arguments.models:
        parser.error(f"--models must name {PEERS[0]}: everything is compared with it")
    return arguments


if __name__ == "__main__":
    main()
