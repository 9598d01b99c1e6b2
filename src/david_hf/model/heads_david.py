# Copyright 2026 The david_hf authors. MIT licence.
"""The heads: a fused feature map in, depth, normals or foreground out, and the loss of each."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .activations_david import build_activation
from .configuration_david import DavidConfig
from .layers_david import DavidConvLayer, DavidQuietConv2d, resize_bilinear, unit_vectors
from .losses_david import alpha_losses, depth_losses, normal_loss

__all__ = [
    "HEAD_NAMES",
    "DavidAlphaHead",
    "DavidDepthHead",
    "DavidHead",
    "DavidNormalHead",
    "build_head",
]

# The attribute of a model that holds the head of each task.
HEAD_NAMES = {"depth": "depth_head", "normals": "normal_head", "alpha": "alpha_head"}


class DavidHead(nn.Module):
    """Three convolutions, with the resize to the image's size behind the first, as in DPT.

    `forward` gives raw values; a subclass turns them into its map (`to_map`) and compares them with
    labels (`losses`), both from raw values, since some losses need what is in front of the final
    activation.

    Args:
        config: Widths and activations.
        num_outputs: Channels of the raw map.
        activation: Name of the final activation, or "none".
        fresh_bias: Raw value of each channel that a fresh head starts from, or None for zeros.
    """

    def __init__(
        self,
        config: DavidConfig,
        num_outputs: int,
        activation: str,
        fresh_bias: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        wide, narrow = config.head_hidden_sizes
        first, second = config.head_activations
        own = config.head_align_corners
        self.align_corners = config.interp_align_corners if own is None else own
        self.resize_first = config.head_resize_first
        self.reduce = DavidConvLayer(config.fusion_hidden_size, wide, 3, activation=first)
        self.refine = DavidConvLayer(wide, narrow, 3, activation=second)
        self.predict = DavidQuietConv2d(narrow, num_outputs, 1, fresh_bias=fresh_bias)
        self.final_activation = build_activation(activation)

    def forward(self, features: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """Map features (B, C, h, w) to raw values (B, num_outputs, *size)."""
        if self.resize_first:
            features = self.reduce.convolution(features)
            features = resize_bilinear(features, size, self.align_corners)
            features = self.reduce.activation(features)
        else:
            features = resize_bilinear(self.reduce(features), size, self.align_corners)
        features, device = self.refine(features), features.device.type
        if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
            return self.predict(features)
        # The gradients of a depth map, or what is left of 1 - alpha, are less than half precision
        # tells apart at the values that they are differences of.
        weight, bias = self.predict.weight, self.predict.bias
        assert bias is not None
        with torch.autocast(device, enabled=False):
            return F.conv2d(features.float(), weight.float(), bias.float())

    def to_map(self, raw: torch.Tensor) -> torch.Tensor:
        """Turn raw values into the map the model returns."""
        raise NotImplementedError

    def losses(
        self,
        raw: torch.Tensor,
        labels: torch.Tensor,
        mask: torch.Tensor | None,
        counts: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the weighted parts of the loss by name; `counts` as of `count_valid`."""
        raise NotImplementedError


class DavidDepthHead(DavidHead):
    """Relative depth, larger = nearer, whatever sign the raw values have."""

    def __init__(self, config: DavidConfig) -> None:
        super().__init__(config, num_outputs=1, activation=config.depth_activation)
        self.is_inverse = config.depth_is_inverse
        self.gradient_weight = config.depth_gradient_weight
        self.local_weight = config.depth_local_weight

    def to_map(self, raw: torch.Tensor) -> torch.Tensor:
        """Map (B, 1, H, W) to relative depth (B, H, W)."""
        depth = self.final_activation(raw).squeeze(1)
        return depth if self.is_inverse else -depth

    def losses(
        self,
        raw: torch.Tensor,
        labels: torch.Tensor,
        mask: torch.Tensor | None,
        counts: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Compare with z-depth (B, H, W) in metres inside the mask (B, H, W)."""
        depth = self.to_map(raw)
        check_labels("depth", labels, mask, depth.shape)
        return depth_losses(
            depth,
            labels,
            mask,
            orientation="positive",
            gradient_weight=self.gradient_weight,
            local_weight=self.local_weight,
            counts=counts,
        )


class DavidNormalHead(DavidHead):
    """Unit surface normals: X right, Y up, Z towards the camera."""

    def __init__(self, config: DavidConfig) -> None:
        # A fresh head looks at the camera: the direction of a vector near zero is an accident that
        # rounding turns around. Long enough for that, short enough to turn in a few steps.
        super().__init__(config, 3, config.normals_activation, fresh_bias=(0.0, 0.0, 0.3))

    def to_map(self, raw: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) to unit normals (B, 3, H, W)."""
        # A half-precision sum of squares would leave lengths off by a percent.
        return unit_vectors(self.final_activation(raw).float()).to(raw.dtype)

    def losses(
        self,
        raw: torch.Tensor,
        labels: torch.Tensor,
        mask: torch.Tensor | None,
        counts: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Compare with normals (B, 3, H, W) inside the mask (B, H, W)."""
        check_labels("normals", labels, mask, raw.shape)
        return {"cosine": normal_loss(self.final_activation(raw), labels, mask, counts)}


class DavidAlphaHead(DavidHead):
    """Soft foreground in [0, 1]."""

    def __init__(self, config: DavidConfig) -> None:
        super().__init__(config, num_outputs=1, activation=config.alpha_activation)
        self.has_logits = config.alpha_activation == "sigmoid"
        self.laplacian_weight = config.alpha_laplacian_weight

    def to_map(self, raw: torch.Tensor) -> torch.Tensor:
        """Map (B, 1, H, W) to alpha (B, 1, H, W)."""
        return self.final_activation(raw).clamp(0, 1)

    def losses(
        self,
        raw: torch.Tensor,
        labels: torch.Tensor,
        mask: torch.Tensor | None,
        counts: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Compare with alpha (B, 1, H, W); a mask (B, H, W) names the pixels that count."""
        check_labels("alpha", labels, mask, raw.shape)
        return alpha_losses(
            self.final_activation(raw),
            labels,
            mask,
            logits=raw if self.has_logits else None,
            laplacian_weight=self.laplacian_weight,
            counts=counts,
        )


_HEADS: dict[str, type[DavidDepthHead | DavidNormalHead | DavidAlphaHead]] = {
    "depth": DavidDepthHead,
    "normals": DavidNormalHead,
    "alpha": DavidAlphaHead,
}


def build_head(task: str, config: DavidConfig) -> DavidHead:
    """Build the head of a task out of "depth", "normals", "alpha"."""
    return _HEADS[task](config)


def check_labels(
    task: str, labels: torch.Tensor, mask: torch.Tensor | None, expected: torch.Size
) -> None:
    """Refuse labels and masks that would broadcast into a wrong loss in silence.

    Raises:
        ValueError: If labels or mask have another shape than the prediction asks for.
    """
    if labels.shape != expected:
        raise ValueError(
            f"{task} labels must have shape {tuple(expected)}, got {tuple(labels.shape)}"
        )
    mask_shape = (expected[0], *expected[-2:])
    if mask is not None and tuple(mask.shape) != mask_shape:
        raise ValueError(f"mask must have shape {mask_shape}, got {tuple(mask.shape)}")
