from pathlib import Path

import config as configuration
import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from config import DataPart, TrainConfig, parse_config, read_yaml

ROOT = Path(__file__).parents[2]


def test_a_flag_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({"data": [str(tmp_path)], "output_dir": "x", "steps": 7}))

    config = parse_config(["--config", str(file), "--steps", "9", "--learning_rate", "1.0e-4"])

    assert config.steps == 9
    assert config.learning_rate == 1e-4
    assert config.data == (DataPart(str(tmp_path), composed=True),)


def test_of_steps_and_epochs_the_last_counts(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"data: [{tmp_path}]\noutput_dir: x\nepochs: 3\n")
    words = ["--config", str(file)]

    assert parse_config(words).epochs == 3
    assert parse_config([*words, "--steps", "7"]).epochs is None
    assert parse_config([*words, "--steps", "7", "--epochs", "2"]).epochs == 2


def test_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    words = ["--data", str(tmp_path), "--output_dir", "x"]

    config = parse_config(
        [
            *(*words, "--learning_rate", "1e-4", "--weight_decay", "1", "--steps", "1e3"),
            *("--epochs", "null", "--tasks", "alpha", "--batch_size", "8.0"),
        ]
    )

    found = (config.learning_rate, config.weight_decay, config.steps, config.batch_size)
    assert [(value, type(value)) for value in found] == [
        *((1e-4, float), (1.0, float), (1000, int), (8, int))
    ]
    assert config.epochs is None
    assert config.tasks == ("alpha",)


def test_a_tracker_that_is_not_installed_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "get_available_trackers", list)

    with pytest.raises(ValueError, match="trackers: `pip install tensorboard wandb` first"):
        TrainConfig((str(tmp_path),), "x", trackers=("wandb", "tensorboard"))


def test_people_that_training_leaves_out_are_measured(tmp_path: Path) -> None:
    parts = ({"root": str(tmp_path)}, {"root": str(tmp_path), "benchmark": "p3m-500-np"})

    config = TrainConfig((str(tmp_path),), "x", validation=parts)

    assert [part.options for part in config.validation] == [{"split": "validation"}, {}]


def test_no_mixed_precision_may_be_said_in_yaml(tmp_path: Path) -> None:
    words = ["--data", str(tmp_path), "--output_dir", "x", "--mixed_precision", "no"]

    assert parse_config(words).mixed_precision == "no"


def test_a_saved_configuration_reads_back(tmp_path: Path) -> None:
    config = TrainConfig((str(tmp_path),), "x", sides=((0.5, 64), (1.0, 96)), steps=10)

    config.save(tmp_path / "saved.yaml")

    assert parse_config(["--config", str(tmp_path / "saved.yaml")]) == config


def test_the_side_follows_its_schedule(tmp_path: Path) -> None:
    config = TrainConfig((str(tmp_path),), "x", sides=((0.5, 64), (1.0, 96)), steps=10)

    assert [config.side_at(step, 10) for step in (0, 4, 5, 9)] == [64, 64, 96, 96]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "steps: expected a positive number, got 0"),
        (["--steps", "100.5"], "steps: expected a whole number, got 100.5"),
        (["--batch_size", "2.5"], "batch_size: expected a whole number, got 2.5"),
        (["--warmup_steps", "many"], "warmup_steps: expected a whole number, got 'many'"),
        (["--learning_rate", ".nan"], "learning_rate: expected a number, got nan"),
        (["--learning_rate", "true"], "learning_rate: expected a number, got True"),
        (["--clip_grad_norm", "0"], "clip_grad_norm: expected a positive number, got 0"),
        (["--epochs", "0"], "epochs: expected a positive number, got 0"),
        (["--num_workers", "-1"], "num_workers: expected 0 or more, got -1"),
        (["--weight_decay", "-0.1"], "weight_decay: expected 0 or more, got -0.1"),
        (["--cpu", "maybe"], "cpu: expected true or false, got 'maybe'"),
        (["--output_dir", "5"], "output_dir: expected text, got 5"),
        (
            ["--model_size", "small", "--model_overrides", "{out_indices: [0, 0, 1, 1]}"],
            "model_overrides: out_indices must rise",
        ),
        (["--data", "[{root: ., weight: much}]"], "data: weight: expected a number, got 'much'"),
        (["--validation", "[{root: ., limit: 0}]"], "expected a limit of 1 or more, got 0"),
        (["--data", "/no/such/folder"], "data: /no/such/folder does not exist"),
        (["--sides", "[[0.5, 64]]"], "expected rising shares that end at 1.0"),
        (["--sides", "[[1.0, 256.9]]"], "sides: expected whole numbers of pixels"),
        (["--sides", "[[1.0, 0]]"], "sides: expected whole numbers of pixels"),
        (["--colour", "red"], "unknown keys ['colour']"),
        (["--model_size", "huge"], "unknown size 'huge'"),
        (["--data", "[{root: ., name: ppm}]"], "unknown data set 'ppm'"),
        (["--data", "[{root: ., split: test}]"], "expected a split out of train, validation, all"),
        (["--data", "[{root: ., weight: 0}]"], "expected a positive weight"),
        (["--data", "[{folder: .}]"], "expected a folder, or a mapping with root"),
        (["--data", "[{root: ., name: folder, composed: true}]"], "only people of `david synth"),
        (
            ["--data", "[{root: ., composed: true, options: {categories: [face]}}]"],
            "data: .: composed people take no options",
        ),
        (["--tasks", "[depth, colour]"], "tasks: expected some of depth, normals, alpha"),
        (["--trackers", "[paper]"], "trackers: expected some of"),
        (["--mixed_precision", "fp4"], "mixed_precision: expected no, bf16 or fp16"),
        (["--optimizer", "sgd"], "optimizer: expected adamw or muon, got sgd"),
        (["--optimizer", "muon", "--mixed_precision", "fp16"], "muon trains in bf16 or in full"),
        (["--ema_decay", "1.0"], "ema_decay: expected 0 to below 1"),
        (["--validation", "[{root: ., benchmark: x}]"], "unknown benchmark 'x'"),
        (["--init_from", "x", "--backbone", "y"], "leave out backbone"),
        (["--frozen_blocks", "-1"], "frozen_blocks: expected 0 or more, got -1"),
        (["--steps"], "expected pairs of --key VALUE"),
        (["--config", "/no/such.yaml"], "No such file"),
        (["steps", "3"], "expected pairs of --key VALUE"),
    ],
)
def test_bad_input_ends_in_a_clear_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    valid = ["--data", str(tmp_path), "--output_dir", "x"]

    with pytest.raises(SystemExit) as caught:
        parse_config([*valid, *arguments])

    assert message in str(caught.value)
    assert str(caught.value).startswith("error: ")


@pytest.mark.parametrize(
    "file", sorted((ROOT / "training" / "configs").glob("*.yaml")), ids=lambda file: file.stem
)
def test_the_shipped_configurations_are_valid(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = read_yaml(file)
    roots = [part["root"] for part in (*values["data"], *values["validation"])]
    for folder in (*roots, values.get("backgrounds", "data")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "training").symlink_to(ROOT / "training")
    monkeypatch.chdir(tmp_path)

    config = TrainConfig(**{"output_dir": "runs/paper", **values})

    assert config.output_dir == f"runs/{file.stem}"
    if file.stem not in ("nano", "nano-128", "p3m", "thuman", "tiny", "tiny-128"):
        assert (config.epochs, config.batch_size) in [(100, 24), (200, 24), (500, 24)]


def test_a_file_extends_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("steps: 3\nseed: 4\n")
    (tmp_path / "more.yaml").write_text("extends: base.yaml\nseed: 5\n")

    assert read_yaml(tmp_path / "more.yaml") == {"steps": 3, "seed": 5}


def test_augmentations_are_set_by_the_configuration(tmp_path: Path) -> None:
    config = TrainConfig(
        data=(str(tmp_path),),
        output_dir="out",
        geometric={"zoom": [0.9, 1.1]},
        photometric={"blur_probability": 0.0},
    )

    transform = config.transform(64)

    assert transform.geometric is not None
    assert list(transform.geometric.zoom) == [0.9, 1.1]
    assert transform.photometric is not None
    assert transform.photometric.blur_probability == 0
    with pytest.raises(ValueError, match="noise: expected a number"):
        TrainConfig(data=(str(tmp_path),), output_dir="out", photometric={"noise": "much"})


@pytest.mark.parametrize(
    "file", sorted((ROOT / "training" / "launch").glob("*.yaml")), ids=lambda file: file.stem
)
def test_accelerate_reads_the_launch_files(file: Path) -> None:
    loaded = load_config_from_file(str(file))

    processes = {"cpu": 1, "one_gpu": 1, "several_nodes": 8}.get(file.stem, 4)
    assert loaded.num_processes == processes
    assert loaded.use_cpu is (file.stem == "cpu")
