"""Measure the generator: pictures per hour, where the time goes, and how good the labels are.

    python benchmarks/synthetic.py SCRATCH [--count 24] [--size 256 192 --size 512 384]
        [--hdri DIR] [--makehuman-data DIR] [--backgrounds DIR] [--anny-cache DIR] [--output FILE]

Speed: `david synthesize` makes COUNT samples of each size, with one worker per core, into SCRATCH;
then one worker makes as many alone and the stages of its work are timed.
Labels, of the same scenes: the angle between normals and the slope of the depth on skin and cloth;
and alpha against that of the same scene at 64 samples per pixel with adaptive sampling off.
Prints tables and writes them to benchmarks/synthetic.json.
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

from david_hf.data.composition import find_photos
from david_hf.synthetic.production.config import GenerateConfig, find_panoramas
from david_hf.synthetic.production.generate import generate, prepare
from david_hf.synthetic.production.quality import normal_agreement
from david_hf.synthetic.rendering.blender import BlenderProcess, find_blender
from david_hf.synthetic.rendering.labels import Render, read_render
from david_hf.synthetic.rendering.sample_files import develop_sample, write_sample
from david_hf.synthetic.sampler import make_sampler
from david_hf.synthetic.scene import Scene

RESULTS = Path(__file__).parent / "synthetic.json"
REFERENCE_SAMPLES = 64
# What pictures of a size are trained on: smaller ones show less of hair and cloth.
SETTINGS = {256: (12, 12_000, 512), 512: (12, 20_000, 1024)}


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


def measure_stages(config: GenerateConfig) -> dict[str, Any]:
    """Seconds per sample by stage with one worker, and the quality of the labels."""
    recipe, watch = prepare(config), Stopwatch()
    sampler = make_sampler(
        list(recipe.lights),
        (config.height, config.width),
        recipe.tree,
        config.num_strands,
        config.texture_size,
        config.makehuman_dir,
        config.anny_cache_dir,
        has_photos=config.backgrounds_dir is not None,
    )
    photos = find_photos(config.backgrounds_dir) if config.backgrounds_dir else []
    scratch = config.output.with_name("stages")
    scratch.mkdir(parents=True, exist_ok=True)
    angles, differences = [], []
    sampler.sample(config.seed, 10**6)  # fills the caches that a long run has filled
    with BlenderProcess(find_blender(config.blender)) as blender:
        panoramas = find_panoramas(config.hdri_dir, blender.panoramas)
        for index in range(config.count):
            with watch.stage("sample the scene"):
                scene = sampler.sample(config.seed, index)
            panorama = panoramas[scene.light.panorama]
            with watch.stage("render"):
                made = render(blender, scene, panorama, scratch, samples=config.samples_per_pixel)
            with watch.stage("develop and write"):
                sample = develop_sample(scene, made, panorama, photos)
                write_sample(scratch, index, sample)
            found = normal_agreement(
                sample.depth_cm / 100, sample.normals, sample.alpha, sample.intrinsics, made.strands
            )
            if len(found):
                angles.append(found)
            fine = render(
                blender, scene, panorama, scratch, samples=REFERENCE_SAMPLES, adaptive=False
            )
            differences.append(float(np.abs(fine.alpha - made.alpha).mean()))
    shutil.rmtree(scratch)
    return {
        "seconds_per_sample": {k: round(v / config.count, 3) for k, v in watch.seconds.items()},
        "median_angle_deg": round(float(np.median(np.concatenate(angles))), 2),
        "median_angle_deg_of_median_sample": round(
            float(np.median([np.median(a) for a in angles])), 2
        ),
        "alpha_difference": round(float(np.mean(differences)), 5),
        "samples_compared": len(differences),
    }


def measure(args: argparse.Namespace, height: int, width: int) -> dict[str, Any]:
    """Everything about one size."""
    config = configure(args, height, width)
    shutil.rmtree(config.output, ignore_errors=True)
    generate(replace(config, count=2, start=10**6))  # starts everything once
    report = generate(config)
    if report.failed:
        raise SystemExit(f"samples failed: {report.failed}")
    return {
        "size": [height, width],
        "samples_per_pixel": config.samples_per_pixel,
        "strands": config.num_strands,
        "texture_size": config.texture_size,
        "count": config.count,
        "rejected": dict(report.rejected),
        "per_hour": round(report.per_hour),
        **measure_stages(config),
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    stages = list(results[0]["seconds_per_sample"])
    lines = [
        "| size | pictures per hour | "
        + " | ".join(f"{stage}, s" for stage in stages)
        + " | normals against depth | alpha against 64 samples |",
        "|---" * (4 + len(stages)) + "|",
    ]
    for row in results:
        seconds = " | ".join(f"{row['seconds_per_sample'][stage]:.2f}" for stage in stages)
        size = "{} x {}".format(*row["size"])
        lines.append(
            f"| {size} | {row['per_hour']} | {seconds} | {row['median_angle_deg']:.2f} degrees "
            f"| {row['alpha_difference']:.4f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scratch", type=Path, help="folder for the samples, rewritten")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--size", type=int, nargs=2, action="append", metavar=("H", "W"))
    for name in ("--hdri", "--makehuman-data", "--backgrounds", "--anny-cache"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    results = [measure(args, *size) for size in args.size or [(256, 192), (512, 384)]]
    device = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    args.output.write_text(json.dumps({"device": device, "results": results}, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
