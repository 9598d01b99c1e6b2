"""Checkpoints come back as they were saved."""

import logging
from pathlib import Path

import pytest
import torch
from factories import (
    MODEL_CLASSES,
    random_images,
    tiny_config,
    tiny_mobilenet_config,
    tiny_model,
)
from safetensors import safe_open

from david_hf.model import (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForNormalEstimation,
    DavidModel,
    DavidPreTrainedModel,
)


@pytest.mark.parametrize("encoder_type", ["vit", "mobilenet_v2"])
@pytest.mark.parametrize("model_class", MODEL_CLASSES)
def test_a_round_trip_changes_nothing_and_logs_nothing(
    model_class: type[DavidPreTrainedModel],
    encoder_type: str,
    tmp_path: Path,
    transformers_log: list[str],
    generator: torch.Generator,
) -> None:
    model = tiny_model(model_class, tiny_config(encoder_type))
    model.save_pretrained(tmp_path)

    loaded = model_class.from_pretrained(tmp_path)

    assert transformers_log == []
    assert not loaded.training
    images = random_images(generator)
    expected = model(images)
    for name, values in loaded(images).items():
        torch.testing.assert_close(values, expected[name], rtol=0, atol=0)


def test_constants_of_the_config_are_rebuilt_not_stored(tmp_path: Path) -> None:
    config = tiny_mobilenet_config(image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6])
    tiny_model(DavidModel, config).save_pretrained(tmp_path)

    loaded = DavidModel.from_pretrained(tmp_path)

    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert not [name for name in file.keys() if "normalize" in name]  # noqa: SIM118
    # The model was built on the meta device: the buffers must have been written afterwards.
    buffers = dict(loaded.normalize.named_buffers())
    torch.testing.assert_close(buffers["mean"].flatten(), torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(buffers["std"].flatten(), torch.tensor([0.4, 0.5, 0.6]))


def test_every_tensor_of_a_model_is_a_parameter_or_a_buffer() -> None:
    model = tiny_model(DavidForDensePrediction, tiny_mobilenet_config())

    for module in model.modules():
        tensors = [name for name, value in vars(module).items() if torch.is_tensor(value)]
        assert tensors == []


def test_a_missing_head_is_reported_and_started_afresh(
    tmp_path: Path, transformers_log: list[str]
) -> None:
    tiny_model(DavidForDepthEstimation).save_pretrained(tmp_path)

    model = DavidForNormalEstimation.from_pretrained(tmp_path)

    assert any("normal_head" in message for message in transformers_log)
    # Quiet but alive: not the garbage of unwritten memory.
    assert 0 < model.normal_head.predict.weight.abs().max() < 1


def test_a_checkpoint_can_be_loaded_in_half_precision(
    tmp_path: Path, generator: torch.Generator
) -> None:
    tiny_model(DavidForDensePrediction).save_pretrained(tmp_path)

    model = DavidForDensePrediction.from_pretrained(tmp_path, dtype=torch.bfloat16)

    assert model(random_images(generator)).alphas.dtype == torch.bfloat16


def test_log_capture_sees_what_transformers_logs(transformers_log: list[str]) -> None:
    logging.getLogger("transformers.models.david").warning("seen")

    assert transformers_log == ["seen"]
