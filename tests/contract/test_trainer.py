"""transformers' Trainer takes the models as it takes its own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from factories import disc_mask, sphere_labels, tiny_config, tiny_model
from torch.utils.data import default_collate
from transformers import EvalPrediction, Trainer, TrainingArguments

from david_hf.model import (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidPreTrainedModel,
)

TASKS: dict[type[DavidPreTrainedModel], str | None] = {
    DavidForDensePrediction: None,
    DavidForDepthEstimation: "depth",
    DavidForNormalEstimation: "normals",
    DavidForImageMatting: "alpha",
}


class Balls(torch.utils.data.Dataset[dict[str, Any]]):
    """The same ball on noise that differs from sample to sample."""

    def __init__(self, task: str | None, noise: float = 0.2) -> None:
        self.task = task
        self.noise = noise

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        labels = {name: label[0] for name, label in sphere_labels(40, 48, 1).items()}
        noise = torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(index))
        return {
            "pixel_values": self.noise * noise + 0.8 * labels["alpha"],
            "labels": labels if self.task is None else labels[self.task],
            "mask": disc_mask(40, 48, 1)[0],
        }


def trainer(model: DavidPreTrainedModel, folder: Path, data: Balls, **options: Any) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(folder),
        **{
            "max_steps": 20,
            "per_device_train_batch_size": 4,
            "learning_rate": 3e-3,
            "logging_steps": 1,
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            "save_strategy": "no",
            **options,
        },
    )
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=data,
        eval_dataset=data,
        data_collator=default_collate,
        compute_metrics=lambda outcome: {"shapes": shapes_of(outcome)},
    )


def shapes_of(outcome: EvalPrediction) -> list[tuple[int, ...]]:
    maps = outcome.predictions if isinstance(outcome.predictions, tuple) else (outcome.predictions,)
    return [item.shape for item in maps]


@pytest.mark.parametrize("encoder_type", ["vit", "mobilenet_v2"])
@pytest.mark.parametrize("model_class", TASKS)
def test_every_class_trains_and_is_evaluated(
    model_class: type[DavidPreTrainedModel], encoder_type: str, tmp_path: Path
) -> None:
    model = tiny_model(model_class, tiny_config(encoder_type))
    run = trainer(model, tmp_path, Balls(TASKS[model_class]))

    before = run.evaluate()
    run.train()
    after = run.evaluate()

    assert after["eval_loss"] < 0.9 * before["eval_loss"]
    # Predictions only: the parts of the loss are not gathered with them.
    assert len(after["eval_shapes"]) == (3 if TASKS[model_class] is None else 1)
    assert all(shape[0] == 8 for shape in after["eval_shapes"])


def test_a_checkpoint_of_the_trainer_is_a_checkpoint(tmp_path: Path) -> None:
    model = tiny_model(DavidForDensePrediction)
    run = trainer(model, tmp_path, Balls(None), max_steps=2, save_strategy="steps", save_steps=2)

    run.train()

    loaded = DavidForDensePrediction.from_pretrained(tmp_path / "checkpoint-2")
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight)


def test_two_accumulated_batches_are_one_of_twice_the_size(tmp_path: Path) -> None:
    model = tiny_model(DavidForDepthEstimation)
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    norms = []
    for batch_size, steps in ((4, 1), (2, 2)):
        model.load_state_dict(start)
        run = trainer(
            model,
            tmp_path,
            Balls("depth", noise=0.0),
            max_steps=1,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=steps,
        )
        run.train()
        norms += [entry["grad_norm"] for entry in run.state.log_history if "grad_norm" in entry]

    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
