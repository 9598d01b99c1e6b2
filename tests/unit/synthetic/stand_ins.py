"""Stand-ins for anny and Blender: a sampler of empty scenes, a renderer that shows a sphere."""

import json
import stat
import sys
from pathlib import Path

import numpy as np
import OpenEXR

from david_hf.synthetic.mesh import Mesh
from david_hf.synthetic.production.config import GenerateConfig
from david_hf.synthetic.rendering.sample_files import write_exr
from david_hf.synthetic.scene import Face, Light, Part, Scene
from david_hf.synthetic.stage.camera_rig import Camera

HEIGHT, WIDTH = 48, 36
CAMERA = Camera(
    position=np.array([0.0, -2.0, 1.5]),
    right=np.array([1.0, 0, 0]),
    up=np.array([0.0, 0, 1]),
    forward=np.array([0.0, 1, 0]),
    fov_y=0.5,
    height=HEIGHT,
    width=WIDTH,
)
CENTRE, RADIUS = np.array([0.0, 0.0, 1.5]), 0.3

# Plans, by the seed of a scene (10 * index + attempt): crash, fail, hang; `mute` says no hello.
RENDERER = """#!{python}
import json, os, shutil, sys, time
import numpy as np
here = os.path.dirname(os.path.abspath(__file__))
plan = json.load(open(os.path.join(here, "plan.json")))
if "mute" in plan:
    print(plan["mute"], file=sys.stderr)
    sys.exit(1)
print(json.dumps({{"ready": True, "blender": "9.9", "panoramas": None}}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    seed = json.loads(str(np.load(job["scene"])["header"]))["seed"]
    time.sleep(plan.get("delay", 0))
    if seed in plan.get("crash", []):
        print("Error: out of ideas", file=sys.stderr, flush=True)
        os._exit(3)
    if seed in plan.get("hang", []):
        time.sleep(600)
    if seed in plan.get("fail", []):
        print(json.dumps({{"error": "RuntimeError: no such material"}}), flush=True)
        continue
    assert os.path.isfile(job["panorama"])
    shutil.copy(os.path.join(here, "render.exr"), job["output"])
    with open(os.path.join(here, "renders.log"), "a") as log:
        log.write(f"{{seed}}\\n")
    print(json.dumps({{"output": job["output"]}}), flush=True)
"""


class SphereSampler:
    """Scenes of one sphere, a person by courtesy."""

    def sample(self, seed: int, index: int, attempt: int = 0) -> Scene:
        triangle = Mesh(np.eye(3), np.array([[0, 1, 2]]), np.zeros((3, 2)), np.array([[0, 1, 2]]))
        face = CENTRE - [0, RADIUS, 0]
        return Scene(
            seed=1000 * seed + 10 * index + attempt,
            camera=CAMERA,
            parts=[Part("sphere", triangle, np.zeros((4, 4, 3), np.uint8), is_human=True)],
            strands=[],
            light=Light("sky.exr"),
            faces=[Face(face, np.array([0.0, -1, 0]), np.full(3, 0.4))],
            factors={"category": "face", "people": [{"person": {"sex": "female"}}]},
        )


class PickySampler(SphereSampler):
    """Its first scene of sample 1 looks past the face, of sample 2 is an error."""

    def sample(self, seed: int, index: int, attempt: int = 0) -> Scene:
        scene = super().sample(seed, index, attempt)
        if index == 1 and attempt == 0:
            scene.faces[0].position[0] += 5
        if index == 2 and attempt == 0:
            raise ValueError("no such pose")
        return scene


def make_sphere_sampler(**_: object) -> SphereSampler:
    return SphereSampler()


def make_picky_sampler(**_: object) -> PickySampler:
    return PickySampler()


def make_config(folder: Path, count: int = 5, workers: int = 2) -> GenerateConfig:
    """A run whose renderer obeys `plan`, with everything in `folder`."""
    (folder / "hdri").mkdir()
    grey = np.full((16, 32), 0.3)
    write_exr(folder / "hdri" / "sky.exr", R=grey, G=grey, B=grey)
    write_sphere(folder / "render.exr")
    renderer = folder / "renderer"
    renderer.write_text(RENDERER.format(python=sys.executable))
    renderer.chmod(renderer.stat().st_mode | stat.S_IXUSR)
    plan(folder)
    return GenerateConfig(
        output=folder / "out",
        count=count,
        height=HEIGHT,
        width=WIDTH,
        workers=workers,
        blender=str(renderer),
        hdri_dir=folder / "hdri",
        sampler_factory="unit.synthetic.stand_ins:make_sphere_sampler",
    )


def plan(folder: Path, **behaviour: object) -> None:
    """What the renderer shall do from its next start on."""
    (folder / "plan.json").write_text(json.dumps(behaviour))


def renders(folder: Path) -> list[int]:
    """Seeds of the scenes that were rendered, in order."""
    log = folder / "renders.log"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def trace_sphere() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits (H, W), world positions and world normals (H, W, 3) of the sphere."""
    rays = CAMERA.rays()
    towards = rays @ (CENTRE - CAMERA.position)
    gap = np.sum((CENTRE - CAMERA.position) ** 2) - towards**2
    hit = gap < RADIUS**2
    distance = towards - np.sqrt(np.maximum(RADIUS**2 - gap, 0))
    position = CAMERA.position + rays * distance[..., None]
    return hit, position * hit[..., None], (position - CENTRE) / RADIUS * hit[..., None]


def write_sphere(path: Path) -> None:
    """The sphere as `render_cycles.py` would write it."""
    hit, position, normal = trace_sphere()
    alpha = hit.astype(np.float32)
    passes = {
        "Combined": np.dstack([alpha * 0.3, alpha * 0.25, alpha * 0.2, alpha]),
        "N": np.dstack([normal, alpha]),
        "P": np.dstack([position, alpha]),
        "C": np.dstack([alpha, alpha, 0 * alpha, alpha]),
    }
    parts = [
        OpenEXR.Part(
            {"type": OpenEXR.scanlineimage, "name": name},
            {f"ViewLayer.{name}.RGBA": np.ascontiguousarray(pixels.astype(np.float32))},
            name,
        )
        for name, pixels in passes.items()
    ]
    OpenEXR.File(parts).write(str(path))
