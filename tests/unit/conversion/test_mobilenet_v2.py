import hashlib
import re
from pathlib import Path

import pytest
import torch

from david_hf.conversion.mobilenet_v2 import IMAGENET_SHA256, load_imagenet_mobilenet_v2
from david_hf.model.mobilenet_v2_david import DavidMobileNetV2Encoder


def build_encoder() -> DavidMobileNetV2Encoder:
    return DavidMobileNetV2Encoder(num_channels=3, out_indices=[2, 5, 12, 16])


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    """A state dict with the keys and shapes of torchvision's file."""
    state = build_encoder().state_dict()
    for prefix in ("weight", "bias", "running_mean", "running_var"):
        state[f"features.18.1.{prefix}"] = torch.rand(1280)
    state["features.18.0.weight"] = torch.rand(1280, 320, 1, 1)
    state["features.18.1.num_batches_tracked"] = torch.tensor(1)
    state["classifier.1.weight"], state["classifier.1.bias"] = torch.rand(2, 2), torch.rand(2)
    return {key: torch.rand_like(value.float()).to(value.dtype) for key, value in state.items()}


def test_every_tensor_in_front_of_the_classifier_is_loaded(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(weights, tmp_path / "weights.pth")
    encoder = build_encoder()

    load_imagenet_mobilenet_v2(encoder, tmp_path / "weights.pth", sha256=None)

    # Torchvision's file holds 314 tensors, 8 of them behind the encoder's last map.
    assert (len(weights), len(encoder.state_dict())) == (314, 306)
    for key, value in encoder.state_dict().items():
        torch.testing.assert_close(value, weights[key])


def test_another_file_is_refused(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()

    with pytest.raises(ValueError, match=f"SHA-256 {checksum}, expected {IMAGENET_SHA256}"):
        load_imagenet_mobilenet_v2(build_encoder(), path)


def test_a_file_with_the_given_checksum_is_accepted(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    encoder = build_encoder()

    load_imagenet_mobilenet_v2(encoder, str(path), sha256=checksum)

    torch.testing.assert_close(encoder.stem.weight, weights["features.0.0.weight"])


@pytest.mark.parametrize("change", ["missing", "left over"])
def test_keys_that_do_not_match_are_refused(
    change: str, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    key = "features.3.conv.0.0.weight"
    if change == "missing":
        del weights[key]
    else:
        key = "features.19.0.weight"
        weights[key] = torch.zeros(1)
    torch.save(weights, tmp_path / "weights.pth")

    with pytest.raises(RuntimeError, match=re.escape(key)):
        load_imagenet_mobilenet_v2(build_encoder(), tmp_path / "weights.pth", sha256=None)
