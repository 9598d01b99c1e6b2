import json
import re
from pathlib import Path
from typing import Any

import pytest
from factories import tiny_mobilenet_config, tiny_vit_config
from huggingface_hub.errors import StrictDataclassError

from david_hf.model import DavidConfig


@pytest.mark.parametrize("size", ["nano", "tiny", "small", "base", "large"])
def test_every_named_size_is_valid_and_takes_overrides(size: str) -> None:
    config = DavidConfig.from_size(size, tasks=["alpha"], fusion_hidden_size=24)

    assert config.tasks == ["alpha"]
    assert config.fusion_hidden_size == 24


def test_base_is_the_default() -> None:
    assert DavidConfig.from_size("base").to_dict() == DavidConfig().to_dict()


def test_an_unknown_size_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown size 'huge': choose one of nano, tiny"):
        DavidConfig.from_size("huge")


@pytest.mark.parametrize("config", [tiny_vit_config(), tiny_mobilenet_config()])
def test_a_config_survives_a_trip_through_its_file(config: DavidConfig, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)

    loaded = DavidConfig.from_pretrained(tmp_path)

    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["model_type"] == "david"
    assert {**loaded.to_dict(), "_name_or_path": ""} == {**config.to_dict(), "_name_or_path": ""}


def test_tuples_are_stored_as_the_lists_a_file_gives_back() -> None:
    assert tiny_vit_config(out_indices=(0, 1, 2, 3)).out_indices == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"tasks": []}, "tasks must be distinct names out of ('depth', 'normals', 'alpha')"),
        ({"tasks": ["depth", "depth"]}, "tasks must be distinct"),
        ({"tasks": ["pose"]}, "got ['pose']"),
        ({"loss_weights": {"pose": 1.0}}, "loss_weights may hold"),
        ({"out_indices": [0, 1, 2, 4]}, "out_indices must rise and end with the last block, 3"),
        ({"out_indices": [1, 0, 2, 3]}, "out_indices must rise"),
        ({"hidden_size": 15}, "hidden_size 15 must be a multiple of num_attention_heads 2"),
        ({"image_size": 30}, "image_size 30 must be a multiple of patch_size 8"),
        ({"neck_hidden_sizes": [4, 6]}, "neck_hidden_sizes needs 4 entries"),
        ({"reassemble_factors": [1]}, "reassemble_factors needs 4 entries"),
        ({"resizer_hidden_sizes": [8]}, "resizer_hidden_sizes needs 4 entries"),
        ({"resizer_kernels": [3, 2]}, "resizer_kernels must be odd"),
        ({"concat_kernels": []}, "concat_kernels must be odd, 1 or more"),
        ({"resizer_activations": ["relu"]}, "resizer_activations needs 2 entries"),
        ({"concat_activations": []}, "concat_activations needs 1 entries"),
        ({"projection_activations": []}, "projection_activations needs 1 entries"),
        ({"lateral_kernels": [1]}, "lateral_activations needs 1 entries"),
        ({"head_hidden_sizes": [8]}, "head_hidden_sizes needs 2 entries"),
        ({"head_activations": ["relu"]}, "head_activations needs 2 entries"),
        ({"image_mean": [0.5, 0.5, 0.5]}, "image_mean and image_std must be given together"),
        ({"image_mean": [0.5], "image_std": [0.5]}, "image_mean needs 3 entries"),
        ({"alpha_activation": "softmax"}, "alpha_activation: unknown activation 'softmax'"),
        ({"resizer_activations": ["relu", "leaky_relu_x"]}, "unknown activation 'leaky_relu_x'"),
        (
            {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.0]},
            "image_std must be positive",
        ),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(
    overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(StrictDataclassError, match=re.escape(message)):
        tiny_vit_config(**overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_hidden_layers": 12, "out_indices": [2, 5, 8, 11]}, "has num_hidden_layers 17"),
        ({"neck_hidden_sizes": [24, 32, 96, 160]}, "must be the widths [24, 32, 96, 320]"),
    ],
)
def test_the_fixed_numbers_of_mobilenet_are_checked(
    overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(StrictDataclassError, match=re.escape(message)):
        tiny_mobilenet_config(**overrides)


@pytest.mark.parametrize(
    "overrides", [{"hidden_size": 0.5}, {"encoder_type": "resnet"}, {"resize_mode": "area"}]
)
def test_values_of_a_wrong_kind_are_refused(overrides: dict[str, Any]) -> None:
    with pytest.raises(StrictDataclassError, match=next(iter(overrides))):
        tiny_vit_config(**overrides)
