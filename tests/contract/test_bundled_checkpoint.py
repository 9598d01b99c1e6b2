"""The checkpoint inside the package does the main job on a real photo."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from david_hf import DavidPredictor, Prediction, bundled_checkpoint
from david_hf.image_io import load_image

ROOT = Path(__file__).parents[2]
ASTRONAUT = ROOT / "spaces" / "david" / "examples" / "astronaut.jpg"
MIB = 2**20


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    predictor = DavidPredictor.from_pretrained(device="cpu")
    return predictor.predict(load_image(ASTRONAUT))


def box(values: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    return values[..., top:bottom, left:right]


def test_it_is_complete_and_small() -> None:
    names = {path.name for path in bundled_checkpoint().iterdir()}

    assert names == {
        "README.md",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "preprocessor_config.json",
        "training_config.yaml",
        "training_data.json",
    }
    assert (bundled_checkpoint() / "model.safetensors").stat().st_size < 16 * MIB


def test_its_card_shows_its_measured_figures() -> None:
    card = (bundled_checkpoint() / "README.md").read_text()
    metrics = json.loads((bundled_checkpoint() / "metrics.json").read_text())

    assert f"{metrics['overall']['normals_mean_deg']:.1f}°" in card
    assert f"{metrics['overall']['alpha_iou']:.3f}" in card
    assert f"On {metrics['num_images']} people" in card


def test_nothing_in_it_names_a_folder_of_the_machine_that_made_it() -> None:
    config = yaml.safe_load((bundled_checkpoint() / "training_config.yaml").read_text())
    named = ("backgrounds", "held_out", "init_from", "output_dir")
    paths = [*(part["root"] for part in config["data"]), *(config[name] for name in named)]

    assert len(paths) > len(named)
    assert not [path for path in paths if Path(path).is_absolute()]


def test_it_finds_the_astronaut_and_leaves_the_background(prediction: Prediction) -> None:
    assert prediction.alpha is not None

    assert box(prediction.alpha, 190, 80, 260, 170).mean() > 0.95  # face
    assert box(prediction.alpha, 110, 250, 260, 400).mean() > 0.9  # suit
    assert box(prediction.alpha, 460, 0, 512, 80).mean() < 0.1  # wall


def test_normals_turn_from_left_to_right_over_the_face(prediction: Prediction) -> None:
    assert prediction.normals is not None
    face_x = box(prediction.normals[0], 185, 100, 265, 150).mean(0)

    assert face_x[-15:].mean() - face_x[:15].mean() > 0.4
    assert box(prediction.normals[2], 200, 90, 250, 160).mean() > 0.6


def test_the_face_is_nearer_than_the_hair_beside_it(prediction: Prediction) -> None:
    assert prediction.depth is not None
    face = np.median(box(prediction.depth, 210, 105, 245, 150))

    assert face > np.median(box(prediction.depth, 268, 80, 288, 115))
