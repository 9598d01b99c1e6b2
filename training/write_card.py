"""Write a checkpoint's model card: `python training/write_card.py CHECKPOINT TEMPLATE`.

Fills the template with what the checkpoint, its training configuration, its metrics.json and the
training data themselves say.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from config import TrainConfig

from david_hf.data.composition import Backgrounds
from david_hf.data.synthhuman import SynthHumanFolder
from david_hf.hub.model_card import write_model_card
from david_hf.model import DavidForDensePrediction


def main() -> None:
    """Parse the command line and write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("template", type=Path)
    arguments = parser.parse_args()
    try:
        values = describe(arguments.checkpoint)
        card = write_model_card(arguments.checkpoint, arguments.template, values)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"wrote {card}")  # noqa: T201


def describe(checkpoint: Path) -> dict[str, Any]:
    """What the template may ask for, beside the metrics."""
    config = TrainConfig(**yaml.safe_load((checkpoint / "training_config.yaml").read_text()))
    model = DavidForDensePrediction.from_pretrained(checkpoint)
    folders = [SynthHumanFolder(Path(root)) for root in config.data]
    categories: Counter[str] = Counter()
    for folder in folders:
        categories.update(
            str(folder.factors(position)["category"]) for position in folder.split("train")
        )
    indices = [index for folder in folders for index in folder.indices]
    named = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in categories.items())
    background_photos = Backgrounds(Path(config.backgrounds) if config.backgrounds else None).photos
    return {
        "parameters": f"{model.num_parameters() / 1e6:.2f}",
        "num_figures": categories.total(),
        "num_held_out_indices": len(indices) - categories.total(),
        "categories": named,
        "seed_range": f"{min(indices)} to {max(indices)}",
        "num_backgrounds": len(background_photos),
        "steps": config.steps,
        "batch_size": config.batch_size,
        "seed": config.seed,
        "learning_rate": config.learning_rate,
        "sides": ", then ".join(str(side) for _, side in config.sides),
    }


if __name__ == "__main__":
    main()
