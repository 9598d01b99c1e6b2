"""Train a david checkpoint: `accelerate launch training/train.py --config FILE [--key VALUE ...]`.

A run that was killed goes on with `--resume`, and ends in the weights of an unbroken one: sample
`i` depends on the seed and on `i` alone, so the position in the data is the step number.

Exit codes: 0 done; 1 stopped by what the message says, with a state to go on from.
"""

import importlib
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, set_seed
from averaging import WeightAverage
from building import build_accelerator, build_average, build_model, build_optimizer, set_layout
from checkpoints import find_state, remove_partial, save_checkpoint, save_state
from config import TrainConfig, parse_config
from safetensors import SafetensorError
from samples import Batch, TrainingSamples, one_line, to_device
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LambdaLR
from validation import (
    Picture,
    check_validation,
    flat,
    metrics_file,
    pictures,
    score,
    validate,
)

from david_hf.model import DavidForDensePrediction
from david_hf.model.losses_david import count_valid

CONFIG = "training_config.yaml"
LAST, BEST = "checkpoint", "best"


class StoppedError(RuntimeError):
    """A run that cannot go on; the message is one line that says how it can."""


def main() -> None:
    """Parse the command line and train."""
    config = parse_config(sys.argv[1:])
    try:
        train(config)
    except (ValueError, StoppedError, OSError) as error:
        sys.exit(f"error: {one_line(error)}")


def train(config: TrainConfig) -> Path:
    """Run one training and return the folder of the final checkpoint.

    Raises:
        ValueError: If the configuration, or what it names, does not fit.
        StoppedError: If the run broke off; it can be resumed.
    """
    output = Path(config.output_dir)
    set_seed(config.seed)
    check_validation(config)
    accelerator = build_accelerator(config)
    if accelerator.is_main_process:
        claim(config, output)
    accelerator.wait_for_everyone()
    samples = TrainingSamples(config)
    run = Run.begin(config, accelerator, samples)
    run.resume(output)
    try:
        run.train(samples, output)
    except RuntimeError as error:
        # PyTorch tells of a killed loader process anywhere, in the midst of a step too.
        if isinstance(error, StoppedError) or "DataLoader worker" not in str(error):
            raise
        raise StoppedError(
            f"step {run.step}: {one_line(error).removesuffix('.')}; {way_on(output)}"
        ) from error
    finally:
        accelerator.end_training()
    return output / LAST


def claim(config: TrainConfig, output: Path) -> None:
    """Make the folder of a run, or make sure that it may go on in it.

    Raises:
        ValueError: If it holds a run and `resume` is not set, or a run of another configuration.
    """
    output.mkdir(parents=True, exist_ok=True)
    path = output / CONFIG
    if path.is_file() and (config.resume or find_state(output) is None):
        if config.resume:
            config.check_same_run(path)
    elif path.is_file():
        raise ValueError(f"{output} holds a run; add --resume to go on, or name another output_dir")
    config.save(path)


@dataclass
class Clock:
    """Seconds since the last log line, and how many of them went by waiting for data."""

    began: float = field(default_factory=time.perf_counter)
    waited: float = 0.0
    steps: int = 0


@dataclass
class Run:
    """A network, its optimizer, and where they are."""

    config: TrainConfig
    accelerator: Accelerator
    model: torch.nn.Module
    average: WeightAverage | None
    optimizer: torch.optim.Optimizer
    scheduler: LambdaLR
    steps: int
    num_samples: int
    step: int = 0
    best: float = math.inf

    @classmethod
    def begin(
        cls, config: TrainConfig, accelerator: Accelerator, samples: TrainingSamples
    ) -> "Run":
        """Build everything at step 0."""
        steps = samples.steps(accelerator.num_processes)
        if steps <= config.warmup_steps:
            accelerator.print(
                f"warning: the warm-up takes {config.warmup_steps} of {steps} steps: the run ends "
                "before it reaches its learning rate; set warmup_steps, or train for longer"
            )
        model = build_model(config)
        set_layout(model, accelerator)
        optimizer, scheduler = build_optimizer(config, model, steps)
        if config.torch_compile:
            model.compile()
        prepared, optimizer = accelerator.prepare(model, optimizer)
        average = build_average(config, accelerator, model)
        run = cls(
            config, accelerator, prepared, average, optimizer, scheduler, steps, samples.number
        )
        # The schedule is not prepared: Accelerate would step it once per process.
        accelerator.register_for_checkpointing(scheduler, run, *filter(None, [average]))
        return run

    @property
    def network(self) -> DavidForDensePrediction:
        """The network, not wrapped."""
        network: Any = self.accelerator.unwrap_model(self.model)
        return network

    def weights(self) -> dict[str, torch.Tensor]:
        """State dict of the network, averaged if that is wanted; every process must ask."""
        if self.average is not None:
            return self.average.weights()
        if self.accelerator.distributed_type == DistributedType.FSDP:
            # Accelerate gathers them in the main process alone.
            whole = StateDictOptions(full_state_dict=True)
            weights: Any = get_model_state_dict(self.model, options=whole)
            return dict(weights)
        return dict(self.accelerator.get_state_dict(self.model))

    def state_dict(self) -> dict[str, Any]:
        """What a state holds besides weights and optimizer."""
        return {"best": self.best, "drawn": self._drawn()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: If the next samples would not be those that the run has not seen.
        """
        self.best = float(state["best"])
        now = self._drawn()
        changed = [
            f"{before} {name} before, {now[name]} now"
            for name, before in state["drawn"].items()
            if before != now[name]
        ]
        if changed:
            raise ValueError(
                f"the run in {self.config.output_dir} cannot go on: {', '.join(changed)}"
            )

    def _drawn(self) -> dict[str, int]:
        """What decides which samples a step draws, beside the configuration."""
        processes = self.accelerator.num_processes
        return {"processes": processes, "samples": self.num_samples, "steps": self.steps}

    def resume(self, output: Path) -> None:
        """Load the last complete state, if there is one."""
        found = find_state(output)
        if found is not None:
            folder, self.step = found
            self.accelerator.load_state(str(folder))
            self.accelerator.print(f"resumed at step {self.step} from {folder}")

    def train(self, samples: TrainingSamples, output: Path) -> None:
        """Go on to the last step, and leave checkpoints.

        Raises:
            StoppedError: If it cannot.
        """
        config, accelerator = self.config, self.accelerator
        named = {"name": output.name}
        accelerator.init_trackers(
            "david_hf",
            config={"config": str(config.plain())},
            init_kwargs={"wandb": named, "trackio": named},
        )
        if self.step == self.steps:  # it may have been killed when all but the checkpoint was there
            self._leave(output)
        clock = Clock()
        batches = samples.batches(
            self.step,
            self.steps,
            accelerator.process_index,
            accelerator.num_processes,
            accelerator.device.type == "cuda",
        )
        while self.step < self.steps:
            losses = self._step(self._take(batches, clock, output))
            self.step += 1
            clock.steps += 1
            if self._is_due(config.log_every):
                self._log(losses, clock)
                clock = Clock()
            if self._leave(output):
                clock = Clock()

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.steps

    def _take(self, batches: Iterator[Batch], clock: Clock, output: Path) -> list[Batch]:
        """Batches of one step, on the device."""
        begun = time.perf_counter()
        try:
            taken = list(islice(batches, self.config.accumulation))
        except (ValueError, RuntimeError, OSError) as error:
            # Damaged samples, and loader processes that were killed: the weights are as they were.
            if self.accelerator.num_processes == 1:
                self._save(self.weights(), output)
            raise StoppedError(
                f"step {self.step}: cannot load the next samples: {one_line(error)}; mend that and "
                f"{way_on(output)}"
            ) from error
        clock.waited += time.perf_counter() - begun
        device = self.accelerator.device
        return [to_device(batch, device, self.config.tasks) for batch in taken]

    def _step(self, batches: list[Batch]) -> dict[str, float]:
        """One optimizer step; returns the loss, its parts and the gradient norm."""
        self.model.train()
        counts = self._counts(batches)
        total: dict[str, torch.Tensor] = {}
        for number, batch in enumerate(batches):
            # The gradients are summed over the batches here, and averaged over processes once.
            is_last = number == len(batches) - 1
            with self.accelerator.no_sync(self.model) if not is_last else nullcontext():
                outputs = self.model(**batch, counts=counts)
                self.accelerator.backward(outputs.loss)
            for name, value in {"loss": outputs.loss.detach(), **outputs.losses}.items():
                total[name] = total.get(name, 0) + value
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_grad_norm)
        if isinstance(norm, DTensor):
            norm = norm.full_tensor()
        self._check_finite(total["loss"], norm)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update()
        means = self.accelerator.reduce(total, "mean")
        return {**{name: float(value) for name, value in means.items()}, "grad_norm": float(norm)}

    def _counts(self, batches: list[Batch]) -> dict[str, torch.Tensor]:
        """What losses are divided by, so that any number of processes and batches is one batch."""
        counts = {
            task: torch.stack([count_valid(task, batch["mask"][task]) for batch in batches]).sum(0)
            for task in self.config.tasks
        }
        # Not the sum: gradients of the processes are averaged.
        return dict(self.accelerator.reduce(counts, "mean"))

    def _check_finite(self, loss: torch.Tensor, norm: Any) -> None:
        finite = torch.isfinite(loss)
        if self.accelerator.scaler is None:  # it skips steps of such gradients by itself
            finite &= torch.isfinite(torch.as_tensor(norm, device=loss.device))
        if bool(self.accelerator.gather(finite[None]).all()):
            return
        last = Path(self.config.output_dir) / LAST
        start = f"start from --init_from {last}" if last.is_dir() else "start again"
        raise StoppedError(
            f"step {self.step}: the loss or its gradient is not finite; {start}, with another "
            "--output_dir and a lower --learning_rate"
        )

    def _log(self, losses: dict[str, float], clock: Clock) -> None:
        """One line for people and one record for the trackers."""
        config, seconds = self.config, time.perf_counter() - clock.began
        per_step = config.batch_size * config.accumulation * self.accelerator.num_processes
        record = {
            **losses,
            "learning_rate": float(self.scheduler.get_last_lr()[-1]),
            "samples_per_second": per_step * clock.steps / seconds,
            "data_wait_share": clock.waited / seconds,
        }
        self.accelerator.log(record, step=self.step)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
        self.accelerator.print(
            f"step {self.step}/{self.steps}  {shown}  {record['samples_per_second']:.1f} samples/s"
            f"  waited {record['data_wait_share']:.0%}",
            flush=True,
        )

    def _leave(self, output: Path) -> bool:
        """Measure and write what is due at this step; whether anything was."""
        config = self.config
        validates = bool(config.validation) and self._is_due(config.validate_every)
        saves = self._is_due(config.save_every)
        if not validates and not saves:
            return False
        weights = self.weights()
        files = self._validate(weights, output) if validates else {}
        if saves:
            self._save(weights, output, files)
        return True

    def _validate(self, weights: dict[str, torch.Tensor], output: Path) -> dict[str, str]:
        """Measure weights, keep them if they are the best so far, and return their metrics.json."""
        network = self.network
        try:
            results = validate(network, weights, self.config, output, self.step, self.accelerator)
        except (ValueError, OSError) as error:
            if self.accelerator.num_processes == 1:
                self._save(weights, output)
            raise StoppedError(
                f"step {self.step}: cannot validate: {one_line(error)}; mend that, or change "
                f"validation, and {way_on(output)}"
            ) from error
        if not self.accelerator.is_main_process:
            return {}
        files = metrics_file(results)
        found = score(results)
        self.accelerator.log({"validation/score": found, **flat(results)}, step=self.step)
        log_pictures(self.accelerator, pictures(results, output, self.step), self.step)
        self.accelerator.print(f"step {self.step}: validation score {found:.4f}", flush=True)
        if found < self.best:
            self.best = found
            with self._writing(output):
                save_checkpoint(network, weights, self.config, output / BEST, files)
        return files

    def _save(
        self, weights: dict[str, torch.Tensor], output: Path, files: dict[str, str] | None = None
    ) -> None:
        """Write a state to go on from, and the checkpoint as it is."""
        with self._writing(output):
            save_state(self.accelerator, output, self.step)
            if self.accelerator.is_main_process:
                save_checkpoint(self.network, weights, self.config, output / LAST, files)

    @contextmanager
    def _writing(self, output: Path) -> Iterator[None]:
        """Tell of a full disk in one line; PyTorch and safetensors have errors of their own.

        Raises:
            StoppedError: If something cannot be written.
        """
        try:
            yield
        except (OSError, RuntimeError, SafetensorError) as error:
            if self.accelerator.is_main_process:
                remove_partial(output)
            raise StoppedError(
                f"step {self.step}: cannot write to {output}: {one_line(error)}; make room and "
                f"{way_on(output)}"
            ) from error


def way_on(output: Path) -> str:
    """How a run that broke off is taken up."""
    found = find_state(output)
    if found is None:
        return "start again: there is no state yet"
    return f"go on with --resume, from step {found[1]} in {output}"


def log_pictures(accelerator: Accelerator, found: dict[str, Picture], step: int) -> None:
    """Hand pictures (1, H, W, 3) to the trackers; each has its own way of taking them."""
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":
            tracker.log_images(found, step=step, dataformats="NHWC")
        elif tracker.name == "trackio":
            trackio: Any = importlib.import_module("trackio")
            tracker.log({name: trackio.Image(one[0]) for name, one in found.items()}, step=step)
        else:
            tracker.log_images(found, step=step)


if __name__ == "__main__":
    main()
