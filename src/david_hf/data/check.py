"""Verify a data set on disk: number, pairing, sizes and plausible values of its samples."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .sample import HumanSample
from .sources.base import DatasetInfo, SampleSource, choose_positions
from .sources.registry import check_options, find_dataset, open_source

NEAREST_M, FARTHEST_M = 0.05, 100.0  # people farther away cannot be made out
MAX_NAMED = 20  # problems that are told one by one


@dataclass
class SplitReport:
    """What was found in one split.

    Attributes:
        split: Its name.
        found: Samples that are there.
        expected: Samples of the complete split; None if that has no fixed number.
        checked: Samples that were decoded.
        problems: One line each.
    """

    split: str
    found: int = 0
    expected: int | None = None
    checked: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people: a summary, then the first problems."""
        of = "" if self.expected is None else f" of {self.expected:,}"
        plural = "" if len(self.problems) == 1 else "s"
        verdict = f"{len(self.problems):,} problem{plural}" if self.problems else "fine"
        summary = f"{self.split}: {self.found:,}{of} samples, {self.checked:,} checked: {verdict}"
        more = len(self.problems) - MAX_NAMED
        rest = [f"  and {more:,} more problems"] if more > 0 else []
        return [summary, *(f"  {problem}" for problem in self.problems[:MAX_NAMED]), *rest]


def check_dataset(
    name: str,
    root: Path | str,
    split: str | None = None,
    limit: int | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> list[SplitReport]:
    """Check one split of a data set, or all of them.

    Args:
        name: A key of `sources.registry.DATASETS`.
        root: Its folder.
        split: One of its splits; by default every one.
        limit: Most samples to decode of each split, spread evenly; by default all.
        on_progress: Called with the split, the samples that were decoded and their number in all.
        **options: What the source takes besides.

    Raises:
        ValueError: If name, split or an option are unknown.
    """
    info = find_dataset(name)
    if split is not None and split not in info.source.splits:
        listed = ", ".join(info.source.splits)
        raise ValueError(f"{name}: expected a split out of {listed}, got {split!r}")
    check_options(name, options)
    # The split that is all of them holds nothing that the others do not.
    wanted = [split] if split else ["all"] if "all" in info.source.splits else info.source.splits
    return [_check_split(info, Path(root), part, limit, on_progress, options) for part in wanted]


def _check_split(
    info: DatasetInfo,
    root: Path,
    split: str,
    limit: int | None,
    on_progress: Callable[[str, int, int], None] | None,
    options: dict[str, Any],
) -> SplitReport:
    report = SplitReport(split, expected=info.counts.get(split))
    try:
        source = open_source(info.name, root, split, **options)
    except ValueError as error:
        report.problems.append(str(error))
        return report
    report.found = len(source)
    if report.expected is not None:
        known = f"expected {report.expected:,} samples, found {report.found:,}"
        if report.found > report.expected:
            report.problems.append(f"{known}: some do not belong here")
        elif report.found < report.expected and not info.in_parts:
            report.problems.append(f"{known}: some are missing")
    positions = choose_positions(report.found, limit)
    for position in positions:
        report.problems += check_sample(source, position, info.labels)
        report.checked += 1
        if on_progress is not None:
            on_progress(split, report.checked, len(positions))
    return report


def check_sample(source: SampleSource, position: int, labels: tuple[str, ...] = ()) -> list[str]:
    """Decode one sample and say what is wrong with it.

    Args:
        source: Where it is.
        position: Which one.
        labels: What must be known of it: some of alpha, depth, normals.
    """
    try:
        sample = source[position]
    except ValueError as error:
        return [str(error)]
    known = {"alpha": sample.alpha, "depth": sample.depth_m, "normals": sample.normals}
    found = [f"has no {label}" for label in labels if known[label] is None]
    found += [
        problem
        for problem in (_alpha_problem(sample), _depth_problem(sample), _camera_problem(sample))
        if problem
    ]
    return [f"{source.root} sample {sample.identifier}: {problem}" for problem in found]


def _alpha_problem(sample: HumanSample) -> str | None:
    if sample.alpha is not None and sample.alpha.max() < 0.5:
        return "alpha is nowhere above one half: nobody is seen, or it has another scale"
    return None


def _depth_problem(sample: HumanSample) -> str | None:
    if sample.depth_m is None:
        return None
    seen = sample.depth_m[sample.foreground]
    if not len(seen):
        return "depth is known nowhere on the people"
    low, high = float(seen.min()), float(seen.max())
    if not NEAREST_M <= low <= high <= FARTHEST_M:
        return (
            f"expected people {NEAREST_M} to {FARTHEST_M:g} m away, got {low:.4g} to {high:.4g} m: "
            "another unit"
        )
    return None


def _camera_problem(sample: HumanSample) -> str | None:
    if sample.intrinsics is None:
        return None
    focal = sample.intrinsics[[0, 1], [0, 1]]
    side = max(sample.size)
    if not (focal > 0.1 * side).all() or not (focal < 100 * side).all():
        return f"a focal length of {focal.tolist()} pixels does not fit a side of {side}"
    return None
