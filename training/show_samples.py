"""Look at what a training sees: `python training/show_samples.py PICTURE --config FILE ...`.

Writes a contact sheet of composed, augmented samples: picture, alpha, depth, normals, each row two.
"""

import sys
from pathlib import Path

import numpy as np
from config import TrainConfig, parse_config
from PIL import Image

from david_hf.data.augmentations import Augmentations
from david_hf.data.sample import HumanSample
from david_hf.data.training_set import ComposedHumans, pad_to_square
from david_hf.visualization import alpha_to_grey, colorize_depth, colorize_normals

ROWS, COLUMNS = 6, 3


def main() -> None:
    """Parse the command line and write the sheet."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"error: expected a picture to write\n{__doc__}")
    write_sheet(Path(sys.argv[1]), parse_config(sys.argv[2:]))


def write_sheet(path: Path, config: TrainConfig) -> None:
    """Write the first samples of a run."""
    side = config.side_at(config.steps - 1)
    dataset = ComposedHumans(
        config.data,
        config.backgrounds,
        side=side,
        length=ROWS * COLUMNS,
        seed=config.seed,
        augmentations=Augmentations(),
    )
    samples = [
        dataset.draw(np.random.default_rng([config.seed, number])) for number in range(len(dataset))
    ]
    strips = [show(pad_to_square(sample, side)) for sample in samples]
    rows = [np.hstack(strips[row * COLUMNS : (row + 1) * COLUMNS]) for row in range(ROWS)]
    Image.fromarray(np.vstack(rows)).save(path, quality=88)


def show(sample: HumanSample) -> np.ndarray:
    """Picture, alpha, depth and normals side by side, uint8 (H, 4 W, 3)."""
    labelled = sample.foreground.astype(np.float32)
    grey = alpha_to_grey(sample.alpha)
    return np.hstack(
        [
            (sample.image * 255 + 0.5).astype(np.uint8),
            np.dstack([grey] * 3),
            # The colours show nearness; depth in metres grows the other way.
            colorize_depth(-sample.depth_m, labelled),
            colorize_normals(sample.normals.transpose(2, 0, 1), labelled),
        ]
    )


if __name__ == "__main__":
    main()
