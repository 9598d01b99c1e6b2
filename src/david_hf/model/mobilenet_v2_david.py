# Copyright 2026 The david_hf authors. MIT licence.
"""The MobileNetV2 encoder of the nano size, with the interface of the ViT encoder."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .configuration_david import MOBILENET_V2_WIDTHS
from .fusable_david import DavidFusableSequential
from .layers_david import DavidEncoderBlock

__all__ = ["DavidInvertedResidual", "DavidMobileNetV2Encoder"]


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return convolution and batch norm, the pair MobileNetV2 is made of."""
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False
    )
    return [convolution, nn.BatchNorm2d(out_channels)]


class DavidInvertedResidual(DavidEncoderBlock):
    """Expand, filter per channel, project (MobileNetV2, fig. 4d).

    Args:
        in_channels: Width of the input.
        out_channels: Width of the output.
        stride: 1, or 2 to halve the sides.
        expand_ratio: Inner width over `in_channels`; 1 leaves the expansion out.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expand_ratio: int) -> None:
        super().__init__()
        width = in_channels * expand_ratio
        # Names and nesting follow torchvision's, so that its ImageNet weights load as they are.
        self.conv = DavidFusableSequential()
        if expand_ratio > 1:
            self.conv.append(
                DavidFusableSequential(*conv_norm(in_channels, width, 1), nn.ReLU6(inplace=True))
            )
        depthwise = conv_norm(width, width, 3, stride, groups=width)
        self.conv.append(DavidFusableSequential(*depthwise, nn.ReLU6(inplace=True)))
        self.conv.extend(conv_norm(width, out_channels, 1))
        self.has_skip = stride == 1 and in_channels == out_channels

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        return image + self.conv(image) if self.has_skip else self.conv(image)


class DavidMobileNetV2Encoder(nn.Module):
    """MobileNetV2 (Sandler et al. 2018) up to its last block; the classifier is left out.

    Args:
        num_channels: Colour channels.
        out_indices: Blocks whose output is returned; 2, 5, 12, 16 lie at strides 4, 8, 16, 32.
        freeze_batch_norm: Whether training keeps the statistics of the batch norms.
    """

    # Blocks that halve the sides.
    STRIDED_BLOCKS = (1, 3, 6, 13)

    def __init__(
        self, num_channels: int, out_indices: Sequence[int], freeze_batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.out_indices = list(out_indices)
        self.freeze_batch_norm = freeze_batch_norm
        self.features = nn.Sequential()
        self.features.append(
            DavidFusableSequential(*conv_norm(num_channels, 32, 3, 2), nn.ReLU6(inplace=True))
        )
        in_channels = 32
        for index, out_channels in enumerate(MOBILENET_V2_WIDTHS):
            stride = 2 if index in self.STRIDED_BLOCKS else 1
            expand_ratio = 1 if index == 0 else 6
            self.features.append(
                DavidInvertedResidual(in_channels, out_channels, stride, expand_ratio)
            )
            in_channels = out_channels

    @property
    def stem(self) -> nn.Module:
        """The layer that sees the pixels."""
        return self.features.get_submodule("0.0")

    @property
    def blocks(self) -> list[nn.Module]:
        """The first convolution, then the blocks, in order."""
        return list(self.features)

    def train(self, mode: bool = True) -> "DavidMobileNetV2Encoder":
        """Switch to training, all but the statistics of frozen batch norms."""
        super().train(mode)
        if self.freeze_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, image: torch.Tensor, **kwargs: Any) -> list[torch.Tensor]:
        """Map (B, channels, S, S) to the outputs of blocks `out_indices`, finest first."""
        stem, *blocks = self.features
        features = stem(image)
        maps = []
        for index, block in enumerate(blocks):
            features = block(features)
            if index in self.out_indices:
                maps.append(features)
        return maps
