import json
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
import write_card
import yaml
from factories import tiny_mobilenet_config, tiny_model
from figures import half_sphere, write_person

from david_hf import DavidForDensePrediction, DavidImageProcessor, Prediction
from david_hf.data.sources.synthhuman import SynthHuman


class Oracle:
    """Predicts the half sphere, depth as nearness."""

    def predict(self, image: np.ndarray) -> Prediction:
        assert image.dtype == np.uint8
        alpha, depth_m, normals = half_sphere()
        return Prediction(7 - 3 * depth_m, normals.transpose(2, 0, 1), alpha)


def run(monkeypatch: pytest.MonkeyPatch, main: object, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    main()  # type: ignore[operator]


def test_a_perfect_prediction_has_no_error(tmp_path: Path) -> None:
    write_person(tmp_path, 0)

    row = evaluate.measure_sample(Oracle(), SynthHuman(tmp_path)[0])  # type: ignore[arg-type]

    assert row["depth_rmse_m"] < 1e-3
    assert row["normals_mean_deg"] < 0.2
    assert row["alpha_iou"] == 1
    assert row["alpha_mad"] == 0


def test_means_are_taken_over_images_and_by_category() -> None:
    rows = [("face", {"x": 1.0}), ("face", {"x": 2.0}), ("full_body", {"x": 6.0})]

    assert evaluate.average([row for _, row in rows]) == {"x": 3.0}
    assert evaluate.average_by_category(rows) == {
        "face": {"num_images": 2, "x": 1.5},
        "full_body": {"num_images": 1, "x": 6.0},
    }


def test_a_checkpoint_is_measured_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, checkpoint = tmp_path / "people", tmp_path / "checkpoint"
    for index in range(3):
        write_person(people, index)
        (people / f"factors_{index:07d}.json").write_text('{"category": "face"}')
    tiny_model(DavidForDensePrediction, tiny_mobilenet_config()).save_pretrained(checkpoint)
    DavidImageProcessor(size={"height": 48, "width": 48}).save_pretrained(checkpoint)
    config = {"data": [str(people)], "output_dir": "run", "steps": 9}
    (checkpoint / "training_config.yaml").write_text(yaml.safe_dump(config))
    template = Path(__file__).parents[2] / "model_cards" / "templates" / "david-nano.md"

    run(monkeypatch, evaluate.main, checkpoint, people)
    run(monkeypatch, write_card.main, checkpoint, template)

    metrics = json.loads((checkpoint / "metrics.json").read_text())
    assert metrics["num_images"] == metrics["by_category"]["face"]["num_images"] == 3
    card = (checkpoint / "README.md").read_text()
    trained_on = len(SynthHuman(people, "train"))
    assert f"{trained_on} rendered people ({trained_on} face)" in card
    assert "9 steps of 16 compositions" in card
    assert f"{metrics['overall']['alpha_iou']:.3f}" in card
    assert "$" not in card
    assert json.loads((checkpoint / "training_data.json").read_text()) == {
        "categories": {"face": trained_on},
        "num_held_out_indices": 3 - trained_on,
        "seed_range": [0, 2],
        "num_backgrounds": 0,
    }


def test_bad_input_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"error: cannot load .*no such folder"):
        run(monkeypatch, evaluate.main, tmp_path / "none", tmp_path)
    with pytest.raises(SystemExit, match=r"error: .*training_config\.yaml"):
        run(monkeypatch, write_card.main, tmp_path, tmp_path / "x.md")
