"""Threads that fetch one file each, and stop together."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable

from david_hf.resumable import SharedDownloadError

__all__ = ["DownloadThreads"]

_WAIT_S = 0.5


class _StoppedError(Exception):
    """All are to stop: another thread failed, or the user does not want to wait."""


class DownloadThreads:
    """Do the same for each of some files, several at a time.

    Args:
        work: What is done with the name of a file. It calls `check` now and then.
    """

    def __init__(self, work: Callable[[str], None]) -> None:
        self._work = work
        self._names: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._ended = threading.Semaphore(0)
        self._failures: list[str] = []
        self._crashes: list[BaseException] = []

    def check(self) -> None:
        """Leave the work if all are to stop."""
        if self._stop.is_set():
            raise _StoppedError

    def run(self, names: Iterable[str], jobs: int) -> list[str]:
        """Work them off; whatever is raised here, as by Ctrl-C, stops all.

        A file that fails does not keep others from being worked on, unless they would fail, too:
        after a `SharedDownloadError` or an `OSError` all stop.

        Returns:
            What failed, one line each.
        """
        for name in names:
            self._names.put(name)
        # Daemons: one that waits for a server does not keep the process from ending.
        threads = [threading.Thread(target=self._run, daemon=True) for _ in range(jobs)]
        try:
            for thread in threads:
                thread.start()
            for _ in threads:
                # Without a limit, Windows does not let Ctrl-C through.
                while not self._ended.acquire(timeout=_WAIT_S):
                    pass
        except BaseException:
            self._stop.set()
            for thread in threads:
                if thread.is_alive():
                    thread.join(_WAIT_S)
            raise
        if self._crashes:
            raise self._crashes[0]
        return self._failures

    def _run(self) -> None:
        with contextlib.suppress(queue.Empty):
            while not self._stop.is_set():
                self._try(self._names.get_nowait())
        self._ended.release()

    def _try(self, name: str) -> None:
        try:
            self._work(name)
        except _StoppedError:
            pass
        except (SharedDownloadError, OSError) as error:
            self._fail(error)
            self._stop.set()
        except ValueError as error:
            self._fail(error)
        except BaseException as error:
            self._crashes.append(error)
            self._stop.set()

    def _fail(self, error: Exception) -> None:
        # Once all are to stop, the others fail for the same reason.
        if not self._stop.is_set():
            self._failures.append(str(error))
