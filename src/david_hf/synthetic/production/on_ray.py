"""The same work as tasks of a Ray cluster. All nodes must see the output folder."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .config import GenerateError, Recipe
from .worker import Outcome, SampleMaker

CONNECT_LIMIT_S = 20.0
MAX_RETRIES = 5  # nodes die; a sample that kills its process every time must end, too
MEMORY = 2 * 2**30  # bytes of a sampler and a Blender: nodes with many cores may lack it

# Of this process: Ray runs many tasks in one process, and a sampler takes 8 s to load.
_maker: tuple[Recipe, SampleMaker] | None = None


def make_on_ray(
    recipe: Recipe, indices: Sequence[int], on_outcome: Callable[[Outcome], None]
) -> None:
    """Make samples as Ray tasks.

    Tasks of a node that dies run again elsewhere; what was complete is skipped there.

    Args:
        recipe: What to make; its configuration names the cluster.
        indices: Samples to make.
        on_outcome: Called with each outcome as it comes.

    Raises:
        GenerateError: If the cluster cannot be reached, or a task reports what ends the run.
    """
    try:
        import ray
    except ImportError as error:
        raise GenerateError("ray is not installed: pip install 'david-hf[ray]'") from error
    address = str(recipe.config.ray_address)
    # Workers run in folders of their own.
    recipe = replace(recipe, config=recipe.config.resolved())
    try:
        _reach(address)
        ray.init(
            address=address, log_to_driver=False, configure_logging=False, ignore_reinit_error=True
        )
    except Exception as error:  # Ray's own kinds, ConnectionError, ...
        raise GenerateError(f"Ray at {address}: {' '.join(str(error).split())}") from error
    try:
        _run(ray, recipe, indices, on_outcome)
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Fail at once where nobody listens: Ray itself tries for minutes.

    Raises:
        OSError: If nobody listens at HOST:PORT or ray://HOST:PORT.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_LIMIT_S).close()


def _run(
    ray: Any, recipe: Recipe, indices: Sequence[int], on_outcome: Callable[[Outcome], None]
) -> None:
    task = ray.remote(
        num_cpus=recipe.threads, memory=MEMORY, max_retries=MAX_RETRIES, retry_exceptions=False
    )(_make)
    shared, pending = ray.put(recipe), list(reversed(indices))
    at_work: dict[Any, int] = {}
    while pending or at_work:
        while pending and len(at_work) < _slots(ray, recipe):
            index = pending.pop()
            at_work[task.remote(shared, index)] = index
        done, _ = ray.wait(list(at_work), num_returns=1, timeout=5.0)
        for reference in done:
            index = at_work.pop(reference)
            try:
                on_outcome(ray.get(reference))
            except ray.exceptions.RayTaskError as error:
                raise GenerateError(_cause(error)) from error
            except ray.exceptions.RayError as error:
                on_outcome(Outcome(index, f"Ray: {type(error).__name__}"))


def _slots(ray: Any, recipe: Recipe) -> int:
    """Tasks to hand out at a time: a few wait, so that nodes that join have work at once."""
    if recipe.config.workers is not None:
        return recipe.config.workers
    cores = ray.cluster_resources().get("CPU", 1)
    return max(2, int(2 * cores / recipe.threads))


def _cause(error: Any) -> str:
    cause = error.cause if isinstance(error.cause, BaseException) else error
    return " ".join(str(cause).split()) or type(cause).__name__


def _make(recipe: Recipe, index: int) -> Outcome:
    """The task: make one sample with this process's maker."""
    global _maker
    if _maker is None or _maker[0] != recipe:
        if _maker is not None:
            _maker[1].close()
        _maker = recipe, SampleMaker(recipe)
    return _maker[1].make(index)
