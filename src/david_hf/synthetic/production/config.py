"""What to generate, and what every worker needs to know of it."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from david_hf.synthetic.rendering.develop import check_panorama

PANORAMA_SUFFIX = ".exr"
DEFAULT_SAMPLER = "david_hf.synthetic.sampler:make_sampler"


class GenerateError(RuntimeError):
    """What ends a whole run; the message is one line."""


@dataclass(frozen=True)
class GenerateConfig:
    """What to generate and with what.

    Attributes:
        output: Folder of the samples.
        count: Number of samples.
        start: First index.
        seed: Sample i depends on the seed and on i alone.
        height: Picture height, pixels.
        width: Picture width, pixels.
        samples_per_pixel: Cycles samples; 16 is clean enough for bodies, 32-64 for faces.
        num_strands: Hair strands of a full head.
        texture_size: Side of textures, pixels.
        workers: Worker processes, each with a Blender of its own, or None for one per core.
        render_limit_s: Seconds that one render may take.
        blender: A Blender binary, or a Python that can import bpy; None searches for one.
        hdri_dir: Folder of panoramas (.exr), or None.
        blender_hdri: Whether Blender's own panoramas are used as well.
        makehuman_dir: MakeHuman data folder, or None for procedural assets only.
        backgrounds_dir: Folder of photos without people, or None.
        anny_cache_dir: Where anny keeps its blend shapes.
        factors: YAML file that replaces distributions of the package, or None.
        foreground: Whether samples get a foreground layer, for composing them anew.
        lens_labels: Whether depth and normals show the lenses of spectacles.
        ray_address: Address of a Ray cluster that shall do the work, "auto", or None.
        sampler_factory: `module:function` that makes the sampler of a worker.
    """

    output: Path
    count: int
    start: int = 0
    seed: int = 0
    height: int = 512
    width: int = 384
    samples_per_pixel: int = 16
    num_strands: int = 30_000
    texture_size: int = 1024
    workers: int | None = None
    render_limit_s: float = 600.0
    blender: str | None = None
    hdri_dir: Path | None = None
    blender_hdri: bool = True
    makehuman_dir: Path | None = None
    backgrounds_dir: Path | None = None
    anny_cache_dir: Path | None = None
    factors: Path | None = None
    foreground: bool = True
    lens_labels: bool = False
    ray_address: str | None = None
    sampler_factory: str = DEFAULT_SAMPLER

    def check(self) -> None:
        """Refuse folders and files that are not there, and impossible sizes.

        Raises:
            ValueError: If one is missing, or the size is none.
        """
        if min(self.height, self.width) < 16:
            raise ValueError(
                f"expected a size of 16 pixels or more, got {self.height} {self.width}"
            )
        for folder in (self.hdri_dir, self.makehuman_dir, self.backgrounds_dir):
            if folder is not None and not folder.is_dir():
                raise ValueError(f"{folder}: no such folder")
        if self.factors is not None and not self.factors.is_file():
            raise ValueError(f"{self.factors}: no such file")

    def resolved(self) -> "GenerateConfig":
        """The same with absolute paths, for processes that run in other folders."""
        paths = {
            item.name: getattr(self, item.name).resolve()
            for item in fields(self)
            if isinstance(getattr(self, item.name), Path)
        }
        return replace(self, **paths)

    def panoramas(self, blenders: Path | None) -> dict[str, Path]:
        """Panoramas to draw from, by name.

        Args:
            blenders: Folder of those that come with Blender, or None.

        Raises:
            ValueError: If there is none.
        """
        return find_panoramas(self.hdri_dir, blenders if self.blender_hdri else None)

    def num_workers(self, missing: int) -> int:
        """Worker processes for so many missing samples."""
        return max(1, min(self.workers or num_cores(), missing))


@dataclass(frozen=True)
class Recipe:
    """A configuration with everything resolved: what one worker process is given.

    Attributes:
        config: What to make.
        tree: Distributions of all factors.
        lights: Names of the panoramas; every machine must find the same.
        versions: Versions of what decides the pictures, by name; "blender" among them.
        threads: Threads of one Blender.
    """

    config: GenerateConfig
    tree: dict[str, Any]
    lights: tuple[str, ...]
    versions: dict[str, str]
    threads: int = 1


def num_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def find_panoramas(*folders: Path | None) -> dict[str, Path]:
    """Panoramas by file name; of two with one name, the first folder's.

    Raises:
        ValueError: If there is none, or one is not to be read.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*")) if folder is not None else []:
            if path.suffix.lower() == PANORAMA_SUFFIX:
                found.setdefault(path.name, path)
    if not found:
        raise ValueError(
            "no panoramas (.exr) found for the light: this Blender comes without; name a "
            "folder by --hdri"
        )
    for path in found.values():
        check_panorama(path)
    return dict(sorted(found.items()))
