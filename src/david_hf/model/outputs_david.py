# Copyright 2026 The david_hf authors. MIT licence.
"""What the models return."""

from dataclasses import dataclass

import torch
from transformers.utils.generic import ModelOutput

__all__ = [
    "DavidDensePredictionOutput",
    "DavidImageMattingOutput",
    "DavidNormalEstimatorOutput",
]


@dataclass
class DavidNormalEstimatorOutput(ModelOutput):
    """Output of `DavidForNormalEstimation`.

    Args:
        loss: Scalar, when labels were given.
        normals: Unit normals, X right, Y up, Z towards the camera, shape (B, 3, H, W).
        hidden_states: Encoder states, when asked for.
        attentions: Attention weights (B, heads, N, N) per ViT block, when asked for.
    """

    loss: torch.Tensor | None = None
    normals: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class DavidImageMattingOutput(ModelOutput):
    """Output of `DavidForImageMatting`.

    Args:
        loss: Scalar, when labels were given.
        alphas: Soft foreground in [0, 1], shape (B, 1, H, W).
        hidden_states: Encoder states, when asked for.
        attentions: Attention weights (B, heads, N, N) per ViT block, when asked for.
    """

    loss: torch.Tensor | None = None
    alphas: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class DavidDensePredictionOutput(ModelOutput):
    """Output of `DavidForDensePrediction`; maps whose task the model lacks are None.

    Args:
        loss: Scalar, when labels were given: the sum of `losses`.
        losses: Its weighted parts by name, "depth_mse" for example, detached, for logs.
        predicted_depth: Relative depth, larger = nearer, shape (B, H, W).
        normals: Unit normals, X right, Y up, Z towards the camera, shape (B, 3, H, W).
        alphas: Soft foreground in [0, 1], shape (B, 1, H, W).
        hidden_states: Encoder states, when asked for.
        attentions: Attention weights (B, heads, N, N) per ViT block, when asked for.
    """

    loss: torch.Tensor | None = None
    losses: dict[str, torch.Tensor] | None = None
    predicted_depth: torch.Tensor | None = None
    normals: torch.Tensor | None = None
    alphas: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
