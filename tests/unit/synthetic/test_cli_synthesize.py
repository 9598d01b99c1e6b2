"""`david synthesize`: what it hands on, and what it says."""

from collections import Counter
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner
from unit.synthetic.stand_ins import make_config, plan

from david_cli.main import app
from david_hf.synthetic.production import generate as production
from david_hf.synthetic.production.config import GenerateConfig
from david_hf.synthetic.production.generate import Report
from david_hf.synthetic.production.worker import SampleMaker


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["synthesize", *map(str, arguments)])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> tuple[list[GenerateConfig], Report]:
    """Configurations that were generated, and the report that comes back."""
    configs: list[GenerateConfig] = []
    report = Report(missing=4, made=4, seconds=72)

    def record(config: GenerateConfig, show: object) -> Report:
        configs.append(config)
        return report

    monkeypatch.setattr(production, "generate", record)
    return configs, report


def test_options_become_the_configuration(
    asked: tuple[list[GenerateConfig], Report], tmp_path: Path
) -> None:
    words = "--count 9 --start 5 --seed 3 --size 64 48 --samples-per-pixel 2 --strands 500"
    more = "--texture-size 32 --workers 3 --no-foreground --lens-labels keep --ray auto"

    result = run(
        tmp_path,
        *words.split(),
        *more.split(),
        "--makehuman",
        "data",
        "--hdri",
        "sky",
        "--hdri-only",
    )

    assert result.exit_code == 0, result.output
    assert asked[0] == [
        GenerateConfig(
            output=tmp_path,
            count=9,
            start=5,
            seed=3,
            height=64,
            width=48,
            samples_per_pixel=2,
            num_strands=500,
            texture_size=32,
            workers=3,
            hdri_dir=Path("sky"),
            blender_hdri=False,
            makehuman_dir=Path("data"),
            foreground=False,
            lens_labels=True,
            ray_address="auto",
        )
    ]


def test_the_last_line_sums_up(asked: tuple[list[GenerateConfig], Report]) -> None:
    asked[1].rejected = Counter({"burnt": 1, "face-outside": 3})

    result = run("--output", "out", "--count", 10)

    assert result.stdout.splitlines()[-1] == (
        "10 of 10 samples are in out; made 4 at 200 an hour; rejected and drawn again: "
        "face-outside 3, burnt 1"
    )


def test_failed_samples_are_named_and_the_exit_code_tells(
    asked: tuple[list[GenerateConfig], Report],
) -> None:
    asked[1].failed[7] = "no such material"

    result = run("out")

    assert result.exit_code == 1
    assert "david: sample 7: no such material" in result.stderr


def test_an_interrupted_run_says_how_to_go_on(
    asked: tuple[list[GenerateConfig], Report],
) -> None:
    asked[1].interrupted = True

    result = run("out")

    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "david: interrupted; run the same command again"
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hdri", "nowhere"], "david: nowhere: no such folder"),
        (["--factors", "nowhere.yaml"], "david: nowhere.yaml: no such file"),
        (["--blender", "/no/such/blender"], "david: cannot start /no/such/blender"),
        (["--factors", "wrong.yaml"], "david: wrong.yaml: expected YAML"),
    ],
)
def test_wrong_inputs_are_one_line(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.yaml").write_text("a: [")

    result = run("out", *options)

    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1
    assert not Path("out").exists()


def test_a_folder_must_be_named() -> None:
    result = run("--count", 3)

    assert result.exit_code == 2
    assert "david synthesize OUT" in result.stderr


def test_factors_are_printed_as_yaml_that_can_be_given_back(tmp_path: Path) -> None:
    first = run("--print-factors")
    (tmp_path / "factors.yaml").write_text(first.stdout)

    second = run("--print-factors", "--factors", tmp_path / "factors.yaml")

    assert first.exit_code == 0
    assert isinstance(yaml.safe_load(first.stdout), dict)
    assert second.stdout == first.stdout


def test_a_sheet_of_a_folder_is_written(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    config.output.mkdir()
    plan(tmp_path)
    maker = SampleMaker(production.prepare(config))
    maker.make(0)
    maker.close()

    result = run(config.output, "--sheet", tmp_path / "sheet.png")

    assert result.exit_code == 0, result.output
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert run(tmp_path, "--sheet", tmp_path / "no.png").exit_code == 1
