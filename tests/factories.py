"""Small configurations, models and data for tests."""

from typing import Any, TypeVar

import torch

from david_hf.model import (
    DavidConfig,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidModel,
    DavidPreTrainedModel,
)

SINGLE_TASKS: dict[type[DavidPreTrainedModel], str] = {
    DavidForDepthEstimation: "depth",
    DavidForNormalEstimation: "normals",
    DavidForImageMatting: "alpha",
}
MODEL_CLASSES = [DavidModel, *SINGLE_TASKS, DavidForDensePrediction]

Model = TypeVar("Model", bound=DavidPreTrainedModel)

_DECODER: dict[str, Any] = {
    "fusion_hidden_size": 8,
    "resizer_hidden_sizes": [4, 6, 8, 8],
    "head_hidden_sizes": [8, 8],
}


def tiny_vit_config(**overrides: Any) -> DavidConfig:
    """Four narrow ViT blocks over 4x4 patches: about 20,000 parameters."""
    numbers: dict[str, Any] = {
        "image_size": 32,
        "input_size": 48,
        "patch_size": 8,
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "mlp_ratio": 2.0,
        "out_indices": [0, 1, 2, 3],
        "neck_hidden_sizes": [4, 6, 8, 10],
        **_DECODER,
    }
    return DavidConfig(**{**numbers, **overrides})


def tiny_mobilenet_config(**overrides: Any) -> DavidConfig:
    """The nano encoder, whose widths are fixed, at a small image size with a narrow decoder."""
    numbers: dict[str, Any] = {"image_size": 64, "input_size": 48, **_DECODER}
    return DavidConfig.from_size("nano", **{**numbers, **overrides})


def tiny_config(encoder_type: str = "vit", **overrides: Any) -> DavidConfig:
    """Return the tiny configuration of an encoder type."""
    build = tiny_vit_config if encoder_type == "vit" else tiny_mobilenet_config
    return build(**overrides)


def tiny_model(
    model_class: type[Model], config: DavidConfig | None = None, **overrides: Any
) -> Model:
    """Build a tiny model in evaluation mode, a ViT unless a config says otherwise."""
    return model_class(config or tiny_vit_config(**overrides)).eval()


def random_images(
    generator: torch.Generator, height: int = 40, width: int = 48, batch_size: int = 2
) -> torch.Tensor:
    """Draw images in [0, 1], shape (batch_size, 3, height, width)."""
    return torch.rand(batch_size, 3, height, width, generator=generator)


def disc_mask(height: int, width: int, batch_size: int = 2) -> torch.Tensor:
    """A centred disc that fills most of the image, bool, shape (batch_size, height, width)."""
    rows = torch.linspace(-1, 1, height)[:, None]
    columns = torch.linspace(-1, 1, width)[None, :]
    return (rows**2 + columns**2 < 0.7).expand(batch_size, -1, -1)


def sphere_labels(height: int, width: int, batch_size: int = 2) -> dict[str, torch.Tensor]:
    """Depth, normals and alpha of a ball two metres away; depth is infinite around it."""
    rows = torch.linspace(1, -1, height)[:, None].expand(height, width)
    columns = torch.linspace(-1, 1, width)[None, :].expand(height, width)
    inside = disc_mask(height, width, 1)[0]
    towards = (1 - rows**2 - columns**2).clamp_min(0).sqrt()
    depth = torch.where(inside, 2.0 - towards, torch.inf)
    labels = {
        "depth": depth,
        "normals": torch.stack([columns, rows, towards]),
        "alpha": inside.float()[None],
    }
    return {name: label.expand(batch_size, *label.shape) for name, label in labels.items()}
