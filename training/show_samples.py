"""Look at what a training sees: `python training/show_samples.py PICTURE --config FILE ...`.

Writes a contact sheet of mixed, augmented samples: picture, alpha, depth, normals.
"""

import sys
from pathlib import Path

from config import TrainConfig, parse_config
from samples import TrainingSamples

from david_hf.data.contact_sheet import write_contact_sheet

COUNT = 18


def main() -> None:
    """Parse the command line and write the sheet."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"error: expected a picture to write\n{__doc__}")
    config = parse_config(sys.argv[2:])
    try:
        write_sheet(Path(sys.argv[1]), config)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def write_sheet(path: Path, config: TrainConfig) -> None:
    """Write the first samples of a run."""
    mixture = TrainingSamples(config).mixture(COUNT)
    mixture.transform = config.transform(config.sides[-1][1]).augment
    write_contact_sheet([mixture[number] for number in range(COUNT)], path)


if __name__ == "__main__":
    main()
