"""The mixture that a run draws from, and its batches."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from config import DataPart, TrainConfig
from torch.utils.data import DataLoader

from david_hf.data.composed import ComposedHumans
from david_hf.data.held_out import WithoutHeldOut
from david_hf.data.mixture import Draws, Mixture
from david_hf.data.sample import HumanSample
from david_hf.data.sources.base import choose_positions
from david_hf.data.sources.registry import open_source
from david_hf.data.sources.synthhuman import GeneratedHumans

Batch = dict[str, Any]


class TrainingSamples:
    """All samples of a run: number `i` depends on the seed and on `i` alone.

    Args:
        config: Of the run.

    Attributes:
        number: Samples that one time through all parts has.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._parts = [
            (_open(part, config, number), part.weight) for number, part in enumerate(config.data)
        ]
        self._composed = [part for part, _ in self._parts if isinstance(part, ComposedHumans)]
        self.number = sum(_size(part) for part, _ in self._parts)

    def steps(self, num_processes: int) -> int:
        """Optimizer steps of the run."""
        config = self._config
        if config.epochs is None:
            return config.steps
        per_step = config.batch_size * config.accumulation * num_processes
        return math.ceil(config.epochs * self.number / per_step)

    def mixture(self, length: int) -> Mixture:
        """The samples as one data set, at the side of the run's end."""
        config, side = self._config, self._config.sides[-1][1]
        self._set_side(side)
        return Mixture(
            self._parts, length=length, transform=config.transform(side), seed=config.seed
        )

    def batches(
        self, first_step: int, steps: int, rank: int, num_processes: int, pin_memory: bool = False
    ) -> Iterator[Batch]:
        """Batches of this process, `accumulation` of them for each step, from a step to the end."""
        config = self._config
        per_step = config.batch_size * config.accumulation * num_processes
        dataset = self.mixture(steps * per_step)
        step = first_step
        while step < steps:
            side = config.side_at(step, steps)
            self._set_side(side)
            dataset.transform.side = side  # type: ignore[attr-defined]
            last = next((s for s in range(step, steps) if config.side_at(s, steps) != side), steps)
            yield from DataLoader(
                dataset,
                batch_size=config.batch_size,
                sampler=self._numbers(step, last, rank, num_processes),
                num_workers=config.num_workers,
                pin_memory=pin_memory,
            )
            step = last

    def _numbers(self, first: int, last: int, rank: int, num_processes: int) -> list[int]:
        """Numbers of this process' samples: of each step, its share of consecutive ones."""
        own = self._config.batch_size * self._config.accumulation
        return [
            (step * num_processes + rank) * own + number
            for step in range(first, last)
            for number in range(own)
        ]

    def _set_side(self, side: int) -> None:
        for part in self._composed:
            part.side = side


def to_device(batch: Batch, device: torch.device, tasks: Sequence[str]) -> Batch:
    """Move a batch, with the labels of some tasks; pictures take the layout of the network."""
    moved = {
        name: {task: batch[name][task].to(device, non_blocking=True) for task in tasks}
        for name in ("labels", "mask")
    }
    pixels = batch["pixel_values"].to(device, memory_format=torch.channels_last, non_blocking=True)
    return {"pixel_values": pixels, **moved}


def _open(part: DataPart, config: TrainConfig, number: int) -> Draws | Sequence[HumanSample]:
    held_out = config.left_out()
    if part.composed:
        return ComposedHumans(
            [part.root],
            config.backgrounds,
            side=config.sides[-1][1],
            seed=config.seed,
            stream=number,
            split=part.split,
            held_out=held_out,
        )
    source: Any = open_source(part.name, part.root, part.split, **part.options)
    if isinstance(source, GeneratedHumans):
        source = WithoutHeldOut(source, held_out)
    if part.limit is not None and part.limit < len(source):
        source = Chosen(source, choose_positions(len(source), part.limit))
    return source


class Chosen(Sequence[HumanSample]):
    """Some samples of a data set."""

    def __init__(self, source: Sequence[HumanSample], positions: Sequence[int]) -> None:
        self._source, self._positions = source, positions

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, position: Any) -> Any:
        """One sample."""
        return self._source[self._positions[position]]


def _size(part: Draws | Sequence[HumanSample]) -> int:
    """Samples of one time through: of compositions, as many as there are figures."""
    return len(part.figures) if isinstance(part, ComposedHumans) else len(part)  # type: ignore[arg-type]


def one_line(error: BaseException) -> str:
    """What went wrong, without the traceback that a loader process puts before it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
