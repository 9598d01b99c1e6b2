"""Photos and tiny checkpoints of random weights for tests of the evaluation's predictors."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photos import make_picture
from transformers import PreTrainedModel

from david_hf.evaluation.predictors.opening import open_predictor


@pytest.fixture(scope="session")
def photos() -> list[np.ndarray]:
    """Photos of three sizes and shapes; two are alike in size."""
    sizes = [(48, 36), (33, 70), (48, 36), (50, 50)]
    pictures = [np.asarray(make_picture(*size)) for size in sizes]
    pictures[2] = pictures[2][::-1, ::-1].copy()
    return pictures


@pytest.fixture(scope="session")
def save_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Fill a model with random weights and save it with the options of its image processor."""
    numbers = count()

    def save(
        model: PreTrainedModel,
        processor: dict[str, Any] | None,
        positive_head: bool = False,
        **options: Any,
    ) -> Path:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, weights in model.named_parameters():
                # Fresh models give maps that are constant, and would agree with anything.
                fan_in = weights[0].numel() if weights.ndim > 1 else 100
                noise = torch.randn(weights.shape, generator=generator) / fan_in**0.5
                # Or a final rectifier may close for good.
                weights.copy_(noise.abs() if positive_head and name.startswith("head") else noise)
        folder = tmp_path_factory.mktemp(f"{model.config.model_type}-{next(numbers)}")
        model.save_pretrained(folder, **options)
        if processor is not None:
            (folder / "preprocessor_config.json").write_text(json.dumps(processor))
        return folder

    return save


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Open a model in vain, and return the one line that says why."""

    def open_in_vain(model: str | Path, **options: Any) -> str:
        with pytest.raises(ValueError) as caught:
            open_predictor(model, device=options.pop("device", "cpu"), **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return open_in_vain
