"""Look at what a training sees: `python training/show_samples.py PICTURE --config FILE ...`.

Writes a contact sheet of composed, augmented samples: picture, alpha, depth, normals.
"""

import sys
from pathlib import Path

from config import TrainConfig, parse_config

from david_hf.data.composed import ComposedHumans
from david_hf.data.contact_sheet import write_contact_sheet
from david_hf.data.randomness import Purpose, generator

COUNT = 18


def main() -> None:
    """Parse the command line and write the sheet."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"error: expected a picture to write\n{__doc__}")
    write_sheet(Path(sys.argv[1]), parse_config(sys.argv[2:]))


def write_sheet(path: Path, config: TrainConfig) -> None:
    """Write the first samples of a run."""
    side = config.side_at(config.steps - 1)
    people = ComposedHumans(config.data, config.backgrounds, side=side, seed=config.seed)
    transform = config.transform(side)
    samples = [
        transform.augment(people.draw(number), generator(Purpose.AUGMENTATION, config.seed, number))
        for number in range(COUNT)
    ]
    write_contact_sheet(samples, path)


if __name__ == "__main__":
    main()
