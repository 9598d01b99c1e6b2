"""Models of surface normals of transformers in the evaluation: unit length, the right frame."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForNormalEstimation,
    Sapiens2ForNormalEstimation,
)
from unit.evaluation.tiny_models import sapiens2_config

from david_hf.evaluation.predictors.base import Predictor
from david_hf.evaluation.predictors.opening import open_predictor

SIZE = {"height": 32, "width": 24}
# Sapiens2's own image processor needs torchvision, this one does not.
PLAIN = {"image_processor_type": "ViTImageProcessor", "size": SIZE}


def sapiens2() -> Sapiens2ForNormalEstimation:
    return Sapiens2ForNormalEstimation(sapiens2_config(3))


@pytest.fixture(scope="module")
def checkpoint(save_model: Callable[..., Path]) -> Path:
    return save_model(sapiens2(), PLAIN)


def normals(predictor: Predictor, photos: list[np.ndarray]) -> list[np.ndarray]:
    found = [maps.normals for maps in predictor.predict(photos)]
    assert [item.shape for item in found] == [(*photo.shape[:2], 3) for photo in photos]
    assert all(item.dtype == np.float32 for item in found)
    return found


def test_normals_are_of_unit_length_and_in_the_frame_of_the_model(
    checkpoint: Path, photos: list[np.ndarray]
) -> None:
    predictor: Any = open_predictor(checkpoint, device="cpu")

    found = normals(predictor, photos)[1]

    assert predictor.tasks == ("normals",)
    assert predictor.describe()["normals_convention"] == "opengl"
    assert predictor.describe()["depth_space"] is None
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
    with torch.no_grad():
        raw = predictor.model(predictor.prepare(photos[1])).normals
    resized = F.interpolate(raw, photos[1].shape[:2], mode="bilinear", antialias=True)
    expected = F.normalize(resized, dim=1)[0].movedim(0, -1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_normals_given_as_those_of_opencv_are_turned_around(
    checkpoint: Path, photos: list[np.ndarray]
) -> None:
    as_they_are = normals(open_predictor(checkpoint, device="cpu"), photos)[0]

    predictor = open_predictor(checkpoint, device="cpu", normals_convention="opencv")

    assert predictor.describe()["normals_convention"] == "opencv"
    np.testing.assert_array_equal(normals(predictor, photos)[0], as_they_are * (1, -1, -1))


def test_a_batch_of_all_sizes_gives_what_each_photo_gives_alone(
    checkpoint: Path, photos: list[np.ndarray]
) -> None:
    predictor = open_predictor(checkpoint, device="cpu")

    together = normals(predictor, photos)

    assert np.ptp(together[0]) > 0.1
    for photo, found in zip(photos, together, strict=True):
        np.testing.assert_allclose(found, normals(predictor, [photo])[0], atol=1e-4)


def test_models_whose_frame_is_not_known_are_refused_unless_it_is_given(
    tmp_path: Path, refusal: Callable[..., str]
) -> None:
    config = {"model_type": "tipsv2_dpt", "architectures": ["Tipsv2DptForNormalEstimation"]}
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert refusal(tmp_path) == (
        f"cannot load {tmp_path}: nothing says which frame the normals of tipsv2_dpt are in; give "
        "normals_convention"
    )
    assert "found none" in refusal(tmp_path, normals_convention="opengl")


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="needs torchvision")
@pytest.mark.parametrize("do_pad", [True, False])
def test_normals_are_what_sapiens_makes_of_a_photo(
    do_pad: bool, save_model: Callable[..., Path], photos: list[np.ndarray]
) -> None:
    options = {"image_processor_type": "Sapiens2ImageProcessor", "size": SIZE, "do_pad": do_pad}
    folder = save_model(sapiens2(), options)

    found = normals(open_predictor(folder, device="cpu"), photos)

    model = AutoModelForNormalEstimation.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    for photo, ours in zip(photos, found, strict=True):
        sizes = [photo.shape[:2]]
        with torch.no_grad():
            outputs = model(**processor(Image.fromarray(photo), return_tensors="pt"))
        # Padding is cut off only where it was put on.
        options = {"source_sizes": sizes} if do_pad else {"target_sizes": sizes}
        theirs = processor.post_process_normal_estimation(outputs, **options)[0]["normals"]
        expected = F.normalize(theirs, dim=0).movedim(0, -1)
        np.testing.assert_allclose(ours, expected, atol=1e-4)
