"""Train a david checkpoint: `accelerate launch training/train.py --config FILE [--key VALUE ...]`.

A run that was interrupted goes on from its last state when started again with the same output
folder: sample `i` depends on the seed and on `i` alone, so the position in the data is the step
number.
"""

import math
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from config import TrainConfig, parse_config
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from david_hf.conversion.mobilenet_v2 import load_imagenet_mobilenet_v2
from david_hf.data.composed import ComposedHumans
from david_hf.data.mixture import Mixture
from david_hf.model import DavidForDensePrediction, DavidImageProcessor
from david_hf.model.mobilenet_v2_david import DavidMobileNetV2Encoder

STATE = "state"


def main() -> None:
    """Parse the command line and train."""
    config = parse_config(sys.argv[1:])
    try:
        train(config)
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"error: {error}")


def train(config: TrainConfig) -> Path:
    """Run one training and return the folder of the final checkpoint."""
    set_seed(config.seed)
    accelerator = Accelerator(
        cpu=config.cpu,
        mixed_precision=config.mixed_precision,
        log_with="tensorboard",
        project_dir=config.output_dir,
    )
    output = Path(config.output_dir)
    if accelerator.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        config.save(output / "training_config.yaml")
    accelerator.init_trackers("logs")
    model = build_model(config)
    optimizer, scheduler = build_optimizer(config, model)
    model, optimizer = accelerator.prepare(model, optimizer)
    # Not prepared: Accelerate would step it once per process, and it counts optimizer steps.
    accelerator.register_for_checkpointing(scheduler)
    step = logged = load_state(accelerator, output)
    clock = time.perf_counter()
    for batch in batches(accelerator, config, step):
        losses = training_step(accelerator, config, model, optimizer, scheduler, batch)
        step += 1
        if step % config.log_every == 0 or step == config.steps:
            elapsed = (time.perf_counter() - clock) / (step - logged)
            log(accelerator, config, losses, step, elapsed, float(scheduler.get_last_lr()[0]))
            clock, logged = time.perf_counter(), step
        if step % config.save_every == 0 and step < config.steps:
            save_state(accelerator, output, step)
    return save_checkpoint(accelerator, model, config, output)


def build_model(config: TrainConfig) -> torch.nn.Module:
    """The network with its pretrained encoder."""
    model: torch.nn.Module = DavidForDensePrediction(config.model_config())
    encoder = model.get_submodule("model.encoder")
    if config.backbone_weights:
        if not isinstance(encoder, DavidMobileNetV2Encoder):
            raise ValueError(
                f"backbone_weights: expected a model with a MobileNetV2 encoder (nano), got "
                f"{config.model_size}"
            )
        load_imagenet_mobilenet_v2(encoder, Path(config.backbone_weights))
    # On CPUs, convolutions are several times faster in this layout.
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def build_optimizer(
    config: TrainConfig, model: torch.nn.Module
) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """AdamW in four groups (encoder, decayed or not); linear warm-up, then a cosine to zero."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        key = (name.startswith("model.encoder."), parameter.ndim > 1)
        groups.setdefault(key, []).append(parameter)
    factor = config.backbone_learning_rate_factor
    optimizer = torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.learning_rate * (factor if is_encoder else 1),
                "weight_decay": config.weight_decay if is_decayed else 0.0,
            }
            for (is_encoder, is_decayed), parameters in groups.items()
        ]
    )

    def share(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return optimizer, LambdaLR(optimizer, share)


def batches(
    accelerator: Accelerator, config: TrainConfig, first_step: int
) -> Iterator[dict[str, Any]]:
    """Batches from `first_step` to the end, each process its own share, of the step's side."""
    per_step = config.batch_size * accelerator.num_processes
    side = config.side_at(first_step)
    people = ComposedHumans(config.data, config.backgrounds, side=side, seed=config.seed)
    transform = config.transform(side)
    dataset = Mixture(
        [(people, 1.0)], length=config.steps * per_step, transform=transform, seed=config.seed
    )
    step = first_step
    while step < config.steps:
        side = people.side = transform.side = config.side_at(step)
        last = next(
            (s for s in range(step, config.steps) if config.side_at(s) != side), config.steps
        )
        own = [
            s * per_step + accelerator.process_index * config.batch_size + i
            for s in range(step, last)
            for i in range(config.batch_size)
        ]
        loader = DataLoader(
            dataset,
            batch_size=config.batch_size,
            sampler=own,
            num_workers=config.num_workers,
            pin_memory=accelerator.device.type == "cuda",
        )
        for batch in loader:
            yield to_device(batch, accelerator.device)
        step = last


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Move a batch; pictures take the layout of the network."""
    moved = {
        name: {task: values.to(device) for task, values in batch[name].items()}
        for name in ("labels", "mask")
    }
    pixels = batch["pixel_values"].to(device, memory_format=torch.channels_last)
    return {"pixel_values": pixels, **moved}


def training_step(
    accelerator: Accelerator,
    config: TrainConfig,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: LambdaLR,
    batch: dict[str, Any],
) -> dict[str, float]:
    """One optimizer step; returns the loss parts and the gradient norm.

    Raises:
        FloatingPointError: If the loss is not finite; the last state on disk is still good.
    """
    model.train()
    outputs = model(**batch)
    if not torch.isfinite(outputs.loss):
        raise FloatingPointError(
            "the loss is not finite; lower the learning rate and start again: the run goes on from "
            f"its last state in {config.output_dir}"
        )
    accelerator.backward(outputs.loss)
    norm = accelerator.clip_grad_norm_(model.parameters(), config.clip_grad_norm)
    optimizer.step()
    scheduler.step()
    optimizer.zero_grad()
    losses = {name: float(value) for name, value in outputs.losses.items()}
    return {"loss": float(outputs.loss.detach()), "grad_norm": float(norm), **losses}


def log(
    accelerator: Accelerator,
    config: TrainConfig,
    losses: dict[str, float],
    step: int,
    seconds: float,
    learning_rate: float,
) -> None:
    """One line for people and one record for the tracker."""
    rate = config.batch_size * accelerator.num_processes / seconds
    record = {**losses, "learning_rate": learning_rate, "samples_per_second": rate}
    accelerator.log(record, step=step)
    shown = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
    accelerator.print(f"step {step}/{config.steps}  {shown}  {rate:.1f} samples/s", flush=True)


def save_state(accelerator: Accelerator, output: Path, step: int) -> None:
    """Write a resumable state under a temporary name, then put it in the place of the last one."""
    partial, final = output / "state_partial", output / STATE
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    if accelerator.is_main_process:
        (partial / "step.txt").write_text(str(step))
        previous = output / "state_previous"
        if final.exists():
            final.rename(previous)
        partial.rename(final)
        shutil.rmtree(previous, ignore_errors=True)
    accelerator.wait_for_everyone()


def load_state(accelerator: Accelerator, output: Path) -> int:
    """Load the last complete state, if there is one, and return its step."""
    for name in (STATE, "state_previous"):
        counter = output / name / "step.txt"
        if counter.is_file():
            accelerator.load_state(str(output / name))
            accelerator.print(f"resumed at step {counter.read_text()} from {output / name}")
            return int(counter.read_text())
    return 0


def save_checkpoint(
    accelerator: Accelerator, model: torch.nn.Module, config: TrainConfig, output: Path
) -> Path:
    """Write the final checkpoint: weights, image processor, training configuration."""
    accelerator.wait_for_everyone()
    folder = output / "checkpoint"
    if accelerator.is_main_process:
        unwrapped = accelerator.unwrap_model(model).to(memory_format=torch.contiguous_format)
        unwrapped.save_pretrained(folder)
        side = unwrapped.config.input_size
        # The training pictures are RGB; only the official weights want BGR.
        options: dict[str, Any] = {"size": {"height": side, "width": side}, "channel_order": "rgb"}
        processor = DavidImageProcessor(**options)
        processor.save_pretrained(folder)
        config.save(folder / "training_config.yaml")
        accelerator.print(f"wrote {folder}")
    accelerator.end_training()
    return folder


if __name__ == "__main__":
    main()
