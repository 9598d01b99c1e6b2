"""The real generator: anny samples, Blender renders. `make test-synthetic` runs this."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from unit.synthetic.test_labels import write_panorama

from david_hf.data.composition import load_figure
from david_hf.data.synthhuman import SynthHumanFolder

pytestmark = pytest.mark.blender
BLENDER = os.environ.get("DAVID_BLENDER", "blender")
COUNT = 3


def synthesize(output: Path, hdri: Path, *options: str) -> None:
    command = [Path(sys.executable).with_name("david"), "synthesize", output, "--hdri", hdri]
    command += ["--blender", BLENDER, "--count", COUNT, "--size", 96, 72, *options]
    command += ["--strands", 2000, "--texture-size", 128, "--samples-per-pixel", 4]
    subprocess.run([str(word) for word in command], check=True)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face, an upper body and a full body, made of procedural assets alone."""
    root = tmp_path_factory.mktemp("synthesize")
    (root / "hdri").mkdir()
    write_panorama(root / "hdri" / "grey.exr", 0.5)
    synthesize(root / "out", root / "hdri")
    return root


def test_the_labels_are_complete_and_agree(samples: Path) -> None:
    folder = SynthHumanFolder(samples / "out")

    assert len(folder) == COUNT
    assert {folder.factors(i)["category"] for i in range(COUNT)} == {
        "face",
        "upper_body",
        "full_body",
    }
    for sample in folder:  # reading checks sizes and the frame of the normals
        solid = sample.foreground
        assert 0.03 < solid.mean() < 0.95
        assert 0.1 < sample.depth_m[solid].min() < sample.depth_m[solid].max() < 15
        # What the camera sees faces it, but for a few pixels on rims.
        assert (sample.normals[solid][:, 2] > -0.1).mean() > 0.97


def test_normals_are_the_slope_of_the_depth(samples: Path) -> None:
    sample = SynthHumanFolder(samples / "out")[2]
    focal, centre = sample.intrinsics[0, 0], sample.intrinsics[:2, 2]
    y, x = np.mgrid[0:96, 0:72] + 0.5
    points = np.stack([(x - centre[0]) / focal, -(y - centre[1]) / focal, -np.ones_like(x)], -1)
    points *= sample.depth_m[..., None]
    across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    slope = np.cross(across, -down)
    slope /= np.linalg.norm(slope, axis=-1, keepdims=True) + 1e-9
    inner = sample.foreground.copy()
    for _ in range(2):
        inner[1:-1, 1:-1] &= inner[2:, 1:-1] & inner[:-2, 1:-1] & inner[1:-1, 2:] & inner[1:-1, :-2]
    inner = inner[1:-1, 1:-1]

    cosine = (slope * sample.normals[1:-1, 1:-1]).sum(-1)[inner]

    assert np.median(cosine) > 0.85


def test_figures_can_be_composed(samples: Path) -> None:
    figure = load_figure(SynthHumanFolder(samples / "out"), 2)

    assert not any(figure.cut)
    assert figure.layers[3].max() > 0.99


def test_the_same_seed_makes_the_same_picture(samples: Path) -> None:
    name = "rgb_0000001.png"
    before = (samples / "out" / name).read_bytes()
    (samples / "out" / "cam_0000001.txt").unlink()

    synthesize(samples / "out", samples / "hdri")

    assert (samples / "out" / name).read_bytes() == before
