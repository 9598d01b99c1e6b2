import json
from pathlib import Path

import pytest
import typer
from evaluation_results import complete_result, make_images, make_result, write_run
from typer.testing import CliRunner, Result

from david_cli.report import report
from david_hf import bundled_checkpoint
from david_hf.evaluation.predictors.checkpoint import digest_of_files
from david_hf.evaluation.results import EvaluationResult
from david_hf.hub.card_parts import read_metrics

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(report)


def david_report(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(*arguments: object) -> str:
    """The one line by which a command ends."""
    result = david_report(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return str(line)


def measured(model: str = "nano", **facts: str) -> EvaluationResult:
    return make_result("ppm-100", make_images([{"alpha": {"iou": 0.5}}] * 2), model, **facts)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", measured())


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The bundled checkpoint, without its figures."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(bundled_checkpoint() / name)
    return folder


@pytest.fixture
def own_run(tmp_path: Path) -> Path:
    """A run of the bundled checkpoint."""
    digest = digest_of_files([bundled_checkpoint() / "model.safetensors"])
    return write_run(tmp_path / "own", measured(weights_sha256=digest))


def test_the_page_is_written_where_it_is_wanted(run: Path, tmp_path: Path) -> None:
    result = david_report(run, "-o", tmp_path / "page.html")

    assert result.exit_code == 0, result.output
    assert result.stdout == f"wrote {tmp_path / 'page.html'}\n"
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")


def test_the_page_has_a_name_of_its_own(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert david_report(run).stdout == "wrote report.html\n"
    assert (tmp_path / "report.html").is_file()


def test_a_file_or_a_folder_of_runs_will_do(tmp_path: Path) -> None:
    for model in ("one", "two"):
        write_run(tmp_path / "runs" / model / "ppm", measured(model), with_examples=False)

    both = david_report(tmp_path / "runs", "--format", "markdown").stdout
    one = david_report(tmp_path / "runs/one/ppm/metrics.json", "--format", "markdown").stdout

    assert "| metric | one | two |" in both
    assert "| metric | one |\n" in one


def test_a_run_that_is_named_twice_counts_once(run: Path) -> None:
    result = david_report(run, run / "..", "--format", "markdown")

    assert "(2)" not in result.stdout
    assert "| metric | nano |\n" in result.stdout


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("markdown", "| difference to Ours (trained on SynthHuman) | "),
        ("latex", "difference to Ours (trained on SynthHuman) & "),
        ("html", '<th scope="row">difference to Ours (trained on SynthHuman)</th>'),
    ],
)
def test_tables_alone_are_printed_or_written(tmp_path: Path, form: str, text: str) -> None:
    result = complete_result("p3m-500-p", {"alpha": {"sad": 10.0}})
    run = write_run(tmp_path / "run", result, with_examples=False)

    printed = david_report(run, "--format", form)
    written = david_report(run, "--format", form, "-o", tmp_path / "tables")

    assert printed.exit_code == written.exit_code == 0
    assert text in printed.stdout
    assert (tmp_path / "tables").read_text() == printed.stdout


def test_groups_get_means_from_the_wanted_size_on(tmp_path: Path) -> None:
    images = make_images([{"alpha": {"mad": 0.5}}] * 2, groups={"sex": "female"})
    images += make_images([{"alpha": {"mad": 0.25}}] * 2, groups={"sex": "male"})
    run = write_run(tmp_path / "run", make_result("ppm-100", images), with_examples=False)

    few = david_report(run, "--format", "markdown")
    enough = david_report(run, "--format", "markdown", "--min-group", "2")

    assert "fewer than two groups have 10 images" in few.stdout
    assert "0.2500 (0.2500\N{EN DASH}0.2500)" in enough.stdout


def test_the_figures_of_a_card_are_written_alone(own_run: Path, checkpoint: Path) -> None:
    result = david_report(own_run, "--card", checkpoint)

    assert result.stdout == f"wrote {checkpoint / 'metrics.json'}\n"
    metrics = read_metrics(checkpoint / "metrics.json")
    assert metrics["overall"] == {"alpha_iou": 0.5}
    assert metrics["benchmark"] == "ppm-100"


def test_a_page_and_a_card_come_from_one_command(
    own_run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    result = david_report(own_run, "--card", checkpoint, "-o", tmp_path / "page.html")

    assert len(result.stdout.splitlines()) == 2
    assert (tmp_path / "page.html").is_file()


def test_the_figures_of_other_weights_are_refused(run: Path, checkpoint: Path) -> None:
    message = refusal(run, "--card", checkpoint)

    assert "expected a run that measured the weights of" in message
    assert message.endswith("run `david evaluate` on this checkpoint")
    assert not (checkpoint / "metrics.json").exists()


def test_a_card_shows_one_run(run: Path, own_run: Path, checkpoint: Path) -> None:
    message = refusal(run, own_run, "--card", checkpoint)

    assert message == "david: expected one run with --card, got 2; name the one to show"


def test_what_is_no_checkpoint_has_no_card(run: Path, tmp_path: Path) -> None:
    assert "no config.json" in refusal(run, "--card", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no metrics.json here; `david evaluate` writes it at its end"),
        ("{", "expected metrics of format 1, as `david evaluate` writes them"),
        ('{"overall": {}}', "expected metrics of format 1"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)

    assert message in refusal(tmp_path, "-o", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("output", ["missing/page.html", "run"])
def test_a_name_that_cannot_be_written_is_refused_before_any_work(
    run: Path, tmp_path: Path, output: str
) -> None:
    message = refusal(run, "-o", tmp_path / output)

    assert message.endswith("expected the name of a file in a folder that is there")


def test_a_missing_picture_leaves_no_page(run: Path, tmp_path: Path) -> None:
    (run / "one.png").unlink()

    assert "one.png: expected the picture of an example" in refusal(run, "-o", tmp_path / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_write_that_fails_leaves_what_was_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    page = tmp_path / "page.html"
    page.write_bytes(b"before")
    monkeypatch.setattr(Path, "replace", fill_disk)

    assert "No space left on device" in refusal(run, "-o", page)
    assert page.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "run"]


def test_numbers_that_are_none_are_refused(run: Path, tmp_path: Path) -> None:
    content = json.loads((run / "metrics.json").read_text())
    for image in content["images"]:
        image |= {"category": image["id"], "metrics": {"alpha": {"mad": float("nan")}}}
    (run / "metrics.json").write_text(json.dumps(content))

    message = refusal(run, "--min-group", "1", "-o", tmp_path / "page.html")

    assert "expected one finite value" in message
