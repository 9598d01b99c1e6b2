"""The work of one process: sample a scene, render it, check it, write it."""

import contextlib
import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from david_hf.data.backgrounds import find_photos
from david_hf.synthetic.rendering.blender import (
    BlenderProcess,
    BlenderStartError,
    RenderError,
    find_blender,
)
from david_hf.synthetic.rendering.labels import Render, read_render
from david_hf.synthetic.rendering.sample_files import Sample, develop_sample, write_sample
from david_hf.synthetic.scene import Scene

from .config import DEFAULT_SAMPLER, GenerateConfig, GenerateError, Recipe
from .folder import is_complete, partial_folder, publish, sample_names, versions
from .quality import check

MAX_ATTEMPTS = 8  # scenes drawn for one sample
READY = ".david-ready"  # in anny's cache
SCRATCH = "david_scene_"
STALE_S = 3600.0  # no scene takes so long


class Sampler(Protocol):
    """What makes scenes."""

    def sample(self, seed: int, index: int, attempt: int = 0) -> Scene:
        """The scene of these three numbers, always the same."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What became of one sample.

    Attributes:
        index: Its number.
        error: Why it could not be made, or None.
        rejected: Reasons for which scenes drawn for it were rejected.
    """

    index: int
    error: str | None = None
    rejected: tuple[str, ...] = ()


class SampleMaker:
    """Makes samples, one at a time, with a sampler and a Blender of its own.

    Args:
        recipe: What to make.

    Raises:
        GenerateError: If this machine finds other inputs than the one that began the run.
        BlenderStartError: If Blender does not start.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe, self._config = recipe, recipe.config
        self._blender = BlenderProcess(
            find_blender(recipe.config.blender), recipe.config.render_limit_s, recipe.threads
        )
        try:
            self._panoramas = recipe.config.panoramas(self._blender.panoramas)
            self._check_machine()
            backgrounds = recipe.config.backgrounds_dir
            self._photos = find_photos(backgrounds) if backgrounds else []
            self._sampler = _make_sampler(recipe)
        except BaseException:
            self._blender.close()
            raise
        remove_stale_scratch()
        self._scratch = tempfile.TemporaryDirectory(prefix=SCRATCH)
        self._has_drawn = False

    def _check_machine(self) -> None:
        """Samples must not depend on which machine makes them."""
        here = versions(self._blender.version)
        for name, wanted in self._recipe.versions.items():
            if here[name] != wanted:
                raise GenerateError(
                    f"this machine has {name} {here[name]}, the run began with {wanted}"
                )
        if tuple(self._panoramas) != self._recipe.lights:
            raise GenerateError("this machine finds other panoramas than the one that began")

    def close(self) -> None:
        """End Blender and remove the scratch files."""
        self._blender.close()
        self._scratch.cleanup()

    def make(self, index: int) -> Outcome:
        """Make one sample, unless it is complete.

        Scenes that fail the checks are drawn again; what is kept depends on the seed and the index
        alone.

        Raises:
            GenerateError: If it cannot be written.
            BlenderStartError: If Blender cannot be started again.
        """
        if is_complete(self._config.output, index, self._config.foreground):
            return Outcome(index)
        rejected: list[str] = []
        try:
            for attempt in range(MAX_ATTEMPTS):
                scene = self._draw(index, attempt, rejected)
                if scene is None:
                    continue
                render = self._render(scene)
                sample = self._develop(scene, render)
                reasons = check(sample, scene, render)
                if not reasons:
                    self._write(index, attempt, sample, rejected)
                    return Outcome(index, None, tuple(rejected))
                rejected += reasons
        except (BlenderStartError, GenerateError):
            raise
        except (OSError, MemoryError) as error:
            raise GenerateError(f"sample {index}: {_describe(error)}") from error
        except Exception as error:  # one odd scene must not end a night's work
            return Outcome(index, _describe(error), tuple(rejected))
        reasons = list(dict.fromkeys(rejected))
        return Outcome(
            index, f"rejected {MAX_ATTEMPTS} times: {'; '.join(reasons)}", tuple(rejected)
        )

    def _draw(self, index: int, attempt: int, rejected: list[str]) -> Scene | None:
        """A scene; None, and a reason more, if this attempt gives none."""
        try:
            scene = self._sampler.sample(self._config.seed, index, attempt)
        except (OSError, MemoryError):
            raise
        except (KeyError, TypeError, AttributeError, NameError) as error:
            if self._has_drawn:
                raise
            # No odd scene but a wrong distribution, with which no other could be drawn either.
            raise GenerateError(f"sample {index} cannot be drawn: {_describe(error)}") from error
        except Exception as error:
            rejected.append(f"sampling {_describe(error)}")
            return None
        self._has_drawn = True
        return replace(scene, lens_labels=self._config.lens_labels)

    def _render(self, scene: Scene) -> Render:
        """Render; if it fails, Blender is started anew and the scene tried once more."""
        scene_path = Path(self._scratch.name) / "scene.npz"
        scene.save(scene_path)
        try:
            return self._render_once(scene, scene_path)
        except RenderError:
            self._blender.restart()
            try:
                return self._render_once(scene, scene_path)
            except RenderError:
                self._blender.restart()
                raise
        finally:
            scene_path.unlink(missing_ok=True)  # a process that is killed leaves little

    def _render_once(self, scene: Scene, scene_path: Path) -> Render:
        exr_path = scene_path.with_suffix(".exr")
        self._blender.render(
            {
                "scene": str(scene_path),
                "output": str(exr_path),
                "panorama": str(self._panoramas[scene.light.panorama].resolve()),
                "samples": self._config.samples_per_pixel,
            }
        )
        try:
            return read_render(exr_path, scene)
        except Exception as error:  # OpenEXR raises what it likes at damaged files
            raise RenderError(f"the render cannot be read: {_describe(error)}") from error
        finally:
            exr_path.unlink(missing_ok=True)

    def _develop(self, scene: Scene, render: Render) -> Sample:
        return develop_sample(scene, render, self._panoramas[scene.light.panorama], self._photos)

    def _write(self, index: int, attempt: int, sample: Sample, rejected: list[str]) -> None:
        config = self._config
        origin = {
            "index": index,
            "seed": config.seed,
            "attempt": attempt,
            "rejected": rejected,
            "versions": self._recipe.versions,
        }
        sample = replace(sample, factors=sample.factors | origin)
        # A machine given up for dead may be making this sample, too: it writes into another folder.
        partial = partial_folder(config.output, index)
        try:
            write_sample(partial, index, sample, config.foreground)
            publish(partial, config.output, sample_names(index, config.foreground))
        except Exception as error:  # OpenEXR raises RuntimeError at a full disk
            raise GenerateError(
                f"{config.output}: cannot write sample {index}: {_describe(error)}"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def remove_stale_scratch() -> None:
    """Remove what workers that were killed left among the temporary files."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):  # of somebody else
            if time.time() - folder.stat().st_mtime > STALE_S:  # each scene is put in and taken out
                shutil.rmtree(folder, ignore_errors=True)


def _make_sampler(recipe: Recipe) -> Sampler:
    config = recipe.config
    module, _, name = config.sampler_factory.partition(":")
    factory: Callable[..., Any] = getattr(importlib.import_module(module), name)
    alone = first_alone(config) if config.sampler_factory == DEFAULT_SAMPLER else None
    with alone or contextlib.nullcontext():
        made: Sampler = factory(
            lights=list(recipe.lights),
            size=(config.height, config.width),
            tree=recipe.tree,
            num_strands=config.num_strands,
            texture_size=config.texture_size,
            makehuman_dir=config.makehuman_dir,
            anny_cache_dir=config.anny_cache_dir,
            has_photos=config.backgrounds_dir is not None,
        )
    return made


@contextlib.contextmanager
def first_alone(config: GenerateConfig) -> Iterator[None]:
    """Let one process build anny's cache while the others wait.

    anny writes it in place: who reads it at that time finds half of it. Once it is built, nobody
    waits.
    """
    default = os.environ.get("ANNY_CACHE_DIR") or Path.home() / ".cache" / "anny"
    cache = Path(config.anny_cache_dir or default)
    if _is_ready(cache) or os.name == "nt":  # Windows has no flock
        yield
        return
    import fcntl

    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".david-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_ready(cache):
            building = cache / ".david-building"
            if building.exists():  # it was killed while it wrote: anny cannot read what is there
                for half in cache.glob("v[0-9]*"):
                    if half.is_dir() and half.name[1:].isdigit():
                        shutil.rmtree(half)
            building.touch()
            yield
            (cache / READY).write_text(_anny_version())
            building.unlink()
            return
    yield


def _is_ready(cache: Path) -> bool:
    """Whether this anny's cache was built to its end, and is still there."""
    mark = cache / READY
    is_ours = mark.is_file() and mark.read_text() == _anny_version()
    return is_ours and any(cache.glob("v[0-9]*/*"))


def _anny_version() -> str:
    return versions("")["anny"]


def _describe(error: BaseException) -> str:
    """One line: the message of what this package raises, else with the kind of error."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RenderError) else f"{type(error).__name__}: {text}"
