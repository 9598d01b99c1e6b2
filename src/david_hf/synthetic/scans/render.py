"""Render scans of people with labels, as SynthHuman files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from david_hf.data.meshes import require_packages
from david_hf.synthetic.production.config import (
    GenerateConfig,
    Recipe,
    find_panoramas,
    num_cores,
)
from david_hf.synthetic.production.folder import (
    settings_of,
    versions,
)
from david_hf.synthetic.production.generate import Report, make_missing
from david_hf.synthetic.production.worker import Outcome
from david_hf.synthetic.rendering.blender import BlenderProcess, find_blender

from .sampler import CATEGORIES, RECIPE_VERSION, list_scans, make_scan_sampler

NUM_EVALUATED = 526  # scans that Sapiens and DAViD evaluate on: all of THuman2.0


@dataclass(frozen=True)
class ScanConfig:
    """Which scans to render and how.

    Attributes:
        root: Folder of the scans.
        output: Folder of the samples.
        ids: Numbers of the scans; None for the first `count`.
        count: Most scans to render, where `ids` is None.
        framings: Some of face, upper_body, full_body.
        hdri_dir: Folder of panoramas (.exr), used besides Blender's own, or None.
        seed: Cameras and lights depend on the seed, the scan and the framing alone.
        height: Picture height, pixels.
        width: Picture width, pixels.
        samples_per_pixel: Cycles samples.
        workers: Processes, each with a Blender of its own, or None for one per core.
        blender: A Blender binary, or a Python that can import bpy; None searches for one.
    """

    root: Path
    output: Path
    ids: tuple[int, ...] | None = None
    count: int = NUM_EVALUATED
    framings: tuple[str, ...] = CATEGORIES
    hdri_dir: Path | None = None
    seed: int = 0
    height: int = 512
    width: int = 512
    samples_per_pixel: int = 32
    workers: int | None = None
    blender: str | None = None

    def indices(self) -> list[int]:
        """Numbers of the samples: three times that of the scan, plus that of the framing.

        Raises:
            ValueError: If a framing is unknown, or if a scan is not there.
        """
        unknown = set(self.framings) - set(CATEGORIES)
        if unknown or not self.framings:
            raise ValueError(f"expected framings out of {CATEGORIES}, got {self.framings}")
        there = list_scans(self.root)
        wanted = there[: self.count] if self.ids is None else sorted(set(self.ids))
        missing = sorted(set(wanted) - set(there))
        if not wanted:
            raise ValueError(
                f"expected a scan or more, got a count of {self.count}, ids {self.ids}"
            )
        if missing:
            raise ValueError(f"{self.root}: expected scan {missing[0]:04d}, which is not there")
        numbers = [CATEGORIES.index(framing) for framing in self.framings]
        return [len(CATEGORIES) * scan + number for scan in wanted for number in sorted(numbers)]


def render_scans(
    config: ScanConfig,
    on_progress: Callable[[Report, Outcome | None], None] = lambda report, outcome: None,
) -> Report:
    """Render what is missing of a folder; then write its `index.parquet` and `contact_sheet.jpg`.

    Args:
        config: What to render.
        on_progress: Called at the start, with None, and with each outcome.

    Returns:
        How it went; Ctrl-C ends a run early, not with an exception.

    Raises:
        ValueError: If an input is missing or wrong.
        RenderError: If there is no Blender.
        GenerateError: If the folder was made with other settings, or a worker cannot go on.
        OSError: If the folder cannot be written.
    """
    require_packages("trimesh")
    indices = config.indices()
    recipe = _prepare(config, indices)
    settings = settings_of(recipe) | {"factors": {"scans": RECIPE_VERSION}}
    return make_missing(recipe, indices, settings, on_progress)


def _prepare(config: ScanConfig, indices: list[int]) -> Recipe:
    """The same for workers: `make_scan_sampler` takes the place of the sampler of people."""
    run = GenerateConfig(
        output=config.output,
        count=max(indices) + 1,
        seed=config.seed,
        height=config.height,
        width=config.width,
        samples_per_pixel=config.samples_per_pixel,
        workers=config.workers,
        blender=config.blender,
        hdri_dir=config.hdri_dir,
        foreground=False,
        sampler_factory=f"{make_scan_sampler.__module__}:{make_scan_sampler.__name__}",
    )
    run.check()
    with BlenderProcess(find_blender(config.blender)) as blender:
        lights = tuple(find_panoramas(config.hdri_dir, blender.panoramas))
        found = versions(blender.version)
    threads = 1 if config.workers is None else max(1, num_cores() // config.workers)
    tree = {"scans": str(config.root.resolve())}
    return Recipe(run, tree, lights, found, threads)
