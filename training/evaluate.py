"""Measure a checkpoint on SynthHuman samples: `python training/evaluate.py CHECKPOINT FOLDER`.

Pictures go through the image processor and back to their own size, as a user's would. Writes
`metrics.json` (means over images, overall and by category) into the checkpoint and prints it.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

import david_hf
from david_hf import DavidPredictor
from david_hf.data.sample import HumanSample
from david_hf.data.sources.synthhuman import SynthHuman
from david_hf.evaluation.metrics.depth import depth_metrics
from david_hf.evaluation.metrics.matting import matting_metrics
from david_hf.evaluation.metrics.normals import normal_metrics

Row = dict[str, float]


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        predictor = DavidPredictor.from_pretrained(arguments.checkpoint)
        rows = measure(predictor, SynthHuman(arguments.folder))
    except ValueError as error:
        sys.exit(f"error: {error}")
    report = {
        "david_hf": david_hf.__version__,
        "torch": torch.__version__,
        "num_images": len(rows),
        "protocol": "mean over images; depth after scale-and-shift alignment; depth and normals on "
        "alpha > 0.5; predictions at the size of the image",
        "overall": average([row for _, row in rows]),
        "by_category": average_by_category(rows),
    }
    path = arguments.checkpoint / "metrics.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=2) + "\n")
    partial.replace(path)
    print(json.dumps(report, indent=2))  # noqa: T201


def measure(predictor: DavidPredictor, folder: SynthHuman) -> list[tuple[str, Row]]:
    """Category and metrics of every sample."""
    return [(sample.category, measure_sample(predictor, sample)) for sample in folder]


def measure_sample(predictor: DavidPredictor, sample: HumanSample) -> Row:
    """Metrics of one sample, of the tasks the model has."""
    prediction = predictor.predict((sample.image * 255 + 0.5).astype(np.uint8))
    mask = sample.foreground
    row: Row = {}
    if prediction.depth is not None and sample.depth_m is not None:
        row |= _prefix("depth", depth_metrics(prediction.depth, sample.depth_m, mask))
    if prediction.normals is not None and sample.normals is not None:
        normals = prediction.normals.transpose(1, 2, 0)
        row |= _prefix("normals", normal_metrics(normals, sample.normals, mask))
    if prediction.alpha is not None and sample.alpha is not None:
        row |= _prefix("alpha", matting_metrics(prediction.alpha, sample.alpha))
    return row


def _prefix(task: str, metrics: Row) -> Row:
    return {f"{task}_{name}": value for name, value in metrics.items()}


def average(rows: list[Row]) -> Row:
    """Mean of each metric over images."""
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}


def average_by_category(rows: list[tuple[str, Row]]) -> dict[str, Row]:
    """Means by category, with the number of images."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for category, row in rows:
        groups[category].append(row)
    return {
        name: {"num_images": len(group), **average(group)} for name, group in sorted(groups.items())
    }


if __name__ == "__main__":
    main()
