# Copyright 2026 The david_hf authors. MIT licence.
"""The resizer: the image at its own size in, four feature maps out, finest first."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from .layers_david import build_conv_stack

__all__ = ["DavidResizer"]


class DavidResizer(nn.Module):
    """Convolutional pyramid that keeps the details the fixed-size encoder never sees.

    It is what lets an encoder of one fixed size serve images of every size. The published numbers
    fix its four levels of stride 2 and their width.

    Args:
        num_channels: Colour channels of the image.
        hidden_sizes: Width of each level.
        kernels: Kernel sizes within one level; the first convolution has stride 2.
        activations: Activation after each of them.
        lateral_kernels: Kernel sizes of the convolutions on the way from a level to the decoder.
        lateral_activations: Activation after each of them.
    """

    def __init__(
        self,
        num_channels: int,
        hidden_sizes: Sequence[int],
        kernels: Sequence[int],
        activations: Sequence[str],
        lateral_kernels: Sequence[int] = (),
        lateral_activations: Sequence[str] = (),
    ) -> None:
        super().__init__()
        widths = [num_channels, *hidden_sizes]
        self.levels = nn.ModuleList(
            build_conv_stack(in_channels, out_channels, kernels, activations, stride=2)
            for in_channels, out_channels in pairwise(widths)
        )
        self.laterals = nn.ModuleList(
            build_conv_stack(channels, channels, lateral_kernels, lateral_activations)
            for channels in hidden_sizes
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Map (B, channels, H, W) to maps of sides ceil(H / 2), ceil(H / 4), ... finest first."""
        maps = []
        for level, lateral in zip(self.levels, self.laterals, strict=True):
            image = level(image)
            maps.append(lateral(image))
        return maps
