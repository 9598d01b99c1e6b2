"""The compact metrics.json of a checkpoint, which its card shows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from david_hf.evaluation.metrics.slices import MIN_SIZE
from david_hf.evaluation.predictors.checkpoint import Checkpoint, digest_of_files
from david_hf.evaluation.results import EvaluationResult, ImageResult, mean_metrics

from .factors import CATEGORY, Factor, Slice, slice_by_factors

DIGITS = 4  # significant ones
_ALIGNMENTS = {
    "scale_shift": "after scale-and-shift alignment",
    "scale": "after alignment of the scale",
    "median": "after alignment of the medians",
    "none": "without alignment",
}


def check_weights(result: EvaluationResult, checkpoint: Path) -> None:
    """Refuse to show what was measured with other weights.

    Raises:
        ValueError: If the folder holds no checkpoint, or other weights.
    """
    measured = result.settings["model"].get("weights_sha256")
    found = digest_of_files(Checkpoint.find(checkpoint).weight_files())
    if found != measured:
        raise ValueError(
            f"expected a run that measured the weights of {checkpoint} ({found[:12]}), got one of "
            f"{result.model} ({str(measured)[:12]}); run `david evaluate` on this checkpoint"
        )


def card_metrics(result: EvaluationResult, min_size: int = MIN_SIZE) -> dict[str, Any]:
    """Contents of the metrics.json of a checkpoint.

    Args:
        result: Of the checkpoint on one benchmark.
        min_size: Images from which on a group gets means.

    Returns:
        versions, protocol, `num_images`; means `overall`, `by_category` and, of main metrics,
        `by_group` of each factor; and `gaps` between the means of the groups, with 95 % intervals.
        Metrics are called TASK_METRIC.

    Raises:
        ValueError: If a value is not finite.
    """
    versions = result.settings["versions"]
    content: dict[str, Any] = {
        "david_hf": versions["david-hf"],
        "torch": versions["torch"],
        "benchmark": result.benchmark,
        "num_images": len(result.images),
        "protocol": _protocol(result),
        "overall": _means(result.images),
        "by_category": {
            name: {"num_images": len(images), **_means(images)}
            for name, images in result.by_category().items()
        },
    }
    factors = [
        factor for factor in slice_by_factors(result.images, min_size) if factor.name != CATEGORY
    ]
    if factors:
        content["by_group"] = {factor.name: _groups(factor) for factor in factors}
        content["gaps"] = {factor.name: _gaps(factor) for factor in factors}
    return content


def card_text(content: dict[str, Any]) -> str:
    """The text of the file."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _protocol(result: EvaluationResult) -> str:
    benchmark, model = result.settings["benchmark"], result.settings["model"]
    inside = [task for task in ("depth", "normals") if task in result.summary]
    clauses = ["mean over images"]
    if "depth" in inside:
        clauses.append(f"depth {_alignment(benchmark['depth'], model)}")
    if inside:
        clauses.append(f"{' and '.join(inside)} on alpha > 0.5")
    if benchmark["max_pixels"] is None:
        clauses.append("predictions at the size of the image")
    else:
        clauses.append(
            f"images of more than {benchmark['max_pixels']:,} pixels scaled down to so many"
        )
    if model.get("dtype", "float32") != "float32":
        clauses.append(f"weights in {model['dtype']}")
    return "; ".join(clauses)


def _alignment(depth: dict[str, Any], model: dict[str, Any]) -> str:
    text = _ALIGNMENTS[depth["method"]]
    if (depth["space"] or model.get("depth_space")) == "disparity":
        text += " of one over depth"
    if depth["estimator"] != "lstsq":
        text += f" ({depth['estimator']})"
    return text if depth["group"] == "image" else f"{text} by {depth['group']}"


def _means(images: Sequence[ImageResult]) -> dict[str, float]:
    return {
        f"{task}_{name}": _rounded(value)
        for task, metrics in mean_metrics(images).items()
        for name, value in metrics.items()
    }


def _groups(factor: Factor) -> dict[str, dict[str, float]]:
    """Size of each group, and means of those large enough."""
    return {
        group: {
            "num_images": size,
            **{
                _key(one): _rounded(one.statistics[f"mean_{group}"])
                for one in factor.slices
                if one.statistics is not None and f"mean_{group}" in one.statistics
            },
        }
        for group, size in factor.sizes.items()
    }


def _gaps(factor: Factor) -> dict[str, dict[str, float]]:
    names = {"gap": "gap", "low": "gap_low", "high": "gap_high"}
    return {
        _key(one): {name: _rounded(one.statistics[key]) for name, key in names.items()}
        for one in factor.slices
        if one.statistics is not None
    }


def _key(one: Slice) -> str:
    return f"{one.task}_{one.metric}"


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
