"""Measure training on this machine, and reckon what the paper's recipe costs on four A100.

    python -m benchmarks.training DATA [--backgrounds DIR] [--steps 20] [--part nano] [--part peer]
        [--output FILE]

nano: `training/train.py` itself, with the network, the batches and the augmentations of the two
stages of david-nano, on a folder of `david synthesize`: samples per second, the share of the time
that the loop waits for data, and the peak memory of the process.
peer: forward and backward pass of the depth network of the base size at 384 pixels, beside DPT of
transformers with the same ViT. Needs a quiet machine.
What an epoch of the paper costs is arithmetic, printed with either: see `paper_cost`.
Prints what benchmarks/training.json holds; parts not asked for stay in it as they were.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from benchmarks.macs import build_on_meta, count_macs
from benchmarks.speed import describe_device, peak_memory_mib
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import DPTConfig, DPTForDepthEstimation

from david_hf.atomic import write_text
from david_hf.model import DavidConfig, DavidForDepthEstimation

RESULTS = Path(__file__).parent / "training.json"
TRAINING = Path(__file__).parents[1] / "training"
STAGES = ("nano-128", "nano")
# Of the peer's comparison.
SIDE, BATCH, REPEATS = 384, 2, 3
# The recipe: 300,000 pictures of 512 x 512 (section 4.1), 100 epochs.
PAPER_SAMPLES, PAPER_SIDE, PAPER_EPOCHS = 300_000, 512, 100
A100_BF16_FLOPS = 312e12
# Share of that which a ViT of this size reaches in practice. An assumption, and on the low side.
UTILISATION = 0.35


def main() -> None:
    """Measure the parts asked for, print, and write."""
    arguments = _parse()
    if arguments.measure:
        _train_here(arguments.measure)
        return
    results: dict[str, Any] = {}
    if arguments.output.is_file():
        results = json.loads(arguments.output.read_text())
    results["device"] = describe_device(torch.get_num_threads())
    if "nano" in arguments.part:
        results["nano"] = [
            measure_stage(stage, arguments.data, arguments.backgrounds, arguments.steps)
            for stage in STAGES
        ]
    if "peer" in arguments.part:
        results["peer"] = measure_peer()
    results["paper"] = [
        paper_cost("large", ["depth"]),
        paper_cost("large", ["depth", "normals", "alpha"]),
    ]
    text = json.dumps(results, indent=1)
    write_text(arguments.output, text + "\n")
    print(text)


def measure_stage(stage: str, data: Path, backgrounds: Path | None, steps: int) -> dict[str, Any]:
    """Run some steps of a stage of david-nano, with fresh weights, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        changes = {
            "data": json.dumps([{"root": str(data), "composed": True}, {"root": str(data)}]),
            "validation": "[]",
            "backgrounds": backgrounds or "null",
            "backbone": "null",
            "init_from": "null",
            "output_dir": folder,
            "batch_size": 16,
            "accumulation": 1,
            "steps": steps,
            "log_every": 1,
            "save_every": 10 * steps,
            "cpu": "true",
        }
        words = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
        config = str(TRAINING / "configs" / f"{stage}.yaml")
        program = [sys.executable, "-m", "benchmarks.training", str(data), "--measure"]
        run = subprocess.run(
            [*program, "--config", config, *words],
            stdout=subprocess.PIPE,
            text=True,
            cwd=TRAINING.parent,
            check=True,
        )
        logs = EventAccumulator(f"{folder}/logs/david_hf")
        logs.Reload()
        # The first steps start the loader and choose the kernels.
        values = {
            name: fmean(event.value for event in logs.Scalars(name)[steps // 4 :])
            for name in ("samples_per_second", "data_wait_share")
        }
    return {
        "stage": stage,
        "samples_per_second": round(values["samples_per_second"], 1),
        "data_wait_share": round(values["data_wait_share"], 4),
        "peak_memory_mib": int(run.stdout.splitlines()[-1]),
    }


def _train_here(words: list[str]) -> None:
    sys.path.insert(0, str(TRAINING))
    from config import parse_config
    from train import train

    train(parse_config(words))
    print(peak_memory_mib())


def measure_peer() -> dict[str, Any]:
    """Seconds per sample of one forward and backward pass, and the ratio to the peer's."""
    torch.manual_seed(0)
    images, depth = torch.rand(BATCH, 3, SIDE, SIDE), 1 + torch.rand(BATCH, SIDE, SIDE)
    mask = torch.ones(BATCH, SIDE, SIDE, dtype=torch.bool)
    david = DavidForDepthEstimation(DavidConfig.from_size("base", tasks=["depth"])).train()
    # As training/train.py lays both out.
    david.to(memory_format=torch.channels_last)
    ours = images.to(memory_format=torch.channels_last)
    config = DPTConfig(
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        backbone_out_indices=[2, 5, 8, 11],
        neck_hidden_sizes=[96, 192, 384, 768],
    )
    dpt = DPTForDepthEstimation(config).train()

    def david_step() -> None:
        david(ours, labels=depth, mask=mask).loss.backward()

    def dpt_step() -> None:
        (dpt(images).predicted_depth - depth).square().mean().backward()

    steps = {"david base": david_step, "DPT, ViT-Base": dpt_step}
    tries: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(REPEATS):
        for name, step in steps.items():
            tries[name].append(_seconds(step))
    found = {name: round(min(times) / BATCH, 3) for name, times in tries.items()}
    return {
        "seconds_per_sample": found,
        "ratio": round(found["david base"] / found["DPT, ViT-Base"], 2),
    }


def _seconds(step: Callable[[], None]) -> float:
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun


def paper_cost(size: str, tasks: list[str]) -> dict[str, Any]:
    """Hours of an epoch and of the whole recipe on four A100 in bf16.

    A multiply-accumulate is two operations, and a backward pass costs two forward passes: six
    operations per multiply-accumulate and sample.
    """
    macs = count_macs(build_on_meta(size, tasks), PAPER_SIDE).honest
    flops = 6 * macs * PAPER_SAMPLES
    hours = flops / (4 * A100_BF16_FLOPS * UTILISATION) / 3600
    return {
        "size": size,
        "tasks": tasks,
        "forward_gmacs": round(macs / 1e9, 1),
        "epoch_exaflop": round(flops / 1e18, 3),
        "assumed_utilisation": UTILISATION,
        "hours_per_epoch": round(hours, 2),
        "hours_of_100_epochs": round(PAPER_EPOCHS * hours, 1),
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of `david synthesize`")
    parser.add_argument("--backgrounds", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--part", action="append", choices=["nano", "peer"], default=[])
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--measure", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
