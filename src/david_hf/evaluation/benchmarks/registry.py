"""The benchmarks by name, and the protocols that numbers are measured by."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from david_hf.data.sources.base import SampleSource
from david_hf.data.sources.registry import find_dataset, open_source
from david_hf.evaluation.metrics.depth import Estimator, Method, Space, check_alignment

Group = Literal["image", "sequence", "dataset"]


@dataclass(frozen=True)
class DepthProtocol:
    """How relative depth is aligned to the ground truth before it is compared.

    Attributes:
        method: See `metrics.depth.align`.
        space: "depth" or "disparity"; None takes what the model's depth is affine to.
        estimator: See `metrics.depth.align`.
        group: What shares one alignment: each image, each sequence (`SampleSource.sequence`), or
            the whole data set.
        max_depth_m: See `metrics.depth.align`.
    """

    method: Method = "scale_shift"
    space: Space | None = None
    estimator: Estimator = "lstsq"
    group: Group = "image"
    max_depth_m: float = 10.0

    def __post_init__(self) -> None:
        check_alignment(self.method, self.space or "depth", self.estimator)
        if self.max_depth_m <= 0:
            raise ValueError(f"expected a max_depth_m above 0, got {self.max_depth_m}")
        if self.group not in ("image", "sequence", "dataset"):
            raise ValueError(
                f"expected a group out of image, sequence, dataset, got {self.group!r}"
            )

    def arguments(self) -> dict[str, Any]:
        """Arguments of `metrics.depth.align` and `align_group`; the space must be decided."""
        return {
            "method": self.method,
            "space": self.space,
            "estimator": self.estimator,
            "max_depth_m": self.max_depth_m,
        }


@dataclass(frozen=True)
class Benchmark:
    """A data set and what is measured on it.

    Attributes:
        name: What commands take, and the paper's tables say.
        title: For people.
        dataset: Name of the data set, a key of `data.sources.registry.DATASETS`.
        split: Of the data set.
        tasks: Those with ground truth, out of "depth", "normals", "alpha".
        count: Images of the complete benchmark; None if it has no fixed number.
        depth: How depth is aligned.
        trimap: Whether the foreground is also judged by region.
        max_pixels: Larger pictures are scaled down to so many pixels, with their labels, before
            anything else; None for never.
        note: Why numbers are not the paper's to the digit; "" if they may be.
    """

    name: str
    title: str
    dataset: str
    split: str
    tasks: tuple[str, ...]
    count: int | None = None
    depth: DepthProtocol = field(default_factory=DepthProtocol)
    trimap: bool = False
    max_pixels: int | None = None
    note: str = ""

    def open(self, root: Path, options: Mapping[str, Any] | None = None) -> SampleSource:
        """Open its data set.

        Args:
            root: Folder of the data set.
            options: What the data set takes besides.

        Raises:
            ValueError: If the folder holds no such data set, or an option is unknown.
        """
        if self.count is not None and "split" in (options or {}):
            raise ValueError(f"{self.name}: expected no option split: it is {self.split}")
        options = {"split": self.split, **(options or {})}
        return open_source(self.dataset, root, **options)

    def with_protocol(self, depth: Mapping[str, Any], max_pixels: int | None = None) -> "Benchmark":
        """The same with another protocol.

        Args:
            depth: Values for fields of `DepthProtocol`.
            max_pixels: Another limit, 0 for none; None keeps this one's.

        Raises:
            ValueError: If a value is unknown, or values do not go together.
        """
        limit = self.max_pixels if max_pixels is None else max_pixels or None
        return replace(self, depth=replace(self.depth, **depth), max_pixels=limit)

    def settings(self) -> dict[str, Any]:
        """All that decides numbers, as JSON."""
        return dict(json.loads(json.dumps(asdict(self))))


@cache
def benchmarks() -> dict[str, Benchmark]:
    """All benchmarks by name, in the order of the paper."""
    text = resources.files(__package__).joinpath("definitions.yaml").read_text("utf-8")
    return {
        name: Benchmark(name=name, **{**entry, "tasks": tuple(entry["tasks"])})
        for name, entry in yaml.safe_load(text).items()
    }


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises:
        ValueError: If there is none.
    """
    found = benchmarks().get(name)
    if found is None:
        raise ValueError(f"unknown benchmark {name!r}; known are {', '.join(benchmarks())}")
    return found


def markdown_table() -> str:
    """Every benchmark as a row of a table."""
    titles = ("benchmark", "data set", "measured", "images", "to the paper's digit")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for name, benchmark in benchmarks().items():
        title = find_dataset(benchmark.dataset).title
        count = "any" if benchmark.count is None else f"{benchmark.count:,}"
        exact = benchmark.note or ("yes" if benchmark.count else "not in the paper")
        cells = (f"`{name}`", f"{title}, {benchmark.split}", ", ".join(benchmark.tasks), count)
        lines.append("| " + " | ".join(cells) + f" | {exact} |")
    return "\n".join(lines)
