"""Scans of people, really rendered. `make test-synthetic` runs this."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scan_layouts import write_thuman

from david_hf.data.check import check_dataset
from david_hf.data.meshes import PinholeCamera, render_mesh
from david_hf.data.sources.thuman import THuman20
from david_hf.synthetic.rendering.blender import BlenderProcess, find_blender
from david_hf.synthetic.scans.sampler import CATEGORIES, ScanSampler, read_scan
from david_hf.synthetic.stage.camera_rig import Camera

pytestmark = pytest.mark.blender
SIZE = (96, 80)


def command(scans: Path, output: Path, *options: object) -> list[str]:
    david = Path(sys.executable).with_name("david")
    words = (david, "data", "render", "thuman2.0", scans, output, "--size", *SIZE, "--workers", 1)
    return [str(word) for word in (*words, *options)]


def opencv_camera(camera: Camera) -> PinholeCamera:
    intrinsics = camera.intrinsics()
    intrinsics[:2, 2] -= 0.5
    rotation = np.stack([camera.right, -camera.up, camera.forward])
    return PinholeCamera(
        intrinsics, rotation, -rotation @ camera.position, camera.height, camera.width
    )


def test_a_scan_is_rendered_in_three_framings_and_a_run_goes_on(tmp_path: Path) -> None:
    scans, output = tmp_path / "scans", tmp_path / "out"
    write_thuman(scans, 1, rings=64)
    quick = ("--samples-per-pixel", 16)

    subprocess.run(command(scans, output, *quick), check=True)

    everything = THuman20(output, "all")
    assert [len(THuman20(output, category)) for category in CATEGORIES] == [1, 1, 1]
    with BlenderProcess(find_blender(os.environ.get("DAVID_BLENDER"))) as blender:
        assert blender.panoramas is not None
        lights = sorted(path.name for path in blender.panoramas.glob("*.exr"))
    mesh = read_scan(scans, 1).mesh
    for position, index in enumerate((3, 4, 5)):
        sample, factors = everything[position], everything.factors(position)
        scene = ScanSampler(scans, tuple(lights), SIZE).sample(0, index, factors["attempt"])
        # Two renderers that have nothing in common agree.
        cast = render_mesh(mesh.vertices, mesh.faces, opencv_camera(scene.camera), supersample=5)
        assert sample.depth_m is not None
        assert sample.normals is not None
        assert sample.alpha is not None
        assert sample.category == factors["category"] == CATEGORIES[position]
        assert np.abs(sample.alpha - cast.alpha).mean() < 0.01
        solid = (sample.alpha > 0.99) & (cast.alpha > 0.99)
        assert solid.mean() > 0.03
        off = np.abs(sample.depth_m - cast.depth_m)[solid]
        assert np.median(off) < 0.002
        assert np.percentile(off, 95) < 0.01
        cosine = (sample.normals * cast.normals).sum(-1)[solid]
        assert np.median(np.degrees(np.arccos(np.clip(cosine, -1, 1)))) < 1
        np.testing.assert_allclose(sample.intrinsics, scene.camera.intrinsics(), atol=1e-4)

    (report,) = check_dataset("thuman2.0", output)
    assert report.problems == ["expected 1,578 samples, found 3: some are missing"]

    before = {path.name: path.read_bytes() for path in output.iterdir()}
    for name in ("cam_0000004.txt", "index.parquet"):
        (output / name).unlink()
    (output / ".partial-0000004-0a1b2c3d").mkdir()
    times = {path.name: path.stat().st_mtime_ns for path in output.glob("*_0000003.*")}
    subprocess.run(command(scans, output, *quick), check=True)

    after = {path.name: path.read_bytes() for path in output.iterdir()}
    assert after.keys() == before.keys()
    assert {n: c for n, c in after.items() if "_000000" in n} == {
        n: c for n, c in before.items() if "_000000" in n
    }
    assert times == {path.name: path.stat().st_mtime_ns for path in output.glob("*_0000003.*")}

    refused = subprocess.run(
        command(scans, output, *quick, "--seed", 1), capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert "seed was 0, is 1" in refused.stderr
    assert json.loads((output / "generator.json").read_text())["seed"] == 0
