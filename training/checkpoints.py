"""What a run leaves on disk: states to go on from, and checkpoints in their final form."""

import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from config import TrainConfig

from david_hf.hub.model_card import unpublished_card
from david_hf.model import (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidImageProcessor,
    DavidPreTrainedModel,
)

STATE, PREVIOUS, PARTIAL = "state", "state_previous", "state_partial"
STEP = "step.txt"
SINGLE: dict[str, type[DavidPreTrainedModel]] = {
    "depth": DavidForDepthEstimation,
    "normals": DavidForNormalEstimation,
    "alpha": DavidForImageMatting,
}


def save_state(accelerator: Accelerator, output: Path, step: int) -> None:
    """Write a resumable state under a temporary name, then put it in the place of the last one.

    Raises:
        OSError: If it cannot be written; the last one is still whole.
    """
    partial, final, previous = output / PARTIAL, output / STATE, output / PREVIOUS
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()  # each writes its own random state
    if accelerator.is_main_process:
        (partial / STEP).write_text(str(step))
        _put_in_place(partial, final, previous)
    accelerator.wait_for_everyone()


def remove_partial(output: Path) -> None:
    """Remove what could not be written to its end: it may be gigabytes."""
    for folder in (output / PARTIAL, *output.glob(".*.partial")):
        shutil.rmtree(folder, ignore_errors=True)


def find_state(output: Path) -> tuple[Path, int] | None:
    """The last complete state and its step."""
    for name in (STATE, PREVIOUS):
        counter = output / name / STEP
        if counter.is_file():
            return output / name, int(counter.read_text())
    return None


def save_checkpoint(
    model: DavidForDensePrediction,
    weights: dict[str, torch.Tensor],
    config: TrainConfig,
    folder: Path,
    files: dict[str, str] | None = None,
) -> None:
    """Write a checkpoint that loads anywhere, whole or not at all.

    Args:
        model: The network, not wrapped.
        weights: Its state dict, or the moving average of it.
        config: Of the run.
        folder: Of the checkpoint; one that is there is replaced.
        files: Text of further files by name, such as metrics.json.

    Raises:
        OSError: If it cannot be written; what was there is still whole.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    final = in_final_form(model, weights)
    final.save_pretrained(partial)
    image_processor(final.config.input_size).save_pretrained(partial)
    config.save(partial / "training_config.yaml")
    for name, text in (files or {}).items():
        (partial / name).write_text(text, "utf-8")
    (partial / "README.md").write_text(unpublished_card(partial, run_name(config)), "utf-8")
    _put_in_place(partial, folder, folder.with_name(f".{folder.name}.previous"))


def _put_in_place(partial: Path, final: Path, previous: Path) -> None:
    """Let a whole folder take the place of another, which is `previous` until then."""
    if (
        final.exists()
    ):  # else an earlier try got as far as here, and the previous one is all there is
        shutil.rmtree(previous, ignore_errors=True)
        final.rename(previous)
    partial.rename(final)
    shutil.rmtree(previous, ignore_errors=True)


def run_name(config: TrainConfig) -> str:
    """What a run is called: its folder."""
    return Path(config.output_dir).resolve().name


def image_processor(side: int) -> DavidImageProcessor:
    """The image processor of a network with this input side."""
    # The training pictures are RGB; only the official weights want BGR.
    options: dict[str, Any] = {"size": {"height": side, "width": side}, "channel_order": "rgb"}
    return DavidImageProcessor(**options)


def in_final_form(
    model: DavidForDensePrediction, weights: dict[str, torch.Tensor]
) -> DavidPreTrainedModel:
    """A copy with these weights, of the single-task class if it has one head."""
    tasks = list(model.config.tasks)
    kind = SINGLE[tasks[0]] if len(tasks) == 1 else DavidForDensePrediction
    final = kind(model.config.__class__.from_dict(model.config.to_dict()))
    cpu = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    final.load_state_dict(cpu)
    return final.eval()
