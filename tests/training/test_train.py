from pathlib import Path

import pytest
import torch
import train as training
from config import TrainConfig
from figures import write_person

from david_hf.model import DavidForDensePrediction, DavidImageProcessor

SMALL = {"image_size": 64, "input_size": 64}


@pytest.fixture
def people(tmp_path: Path) -> str:
    for index in range(4):
        write_person(tmp_path / "people", index)
    return str(tmp_path / "people")


def configure(people: str, output: Path, **changes: object) -> TrainConfig:
    settings = {
        "model_overrides": SMALL,
        "steps": 4,
        "batch_size": 2,
        "sides": ((0.5, 32), (1.0, 64)),
        "warmup_steps": 1,
        "num_workers": 0,
        "log_every": 2,
        "save_every": 2,
        "cpu": True,
    }
    return TrainConfig((people,), str(output), **{**settings, **changes})  # type: ignore[arg-type]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return DavidForDensePrediction.from_pretrained(folder).state_dict()


def test_a_run_ends_in_a_checkpoint_that_loads(people: str, tmp_path: Path) -> None:
    folder = training.train(configure(people, tmp_path / "run"))

    assert {path.name for path in folder.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "training_config.yaml",
    }
    processor = DavidImageProcessor.from_pretrained(folder)
    assert processor.channel_order == "rgb"
    assert dict(processor.size) == {"height": 64, "width": 64}
    assert all(value.isfinite().all() for value in weights(folder).values())


def test_a_resumed_run_equals_an_unbroken_one(
    people: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = training.train(configure(people, tmp_path / "unbroken"))

    class KilledError(Exception):
        pass

    step = training.training_step
    calls = []

    def die_at_the_fourth_step(*arguments: object) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 4:
            raise KilledError
        return step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "training_step", die_at_the_fourth_step)
    broken = configure(people, tmp_path / "broken")
    with pytest.raises(KilledError):
        training.train(broken)
    assert (tmp_path / "broken" / "state" / "step.txt").read_text() == "2"
    resumed = training.train(broken)

    assert len(calls) == 4 + 2
    expected = weights(unbroken)
    for name, value in weights(resumed).items():
        torch.testing.assert_close(value, expected[name], msg=name)


def test_the_loss_falls_on_two_people(people: str, tmp_path: Path) -> None:
    config = configure(
        people, tmp_path / "run", steps=25, sides=((1.0, 64),), batch_size=4, save_every=1000
    )
    losses: list[float] = []
    step = training.training_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            training,
            "training_step",
            lambda *a: (lambda result: losses.append(result["loss"]) or result)(step(*a)),
        )
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

    with pytest.raises(FloatingPointError, match="the loss is not finite; lower the learning rate"):
        training.train(configure(people, tmp_path / "run"))


def test_the_learning_rate_warms_up_and_falls_to_zero(people: str, tmp_path: Path) -> None:
    config = configure(people, tmp_path, steps=10, warmup_steps=2, learning_rate=1.0)
    optimizer, scheduler = training.build_optimizer(config, training.build_model(config))
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

    optimizer, _ = training.build_optimizer(config, training.build_model(config))

    rates = {group["initial_lr"] for group in optimizer.param_groups}
    assert rates == {1.0, 0.25}
