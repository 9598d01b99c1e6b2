"""`pipeline("depth-estimation")` takes DAViD checkpoints as it takes those of the library."""

from pathlib import Path

import numpy as np
import pytest
import torch
from factories import tiny_mobilenet_config, tiny_model
from PIL import Image
from transformers import AutoImageProcessor, pipeline

from david_hf.model import (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidImageProcessor,
    DavidPreTrainedModel,
)

CHECKPOINTS = [DavidForDepthEstimation, DavidForDensePrediction]


def save_checkpoint(model_class: type[DavidPreTrainedModel], folder: Path) -> None:
    """Write a tiny checkpoint with its image processor."""
    tiny_model(model_class, tiny_mobilenet_config()).save_pretrained(folder)
    DavidImageProcessor(size={"height": 48, "width": 48}).save_pretrained(folder)


def gradient_image(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A picture whose colours change from corner to corner."""
    ramp = np.linspace(0, 255, width * height).reshape(height, width)
    pixels = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("model_class", CHECKPOINTS)
def test_a_folder_is_all_the_pipeline_needs(
    model_class: type[DavidPreTrainedModel], tmp_path: Path, transformers_log: list[str]
) -> None:
    save_checkpoint(model_class, tmp_path)

    estimate = pipeline("depth-estimation", model=str(tmp_path), device="cpu")
    result = estimate(gradient_image(61, 40))

    assert isinstance(estimate.model, DavidForDepthEstimation)
    assert result["predicted_depth"].shape == (40, 61)
    assert result["depth"].size == (61, 40)
    assert transformers_log == []


@pytest.mark.parametrize("model_class", CHECKPOINTS)
def test_a_loaded_model_is_accepted_without_complaint(
    model_class: type[DavidPreTrainedModel], tmp_path: Path, transformers_log: list[str]
) -> None:
    save_checkpoint(model_class, tmp_path)

    estimate = pipeline(
        "depth-estimation",
        model=model_class.from_pretrained(tmp_path),
        image_processor=AutoImageProcessor.from_pretrained(tmp_path),
        device="cpu",
    )

    assert estimate(gradient_image(40, 61))["predicted_depth"].shape == (61, 40)
    assert transformers_log == []


def test_the_pipeline_gives_what_the_parts_give(tmp_path: Path) -> None:
    save_checkpoint(DavidForDensePrediction, tmp_path)
    image = gradient_image(61, 40)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    model = DavidForDensePrediction.from_pretrained(tmp_path)

    result = pipeline("depth-estimation", model=str(tmp_path), device="cpu")(image)

    with torch.no_grad():
        outputs = model(**processor(image, return_tensors="pt"))
    expected = processor.post_process_depth_estimation(outputs, target_sizes=[(40, 61)])
    torch.testing.assert_close(result["predicted_depth"], expected[0]["predicted_depth"])


def test_a_list_of_images_of_any_mode_gives_a_list(tmp_path: Path) -> None:
    save_checkpoint(DavidForDepthEstimation, tmp_path)
    images = [gradient_image(30, 20, mode) for mode in ("RGB", "L", "RGBA")]

    results = pipeline("depth-estimation", model=str(tmp_path), device="cpu")(images, batch_size=2)

    assert [result["depth"].size for result in results] == 3 * [(30, 20)]


def test_half_precision_depth_comes_out_in_float32(tmp_path: Path) -> None:
    save_checkpoint(DavidForDepthEstimation, tmp_path)

    estimate = pipeline("depth-estimation", model=str(tmp_path), device="cpu", dtype=torch.bfloat16)

    assert estimate(gradient_image(30, 20))["predicted_depth"].dtype == torch.float32
