"""Worker processes on this machine.

Each owns a sampler and a Blender: sampling takes a second or two of CPU, and one process that
samples for all could feed few Blenders.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import FrameType

from david_hf.synthetic.rendering.blender import RenderError

from .config import GenerateError, Recipe
from .worker import Outcome, SampleMaker

MAX_DEATHS = 2  # of workers at the same sample


def make_locally(
    recipe: Recipe, indices: Sequence[int], on_outcome: Callable[[Outcome], None]
) -> None:
    """Make samples with worker processes.

    A worker that dies is replaced and its sample tried again.

    Args:
        recipe: What to make.
        indices: Samples to make.
        on_outcome: Called with each outcome as it comes.

    Raises:
        GenerateError: If a worker reports what ends the run.
    """
    pending, deaths = deque(indices), dict.fromkeys(indices, 0)
    workers: list[_Worker] = []
    try:
        workers += [_Worker(recipe) for _ in range(recipe.config.num_workers(len(indices)))]
        while True:
            for worker in workers:
                if worker.index is None and pending:
                    worker.send(pending.popleft())
            busy = {worker.pipe: worker for worker in workers if worker.index is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                outcome = worker.receive()
                if outcome is None:
                    workers[workers.index(worker)] = _Worker(recipe)
                    outcome = _after_death(worker, pending, deaths)
                if outcome is not None:
                    on_outcome(outcome)
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.end()


def _after_death(worker: "_Worker", pending: deque[int], deaths: dict[int, int]) -> Outcome | None:
    index = worker.index
    assert index is not None
    worker.end()
    deaths[index] += 1
    if deaths[index] < MAX_DEATHS:
        pending.appendleft(index)
        return None
    status = worker.process.exitcode or 0
    ended = f"by signal {-status}" if status < 0 else f"with status {status}"
    return Outcome(index, f"its worker process ended {ended}; is memory short?")


class _Worker:
    """The parent's side of a worker process; `index` is the sample it is at."""

    def __init__(self, recipe: Recipe) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, recipe), daemon=True)
        with _single_threaded():
            self.process.start()
        theirs.close()  # so that the pipe ends with the process
        self.index: int | None = None

    def send(self, index: int) -> None:
        self.index = index
        with contextlib.suppress(OSError):  # `receive` notices
            self.pipe.send(index)

    def receive(self) -> Outcome | None:
        """The outcome, or None if the process has died.

        Raises:
            GenerateError: If the process reports what ends the run.
        """
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            return None
        if isinstance(answer, str):
            raise GenerateError(answer)
        self.index = None
        return answer if isinstance(answer, Outcome) else None

    def end(self) -> None:
        self.pipe.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes started within compute with one thread: there is one for each core."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, recipe: Recipe) -> None:
    """The worker process: answers indices with outcomes, or with a text that ends the run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the parent decides
    signal.signal(signal.SIGTERM, _leave)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # warp greets on standard output
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        with contextlib.closing(SampleMaker(recipe)) as maker:
            while (index := _next(pipe)) is not None:
                pipe.send(maker.make(index))
    except BrokenPipeError:  # the parent is gone
        return
    except (GenerateError, RenderError, ImportError, OSError, ValueError) as error:
        _report(pipe, str(error) or type(error).__name__)
    except Exception as error:
        _report(pipe, f"{type(error).__name__}: {error}")


def _next(pipe: Connection) -> int | None:
    try:
        return int(pipe.recv())
    except EOFError:
        return None


def _report(pipe: Connection, message: str) -> None:
    with contextlib.suppress(OSError):
        pipe.send(" ".join(message.split()))


def _leave(signum: int, frame: FrameType | None) -> None:
    sys.exit(1)  # closes Blender and removes the scratch files on the way


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
