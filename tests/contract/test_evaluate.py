"""`david evaluate` on the data set of every benchmark in miniature, in real processes."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmark_layouts import write_benchmark
from layouts import matte, photo, save
from photos import save_checkpoint
from typer.testing import CliRunner

from david_cli.main import app
from david_hf.evaluation.benchmarks.registry import benchmarks
from david_hf.evaluation.results import EvaluationResult, read_result
from david_hf.model import DavidForDensePrediction, DavidForNormalEstimation

# Runs the commands of its standard input in one process each of `torchrun`, without starting anew.
_MANY_COMMANDS = """
import shlex, sys
from david_cli.main import app
for line in open(sys.argv[1]):
    app(shlex.split(line), standalone_mode=False)
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(DavidForDensePrediction, tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What `david evaluate` takes for the data of each benchmark."""
    root = tmp_path_factory.mktemp("data")
    return {name: write_benchmark(name, root / name) for name in benchmarks()}


@pytest.fixture(scope="module")
def one_process(
    checkpoint: Path, data: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, EvaluationResult]:
    """The result of each benchmark, by one process."""
    output = tmp_path_factory.mktemp("one")
    for name, options in data.items():
        result = CliRunner().invoke(
            app, ["evaluate", name, *options, "--model", str(checkpoint), "-o", str(output / name)]
        )
        assert result.exit_code == 0, f"{name}: {result.output}"
    return {name: read_result(output / name) for name in data}


def torchrun(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, timeout=300, check=False
    )


def test_every_benchmark_is_measured_on_all_its_tasks(
    one_process: dict[str, EvaluationResult],
) -> None:
    for name, result in one_process.items():
        assert result.benchmark == name
        assert len(result.images) >= 2
        # The second picture of the plain folder has no labels.
        assert set(result.summary) == set(benchmarks()[name].tasks)
        assert not result.is_complete
        assert all(math.isfinite(v) for found in result.summary.values() for v in found.values())
    assert "sad_t" in one_process["ppm-100"].summary["alpha"]
    assert "backgrounds_sha256" in one_process["photomatte85"].settings["data"]


def test_two_processes_give_identical_numbers(
    checkpoint: Path,
    data: dict[str, list[str]],
    one_process: dict[str, EvaluationResult],
    tmp_path: Path,
) -> None:
    script, commands = tmp_path / "many.py", tmp_path / "commands.txt"
    script.write_text(_MANY_COMMANDS)
    commands.write_text(
        "".join(
            " ".join(
                ["evaluate", name, *options, "--model", str(checkpoint), "-o", f"{tmp_path}/{name}"]
            )
            + "\n"
            for name, options in data.items()
        )
    )

    done = torchrun(script, commands)

    assert done.returncode == 0, done.stderr
    for name, wanted in one_process.items():
        assert read_result(tmp_path / name) == wanted
        parts = sorted(path.name for path in (tmp_path / name / "parts").iterdir())
        assert parts == ["images-0.jsonl", "images-1.jsonl"]
        sizes = [(tmp_path / name / "parts" / part).stat().st_size for part in parts]
        assert min(sizes) > 0


def test_a_killed_run_goes_on_in_two_processes_with_identical_numbers(
    checkpoint: Path, tmp_path: Path
) -> None:
    root = tmp_path / "p3m" / "P3M-500-P"
    for number in range(60):
        save(root / "blurred_image" / f"p_{number:08x}.jpg", photo(number, 96, 72))
        save(root / "mask" / f"p_{number:08x}.png", matte(96, 72))
    words = ["evaluate", "p3m-500-p", "--data", str(root.parent), "--model", str(checkpoint)]
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert CliRunner().invoke(app, [*words, "-o", str(unbroken)]).exit_code == 0
    journal = broken / "parts" / "images-0.jsonl"

    process = subprocess.Popen(
        [sys.executable, "-m", "david_cli", *words, "-o", str(broken)], start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (journal.is_file() and journal.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    assert not (broken / "metrics.json").exists()
    before = journal.read_bytes().count(b"\n")
    assert 3 <= before < 60
    done = torchrun("-m", "david_cli", *words, "-o", broken)
    assert done.returncode == 0, done.stderr
    assert read_result(broken) == read_result(unbroken)
    lines = [path.read_bytes().count(b"\n") for path in sorted((broken / "parts").iterdir())]
    assert sum(lines) == 60
    assert lines[0] > before
    assert "p3m-500-p" in done.stdout or "P3M-500-P" in done.stdout


def test_our_row_is_printed_inside_the_papers_table(
    checkpoint: Path, data: dict[str, list[str]], tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        app,
        ["evaluate", "ppm-100", *data["ppm-100"], "--model", str(checkpoint), "-o", str(tmp_path)],
    )

    for text in ("MODNet", "104.35", "tiny", "difference to Ours", "2 of 100 images"):
        assert text in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "unknown benchmark 'nonsense'; known are goliath-face"),
        (["ppm-100", "--model", "nowhere"], "nowhere"),
        (["ppm-100", "--data", "nowhere"], "nowhere: no such folder"),
        (["hi4d"], "expected frames of pair28"),
        (["photomatte85"], "expected `backgrounds`"),
        (["ppm-100", "--align", "affine"], "got 'affine' with 'lstsq'"),
        (["ppm-100", "--option", "matte_snap"], "expected --option KEY=VALUE"),
        (["ppm-100", "--option", "snap=2"], "takes no option snap"),
        (["ppm-100", "--groups", "nowhere.csv"], "nowhere.csv: not a readable CSV table"),
        (["ppm-100", "--depth-space", "log"], "log"),
        (["ppm-100", "--device", "abacus"], "abacus"),
    ],
)
def test_bad_input_is_one_line(
    checkpoint: Path, data: dict[str, list[str]], tmp_path: Path, words: list[str], message: str
) -> None:
    given = ["--data", *data["ppm-100"][1:]] if "--data" not in words else []
    model = ["--model", str(checkpoint)] if "--model" not in words else []

    result = CliRunner().invoke(
        app, ["evaluate", *words, *given, *model, "-o", str(tmp_path / "out")]
    )

    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_task_is_refused(data: dict[str, list[str]], tmp_path: Path) -> None:
    model = save_checkpoint(DavidForNormalEstimation, tmp_path / "normals")

    result = CliRunner().invoke(
        app, ["evaluate", "ppm-100", *data["ppm-100"], "--model", str(model)]
    )

    assert result.exit_code == 1
    assert "expected a model that predicts alpha, which ppm-100 measures" in result.stderr
