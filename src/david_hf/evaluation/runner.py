"""One model on one benchmark, by any number of processes, from wherever a killed run stopped."""

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch.utils.data import DataLoader, Subset

from david_hf.atomic import write_text
from david_hf.data.sources.base import SampleSource, choose_positions
from david_hf.data.sources.listing import naming

from .benchmarks.registry import Benchmark, DepthProtocol
from .examples import write_examples
from .journal import Journal, read_journals
from .measure import POOL_BINS_PER_DEG, AlignmentGroup, Measured
from .metrics.normals import NormalPool
from .predictors.base import Maps, Predictor
from .results import EvaluationResult, ImageResult, Metrics
from .samples import TestSample, TestSamples, digest

PARTS = "parts"
SETTINGS = "settings.json"
PACKAGES = (
    "david-hf", "torch", "transformers", "numpy", "scipy", "opencv-python-headless", "pillow"
)  # fmt: skip


@dataclass(frozen=True)
class RunOptions:
    """How a run is done; none of this changes what a number means.

    Attributes:
        batch_size: Photos that are predicted together.
        num_workers: Loader processes of each process; 0 loads between the predictions.
        limit: Most images, spread evenly over the data set; None for all.
        data_options: What the data set takes besides.
        groups: Groups by identifier of the image, by which results may be sliced.
        examples: Whether to make pictures of the best, the median and the worst image.
    """

    batch_size: int = 1
    num_workers: int = 1
    limit: int | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, dict[str, str]] = field(default_factory=dict)
    examples: bool = True


def evaluate(
    benchmark: Benchmark,
    root: Path,
    predictor: Predictor,
    output: Path,
    options: RunOptions | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluationResult | None:
    """Measure a model on a benchmark and write metrics.json.

    Started under `accelerate launch`, the processes share the work. Every image is on disk as soon
    as it is measured: a run that was killed goes on where it stopped, with any number of processes.

    Args:
        benchmark: What to measure, and how.
        root: Folder of the data set.
        predictor: The model, on the device of this process.
        output: Folder of the results, made if needed.
        options: How to go about it.
        on_progress: Called in the main process with the number of images that are done, as far as
            it can tell, and of all.

    Returns:
        The result, in the main process; None in the others.

    Raises:
        ValueError: If there is no such data set, if a sample is damaged, if model and benchmark
            have no task in common, or if `output` holds the results of something else, or of data
            that was changed since.
        OSError: If the results cannot be written.
    """
    options = options or RunOptions()
    source = benchmark.open(root, options.data_options)
    if benchmark.depth.group == "sequence" and source.sequence(0) is None:
        raise ValueError(
            f"{source.name} tells no sequences apart: expected one alignment for each image or for "
            "the data set"
        )
    shared = [task for task in benchmark.tasks if task in predictor.tasks]
    if not shared:
        raise ValueError(
            f"expected a model that predicts {' or '.join(benchmark.tasks)}, which "
            f"{benchmark.name} measures; {predictor.name} predicts {', '.join(predictor.tasks)}"
        )
    settings = run_settings(benchmark, source, predictor, options)
    positions = choose_positions(len(source), options.limit)
    state = process_state()
    if state.is_main_process:
        claim(output, settings)
    state.wait_for_everyone()
    done = read_journals(output / PARTS)
    if state.is_main_process:
        _check_unchanged(source, done)
    state.wait_for_everyone()  # nobody writes before all have read
    run = _Run(benchmark, predictor, TestSamples(source, benchmark), options)
    units = [
        unit
        for unit in _units(source, positions, benchmark.depth.group)
        if not done.keys() >= set(unit)
    ]
    measured_here = 0
    mine = units[state.process_index :: state.num_processes]
    with Journal(output / PARTS, state.process_index) as journal:
        for position, measured in run.measure(mine):
            journal.add(position, measured)
            measured_here += 1
            # The others are taken to be as far: to read what they wrote would take longer.
            finished = len(done) + measured_here * state.num_processes
            if state.is_main_process:
                on_progress(min(finished, len(positions)), len(positions))
    state.wait_for_everyone()
    if not state.is_main_process:
        return None
    return _finish(run, output, settings, positions)


def process_state(device: str | None = None) -> PartialState:
    """This process among those that were started together, and its device.

    Args:
        device: Where to run; None takes an accelerator if there is one.
    """
    is_cpu = device == "cpu" or not torch.accelerator.is_available()
    # On a CPU it finds its fellows only if told so. They may wait long for each other: one
    # alignment for the whole data set is the work of one process.
    return PartialState(cpu=is_cpu, timeout=timedelta(days=1))


def process_device(device: str | None = None) -> torch.device | str | None:
    """Device of this process: the one asked for, its own of several GPUs, or None for any."""
    own = process_state(device).device
    return device or (own if own.type in ("cpu", "cuda") else None)


def claim(output: Path, settings: dict[str, Any]) -> None:
    """Make the folder of a run, or make sure that it holds the results of the same run.

    Raises:
        ValueError: If it was made with other settings.
        OSError: If it cannot be made.
    """
    output.mkdir(parents=True, exist_ok=True)
    path = output / SETTINGS
    if path.is_file():
        before = _read_settings(path)
        if before != settings:
            changed = ", ".join(_differences(before, settings))
            raise ValueError(
                f"{output} holds an evaluation with other settings ({changed}); take another "
                "folder, or the same settings"
            )
        return
    if any(not found.name.startswith(".") for found in output.iterdir()):
        raise ValueError(f"{output}: expected a folder for the results, got one with other files")
    write_text(path, json.dumps(settings, indent=1) + "\n")


def _check_unchanged(source: SampleSource, done: Mapping[int, Measured]) -> None:
    """Refuse to go on where pictures or labels are others than those that were measured.

    Raises:
        ValueError: If one is.
    """
    if source.renders_rows:
        return
    for position, measured in done.items():
        row = source.row(position)
        if (row["id"], digest(row)) != (measured.image.id, measured.image.sha256):
            raise ValueError(
                f"{source.root}: expected the data that was measured before, but {row['id']} is "
                f"not, or no longer, what {measured.image.id} was; take another folder for the "
                "results"
            )


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: damaged ({error}); remove the folder, or take another one"
        ) from error


def run_settings(
    benchmark: Benchmark, source: SampleSource, predictor: Predictor, options: RunOptions
) -> dict[str, Any]:
    """All that decides the numbers, as JSON."""
    data: dict[str, Any] = {
        "root": str(source.root.resolve()),
        "num_samples": len(source),
        "options": {key: str(value) for key, value in sorted(options.data_options.items())},
    }
    if hasattr(source, "backgrounds_sha256"):
        data["backgrounds_sha256"] = source.backgrounds_sha256
    settings = {
        "benchmark": benchmark.settings(),
        "data": data,
        "model": {
            "name": predictor.name,
            "tasks": predictor.tasks,
            **predictor.describe(),
            "depth_space": predictor.depth_space,
        },
        # Sums depend on both in their last digits.
        "batch_size": options.batch_size,
        "threads": torch.get_num_threads(),
        # Of images that share an alignment, each decides about the others.
        "limit": None if benchmark.depth.group == "image" else options.limit,
        "versions": {"python": platform.python_version(), **_versions()},
    }
    return dict(json.loads(json.dumps(settings)))


@dataclass(frozen=True)
class _Run:
    benchmark: Benchmark
    predictor: Predictor
    samples: TestSamples
    options: RunOptions

    def measure(self, units: Sequence[Sequence[int]]) -> Iterator[tuple[int, Measured]]:
        """Position and result of each image of some groups that share an alignment."""
        positions = [position for unit in units for position in unit]
        lengths = iter([len(unit) for unit in units])
        group, left = self._group(), next(lengths, 0)
        members: list[int] = []
        for test, maps in self._predictions(positions):
            with naming(test.sample.identifier):
                group.add(test, maps)
            members.append(test.position)
            if len(members) == left:
                with naming(test.sample.identifier):
                    found = group.finish()
                yield from zip(members, found, strict=True)
                group, left, members = self._group(), next(lengths, 0), []

    def predict(self, position: int) -> tuple[TestSample, Maps]:
        """Sample and maps of one image."""
        return next(self._predictions([position]))

    @property
    def protocol(self) -> DepthProtocol:
        """How depth is aligned, in a space that is decided."""
        depth = self.benchmark.depth
        return replace(depth, space=depth.space or self.predictor.depth_space)

    def _group(self) -> AlignmentGroup:
        return AlignmentGroup(self.benchmark, self.protocol)

    def _predictions(self, positions: Sequence[int]) -> Iterator[tuple[TestSample, Maps]]:
        for batch in self._batches(positions):
            maps = self.predictor.predict([test.photo for test in batch])
            yield from zip(batch, map(self._turned, maps), strict=True)

    def _turned(self, maps: Maps) -> Maps:
        """Depth that grows as the ground truth does, for the fit that turns nothing by itself."""
        protocol = self.protocol
        is_fine = protocol.estimator != "median_mad" or protocol.space == self.predictor.depth_space
        return maps if is_fine or maps.depth is None else replace(maps, depth=-maps.depth)

    def _batches(self, positions: Sequence[int]) -> Iterator[list[TestSample]]:
        workers = self.options.num_workers if len(positions) > 1 else 0
        loader: Any = DataLoader(
            Subset(self.samples, positions),  # type: ignore[arg-type]  # not torch's Dataset
            batch_size=self.options.batch_size,
            num_workers=workers,
            collate_fn=list,
        )
        for batch in loader:
            for test in batch:
                if isinstance(test, ValueError):
                    raise test
            yield batch


def _units(source: SampleSource, positions: Sequence[int], group: str) -> list[list[int]]:
    """Positions by what shares one alignment."""
    if group == "image":
        return [[position] for position in positions]
    units: dict[str | None, list[int]] = {}
    for position in positions:
        name = source.sequence(position) if group == "sequence" else "all"
        units.setdefault(name, []).append(position)
    return list(units.values())


def _finish(
    run: _Run, output: Path, settings: dict[str, Any], positions: Sequence[int]
) -> EvaluationResult:
    """Gather what all processes measured, and write it."""
    found = read_journals(output / PARTS)
    measured = [found[position] for position in positions]
    images = _with_groups([one.image for one in measured], run.options.groups)
    if not any(image.metrics for image in images):
        raise ValueError(
            f"expected labels of {' or '.join(run.benchmark.tasks)}, found none on any of "
            f"{len(images)} images"
        )
    result = EvaluationResult(
        benchmark=run.benchmark.name,
        title=run.benchmark.title,
        settings=settings,
        expected=run.benchmark.count,
        images=images,
        pooled=_pooled(measured),
    )
    result.write(output)
    if run.options.examples:
        examples = write_examples(
            images, lambda index: run.predict(positions[index]), output, run.protocol
        )
        result = replace(result, examples=examples)
        result.write(output)
    return result


def _with_groups(
    images: Sequence[ImageResult], groups: Mapping[str, dict[str, str]]
) -> tuple[ImageResult, ...]:
    """Images with the groups of a user's table besides their own."""
    if groups and not any(image.id in groups for image in images):
        raise ValueError(
            f"expected groups of images such as {images[0].id!r}, got some of "
            f"{next(iter(groups))!r} and {len(groups) - 1} others, none of which is measured"
        )
    return tuple(
        replace(image, groups={**image.groups, **groups.get(image.id, {})}) for image in images
    )


def _pooled(measured: Sequence[Measured]) -> dict[str, Metrics]:
    """Errors of normals over the pixels of all images."""
    states = [one.normal_pool for one in measured if one.normal_pool is not None]
    if not states:
        return {}
    pool = NormalPool(POOL_BINS_PER_DEG)
    for state in states:
        pool.merge(state)
    return {"normals": pool.metrics()}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _differences(before: dict[str, Any], now: dict[str, Any], above: str = "") -> list[str]:
    """Paths at which two trees of settings differ."""
    found = []
    for name in sorted(before.keys() | now.keys()):
        one, other = before.get(name), now.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += _differences(one, other, f"{above}{name}.")
        elif one != other:
            found.append(f"{above}{name}: {one} before, {other} now")
    return found
