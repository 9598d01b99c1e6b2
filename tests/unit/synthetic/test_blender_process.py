"""Blender as a process, with a stand-in for it (`stand_ins.py`)."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from unit.synthetic.stand_ins import SphereSampler, make_config, plan

from david_hf.synthetic.rendering import blender
from david_hf.synthetic.rendering.blender import (
    BlenderProcess,
    BlenderStartError,
    RenderError,
    find_blender,
    python_of,
    set_up_blender,
)


@pytest.fixture
def renderer(tmp_path: Path) -> str:
    return str(make_config(tmp_path).blender)


@pytest.fixture
def no_blender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Blender; the cache folder."""
    monkeypatch.delenv("DAVID_BLENDER", raising=False)
    monkeypatch.setenv("DAVID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    return tmp_path / "cache"


def make_executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    return path


def job(folder: Path, index: int) -> dict[str, object]:
    SphereSampler().sample(0, index).save(folder / "scene.npz")
    files = {"scene": folder / "scene.npz", "output": folder / "scene.exr"}
    return {name: str(path) for name, path in files.items()} | {
        "panorama": str(folder / "hdri" / "sky.exr"),
        "samples": 4,
    }


def test_a_render_is_asked_for_and_answered(renderer: str, tmp_path: Path) -> None:
    with BlenderProcess(renderer) as process:
        assert (process.version, process.panoramas) == ("9.9", None)
        process.render(job(tmp_path, 0))

    assert (tmp_path / "scene.exr").is_file()


def test_a_missing_blender_is_named() -> None:
    with pytest.raises(BlenderStartError, match=r"cannot start /no/such/blender: No such file"):
        BlenderProcess("/no/such/blender")


def test_a_python_without_bpy_says_so_and_names_the_way_out(renderer: str, tmp_path: Path) -> None:
    plan(tmp_path, mute="ModuleNotFoundError: No module named 'bpy'")

    with pytest.raises(BlenderStartError, match=r"No module named 'bpy'.*synthesize --setup") as e:
        BlenderProcess(renderer)
    assert "\n" not in str(e.value)


def test_a_program_that_is_no_renderer_is_refused(tmp_path: Path) -> None:
    chatty = make_executable(tmp_path / "chatty")
    chatty.write_text("#!/bin/sh\necho welcome\ncat\n")

    with pytest.raises(BlenderStartError, match="it answered 'welcome'"):
        BlenderProcess(str(chatty))


def test_the_banner_of_a_binary_is_no_answer(tmp_path: Path) -> None:
    binary = make_executable(tmp_path / "blender")
    binary.write_text(
        "#!/bin/sh\necho 'Blender 5.0.1 (hash 1234)'\necho '{\"blender\": \"5.0\"}'\ncat\n"
    )

    with BlenderProcess(str(binary)) as process:
        assert process.version == "5.0"


def test_a_render_that_takes_too_long_is_ended(renderer: str, tmp_path: Path) -> None:
    plan(tmp_path, hang=[10])

    with BlenderProcess(renderer, limit_s=1) as process:
        with pytest.raises(RenderError, match="no answer within 1 s"):
            process.render(job(tmp_path, 1))
        process.restart()
        process.render(job(tmp_path, 2))


def test_a_crash_is_told_with_the_last_words(renderer: str, tmp_path: Path) -> None:
    plan(tmp_path, crash=[10])

    with BlenderProcess(renderer) as process:
        with pytest.raises(RenderError, match=r"ended with status 3 \(Error: out of ideas\)"):
            process.render(job(tmp_path, 1))
        with pytest.raises(RenderError, match="ended with status 3"):
            process.render(job(tmp_path, 2))


def test_blender_ends_when_its_parent_is_killed(renderer: str) -> None:
    code = f"""
import os, sys, time
from david_hf.synthetic.rendering.blender import BlenderProcess
process = BlenderProcess({renderer!r})
print(process._process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())

    parent.kill()
    parent.wait()

    end = time.monotonic() + 5
    while _is_alive(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_blender_is_looked_for_in_order(no_blender: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RenderError, match="no Blender found: `david synthesize --setup`"):
        find_blender()
    on_path = make_executable(no_blender.parent / "programs" / "blender")
    assert find_blender() == str(on_path)
    installed = make_executable(python_of(no_blender / "blender"))
    assert find_blender() == str(installed)
    monkeypatch.setenv("DAVID_BLENDER", "/opt/blender")
    assert find_blender() == "/opt/blender"
    assert find_blender("/my/blender") == "/my/blender"


def test_setting_up_without_python_3_11_names_the_way_out(
    no_blender: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blender, "BPY_PYTHON", (3, 99))

    with pytest.raises(RenderError, match=r"needs python3\.99.*blender\.org"):
        set_up_blender()
    assert not no_blender.exists()


def test_setting_up_leaves_nothing_or_a_blender_that_works(
    no_blender: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(command: list[str]) -> None:
        commands.append(command)
        if "venv" in command:
            make_executable(python_of(Path(command[-1])))
        elif len(commands) < 3:
            raise RenderError("no network")

    commands: list[list[str]] = []
    monkeypatch.setattr(blender, "_find_python", lambda: "python3.11")
    monkeypatch.setattr(blender, "_run", install)

    with pytest.raises(RenderError, match="no network"):
        set_up_blender()
    assert not list(no_blender.iterdir())
    assert set_up_blender() == python_of(no_blender / "blender")
    assert set_up_blender() == python_of(no_blender / "blender")
    assert [path.name for path in no_blender.iterdir()] == ["blender"]
    assert len(commands) == 4
    assert commands[-1][-1] == "bpy==5.0.1"
    assert os.access(find_blender(), os.X_OK)
