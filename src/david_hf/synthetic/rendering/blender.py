"""Blender as a separate process: finding it, installing it, and asking it for renders.

Blender (GPL-3) runs `render_cycles.py` and exchanges lines of JSON and files with this package; it
is never imported.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

RENDER_SCRIPT = Path(__file__).parent / "render_cycles.py"
BPY_REQUIREMENT = "bpy==5.0.1"
BPY_PYTHON = (3, 11)  # the wheels of bpy 5.0 are for this version alone
START_LIMIT_S = 180.0  # the first import of bpy reads 800 MB


class RenderError(RuntimeError):
    """Blender is missing, ended early, took too long or refused a scene."""


class BlenderStartError(RenderError):
    """Blender could not be started: no other scene will fare better."""


class BlenderProcess:
    """One Blender that serves render jobs over pipes.

    It ends by itself when its standard input closes, so also when this process is killed.

    Args:
        blender: A Blender binary, or a Python that can import bpy.
        limit_s: Seconds that one render may take.
        threads: Threads it renders with.

    Attributes:
        version: Blender's version.
        panoramas: Folder of the panoramas that come with Blender, or None.

    Raises:
        BlenderStartError: If it does not start.
    """

    def __init__(self, blender: str, limit_s: float = 600.0, threads: int = 1) -> None:
        self._command = [blender, str(RENDER_SCRIPT), str(threads)]
        if "blender" in Path(blender).name:
            options = ["-b", "--factory-startup", "-t", str(threads), "-P", str(RENDER_SCRIPT)]
            self._command = [blender, *options, "--", str(threads)]
        self._limit_s = limit_s
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        try:
            self._start()
        except BlenderStartError:
            self._log.close()
            raise

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
            )
        except OSError as error:
            raise BlenderStartError(
                f"cannot start {self._command[0]}: {error.strerror}; give a Blender binary or a "
                "Python that can import bpy, or run `david synthesize --setup`"
            ) from error
        try:
            hello = self._read_answer(START_LIMIT_S)
        except RenderError as error:
            self.end()
            raise BlenderStartError(
                f"{self._command[0]} does not render: {error}; `david synthesize --setup` "
                "installs a Blender that does"
            ) from error
        self.version = str(hello.get("blender", "unknown"))
        self.panoramas = Path(hello["panoramas"]) if hello.get("panoramas") else None

    def restart(self) -> None:
        """End the process and start a fresh one.

        Raises:
            BlenderStartError: If it does not start.
        """
        self.end()
        self._start()

    def render(self, job: dict[str, object]) -> None:
        """Render one job, see `render_cycles.py`. After an error, `restart` before the next.

        Raises:
            RenderError: If the process ended, took too long, or the scene failed.
        """
        self._log.seek(0)
        self._log.truncate()  # Blender reports every tile: keep what concerns this job
        stdin = self._process.stdin
        with contextlib.suppress(OSError, ValueError):  # the answer is empty, too
            assert stdin is not None
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
        answer = self._read_answer(self._limit_s)
        if "error" in answer:
            raise RenderError(str(answer["error"]))

    def _read_answer(self, limit_s: float) -> dict[str, Any]:
        stdout, late = self._process.stdout, threading.Event()
        assert stdout is not None

        def stop(process: subprocess.Popen[str] = self._process) -> None:
            late.set()
            process.kill()  # then the pipe closes and `readline` returns

        timer = threading.Timer(limit_s, stop)
        timer.daemon = True
        timer.start()
        try:
            line = stdout.readline()
            while line.startswith("Blender "):  # its name and version, from a binary
                line = stdout.readline()
        finally:
            timer.cancel()
        if late.is_set():
            raise RenderError(f"no answer within {limit_s:g} s")
        if not line:
            raise RenderError(f"it ended with status {self._process.wait()}{self._last_words()}")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise RenderError(f"it answered {line.strip()[:80]!r}")
        return answer

    def _last_words(self) -> str:
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2000))
        lines = self._log.read().decode("utf-8", "replace").replace("\0", "").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f" ({said[-1][:200]})" if said else ""

    def end(self) -> None:
        """Kill the process; `restart` can start another."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it did not read any more
                    pipe.close()
        self._process.wait()

    def close(self) -> None:
        """End the process for good."""
        self.end()
        self._log.close()

    def __enter__(self) -> "BlenderProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def find_blender(given: str | None = None) -> str:
    """The renderer to use.

    It is the given one, else `$DAVID_BLENDER`, else what `set_up_blender` installed, else `blender`
    on the PATH.

    Args:
        given: A Blender binary, or a Python that can import bpy.

    Raises:
        RenderError: If there is none.
    """
    chosen = given or os.environ.get("DAVID_BLENDER")
    if chosen:
        return chosen
    installed = python_of(_installed_folder())
    if installed.is_file():
        return str(installed)
    found = shutil.which("blender")
    if found is None:
        raise RenderError(
            "no Blender found: `david synthesize --setup` installs one, --blender names another"
        )
    return found


def set_up_blender() -> Path:
    """Install Blender as a Python package into an environment of its own.

    It lies in `$DAVID_CACHE/blender`, or `~/.cache/david_hf/blender`, and appears there when it can
    be imported. Nothing is done if it is there already.

    Returns:
        Its Python.

    Raises:
        RenderError: If there is no Python 3.11, or the installation fails.
    """
    folder = _installed_folder()
    if _can_import_bpy(python_of(folder)):
        return python_of(folder)
    python = _find_python()
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        _run([python, "-m", "venv", str(partial)])
        _run([str(python_of(partial)), "-m", "pip", "install", "--quiet", BPY_REQUIREMENT])
        if not _can_import_bpy(python_of(partial)):
            raise RenderError(f"{BPY_REQUIREMENT} is installed but cannot be imported")
        shutil.rmtree(folder, ignore_errors=True)  # one that does not work
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return python_of(folder)


def cache_folder() -> Path:
    """Where what is installed or built once is kept: `$DAVID_CACHE` or `~/.cache/david_hf`."""
    return Path(os.environ.get("DAVID_CACHE") or Path.home() / ".cache" / "david_hf")


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    windows = os.name == "nt"
    return environment / ("Scripts/python.exe" if windows else "bin/python")


def _installed_folder() -> Path:
    return cache_folder() / "blender"


def _find_python() -> str:
    if sys.version_info[:2] == BPY_PYTHON:
        return sys.executable
    name = f"python{BPY_PYTHON[0]}.{BPY_PYTHON[1]}"
    found = shutil.which(name)
    if found is None:
        raise RenderError(
            f"{BPY_REQUIREMENT} needs {name}, which is not on the PATH: install it, or download "
            "Blender 5 from blender.org and name its binary by --blender"
        )
    return found


def _can_import_bpy(python: Path) -> bool:
    if not python.is_file():
        return False
    command = [str(python), "-c", "import bpy"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise RenderError(f"`{' '.join(command[1:])}` failed: {said[-1]}")
