"""Model cards from a template: every figure comes from a file, none is typed."""

import json
from pathlib import Path
from string import Template
from typing import Any

# Metric in metrics.json: its column's title and format.
COLUMNS = {
    "alpha_iou": ("alpha IoU", "{:.3f}"),
    "alpha_mad": ("alpha MAD", "{:.4f}"),
    "normals_mean_deg": ("normals, mean", "{:.1f}°"),
    "normals_median_deg": ("normals, median", "{:.1f}°"),
    "normals_under_22.5": ("under 22.5°", "{:.0%}"),
    "depth_rmse_m": ("depth RMSE", "{:.3f} m"),
    "depth_abs_rel": ("depth AbsRel", "{:.4f}"),
}


def render_model_card(template: str, values: dict[str, Any]) -> str:
    """Fill the `$names` of a template.

    Raises:
        ValueError: If the template names something that `values` lacks.
    """
    try:
        return Template(template).substitute(values)
    except KeyError as error:
        raise ValueError(
            f"the template asks for ${error.args[0]}, known are {sorted(values)}"
        ) from error


def metrics_table(metrics: dict[str, Any]) -> str:
    """Markdown table of a metrics.json: all images first, then each category."""
    titles = [title for title, _ in COLUMNS.values()]
    lines = [
        "| images | number | " + " | ".join(titles) + " |",
        "|---|---|" + "---|" * len(titles),
        _row("all", metrics["num_images"], metrics["overall"]),
    ]
    for category, row in metrics["by_category"].items():
        lines.append(_row(category.replace("_", " ") or "other", row["num_images"], row))
    return "\n".join(lines)


def _row(name: str, number: int, row: dict[str, float]) -> str:
    cells = [form.format(row[metric]) for metric, (_, form) in COLUMNS.items()]
    return f"| {name} | {number} | " + " | ".join(cells) + " |"


def write_model_card(checkpoint: Path, template: Path, values: dict[str, Any]) -> Path:
    """Write `README.md` into a checkpoint from a template, its metrics.json and more values.

    Raises:
        ValueError: If there is no metrics.json or the template asks for something unknown.
    """
    source = checkpoint / "metrics.json"
    if not source.is_file():
        raise ValueError(f"{source}: missing; training/evaluate.py writes it")
    metrics = json.loads(source.read_text())
    known = {
        **values,
        "metrics_table": metrics_table(metrics),
        "protocol": metrics["protocol"],
        "torch": metrics["torch"],
        "num_images": metrics["num_images"],
    }
    card = checkpoint / "README.md"
    partial = card.with_suffix(".partial")
    partial.write_text(render_model_card(template.read_text(), known))
    return partial.replace(card)
