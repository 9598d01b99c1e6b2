import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import train as training
import yaml
from averaging import WeightAverage
from benchmark_layouts import write_benchmark, write_people
from building import build_accelerator, build_model, build_optimizer, load_checkpoint
from checkpoints import STATE, find_state
from checkpoints import _put_in_place as put_in_place
from config import TrainConfig
from factories import tiny_config, tiny_model
from figures import write_person
from layouts import write_p3m
from samples import TrainingSamples
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from david_hf import DavidPredictor
from david_hf.model import (
    DavidForDensePrediction,
    DavidForNormalEstimation,
    DavidImageProcessor,
)

ROOT = Path(__file__).parents[2]
SMALL = {"image_size": 64, "input_size": 64}


@pytest.fixture
def people(tmp_path: Path) -> str:
    for index in range(4):
        write_person(tmp_path / "people", index)
    return str(tmp_path / "people")


def settings(people: str, output: Path, **changes: Any) -> dict[str, Any]:
    return {
        "data": [people],
        "output_dir": str(output),
        "model_overrides": SMALL,
        "steps": 4,
        "batch_size": 2,
        "sides": [[0.5, 32], [1.0, 64]],
        "warmup_steps": 1,
        "ema_decay": 0.9,
        "num_workers": 0,
        "log_every": 2,
        "save_every": 2,
        "cpu": True,
        **changes,
    }


def configure(people: str, output: Path, **changes: Any) -> TrainConfig:
    return TrainConfig(**settings(people, output, **changes))


def save_tiny(folder: Path, encoder_type: str = "vit") -> None:
    """A checkpoint to start from whose steps take next to no time."""
    tiny_model(DavidForDensePrediction, tiny_config(encoder_type)).save_pretrained(folder)
    DavidImageProcessor(channel_order="rgb").save_pretrained(folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return DavidForDensePrediction.from_pretrained(folder).state_dict()


def flat_weights(folder: Path) -> torch.Tensor:
    found = weights(folder)
    return torch.cat([value.double().flatten() for value in found.values()])


def start(
    config: dict[str, Any], *more: str, processes: int = 1, largest_file: int | None = None
) -> "subprocess.Popen[str]":
    """The script in processes of its own, which can write no file larger than so many bytes."""

    def limit_files() -> None:
        assert largest_file is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    file = Path(config["output_dir"]).with_suffix(".yaml")
    file.write_text(yaml.safe_dump(config))
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [
        sys.executable,
        *(launcher if processes > 1 else []),
        str(ROOT / "training/train.py"),
        "--config",
        str(file),
        *more,
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=None if largest_file is None else limit_files,
    )


def logged(said: str, name: str) -> list[float]:
    """Values of one number in the lines of a run."""
    return [float(value) for value in re.findall(rf"  {name} ([\d.]+)  ", said)]


def finish(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


def test_a_run_ends_in_a_checkpoint_that_loads(people: str, tmp_path: Path) -> None:
    folder = training.train(configure(people, tmp_path / "run"))

    assert {path.name for path in folder.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "training_config.yaml",
    }
    card = (folder / "README.md").read_text("utf-8")
    assert "# run" in card
    assert "Not measured" in card
    processor = DavidImageProcessor.from_pretrained(folder)
    assert processor.channel_order == "rgb"
    assert dict(processor.size) == {"height": 64, "width": 64}
    assert all(value.isfinite().all() for value in weights(folder).values())
    assert list((tmp_path / "run" / "logs").rglob("events*"))


def test_a_run_of_one_task_ends_in_the_class_of_that_task(people: str, tmp_path: Path) -> None:
    folder = training.train(configure(people, tmp_path / "run", tasks=["normals"]))

    loaded = DavidPredictor.from_pretrained(folder, "cpu")
    assert isinstance(loaded.model, DavidForNormalEstimation)
    assert loaded.tasks == ("normals",)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_killed_at_any_moment_goes_on_to_the_same_weights(
    optimizer: str, people: str, tmp_path: Path
) -> None:
    save_tiny(tmp_path / "tiny")
    changes: dict[str, Any] = {
        **{"steps": 24, "num_workers": 1, "optimizer": optimizer},
        **{"init_from": str(tmp_path / "tiny"), "model_overrides": {}},
    }
    config = settings(people, tmp_path / "broken", **changes)
    process = start(config)
    counter = tmp_path / "broken" / STATE / "step.txt"
    deadline = time.monotonic() + 120
    while not (counter.is_file() and counter.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert find_state(tmp_path / "broken") is not None

    said = finish(start(config, "--resume"))
    finish(start({**config, "output_dir": str(tmp_path / "unbroken")}))

    assert "resumed at step" in said
    expected = weights(tmp_path / "unbroken" / "checkpoint")
    for name, value in weights(tmp_path / "broken" / "checkpoint").items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)


def test_two_processes_are_one_with_twice_the_batch(
    people: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes: dict[str, Any] = {
        **{"save_every": 100, "sides": [[1.0, 64]], "learning_rate": 1e-3, "log_every": 1}
    }
    two = finish(start(settings(people, tmp_path / "two", **changes), processes=2))

    training.train(configure(people, tmp_path / "one", **changes | {"batch_size": 4}))
    one = capsys.readouterr().out
    training.train(configure(people, tmp_path / "accumulated", **changes | {"accumulation": 2}))
    accumulated = capsys.readouterr().out

    # AdamW takes no notice of gradients that are all twice as large.
    assert len(logged(one, "grad_norm")) == 4
    for name in ("loss", "grad_norm"):
        for said in (two, accumulated):
            assert logged(said, name) == pytest.approx(logged(one, name), rel=1e-2)
    assert logged(two, "grad_norm")[0] == pytest.approx(logged(one, "grad_norm")[0], rel=2e-4)

    # AdamW makes steps of one size of gradients that are nothing but rounding: what counts is how
    # far all weights are from each other, beside how far they moved.
    training.train(configure(people, tmp_path / "other", **changes))
    expected = flat_weights(tmp_path / "one" / "checkpoint")
    other = (flat_weights(tmp_path / "other" / "checkpoint") - expected).norm()
    for name in ("two", "accumulated"):
        found = flat_weights(tmp_path / name / "checkpoint")
        assert (found - expected).norm() < 0.02 * other, name


def test_a_run_that_is_there_is_not_overwritten(people: str, tmp_path: Path) -> None:
    config = configure(people, tmp_path / "run", steps=2)
    training.train(config)

    with pytest.raises(ValueError, match="holds a run; add --resume to go on"):
        training.train(config)
    other = configure(people, tmp_path / "run", steps=2, seed=3, resume=True)
    with pytest.raises(ValueError, match=r"another configuration \(seed: 0 before, 3 now\)"):
        training.train(other)
    training.train(configure(people, tmp_path / "run", steps=2, log_every=1, resume=True))


def test_a_run_does_not_go_on_with_other_samples(people: str, tmp_path: Path) -> None:
    config = settings(people, tmp_path / "run", data=[{"root": people, "split": "all"}])
    training.train(TrainConfig(**config))
    write_person(Path(people), 4)

    with pytest.raises(ValueError, match=r"cannot go on: 4 samples before, 5 now"):
        training.train(TrainConfig(**config, resume=True))


def test_a_run_killed_before_its_last_checkpoint_writes_it(people: str, tmp_path: Path) -> None:
    validation = [{"root": people, "limit": 1, "options": {"split": "all"}}]
    config = settings(people, tmp_path / "run", validation=validation)
    folder = training.train(TrainConfig(**config))
    expected = weights(folder)
    shutil.rmtree(folder)

    training.train(TrainConfig(**config, resume=True))

    assert (folder / "metrics.json").is_file()
    for name, value in weights(folder).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"benchmark": "synthhuman"}, "validation: .*expected SynthHuman files"),
        ({"benchmark": "p3m-500-np"}, "validation: .*P3M-500-NP"),
        (
            {"benchmark": "synthetic", "options": {"split": "all", "colour": "red"}},
            "validation: .*colour",
        ),
        ({"benchmark": "hi4d"}, "validation: hi4d measures depth, normals; trained is alpha"),
    ],
)
def test_a_validation_that_cannot_be_is_told_before_the_run(
    part: dict[str, Any],
    message: str,
    people: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    if part["benchmark"] == "hi4d":
        write_benchmark("hi4d", tmp_path / "hi4d")
        monkeypatch.chdir(tmp_path / "hi4d")
    validation = [{"root": people if part["benchmark"] == "synthetic" else ".", **part}]

    with pytest.raises(ValueError, match=message):
        training.train(configure(people, tmp_path / "run", tasks=["alpha"], validation=validation))
    assert not (tmp_path / "run").exists()


def test_a_validation_that_fails_loses_no_step(people: str, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    write_person(tmp_path / "others", 0)
    validation = [{"root": str(tmp_path / "others"), "options": {"split": "all"}}]
    config = settings(people, tmp_path / "run", save_every=100)
    next((tmp_path / "others").glob("depth_*.exr")).write_bytes(b"nonsense")

    with pytest.raises(training.StoppedError, match=r"step 4: cannot validate: .*depth") as e:
        training.train(TrainConfig(**config, validation=validation))

    assert "\n" not in str(e.value)
    found = find_state(tmp_path / "run")
    assert found is not None
    assert found[1] == 4
    validation[0]["root"] = people
    training.train(TrainConfig(**config, validation=validation, resume=True))
    assert (tmp_path / "run" / "best" / "metrics.json").is_file()


def test_a_validation_is_of_this_run_whatever_an_earlier_one_left(
    people: str, tmp_path: Path
) -> None:
    validation = [{"root": people, "options": {"split": "all"}}]
    config = settings(people, tmp_path / "run", validation=validation, steps=1, warmup_steps=0)
    folder = tmp_path / "run/validation/0000001/0-synthetic"
    (folder / "parts").mkdir(parents=True)
    (folder / "settings.json").write_text("{}")

    training.train(TrainConfig(**config))

    assert len(list((folder / "examples").glob("*.png"))) == 9


def test_a_run_that_is_all_warm_up_is_warned_of(
    people: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training.train(configure(people, tmp_path / "run", warmup_steps=4))

    assert "warning: the warm-up takes 4 of 4 steps" in capsys.readouterr().out


def test_a_run_whose_configuration_was_lost_is_bad_input(people: str, tmp_path: Path) -> None:
    config = settings(people, tmp_path / "run")
    training.train(TrainConfig(**config))
    (tmp_path / "run" / "training_config.yaml").write_text("")

    with pytest.raises(ValueError, match=r"training_config.yaml: expected a mapping of keys"):
        training.train(TrainConfig(**config, resume=True))


def test_damaged_weights_to_start_from_are_bad_input(people: str, tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.safetensors").write_bytes(b"too short")
    config = configure(
        people, tmp_path / "run", init_from=str(tmp_path / "tiny"), model_overrides={}
    )

    with pytest.raises(ValueError, match=r"init_from: cannot load .*tiny: "):
        load_checkpoint(config)


def test_the_only_state_outlives_a_second_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("state_previous", "state_partial"):  # the first came between the two renames
        (tmp_path / name).mkdir()
        (tmp_path / name / "step.txt").write_text("2")
    monkeypatch.setattr(Path, "rename", lambda *_: break_off(True))

    with pytest.raises(KeyboardInterrupt):
        put_in_place(tmp_path / "state_partial", tmp_path / STATE, tmp_path / "state_previous")

    assert find_state(tmp_path) == (tmp_path / "state_previous", 2)


@pytest.mark.parametrize("kind", ["fsdp", "deepspeed"])
def test_divided_weights_train_as_whole_ones(kind: str, people: str, tmp_path: Path) -> None:
    if kind == "deepspeed":
        pytest.importorskip("deepspeed")
    save_tiny(tmp_path / "tiny")
    changes: dict[str, Any] = {
        "init_from": str(tmp_path / "tiny"),
        "model_overrides": {},
        "validation": [{"root": people, "options": {"split": "all"}, "limit": 2}],
        **{"cpu": False, "ema_decay": 0.0, "log_every": 1, "mixed_precision": "no"},
    }
    config = settings(people, tmp_path / "divided", **changes)
    whole = training.train(
        configure(people, tmp_path / "whole", **changes | {"cpu": True, "batch_size": 4})
    )

    said = launch(kind, config, until=2)
    assert f"divided by {kind.upper()}" in said
    again = launch(kind, config, "--resume")

    assert "resumed at step 2" in again
    expected = flat_weights(whole)
    moved = (flat_weights(tmp_path / "tiny") - expected).norm()
    assert (flat_weights(tmp_path / "divided" / "checkpoint") - expected).norm() < 0.02 * moved


def test_divided_weights_train_in_bf16_as_whole_ones(people: str, tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny")
    changes: dict[str, Any] = {
        "init_from": str(tmp_path / "tiny"),
        "model_overrides": {},
        **{"cpu": False, "ema_decay": 0.0, "log_every": 1, "mixed_precision": "bf16", "steps": 2},
    }
    launch_bf16 = partial(launch, "fsdp", precision="bf16")

    divided = launch_bf16(settings(people, tmp_path / "divided", **changes))
    whole = finish(start(settings(people, tmp_path / "whole", **changes | {"batch_size": 4})))

    for name in ("loss", "depth_mse", "alpha_l1"):
        first = logged(whole, name)[0]
        assert logged(divided, name)[0] == pytest.approx(first, rel=0.01), name


def test_deepspeed_in_half_precision_is_bad_input(people: str, tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    config = settings(people, tmp_path / "run", cpu=False, ema_decay=0.0, mixed_precision="bf16")

    with pytest.raises(AssertionError, match="mixed_precision: DeepSpeed would round heads"):
        launch("deepspeed", config, precision="bf16")


def launch(
    kind: str, config: dict[str, Any], *more: str, precision: str = "no", until: int = 0
) -> str:
    """Train by a launch file, on two CPUs, and break off when a step is saved."""
    output = Path(config["output_dir"])
    output.with_suffix(".yaml").write_text(yaml.safe_dump(config))
    values = yaml.safe_load((ROOT / f"training/launch/{kind}.yaml").read_text())
    file = output.with_suffix(".launch.yaml")
    file.write_text(yaml.safe_dump(values | {"num_processes": 2, "mixed_precision": precision}))
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)),
        str(Path(__file__).with_name("divided_on_cpu.py")),
        *("--config", str(output.with_suffix(".yaml")), *more),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "DAVID_TEST_UNTIL": str(until)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_best_checkpoint_is_kept_with_its_figures(people: str, tmp_path: Path) -> None:
    validation = [{"root": people, "limit": 2, "options": {"split": "all"}}]

    training.train(
        configure(people, tmp_path / "run", validation=validation, validate_every=2, steps=4)
    )

    best = tmp_path / "run" / "best"
    metrics = yaml.safe_load((best / "metrics.json").read_text())
    assert metrics["num_images"] == 2
    last = (best.with_name("checkpoint") / "metrics.json").read_text()
    assert yaml.safe_load(last)["num_images"] == 2
    assert "Measured on 2 images" in (best / "README.md").read_text("utf-8")
    assert 0 <= metrics["overall"]["alpha_iou"] <= 1
    folder = tmp_path / "run" / "validation" / "0000002" / "0-synthetic"
    assert len(list((folder / "examples").glob("*.png"))) == 9
    logs = EventAccumulator(str(tmp_path / "run/logs/david_hf"))
    logs.Reload()
    assert len(logs.Tags()["images"]) == 9
    assert [event.step for event in logs.Images("synthetic/normals_best")] == [2, 4]
    DavidForDensePrediction.from_pretrained(best)


def test_a_damaged_sample_ends_in_one_line_and_a_state(people: str, tmp_path: Path) -> None:
    config = configure(
        people, tmp_path / "run", data=[{"root": people, "split": "all"}], num_workers=1
    )
    samples = TrainingSamples(config)
    broken = sorted(Path(people).glob("depth_*.exr"))[-1]
    broken.write_bytes(b"nonsense")

    with pytest.raises(
        training.StoppedError, match=r"cannot load the next samples: .*depth: "
    ) as e:
        training.train(config)

    assert "\n" not in str(e.value)
    assert "go on with --resume" in str(e.value)
    assert (tmp_path / "run" / "checkpoint" / "model.safetensors").is_file()
    assert samples.number == 4


def test_a_killed_loader_ends_in_one_line_and_a_state(people: str, tmp_path: Path) -> None:
    config = settings(people, tmp_path / "run", steps=5000, num_workers=1)
    process = start(config)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    while not next(lines).startswith("step 4/"):
        pass

    for loader in psutil.Process(process.pid).children():
        loader.kill()
    output, _ = process.communicate(timeout=240)

    assert process.returncode == 1
    error = output.splitlines()[-1]
    assert re.match(r"error: step \d+: .*DataLoader worker .* killed", error), output
    assert "o on with --resume" in error
    found = find_state(tmp_path / "run")
    assert found is not None
    assert found[1] >= 2
    DavidForDensePrediction.from_pretrained(tmp_path / "run" / "checkpoint")


def test_half_precision_on_a_cpu_is_bad_input(people: str, tmp_path: Path) -> None:
    process = start(settings(people, tmp_path / "run", mixed_precision="fp16"))
    output, _ = process.communicate(timeout=240)

    assert process.returncode == 1
    error = "error: mixed_precision: fp16 needs a GPU; on a CPU, take bf16 or no"
    assert output.splitlines()[-1] == error
    assert not (tmp_path / "run").exists()


# What is too large: the weights, by safetensors, or AdamW's moments, by PyTorch.
@pytest.mark.parametrize("largest_file", [2**20, 12 * 2**20])
def test_a_full_disk_ends_in_one_line_and_keeps_the_state_before(
    largest_file: int, people: str, tmp_path: Path
) -> None:
    config = settings(people, tmp_path / "run", validation=[])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Run, "_log", lambda run, *_: break_off(run.step == 4))
        training.train(TrainConfig(**config))
    before = weights(tmp_path / "run" / "checkpoint")

    process = start(config, "--resume", largest_file=largest_file)
    output, _ = process.communicate(timeout=240)

    assert process.returncode == 1, output
    error = output.splitlines()[-1]
    assert error.startswith(f"error: step 4: cannot write to {tmp_path / 'run'}: "), output
    assert error.endswith(f"make room and go on with --resume, from step 2 in {tmp_path / 'run'}")
    assert not list((tmp_path / "run").glob("*partial"))
    found = find_state(tmp_path / "run")
    assert found is not None
    assert found[1] == 2
    kept = weights(tmp_path / "run" / "checkpoint")
    assert all(torch.equal(kept[name], before[name]) for name in before)
    training.train(TrainConfig(**config, resume=True))


def break_off(is_time: bool) -> None:
    if is_time:
        raise KeyboardInterrupt


def test_young_averages_forget_faster() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    average = WeightAverage(layer, 0.9)
    torch.nn.init.ones_(layer.weight)
    average.update()
    assert average.weights()["weight"].item() == pytest.approx(0.9)
    for _ in range(200):
        average.update()
    torch.nn.init.zeros_(layer.weight)
    average.update()
    assert average.weights()["weight"].item() == pytest.approx(0.9)


def test_the_loss_falls_on_two_people(people: str, tmp_path: Path) -> None:
    config = configure(
        people, tmp_path / "run", steps=25, sides=((1.0, 64),), batch_size=4, save_every=1000
    )
    losses: list[float] = []
    step = training.Run._step

    def note(self: Any, batches: Any) -> dict[str, float]:
        found = step(self, batches)
        losses.append(found["loss"])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Run, "_step", note)
        training.train(config)

    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_a_loss_that_is_not_finite_stops_the_run(
    people: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = DavidForDensePrediction.forward

    def broken_forward(self: DavidForDensePrediction, **inputs: object) -> object:
        outputs = forward(self, **inputs)  # type: ignore[arg-type]
        outputs.loss = outputs.loss * float("nan")
        return outputs

    monkeypatch.setattr(DavidForDensePrediction, "forward", broken_forward)

    with pytest.raises(training.StoppedError, match="not finite; start again, with another") as e:
        training.train(configure(people, tmp_path / "run"))
    assert "\n" not in str(e.value)


def test_scaled_gradients_may_overflow_but_no_loss(people: str, tmp_path: Path) -> None:
    config = configure(people, tmp_path)
    run = training.Run.begin(config, build_accelerator(config), TrainingSamples(config))
    fine, broken = torch.tensor(1.0), torch.tensor(float("nan"))
    run.accelerator.scaler = object()

    run._check_finite(fine, broken)
    with pytest.raises(training.StoppedError, match="not finite"):
        run._check_finite(broken, fine)
    run.accelerator.scaler = None
    with pytest.raises(training.StoppedError, match="not finite"):
        run._check_finite(fine, broken)


def test_the_learning_rate_warms_up_and_falls_to_zero(people: str, tmp_path: Path) -> None:
    config = configure(people, tmp_path, steps=10, warmup_steps=2, learning_rate=1.0)
    optimizer, scheduler = build_optimizer(config, build_model(config), 10)
    rates = []
    for _ in range(10):
        rates.append(max(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        scheduler.step()

    assert rates[0] == pytest.approx(0.5)
    assert rates[1] == rates[2] == pytest.approx(1.0)
    assert rates[-1] < 0.05
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_the_encoder_learns_slower(people: str, tmp_path: Path) -> None:
    config = configure(people, tmp_path, learning_rate=1.0, backbone_learning_rate_factor=0.25)

    optimizer, _ = build_optimizer(config, build_model(config), 10)

    rates = {group["initial_lr"] for group in optimizer.param_groups}
    assert rates == {1.0, 0.25}


@pytest.mark.parametrize("encoder_type", ["vit", "mobilenet_v2"])
def test_frozen_blocks_keep_their_weights(encoder_type: str, people: str, tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny", encoder_type)
    config = configure(
        people,
        tmp_path / "run",
        init_from=str(tmp_path / "tiny"),
        model_overrides={},
        frozen_blocks=2,
        ema_decay=0.0,
        weight_decay=1.0,
        learning_rate=0.1,
    )
    before = load_checkpoint(config)

    after = DavidForDensePrediction.from_pretrained(training.train(config))

    def is_kept(number: int) -> bool:
        blocks: list[Any] = [model.get_submodule("model.encoder") for model in (before, after)]
        pairs = zip(*(encoder.blocks[number].parameters() for encoder in blocks), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    assert [is_kept(number) for number in range(3)] == [True, True, False]


@pytest.mark.parametrize("encoder_type", ["vit", "mobilenet_v2"])
@pytest.mark.parametrize("mean", [None, [0.5, 0.4, 0.3]])
def test_a_checkpoint_for_bgr_is_trained_on_rgb(
    mean: list[float] | None, encoder_type: str, people: str, tmp_path: Path
) -> None:
    pixels = {"image_mean": mean, "image_std": mean}
    tiny = tiny_model(DavidForDensePrediction, tiny_config(encoder_type, **pixels)).eval()
    tiny.save_pretrained(tmp_path / "tiny")
    DavidImageProcessor(channel_order="bgr").save_pretrained(tmp_path / "tiny")
    config = configure(people, tmp_path, init_from=str(tmp_path / "tiny"), model_overrides={})
    rgb = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    turned = load_checkpoint(config).eval()
    turned.save_pretrained(tmp_path / "turned")
    saved = DavidForDensePrediction.from_pretrained(tmp_path / "turned").eval()

    with torch.no_grad():
        expected = tiny(rgb.flip(1)).normals
        assert (tiny(rgb).normals - expected).abs().max() > 1e-3
        for model in (turned, saved):
            torch.testing.assert_close(model(rgb).normals, expected, rtol=0, atol=1e-4)


def test_a_checkpoint_of_unknown_pixels_is_bad_input(people: str, tmp_path: Path) -> None:
    tiny_model(DavidForDensePrediction, tiny_config("vit")).save_pretrained(tmp_path / "tiny")
    config = configure(people, tmp_path, init_from=str(tmp_path / "tiny"), model_overrides={})

    with pytest.raises(ValueError, match=r"init_from: cannot load"):
        load_checkpoint(config)
    processor = DavidImageProcessor(do_normalize=True, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    processor.save_pretrained(tmp_path / "tiny")
    with pytest.raises(ValueError, match="normalises; move image_mean and image_std"):
        load_checkpoint(config)


def test_more_frozen_blocks_than_there_are_is_bad_input(people: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the encoder has 18 with its stem, got 19"):
        training.train(configure(people, tmp_path / "run", frozen_blocks=19))


def test_a_checkpoint_goes_on_at_another_size_and_with_other_weights_of_the_losses(
    people: str, tmp_path: Path
) -> None:
    first = training.train(configure(people, tmp_path / "first"))
    weights = {"depth": 5.0, "normals": 4.0, "alpha": 1.0}
    overrides = {"image_size": 96, "loss_weights": weights}
    config = configure(people, tmp_path / "second", init_from=str(first), model_overrides=overrides)

    model = build_model(config)

    assert model.config.image_size == 96
    assert model.config.loss_weights == weights
    assert model.config.input_size == 64
    with pytest.raises(ValueError, match=r"init_from: cannot load"):
        build_model(replace(config, model_overrides={"fusion_hidden_size": 7}))


def test_a_vit_goes_on_at_another_size_with_its_positions_interpolated(
    people: str, tmp_path: Path
) -> None:
    tiny = tiny_model(DavidForDensePrediction, tiny_config("vit")).eval()
    tiny.save_pretrained(tmp_path / "tiny")
    DavidImageProcessor(channel_order="rgb").save_pretrained(tmp_path / "tiny")
    side, patch = tiny.config.image_size, tiny.config.patch_size
    config = configure(
        people,
        tmp_path,
        init_from=str(tmp_path / "tiny"),
        model_overrides={"image_size": 2 * side},
    )

    model = load_checkpoint(config).eval()

    before, after = tiny.state_dict(), model.state_dict()
    name = "model.encoder.embeddings.position_embeddings"
    assert after[name].shape[1] == 1 + (2 * side // patch) ** 2
    torch.testing.assert_close(after[name][:, 0], before[name][:, 0])  # of the class token
    # Bicubic interpolation keeps the mean but for the borders.
    centre = after[name][:, 1:].mean(1) - before[name][:, 1:].mean(1)
    assert centre.abs().max() < 0.1 * before[name].abs().max()
    changed = [other for other in before if not torch.equal(after[other], before[other])]
    assert changed == [name]
    assert model.config.image_size == 2 * side
    with pytest.raises(ValueError, match=r"init_from: cannot load .*multiple of patch_size"):
        load_checkpoint(replace(config, model_overrides={"image_size": side + 1}))


@pytest.mark.parametrize("name", ["p3m", "thuman"])
def test_the_bundled_checkpoint_is_fine_tuned_as_the_readme_says(name: str, tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text("utf-8").replace("\\\n", "")
    command = next(line for line in page.splitlines() if f"configs/{name}.yaml" in line)
    for folder in ("src", "training"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    if name == "p3m":
        for split in ("train", "P3M-500-NP"):
            write_p3m(tmp_path / "data/P3M-10k", split)
    else:
        for folder in ("THuman", "THuman-train"):
            (tmp_path / "data" / folder).mkdir(parents=True)
            write_people(tmp_path / "data" / folder)
    words = shlex.split(command)
    small = ["--batch_size", "2", "--epochs", "1", "--num_workers", "0", "--cpu", "true"]

    assert words[:2] == ["accelerate", "launch"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", *words[2:], *small]
    process = subprocess.run(launch, cwd=tmp_path, capture_output=True, text=True)

    assert process.returncode == 0, process.stderr[-2000:]
    tasks = {"p3m": ("alpha",), "thuman": ("depth",)}[name]
    assert DavidPredictor.from_pretrained(tmp_path / f"runs/{name}/best", "cpu").tasks == tasks
