"""After `import david_hf`, the factories of transformers know DAViD."""

from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from factories import random_images, tiny_model, tiny_vit_config
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForDepthEstimation,
    AutoModelForImageMatting,
    AutoModelForNormalEstimation,
)

import david_hf
from david_hf.model import (
    DavidConfig,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidImageProcessor,
    DavidImageProcessorPil,
    DavidModel,
    DavidPreTrainedModel,
)

AUTO_CLASSES = [
    (AutoModel, DavidModel),
    (AutoModelForDepthEstimation, DavidForDepthEstimation),
    (AutoModelForNormalEstimation, DavidForNormalEstimation),
    (AutoModelForImageMatting, DavidForImageMatting),
]


@pytest.mark.parametrize(("auto_class", "model_class"), AUTO_CLASSES)
def test_auto_models_build_from_a_config(
    auto_class: type, model_class: type[DavidPreTrainedModel]
) -> None:
    assert type(auto_class.from_config(tiny_vit_config())) is model_class


@pytest.mark.parametrize(("auto_class", "model_class"), AUTO_CLASSES)
def test_auto_models_load_a_multi_task_checkpoint_in_silence(
    auto_class: type,
    model_class: type[DavidPreTrainedModel],
    tmp_path: Path,
    transformers_log: list[str],
    generator: torch.Generator,
) -> None:
    dense = tiny_model(DavidForDensePrediction)
    dense.save_pretrained(tmp_path)

    model = auto_class.from_pretrained(tmp_path)

    assert type(model) is model_class
    assert transformers_log == []
    images = random_images(generator)
    expected = dense.model(images) if auto_class is AutoModel else dense(images)
    for name, values in model(images).items():
        torch.testing.assert_close(values, expected[name], rtol=0, atol=0)


def test_auto_config_reads_the_model_type(tmp_path: Path) -> None:
    tiny_vit_config(tasks=["alpha"]).save_pretrained(tmp_path)

    config = AutoConfig.from_pretrained(tmp_path)

    assert isinstance(config, DavidConfig)
    assert config.tasks == ["alpha"]


@pytest.mark.parametrize(
    ("backend", "processor_class"),
    [("pil", DavidImageProcessorPil), ("torchvision", DavidImageProcessor)],
)
def test_auto_image_processor_gives_either_backend_from_one_file(
    backend: str, processor_class: type, tmp_path: Path
) -> None:
    tiny_vit_config().save_pretrained(tmp_path)
    DavidImageProcessor(channel_order="rgb").save_pretrained(tmp_path)

    processor = AutoImageProcessor.from_pretrained(tmp_path, backend=backend)

    assert type(processor) is processor_class
    assert processor.channel_order == "rgb"


def test_the_version_is_that_of_the_distribution() -> None:
    assert david_hf.__version__ == version("david-hf")


def test_public_names_exist() -> None:
    assert all(hasattr(david_hf, name) for name in david_hf.__all__)
