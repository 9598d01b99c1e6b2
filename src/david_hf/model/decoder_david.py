# Copyright 2026 The david_hf authors. MIT licence.
"""The decoder: encoder maps and resizer maps in, one fused feature map out."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .activations_david import build_activation
from .configuration_david import DavidConfig
from .fusable_david import DavidFixedConv2d, DavidFusable
from .layers_david import DavidQuietConv2d, build_conv_stack, resize_bilinear

__all__ = ["DavidDecoder", "DavidFusionLevel", "DavidResidualUnit"]


class DavidResidualUnit(nn.Module):
    """Two pre-activated 3x3 convolutions on a skip connection (RefineNet's RCU, used by DPT).

    Args:
        channels: Width of input and output.
        bias: Whether the convolutions have a bias.
        activation: Name of the activation in front of both.
    """

    def __init__(self, channels: int, bias: bool, activation: str = "relu") -> None:
        super().__init__()
        self.activation = build_activation(activation)
        self.convolution1 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.convolution2 = DavidQuietConv2d(channels, channels, 3, padding=1, bias=bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        residual = self.convolution1(self.activation(features))
        residual = self.convolution2(self.activation(residual))
        return features + residual


class DavidFusionLevel(GradientCheckpointingLayer, DavidFusable):
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
        unit = (channels, config.rcu_bias, config.rcu_activation)
        self.align_corners = config.interp_align_corners
        own = config.skip_align_corners
        self.skip_align_corners = config.interp_align_corners if own is None else own
        self.projection_first = config.projection_first
        self.skip_unit = None if is_coarsest else DavidResidualUnit(*unit)
        self.fused_unit = DavidResidualUnit(*unit)
        self.projection = build_conv_stack(
            channels, channels, config.projection_kernels, config.projection_activations
        )
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
        features = encoder_map
        if self.skip_unit is not None and coarser is not None:
            # The unit runs at the encoder's resolution, its output is enlarged: "upsampling a
            # learned residual", and a third of the cost of the other order.
            skip = self.skip_unit(encoder_map)
            features = coarser + resize_bilinear(skip, coarser.shape[-2:], self.skip_align_corners)
        features = self.fused_unit(features)
        size = resizer_map.shape[-2:]
        if self.fused is not None:
            features = resize_bilinear(self.fused["decoder"](features), size, self.align_corners)
            first: Any = self.merge[0]
            features = first.activation(features + self.fused["resizer"](resizer_map))
            return self.merge[1:](features)
        if self.projection_first:
            features = resize_bilinear(self.projection(features), size, self.align_corners)
        else:
            features = self.projection(resize_bilinear(features, size, self.align_corners))
        return self.merge(torch.cat([features, resizer_map], dim=1))

    def build_fused(self) -> nn.ModuleDict | None:
        """Merge the projection into the first convolution behind the concatenation.

        A pointwise convolution of two joined maps is the sum of one of each, pointwise convolutions
        in a row are one, and they commute with the resize, whose weights sum to 1: so all of the
        decoder's part runs before the resize, where the map is smaller.
        """
        first: Any = self.merge[0].convolution
        layers: list[Any] = list(self.projection)
        linear = all(isinstance(layer.activation, nn.Identity) for layer in layers)
        kernels = [layer.convolution.kernel_size for layer in layers] + [first.kernel_size]
        if not linear or set(kernels) != {(1, 1)}:
            return None
        width = self.fused_unit.convolution2.out_channels
        weight = first.weight.double()
        decoder, resizer, bias = weight[:, :width], weight[:, width:], first.bias.double()
        for layer in reversed(layers):
            bias = bias + decoder.flatten(1) @ layer.convolution.bias.double()
            decoder = (decoder.flatten(1) @ layer.convolution.weight.double().flatten(1))[
                :, :, None, None
            ]
        dtype = first.weight.dtype
        return nn.ModuleDict(
            {
                "decoder": DavidFixedConv2d(decoder.to(dtype), None),
                "resizer": DavidFixedConv2d(resizer.to(dtype), bias.to(dtype)),
            }
        )

    def discard_weights(self) -> None:
        """Drop the projection and the first convolution behind the concatenation."""
        if self.fused is not None:
            self.projection = nn.Sequential()
            self.merge[0].convolution = nn.Identity()


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
