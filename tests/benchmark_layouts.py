"""The data set of every benchmark in miniature, in the layouts that are published."""

import json
import shutil
from pathlib import Path

from layouts import write_backgrounds, write_cut_outs, write_p3m, write_plain, write_ppm
from scan_layouts import write_goliath_capture, write_hi4d

from david_hf.data.sources.goliath import FRAMES

SAMPLES = Path(__file__).parents[1] / "training" / "sample_data"
SUBJECT = "AXE977"
# Indices that fall to SynthHuman's validation split.
HELD_OUT = (2, 24, 34)
_GOLIATH = {
    "face": ("m--20230306--0707--AXE977--pilot--ProjectGoliath--Head", (401650, 401645)),
    "upper_body": ("s--20230306--1300--AXE977--pilot--ProjectGoliath--ClothedBody", (401541,)),
    "full_body": ("s--20230306--1300--AXE977--pilot--ProjectGoliath--ClothedBody", (401156,)),
}


def write_benchmark(name: str, root: Path) -> list[str]:
    """Write the data set of a benchmark.

    Args:
        name: Of the benchmark.
        root: Folder of the data set, which must not exist.

    Returns:
        What `david evaluate` takes besides --data.
    """
    root.mkdir(parents=True)
    if name.startswith("goliath"):
        split = name.removeprefix("goliath-").replace("-", "_")
        capture, cameras = _GOLIATH[split]
        write_goliath_capture(root, capture, FRAMES[split][SUBJECT], cameras)
    elif name.startswith("p3m"):
        write_p3m(root, f"P3M-500-{name.rpartition('-')[2].upper()}")
    elif name == "hi4d":
        write_hi4d(root)
    elif name == "ppm-100":
        write_ppm(root)
    elif name == "folder":
        write_plain(root)
    elif name == "photomatte85":
        write_cut_outs(root / "people")
        write_backgrounds(root / "backgrounds")
        return ["--data", str(root / "people"), "--option", f"backgrounds={root / 'backgrounds'}"]
    elif name == "synthhuman":
        for factors, held_out in zip(
            sorted(SAMPLES.glob("factors_*.json")), HELD_OUT, strict=False
        ):
            _copy_sample(factors.stem.removeprefix("factors_"), root, f"{held_out:07d}")
    else:
        write_people(root)
    return ["--data", str(root)]


def write_people(root: Path, per_category: int = 2) -> None:
    """Rendered people, some of each category, as `david synthesize` writes them."""
    counts: dict[str, int] = {}
    for factors in sorted(SAMPLES.glob("factors_*.json")):
        category = json.loads(factors.read_text())["category"]
        counts[category] = counts.get(category, 0) + 1
        if counts[category] <= per_category:
            _copy_sample(factors.stem.removeprefix("factors_"), root)


def _copy_sample(index: str, root: Path, new_index: str | None = None) -> None:
    for path in SAMPLES.glob(f"*_{index}.*"):
        shutil.copy(path, root / path.name.replace(index, new_index or index))
