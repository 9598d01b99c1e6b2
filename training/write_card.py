"""Write a checkpoint's model card: `python training/write_card.py CHECKPOINT TEMPLATE`.

Counts the training data once into `training_data.json`, then fills the template with that file and
with what the checkpoint, its training configuration and its metrics.json say.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from config import TrainConfig, read_yaml

from david_hf.atomic import write_text
from david_hf.data.backgrounds import Backgrounds
from david_hf.data.sources.synthhuman import GeneratedHumans
from david_hf.hub.card_parts import speed_text
from david_hf.hub.model_card import trained_card

SPEED = Path(__file__).parents[1] / "benchmarks" / "speed.json"


def main() -> None:
    """Parse the command line and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("template", type=Path, help="its name is the checkpoint's")
    arguments = parser.parse_args()
    try:
        card = write_card(arguments.checkpoint, arguments.template)
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    print(f"wrote {card}")  # noqa: T201


def write_card(checkpoint: Path, template: Path) -> Path:
    """Write training_data.json and README.md into a checkpoint and return the latter."""
    config = TrainConfig(**read_yaml(checkpoint / "training_config.yaml"))
    counts = json.dumps(count_training_data(config), indent=2)
    write_text(checkpoint / "training_data.json", counts + "\n")
    card = trained_card(
        checkpoint,
        template.read_text(encoding="utf-8"),
        template.stem,
        training=asdict(config),
        speed=speed_text(SPEED, [f"{config.model_size}, 3 heads"]),
    )
    return write_text(checkpoint / "README.md", card)


def count_training_data(config: TrainConfig) -> dict[str, Any]:
    """Count rendered people by category, people held out, and background photos.

    Raises:
        ValueError: If nobody of the training was rendered by `david synthesize`.
    """
    # A folder may be several parts, composed and as it was rendered: everybody counts once.
    people: dict[tuple[str, int], str] = {}
    held_out = config.left_out()
    roots = set()
    for part in config.data:
        if part.name != "generated":
            continue
        roots.add(part.root)
        source = GeneratedHumans(part.root, part.split, **part.options)
        for position, index in enumerate(source.indices):
            factors = source.factors(position)
            if not held_out.has(factors):
                people[part.root, int(index)] = str(factors.get("category", ""))
    if not roots:
        raise ValueError("expected a training on people of `david synthesize`; no other is counted")
    categories = Counter(people.values())
    indices = [int(i) for root in roots for i in GeneratedHumans(root, "all").indices]
    photos = Backgrounds(
        Path(config.backgrounds) if config.backgrounds else None, leave_out=held_out.has_photo
    ).photos
    return {
        "categories": dict(categories),
        "num_held_out_indices": len(indices) - categories.total(),
        "seed_range": [min(indices), max(indices)],
        "num_backgrounds": len(photos),
    }


if __name__ == "__main__":
    main()
