"""The checkpoint inside the package does the main job on a real photo; david-tiny is beside."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from david_hf import DavidPredictor, Prediction, bundled_checkpoint
from david_hf.data.sources.synthhuman import GeneratedHumans
from david_hf.evaluation.metrics.depth import rank_correlation
from david_hf.evaluation.metrics.matting import matting_metrics
from david_hf.evaluation.metrics.normals import normal_metrics
from david_hf.image_io import load_image

ROOT = Path(__file__).parents[2]
ASTRONAUT = ROOT / "spaces" / "david" / "examples" / "astronaut.jpg"
DAVID_TINY = ROOT / "training" / "checkpoints" / "david-tiny"
OURS = pytest.mark.parametrize(
    "checkpoint", [bundled_checkpoint(), DAVID_TINY], ids=["nano", "tiny"]
)
MIB = 2**20


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    predictor = DavidPredictor.from_pretrained(device="cpu")
    return predictor.predict(load_image(ASTRONAUT))


def box(values: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    return values[..., top:bottom, left:right]


@OURS
def test_it_is_complete_and_small(checkpoint: Path) -> None:
    names = {path.name for path in checkpoint.iterdir()}

    assert names == {
        "README.md",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "preprocessor_config.json",
        "training_config.yaml",
        "training_data.json",
    }
    assert (checkpoint / "model.safetensors").stat().st_size < 16 * MIB


@OURS
def test_its_card_shows_its_measured_figures(checkpoint: Path) -> None:
    card = (checkpoint / "README.md").read_text()
    metrics = json.loads((checkpoint / "metrics.json").read_text())

    assert f"{metrics['overall']['normals_mean_deg']:.1f}°" in card
    assert f"{metrics['overall']['alpha_iou']:.3f}" in card
    assert f"On {metrics['num_images']} people" in card


@OURS
def test_nothing_in_it_names_a_folder_of_the_machine_that_made_it(checkpoint: Path) -> None:
    config = yaml.safe_load((checkpoint / "training_config.yaml").read_text())
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


def test_david_tiny_is_a_vit_that_has_learnt_all_three_tasks() -> None:
    predictor = DavidPredictor.from_pretrained(DAVID_TINY, "cpu")
    people = GeneratedHumans(ROOT / "training" / "sample_data", categories=["face"])

    figures = []
    for person in people:
        found = predictor.predict(person.image)
        assert found.alpha is not None and found.normals is not None and found.depth is not None
        normals, valid = found.normals.transpose(1, 2, 0), person.valid
        figures.append(
            (
                matting_metrics(found.alpha, person.alpha)["iou"],
                normal_metrics(normals, person.normals, valid)["mean_deg"],
                rank_correlation(found.depth[valid], -person.depth_m[valid]),
            )
        )

    iou, degrees, rank = np.mean(figures, axis=0)
    assert predictor.model.config.encoder_type == "vit"
    assert (iou > 0.8, degrees < 32, rank > 0.6) == (True, True, True), (iou, degrees, rank)
