from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmark_layouts import write_benchmark
from typer.testing import CliRunner
from unit.evaluation.stand_in_model import StandInModel

from david_cli.main import app
from david_hf.evaluation.ablations import (
    ABLATIONS,
    choose_benchmarks,
    find_ablation,
    run_ablation,
)
from david_hf.evaluation.predictors.base import Maps, Photo, Predictor
from david_hf.evaluation.predictors.changed import ChangedPredictor
from david_hf.evaluation.results import read_result
from david_hf.evaluation.runner import RunOptions

QUICK = RunOptions(num_workers=0, examples=False)


class NoisyNormals(StandInModel):
    """Normals whose noise a blur takes away."""

    def _maps(self, photo: Photo) -> Maps:
        shape = (*photo.shape[:2], 3)
        normals = np.random.default_rng(0).normal(0, 0.5, shape).astype(np.float32)
        normals[..., 2] += 1
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        return Maps(normals=normals)


def opening(model: Predictor) -> Callable[[], Predictor]:
    return lambda: model


def test_each_data_set_stands_for_its_benchmarks_in_the_table() -> None:
    root = Path("data")

    assert list(choose_benchmarks(find_ablation("data-size"), {"goliath": root})) == [
        "goliath-face",
        "goliath-upper-body",
        "goliath-full-body",
    ]
    assert list(choose_benchmarks(find_ablation("multi-task"), {"ppm-100": root})) == ["ppm-100"]
    # Not in the paper's table: all benchmarks of the data set, if they have the task.
    assert list(choose_benchmarks(find_ablation("blur"), {"generated": root})) == ["synthetic"]
    assert list(choose_benchmarks(find_ablation("blur"), {"hi4d": root, "ppm-100": root})) == [
        "hi4d"
    ]


def test_blur_compares_each_model_with_itself(tmp_path: Path) -> None:
    write_benchmark("hi4d", tmp_path / "hi4d")

    plain, blurred = run_ablation(
        find_ablation("blur"),
        {"noisy": opening(NoisyNormals(("normals",)))},
        {"hi4d": tmp_path / "hi4d"},
        tmp_path / "out",
        QUICK,
    )

    assert (plain.model, blurred.model) == ("noisy", "noisy with blur")
    assert blurred.settings["model"]["blur_sigma_px"] == 3
    assert blurred.summary["normals"]["mean_deg"] < plain.summary["normals"]["mean_deg"]
    assert read_result(tmp_path / "out" / "noisy_with_blur" / "hi4d") == blurred


def test_blurred_normals_stay_unit_and_flat_ones_stay_as_they_are() -> None:
    photo = np.zeros((16, 12, 3), np.uint8)
    noisy = ChangedPredictor(NoisyNormals(("normals",)), "blurred", 2.0).predict([photo])[0]
    flat = ChangedPredictor(StandInModel(), "blurred", 2.0).predict([photo])[0]

    assert noisy.normals is not None
    assert np.linalg.norm(noisy.normals, axis=-1) == pytest.approx(1, abs=1e-5)
    assert flat.normals == pytest.approx(np.broadcast_to([0, 0, 1], (16, 12, 3)), abs=1e-6)


def test_models_of_one_task_are_compared_with_one_of_all(tmp_path: Path) -> None:
    for name in ("hi4d", "ppm-100"):
        write_benchmark(name, tmp_path / name)
    models = {
        "one": opening(StandInModel(("depth", "normals", "alpha"))),
        "depth alone": opening(StandInModel(("depth",))),
        "alpha alone": opening(StandInModel(("alpha",))),
    }
    roots = {name: tmp_path / name for name in ("hi4d", "ppm-100")}

    results = run_ablation(find_ablation("multi-task"), models, roots, tmp_path / "out", QUICK)

    assert [(result.model, result.benchmark) for result in results] == [
        ("one", "hi4d"),
        ("one", "ppm-100"),
        ("depth alone", "hi4d"),
        ("alpha alone", "ppm-100"),
    ]


def test_bad_requests_are_refused(tmp_path: Path) -> None:
    one = {"a": opening(StandInModel())}

    with pytest.raises(ValueError, match="unknown ablation 'x'; known are blur, data-source"):
        find_ablation("x")
    with pytest.raises(ValueError, match=r"expected data of a benchmark .* got 'nowhere'"):
        choose_benchmarks(find_ablation("blur"), {"nowhere": tmp_path})
    with pytest.raises(ValueError, match=r"expected data with normals, .* got ppm-100"):
        choose_benchmarks(find_ablation("blur"), {"ppm-100": tmp_path})
    with pytest.raises(ValueError, match="at least 2 models to compare, got 1"):
        run_ablation(find_ablation("data-size"), one, {"hi4d": tmp_path}, tmp_path)


def test_the_command_prints_our_rows_beside_the_papers(tmp_path: Path) -> None:
    write_benchmark("hi4d", tmp_path / "hi4d")
    words = ["ablate", "blur", "--model", "mine=bundled", "--data", f"hi4d={tmp_path / 'hi4d'}"]

    result = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "bundled" in result.stderr

    words[3] = f"mine={CHECKPOINT}"
    result = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    for text in ("mine with blur", "wrote 2 results"):
        assert text in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "unknown ablation"),
        (["blur", "--model", "path"], "expected --model with NAME=VALUE"),
        (["blur", "--data", "hi4d=again"], "each name once, got 'hi4d="),
    ],
)
def test_bad_commands_are_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    given = ["--model", f"a={CHECKPOINT}", "--data", f"hi4d={tmp_path}"]

    result = CliRunner().invoke(app, ["ablate", *words, *given])

    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_every_ablation_is_listed() -> None:
    listed = CliRunner().invoke(app, ["ablate", "--list"]).stdout

    assert all(name in listed for name in ABLATIONS)


CHECKPOINT = Path(__file__).parents[3] / "src/david_hf/checkpoints/david-nano"
