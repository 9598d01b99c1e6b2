"""The folder of a run: what is complete, what it was made with, and what a kill left behind."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from david_hf.synthetic import GENERATOR_VERSION
from david_hf.synthetic.rendering.sample_files import PARTIAL

from .config import GenerateConfig, GenerateError, Recipe

SETTINGS_NAME = "generator.json"
STALE_S = 3600.0  # an index or a sheet that is not complete by then never will be
MAX_NAMED = 4  # differences that fit on one line


def sample_names(index: int, foreground: bool) -> list[str]:
    """File names of one sample, the one that marks it as complete last."""
    names = [f"rgb_{index:07d}.png", f"alpha_{index:07d}.png", f"depth_{index:07d}.exr"]
    names += [f"normal_{index:07d}.exr", f"factors_{index:07d}.json"]
    if foreground:
        names.append(f"foreground_{index:07d}.exr")
    return [*names, f"cam_{index:07d}.txt"]


def is_complete(folder: Path, index: int, foreground: bool) -> bool:
    """Whether every file of a sample is there."""
    return all((folder / name).is_file() for name in reversed(sample_names(index, foreground)))


def complete_indices(folder: Path, foreground: bool) -> list[int]:
    """Indices of the complete samples, ascending; one look at the folder, however large it is."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        there = {entry.name for entry in entries}
    found = (re.fullmatch(r"cam_(\d{7,})\.txt", name) for name in there)
    marked = [int(match[1]) for match in found if match]
    return sorted(i for i in marked if there.issuperset(sample_names(i, foreground)))


def missing_indices(config: GenerateConfig, wanted: Sequence[int] | None = None) -> list[int]:
    """Indices that are not complete yet, of those wanted: by default, the configuration's."""
    there = set(complete_indices(config.output, config.foreground))
    if wanted is None:
        wanted = range(config.start, config.start + config.count)
    return [index for index in wanted if index not in there]


def partial_folder(folder: Path, index: int) -> Path:
    """A new folder, within `folder`, in which the files of one sample are written."""
    made = folder / f"{PARTIAL}{index:07d}-{uuid.uuid4().hex[:8]}"
    made.mkdir()
    return made


def publish(partial: Path, folder: Path, names: Iterable[str]) -> None:
    """Move the files of a sample from its partial folder into place, in the order of `names`."""
    for name in names:
        (partial / name).replace(folder / name)


def remove_partial(config: GenerateConfig) -> None:
    """Remove what a killed run left of the samples of this one.

    Others may be at work on other indices in the same folder: theirs stay.
    """
    wanted = range(config.start, config.start + config.count)
    for path in config.output.glob(f"{PARTIAL}*"):
        index = re.fullmatch(r"(\d{7,})-[0-9a-f]{8}", path.name.removeprefix(PARTIAL))
        if index is not None and int(index[1]) in wanted:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file() and time.time() - path.stat().st_mtime > STALE_S:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write to, of the same suffix, that becomes `path` at the end or is removed."""
    unfinished = path.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def versions(blender: str) -> dict[str, str]:
    """Versions of what decides how samples look."""
    found = {"generator": str(GENERATOR_VERSION), "blender": blender}
    for name in ("david-hf", "anny"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """What decides the samples of a folder, as plain JSON."""
    config = recipe.config
    folders = {
        "hdri": config.hdri_dir,
        "makehuman": config.makehuman_dir,
        "backgrounds": config.backgrounds_dir,
    }
    names = ("seed", "height", "width", "samples_per_pixel", "num_strands", "texture_size")
    settings = {
        **{name: getattr(config, name) for name in (*names, "foreground", "lens_labels")},
        "versions": recipe.versions,
        "lights": list(recipe.lights),
        "assets": {name: _describe(path) for name, path in folders.items() if path is not None},
        "factors": recipe.tree,
    }
    return dict(json.loads(json.dumps(settings)))  # as it will be read: no tuples, text as keys


def _describe(folder: Path) -> dict[str, Any]:
    """Name of an asset folder and a digest of the names and sizes of its files."""
    files = sorted(
        (path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file()
    )
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]
    return {"folder": folder.resolve().name, "files": len(files), "digest": digest}


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make the folder of a run, or make sure that it was made with the same settings.

    Raises:
        GenerateError: If it holds samples that were made with others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS_NAME
    if path.is_file():
        differences = _differences(read_settings(folder), settings)
        if differences and (any(folder.glob("cam_*.txt")) or _is_at_work(folder)):
            named = "; ".join(differences[:MAX_NAMED])
            more = len(differences) - MAX_NAMED
            rest = f"; and {more} more" if more > 0 else ""
            raise GenerateError(
                f"{folder} was made with other settings: {named}{rest}; take another folder, or "
                "the same settings"
            )
        if not differences:
            return
    elif any(folder.glob("cam_*.txt")):
        raise GenerateError(f"{folder} holds samples without {SETTINGS_NAME}: take another folder")
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(settings, indent=1), "utf-8")


def _is_at_work(folder: Path) -> bool:
    """Whether another run seems to be writing its first samples."""
    young = time.time() - STALE_S
    partial = (path for path in folder.glob(f"{PARTIAL}*") if path.is_dir())
    return any(path.stat().st_mtime > young for path in partial)


def read_settings(folder: Path) -> dict[str, Any]:
    """What the samples of a folder were made with.

    Raises:
        GenerateError: If the file is damaged.
    """
    path = folder / SETTINGS_NAME
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except ValueError as error:
        raise GenerateError(f"{path} is damaged: {error}") from error


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Names at which two trees of settings differ, with short values."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            difference
            for key in sorted(before.keys() | now.keys())
            for difference in _differences(
                before.get(key), now.get(key), f"{name}.{key}" if name else key
            )
        ]
    if before == now:
        return []
    return [f"{name} was {_short(before)}, is {_short(now)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
