# Copyright 2026 The david_hf authors. MIT licence.
"""The decoder: encoder maps and resizer maps in, one fused feature map out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_david import DavidConfig
from .layers_david import DavidQuietConv2d, build_conv_stack, resize_bilinear

__all__ = ["DavidDecoder", "DavidFusionLevel", "DavidResidualUnit"]


class DavidResidualUnit(nn.Module):
    """Two pre-activated 3x3 convolutions on a skip connection (RefineNet's RCU, used by DPT).

    Args:
        channels: Width of input and output.
        bias: Whether the convolutions have a bias.
    """

    def __init__(self, channels: int, bias: bool) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.convolution2 = DavidQuietConv2d(channels, channels, 3, padding=1, bias=bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        residual = self.convolution1(F.relu(features))
        residual = self.convolution2(F.relu(residual))
        return features + residual


class DavidFusionLevel(GradientCheckpointingLayer):
    """Merge encoder map, coarser level and resizer map into a finer level (DAViD, eq. 2).

    Args:
        config: Widths, kernels and corner alignment of the decoder.
        resizer_channels: Width of this level's resizer map.
        is_coarsest: The coarsest level has no coarser one to add its encoder map to, hence no unit
            for that.
    """

    def __init__(self, config: DavidConfig, resizer_channels: int, is_coarsest: bool) -> None:
        super().__init__()
        channels = config.fusion_hidden_size
        self.align_corners = config.interp_align_corners
        self.skip_unit = None if is_coarsest else DavidResidualUnit(channels, config.rcu_bias)
        self.fused_unit = DavidResidualUnit(channels, config.rcu_bias)
        self.projection: nn.Module = nn.Identity()
        if config.fusion_out_conv:
            self.projection = nn.Conv2d(channels, channels, kernel_size=1)
        self.merge = build_conv_stack(
            channels + resizer_channels, channels, config.concat_kernels, config.concat_activations
        )

    def forward(
        self,
        encoder_map: torch.Tensor,
        resizer_map: torch.Tensor,
        coarser: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Fuse one level.

        Args:
            encoder_map: Shape (B, C, h, w), any sides.
            resizer_map: Shape (B, R, H, W).
            coarser: Output of the next coarser level, or None at the coarsest.

        Returns:
            The level's features at the size of the resizer map, shape (B, C, H, W).
        """
        fused = encoder_map
        if self.skip_unit is not None and coarser is not None:
            # The unit runs at the encoder's resolution, its output is enlarged: "upsampling a
            # learned residual", and a third of the cost of the other order.
            skip = self.skip_unit(encoder_map)
            fused = coarser + resize_bilinear(skip, coarser.shape[-2:], self.align_corners)
        fused = self.fused_unit(fused)
        fused = resize_bilinear(fused, resizer_map.shape[-2:], self.align_corners)
        return self.merge(torch.cat([self.projection(fused), resizer_map], dim=1))


class DavidDecoder(nn.Module):
    """DPT's fusion decoder, joined at every level by a map of the resizer (DAViD, eq. 2)."""

    def __init__(self, config: DavidConfig) -> None:
        super().__init__()
        self.input_projections = nn.ModuleList(
            nn.Conv2d(channels, config.fusion_hidden_size, 3, padding=1, bias=config.rn_bias)
            for channels in config.neck_hidden_sizes
        )
        coarsest = len(config.resizer_hidden_sizes) - 1
        self.levels = nn.ModuleList(
            DavidFusionLevel(config, channels, is_coarsest=index == coarsest)
            for index, channels in enumerate(config.resizer_hidden_sizes)
        )

    def forward(
        self, encoder_maps: Sequence[torch.Tensor], resizer_maps: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Fuse both pyramids (finest first) into one map of the finest resizer map's size."""
        projected = [
            project(encoder_map)
            for project, encoder_map in zip(self.input_projections, encoder_maps, strict=True)
        ]
        fused = self.levels[-1](projected[-1], resizer_maps[-1])
        for index in reversed(range(len(self.levels) - 1)):
            fused = self.levels[index](projected[index], resizer_maps[index], fused)
        return fused
