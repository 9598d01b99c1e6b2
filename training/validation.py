"""Measuring during a run: the protocols of `david evaluate`, and one score to choose by."""

import json
import shutil
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from accelerate import Accelerator
from checkpoints import image_processor, in_final_form, run_name
from config import TrainConfig
from numpy.typing import NDArray
from samples import one_line

from david_hf.evaluation.benchmarks.registry import find_benchmark
from david_hf.evaluation.predictors.david import DavidEvaluationPredictor
from david_hf.evaluation.report.card_metrics import card_metrics
from david_hf.evaluation.results import EvaluationResult
from david_hf.evaluation.runner import RunOptions, evaluate
from david_hf.image_io import load_image, to_rgb8
from david_hf.model import DavidForDensePrediction
from david_hf.predictor import DavidPredictor

Picture = NDArray[np.uint8]


def check_validation(config: TrainConfig) -> None:
    """Open every validation set, so that a run does not break off at its first validation.

    Raises:
        ValueError: If one is not there, or has no label of a task that is trained.
    """
    for part in config.validation:
        benchmark = find_benchmark(part.benchmark)
        try:
            number = len(benchmark.open(Path(part.root), part.options))
        except (ValueError, OSError) as error:
            raise ValueError(f"validation: {one_line(error)}") from error
        if not number:
            raise ValueError(f"validation: {part.root} has no images")
        if not set(benchmark.tasks) & set(config.tasks):
            raise ValueError(
                f"validation: {part.benchmark} measures {', '.join(benchmark.tasks)}; trained is "
                f"{', '.join(config.tasks)}"
            )


def validate(
    model: DavidForDensePrediction,
    weights: dict[str, torch.Tensor],
    config: TrainConfig,
    output: Path,
    step: int,
    accelerator: Accelerator,
) -> list[EvaluationResult]:
    """Measure weights on every validation set; the processes share the images.

    Args:
        model: The network, not wrapped.
        weights: Its state dict, or the moving average of it.
        config: Of the run.
        output: Of the run: results and pictures go to validation/STEP/BENCHMARK.
        step: Step of the run.
        accelerator: Where to predict, and with whom.

    Returns:
        Results in the order of the configuration, in the main process; none in the others.
    """
    final = in_final_form(model, weights)
    processor = image_processor(final.config.input_size)
    predictor = DavidEvaluationPredictor(
        DavidPredictor(final, processor, config.tasks, accelerator.device),
        name=run_name(config),
        facts={"family": "david", "step": step},
    )
    if accelerator.is_main_process:
        # `evaluate` would go on with what an earlier try left, which may be of other weights.
        shutil.rmtree(_step_folder(output, step), ignore_errors=True)
    accelerator.wait_for_everyone()
    results = []
    for number, part in enumerate(config.validation):
        folder = _folder(output, step, number, part.benchmark)
        options = RunOptions(limit=part.limit, data_options=part.options or {}, num_workers=0)
        result = evaluate(
            find_benchmark(part.benchmark), Path(part.root), predictor, folder, options
        )
        if result is not None:
            shutil.rmtree(folder / "parts", ignore_errors=True)
            results.append(result)
    return results


def pictures(results: list[EvaluationResult], output: Path, step: int) -> dict[str, Picture]:
    """The best, the median and the worst image of each task by SET/TASK_RANK, for trackers.

    Returns:
        Pictures (1, H, W, 3) of photo, prediction, truth and error side by side.
    """
    found = {}
    for number, result in enumerate(results):
        folder = _folder(output, step, number, result.benchmark)
        for example in result.examples:
            picture = to_rgb8(load_image(folder / example.file))
            found[f"{result.benchmark}/{example.task}_{example.rank}"] = picture[None]
    return found


def _folder(output: Path, step: int, number: int, benchmark: str) -> Path:
    return _step_folder(output, step) / f"{number}-{benchmark}"


def _step_folder(output: Path, step: int) -> Path:
    return output / "validation" / f"{step:07d}"


def score(results: list[EvaluationResult]) -> float:
    """One number for the errors of all tasks and sets, less is better. Our choice.

    Mean of 1 - IoU, of the mean angle over 90 degrees, and of AbsRel.
    """
    errors = []
    for result in results:
        found = result.summary
        if "alpha" in found:
            errors.append(1 - found["alpha"]["iou"])
        if "normals" in found:
            errors.append(found["normals"]["mean_deg"] / 90)
        if "depth" in found:
            errors.append(found["depth"]["abs_rel"])
    return fmean(errors)


def metrics_file(results: list[EvaluationResult]) -> dict[str, str]:
    """Text of a checkpoint's metrics.json by its name: of the first validation set."""
    return {"metrics.json": json.dumps(card_metrics(results[0]), indent=2) + "\n"}


def flat(results: list[EvaluationResult]) -> dict[str, float]:
    """Means over images by SET/TASK_METRIC, for trackers."""
    return {
        f"{result.benchmark}/{task}_{name}": value
        for result in results
        for task, metrics in result.summary.items()
        for name, value in metrics.items()
    }
