"""What a card says about any DAViD checkpoint: tasks, maps, size and measured figures.

Tables are Markdown; every number in them comes from a configuration or from a file.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import EvalResult

from david_hf.evaluation.report import metric_names
from david_hf.model import (
    DavidConfig,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidPreTrainedModel,
)

__all__ = [
    "CITATION",
    "MEASURED",
    "METRICS",
    "CheckpointFacts",
    "card_tags",
    "eval_results",
    "group_tables",
    "maps_table",
    "metrics_table",
    "pipeline_tag",
    "read_facts",
    "read_json",
    "read_metrics",
    "speed_table",
    "speed_text",
    "summary",
    "usage",
]


class Task(NamedTuple):
    """How one map is called here and on the Hub."""

    title: str
    pipeline: str
    hub_task: str
    tags: tuple[str, ...]
    row: str


TASKS = {
    "depth": Task(
        title="relative depth",
        pipeline="depth-estimation",
        hub_task="depth-estimation",
        tags=("depth-estimation",),
        row="| relative depth | `predicted_depth` | (H, W) | unitless, up to scale and shift "
        "| larger = nearer |",
    ),
    "normals": Task(
        title="surface normals",
        pipeline="surface-normal-estimation",
        # The Hub has no task for normals; theirs is the one that maps a photo to a picture.
        hub_task="image-to-image",
        tags=("surface-normals", "normal-estimation"),
        row="| surface normals | `normals` | (3, H, W) | unit vectors, -1 to 1 "
        "| X right, Y up, Z towards the camera |",
    ),
    "alpha": Task(
        title="a soft foreground",
        pipeline="image-matting",
        hub_task="image-segmentation",
        tags=("image-matting",),
        row="| soft foreground | `alphas` | (H, W) | 0 (background) to 1 (person) | |",
    ),
}
ALL_MAPS_PIPELINE = "human-dense-prediction"

# The data set of figures from metrics.json, in the model-index of a card.
MEASURED = "metrics.json"

CITATION = r"""```bibtex
@inproceedings{saleh2025david,
  title     = {{DAViD}: Data-efficient and Accurate Vision Models from Synthetic Data},
  author    = {Saleh, Fatemeh and Aliakbarian, Sadegh and Hewitt, Charlie and Petikam, Lohit and
               Xiao, Xian and Criminisi, Antonio and Cashman, Thomas J. and
               Baltru{\v{s}}aitis, Tadas},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision (ICCV)},
  year      = {2025}
}
```"""


class Metric(NamedTuple):
    """A number of metrics.json: its full name, and column and format if it has a column."""

    name: str
    column: str = ""
    form: str = ""

    @property
    def shown(self) -> bool:
        """Whether the table of a card has it."""
        return bool(self.column)


# Columns of the table of a card, and the form of their values.
_COLUMNS = {
    "alpha_iou": ("alpha IoU", "{:.3f}"),
    "alpha_mad": ("alpha MAD", "{:.4f}"),
    "normals_mean_deg": ("normals, mean", "{:.1f}°"),
    "normals_median_deg": ("normals, median", "{:.1f}°"),
    "normals_under_22.5": ("under 22.5°", "{:.0%}"),
    "depth_rmse_m": ("depth RMSE", "{:.3f} m"),
    "depth_abs_rel": ("depth AbsRel", "{:.4f}"),
}
METRICS = {
    key: Metric(name.title, *_COLUMNS.get(key, ())) for key, name in metric_names.METRICS.items()
}
# What groups of people are compared by, in a card.
GROUP_METRICS = ("alpha_iou", "normals_mean_deg", "depth_abs_rel")
GAP = ("gap", "low", "high")
# Factors of pictures, which are none of people.
_PICTURE_FACTORS = ("people", "light", "backdrop")

_MODEL_CLASSES: dict[str, type[DavidPreTrainedModel]] = {
    model_class.__name__: model_class
    for model_class in (
        DavidForDensePrediction,
        DavidForDepthEstimation,
        DavidForNormalEstimation,
        DavidForImageMatting,
    )
}


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint says about itself.

    Attributes:
        tasks: Its heads, out of "depth", "normals", "alpha".
        parameters: Number of parameters.
        encoder: "vit" or "mobilenet_v2".
        input_size: Side in pixels of the square the image processor makes.
        carries_code: Whether it brings its code along, for machines without this package.
        trained_from: What its weights started from, as transformers noted it; empty if unknown.
        metrics: Contents of its metrics.json, None if there is none.
    """

    tasks: tuple[str, ...]
    parameters: int
    encoder: str
    input_size: int
    carries_code: bool = False
    trained_from: str = ""
    metrics: dict[str, Any] | None = None

    @classmethod
    def from_config(cls, config: DavidConfig, **others: Any) -> "CheckpointFacts":
        """Count and list what a configuration defines; no weight takes memory.

        Raises:
            ValueError: If its `architectures` name no class with a task head.
        """
        known = [name for name in config.architectures or () if name in _MODEL_CLASSES]
        if not known:
            raise ValueError(
                f"expected architectures out of {', '.join(_MODEL_CLASSES)}, got "
                f"{config.architectures}; save it from one of these classes"
            )
        with torch.device("meta"):
            parameters = _MODEL_CLASSES[known[0]](config).num_parameters()
        tasks = tuple(config.trained_tasks())
        return cls(tasks, parameters, config.encoder_type, config.input_size, **others)


def read_facts(checkpoint: Path) -> CheckpointFacts:
    """Read a checkpoint's config.json and, if there is one, its metrics.json.

    Raises:
        ValueError: If config.json is missing or is not DAViD's, or one of both is broken.
    """
    path = checkpoint / "config.json"
    values = read_json(path)
    if values.get("model_type") != DavidConfig.model_type:
        raise ValueError(
            f"{path}: expected model_type {DavidConfig.model_type!r}, got "
            f"{values.get('model_type')!r}; only DAViD checkpoints have this card"
        )
    metrics = checkpoint / "metrics.json"
    others = {
        "carries_code": "auto_map" in values,
        "trained_from": str(values.get("_name_or_path") or ""),
        "metrics": read_metrics(metrics) if metrics.is_file() else None,
    }
    try:
        return CheckpointFacts.from_config(DavidConfig.from_dict(values), **others)
    except Exception as error:  # the validation of transformers raises classes of its own
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def read_metrics(path: Path) -> dict[str, Any]:
    """Read the metrics.json that `david report --card` writes.

    Raises:
        ValueError: If there is none, or it lacks what a card shows.
    """
    if not path.is_file():
        raise ValueError(f"{path}: missing; `david report --card` writes it")
    metrics = read_json(path)
    rows = [metrics.get("overall"), *dict(metrics.get("by_category") or {}).values()]
    has_number = isinstance(metrics.get("num_images"), int)
    if not has_number or not all(map(_is_row, rows)) or not _are_groups(metrics):
        raise ValueError(
            f"{path}: expected num_images, overall and by_category as david report writes "
            f"them, got the keys {sorted(metrics)}; write it again, or leave it out"
        )
    return metrics


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: If the file is missing or holds something else.
    """
    if not path.is_file():
        raise ValueError(f"{path}: missing; expected a folder that save_pretrained wrote")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got {error}; write it again") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values


def pipeline_tag(tasks: Sequence[str]) -> str:
    """Name the Hub's task of a checkpoint: depth if it predicts depth, otherwise its first map."""
    return TASKS["depth" if "depth" in tasks else tasks[0]].hub_task


def card_tags(tasks: Sequence[str]) -> list[str]:
    """List the tags by which a checkpoint with these heads is found."""
    return ["david", *(tag for task in tasks for tag in TASKS[task].tags), "human"]


def summary(tasks: Sequence[str]) -> str:
    """Name the maps in one sentence, without a full stop."""
    *first, last = (TASKS[task].title for task in tasks)
    maps = f"{', '.join(first)} and {last}" if first else last
    return f"{maps[0].upper()}{maps[1:]} of people from one photo"


def maps_table(tasks: Sequence[str]) -> str:
    """Markdown table of the maps: key, shape, unit, range and frame."""
    header = "| what | key | shape | unit and range | frame |\n|---|---|---|---|---|"
    return "\n".join([header, *(TASKS[task].row for task in tasks)])


def usage(tasks: Sequence[str], model: str) -> str:
    """Python that predicts every map of one photo.

    Args:
        tasks: Heads of the checkpoint.
        model: Hub id or folder of the checkpoint.
    """
    name = TASKS[tasks[0]].pipeline if len(tasks) == 1 else ALL_MAPS_PIPELINE
    return (
        "from transformers import pipeline\n"
        "import david_hf  # registers the classes and the pipelines\n\n"
        f'pipe = pipeline("{name}", model="{model}")\n'
        'maps = pipe("photo.jpg")'
    )


def metrics_table(metrics: dict[str, Any]) -> str:
    """Markdown table of a metrics.json: all images first, then each category."""
    shown = [name for name in METRICS if METRICS[name].shown and name in metrics["overall"]]
    titles = [METRICS[name].column for name in shown]
    lines = [
        "| images | number | " + " | ".join(titles) + " |",
        "|---|---|" + "---|" * len(titles),
        _row("all", metrics["num_images"], metrics["overall"], shown),
    ]
    for category, row in dict(metrics.get("by_category") or {}).items():
        title = category.replace("_", " ") or "other"
        lines.append(_row(title, row.get("num_images", "-"), row, shown))
    return "\n".join(lines)


def group_tables(metrics: dict[str, Any]) -> str:
    """Say how well the model of a metrics.json treats whom: Markdown tables, or that none knows."""
    factors = {
        name: groups
        for name, groups in dict(metrics.get("by_group") or {}).items()
        if name not in _PICTURE_FACTORS
    }
    if not factors:
        return "How well it treats whom was not measured yet."
    text = (
        "Means over the images of each group of people; groups that are too small are told by "
        "their size alone, and images of people of several groups are left out. The last row is "
        "the largest of the means less the smallest, and the middle 95 % of what it is in "
        "bootstrap draws of the images. Drawing adds differences of its own: a gap near the low "
        "end of its draws, or below it, may be chance alone."
    )
    tables = [_group_table(name, groups, metrics["gaps"][name]) for name, groups in factors.items()]
    return "\n\n".join([text, *tables])


def speed_table(speed: dict[str, Any], models: Sequence[str]) -> str:
    """Markdown table of some models of a benchmarks/speed.json.

    What comes first are ratios to the first of the file's peers.
    """
    peer_name = speed["peers"][0]
    peer = speed["models"][peer_name]
    lines = [
        f"| network | input | time / {peer_name} | memory / {peer_name} "
        "| seconds per picture | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for name in models:
        row = speed["models"][name]
        lines.append(
            f"| {name} | {row['input_size']} x {row['input_size']} "
            f"| {row['seconds'] / peer['seconds']:.2f} "
            f"| {row['peak_memory_mib'] / peer['peak_memory_mib']:.2f} "
            f"| {row['seconds']:.2f} | {row['peak_memory_mib']} MiB |"
        )
    return "\n".join(lines)


def speed_text(path: Path, models: Sequence[str]) -> str:
    """Say how fast and how large some models of a benchmarks/speed.json are, and on what.

    Raises:
        ValueError: If the file is missing or broken.
    """
    speed = read_json(path)
    if any(name not in speed["models"] for name in models):
        return "Not timed: `benchmarks/speed.py` does not have this network."
    device = speed["device"]
    passes = len(speed["models"][speed["peers"][0]]["all_seconds"])
    table = speed_table(speed, [*models, *speed["peers"]])
    return (
        f"Beside networks of transformers in the same run, by `benchmarks/speed.py`: one picture, "
        f"the network alone, fastest of {passes} passes, {device['dtype']}, {device['threads']} "
        f"threads of a CPU ({device['cpu']}), torch {device['torch']}. Memory is that of the whole "
        f"process. Only the ratios carry over to other machines.\n\n{table}"
    )


def eval_results(metrics: dict[str, Any]) -> list[EvalResult]:
    """Figures of a metrics.json over all images, in the form of the Hub's model-index."""
    results = []
    for metric, value in metrics["overall"].items():
        task = TASKS.get(metric.split("_")[0])
        if task is None or not math.isfinite(value):
            continue
        results.append(
            EvalResult(
                task_type=task.hub_task,
                task_name=task.title.removeprefix("a "),
                dataset_type=MEASURED,
                dataset_name=f"{metrics['num_images']} images described in the card",
                metric_type=metric,
                metric_name=METRICS[metric].name if metric in METRICS else metric,
                metric_value=value,
            )
        )
    return results


def _row(name: str, number: int | str, row: dict[str, float], shown: Sequence[str]) -> str:
    cells = [METRICS[key].form.format(row[key]) if key in row else "-" for key in shown]
    return _line([name, str(number), *cells])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _group_table(factor: str, groups: dict[str, Any], gaps: dict[str, Any]) -> str:
    """Markdown table of the groups of a factor."""
    shown = [key for key in GROUP_METRICS if key in gaps]
    lines = [
        _line([_plain(factor), "number", *(METRICS[key].column for key in shown)]),
        "|---|---|" + "---|" * len(shown),
        *(_row(_plain(name), row["num_images"], row, shown) for name, row in groups.items()),
    ]
    if shown:
        lines.append(_line(["largest less smallest", "", *(_gap(key, gaps[key]) for key in shown)]))
    return "\n".join(lines)


def _gap(metric: str, gap: dict[str, float]) -> str:
    value, low, high = (METRICS[metric].form.format(gap[name]) for name in GAP)
    return f"{value} ({low} to {high})"


def _plain(name: str) -> str:
    """A name as text of a table."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", name.replace("_", " "))


def _are_groups(metrics: dict[str, Any]) -> bool:
    """Whether what is told by group, if anything, is told as a card shows it."""
    factors, gaps = metrics.get("by_group", {}), metrics.get("gaps", {})
    if not isinstance(factors, dict) or not isinstance(gaps, dict) or factors.keys() != gaps.keys():
        return False
    groups = [group for factor in factors.values() for group in dict(factor).values()]
    found = [gap for factor in gaps.values() for gap in dict(factor).values()]
    return all(_is_row(group) and "num_images" in group for group in groups) and all(
        _is_row(gap) and set(GAP) <= gap.keys() for gap in found
    )


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(value, int | float) for value in row.values())
