"""A checkpoint as one file for onnxruntime, OpenVINO or torch.export, checked against PyTorch."""

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from david_hf.load_errors import first_line
from david_hf.model import DavidPreTrainedModel
from david_hf.predictor import TASKS, DavidPredictor, ModelLoadError

from .export_check import Difference
from .export_formats import open_file
from .export_graph import keep_tasks
from .export_plan import ExportPlan
from .export_settings import ExportError, ExportSettings, check_settings

__all__ = ["Difference", "ExportError", "ExportReport", "ExportSettings", "export_checkpoint"]


@dataclass(frozen=True)
class ExportReport:
    """What was written and how far it is from PyTorch.

    Attributes:
        files: The file asked for, then those it needs beside it.
        tasks: Its outputs in order.
        metadata: What it says about itself, keys as in `metadata_props` of the ONNX file.
        input_shape: Shape of its input, -1 where it is free.
        differences: Per output.
        losses: For "int8", what it costs on pictures: see `export_check.accuracy_loss`.
        notes: What the reader should know.
    """

    files: tuple[Path, ...]
    tasks: tuple[str, ...]
    metadata: dict[str, str]
    input_shape: tuple[int, ...]
    differences: tuple[Difference, ...]
    losses: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def export_checkpoint(
    checkpoint: Path | str, output: Path, settings: ExportSettings | None = None
) -> ExportReport:
    """Export a checkpoint and keep the file only if it computes what PyTorch does.

    Args:
        checkpoint: Folder or Hub id.
        output: File to write, with the suffix of the format: .onnx, .xml or .pt2.
        settings: What to make.

    Returns:
        What was written.

    Raises:
        ExportError: If the checkpoint or an option is unusable, a package is missing, or the result
            differs too much. Nothing is written then.
    """
    settings = settings or ExportSettings()
    check_settings(output, settings)
    plan = ExportPlan.make(_load(checkpoint, settings.tasks), settings)
    with _draft_folder(output) as folder:
        draft = folder / output.name
        try:
            notes = plan.write(draft)
            run = open_file(draft, settings.file_format)
            differences = plan.check(run)
        except ExportError:
            raise
        except Exception as error:  # exporters and runtimes raise whatever they stumble over
            raise ExportError(f"cannot export {checkpoint}: {first_line(error)}") from error
        _refuse_differences(output, differences)
        losses = plan.losses(run)
        del run  # it may hold the files open
        files = _publish(folder, output)
    return ExportReport(
        files, plan.tasks, plan.metadata, plan.input_shape, tuple(differences), losses, notes
    )


def _load(checkpoint: Path | str, tasks: Sequence[str] | None) -> DavidPredictor:
    if str(checkpoint).endswith(".onnx"):
        raise ExportError(f"{checkpoint}: is an ONNX file already, expected a checkpoint folder")
    try:
        predictor = DavidPredictor.from_pretrained(checkpoint, device="cpu")
        wanted = predictor.check_tasks(tasks)
    except ModelLoadError as error:
        raise ExportError(str(error)) from error
    # What is compared with is the network as it was trained.
    keep_tasks(cast(DavidPreTrainedModel, predictor.model).unfuse(), wanted)
    predictor.tasks = tuple(task for task in TASKS if task in wanted)
    return predictor


def _refuse_differences(output: Path, differences: Sequence[Difference]) -> None:
    bad = [difference for difference in differences if not difference.accepted]
    if bad:
        found = ", ".join(f"{d.task} by {d.judged:.2g} (limit {d.limit:g})" for d in bad)
        raise ExportError(f"{output}: not written, it differs from PyTorch too much: {found}")


@contextmanager
def _draft_folder(output: Path) -> Iterator[Path]:
    """A hidden folder beside the output, gone in the end."""
    folder = output.parent / f".{uuid.uuid4().hex}.partial"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ExportError(f"{output}: cannot write there ({error.strerror})") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, output: Path) -> tuple[Path, ...]:
    """Move the draft's files to their place, what the main file needs before it."""
    drafts = sorted(folder.iterdir(), key=lambda path: path.name == output.name)
    for draft in drafts:
        draft.replace(output.parent / draft.name)
    return tuple(output.parent / draft.name for draft in reversed(drafts))
