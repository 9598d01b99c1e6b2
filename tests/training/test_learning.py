"""The shipped configurations learn, made small, from the people that come with the repository."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import train as training
from building import build_model, build_optimizer, load_checkpoint
from config import TrainConfig, parse_config
from samples import TrainingSamples, to_device

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "training" / "configs"
PEOPLE = ROOT / "training" / "sample_data"
# Depth, width and sides that two cores train in a minute; data, tasks, losses, augmentations and
# optimizer are those of the file.
SMALL_VIT = {
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [16, 32, 64, 96],
    "fusion_hidden_size": 48,
    "resizer_hidden_sizes": [16, 32, 48, 48],
    "image_size": 96,
    "input_size": 96,
}
pytestmark = pytest.mark.slow


def losses(model: torch.nn.Module, batch: dict[str, Any]) -> dict[str, float]:
    with torch.no_grad():
        return {name: float(value) for name, value in model(**batch).losses.items()}


@pytest.mark.parametrize(
    "name", ["depth-small", "normals-small", "foreground-small", "multi-task-large", "nano"]
)
def test_two_hundred_steps_lower_every_loss(name: str, tmp_path: Path) -> None:
    values = {
        "config": CONFIGS / f"{name}.yaml",
        "data": f"[{{root: {PEOPLE}, split: all}}]",
        "validation": "[]",
        "backgrounds": "null",
        "held_out": "null",
        "backbone": "null",
        "init_from": "null",
        "model_overrides": "{image_size: 96, input_size: 96}" if name == "nano" else SMALL_VIT,
        "output_dir": tmp_path,
        "epochs": "null",
        "steps": 200,
        "batch_size": 8,
        "sides": "[[1.0, 96]]",
        "warmup_steps": 20,
        "learning_rate": 2e-3 if name == "nano" else 7e-4,
        "backbone_learning_rate_factor": 1.0,
        "ema_decay": 0.9,
        "num_workers": 0,
        "mixed_precision": "no",
        "cpu": "true",
    }
    config = parse_config([word for key in values for word in (f"--{key}", f"{values[key]}")])
    fixed = next(TrainingSamples(replace(config, batch_size=24, seed=1)).batches(0, 1, 0, 1))
    batch = to_device(fixed, torch.device("cpu"), config.tasks)
    training.set_seed(config.seed)
    before = losses(build_model(config).eval(), batch)

    folder = training.train(config)

    after = losses(load_checkpoint(replace(config, init_from=str(folder))).eval(), batch)
    assert set(after) == set(before)
    assert all(after[part] < before[part] for part in before), (before, after)


def test_one_batch_can_be_learnt_by_heart(tmp_path: Path) -> None:
    config = TrainConfig(
        data=({"root": str(PEOPLE), "split": "all"},),
        output_dir=str(tmp_path),
        model_overrides={"image_size": 128},
        sides=((1.0, 128),),
        optimizer="muon",
        learning_rate=4e-3,
    )
    fixed = next(TrainingSamples(replace(config, batch_size=4)).batches(0, 1, 0, 1))
    batch = to_device(fixed, torch.device("cpu"), config.tasks)
    training.set_seed(config.seed)
    model = build_model(config).train().to(memory_format=torch.channels_last)
    steps = 1000
    optimizer, scheduler = build_optimizer(config, model, steps)
    for _ in range(steps):
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad_norm)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()

    with torch.no_grad():
        outputs = model(**batch)

    alpha_error = (outputs.alphas - batch["labels"]["alpha"]).abs().mean()
    cosine = torch.cosine_similarity(outputs.normals, batch["labels"]["normals"], dim=1)
    degrees = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))[batch["mask"]["normals"]]
    assert float(alpha_error) < 0.02
    assert float(degrees.mean()) < 5
