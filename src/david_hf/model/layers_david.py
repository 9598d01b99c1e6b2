# Copyright 2026 The david_hf authors. MIT licence.
"""Small layers that several parts of the network share."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .activations_david import build_activation

__all__ = [
    "DavidConvLayer",
    "DavidEncoderBlock",
    "DavidNormalize",
    "DavidQuietConv2d",
    "build_conv_stack",
    "resize_bilinear",
    "unit_vectors",
]


def resize_bilinear(image: torch.Tensor, size: Sequence[int], align_corners: bool) -> torch.Tensor:
    """Resize (B, C, H, W) to (B, C, *size), without antialiasing as the released graphs do."""
    return F.interpolate(image, size=tuple(size), mode="bilinear", align_corners=align_corners)


def unit_vectors(vectors: torch.Tensor) -> torch.Tensor:
    """Scale vectors along dimension 1 to unit length; those below 1e-8 stay short.

    Written out because `F.normalize` is ten times slower on CPUs over so short a dimension.
    """
    squared = (vectors * vectors).sum(dim=1, keepdim=True)
    # Clamped in front of the root, whose gradient at zero is infinite.
    return vectors / squared.clamp_min(1e-16).sqrt()


class DavidEncoderBlock(nn.Module):
    """Marks the blocks of either encoder, whose outputs are the `hidden_states` of a model.

    One class and not a list of two: only then can a caller ask for single hidden states by index.
    """


class DavidQuietConv2d(nn.Conv2d):
    """A convolution with small fresh weights, for the end of a residual branch or of a head.

    A class of its own because transformers offers modules without own weights, such as the branch
    itself, no chance to initialise what they hold.

    Args:
        *args: As for `nn.Conv2d`.
        fresh_bias: Value of each output channel at the start, or None for zeros.
        **kwargs: As for `nn.Conv2d`.
    """

    def __init__(
        self, *args: Any, fresh_bias: Sequence[float] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fresh_bias = fresh_bias


class DavidConvLayer(nn.Module):
    """A convolution that keeps the size (up to its stride), then an activation.

    Args:
        in_channels: Width of the input.
        out_channels: Width of the output.
        kernel_size: Odd side of the kernel.
        stride: 1, or 2 to halve the sides (rounding up).
        activation: Name of the activation, or "none".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2
        )
        self.activation = build_activation(activation)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        return self.activation(self.convolution(image))


def build_conv_stack(
    in_channels: int,
    out_channels: int,
    kernels: Sequence[int],
    activations: Sequence[str],
    stride: int = 1,
) -> nn.Sequential:
    """Chain convolutions of one output width; only the first one changes width and stride."""
    stack = nn.Sequential()
    for kernel_size, activation in zip(kernels, activations, strict=True):
        stack.append(DavidConvLayer(in_channels, out_channels, kernel_size, stride, activation))
        in_channels, stride = out_channels, 1
    return stack


class DavidNormalize(nn.Module):
    """Subtract a mean and divide by a standard deviation per channel.

    Both are constants of the configuration, not weights, so checkpoints leave them out; a model
    built on the meta device must write `constants` into the buffers again.

    Args:
        mean: One value per channel, or one for all.
        std: One positive value per channel, or one for all.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float] | float, std: Sequence[float] | float) -> None:
        super().__init__()
        self.constants = {"mean": mean, "std": std}
        for name in self.constants:
            self.register_buffer(name, self.constant(name), persistent=False)

    def constant(self, name: str) -> torch.Tensor:
        """The value of the buffer `name`, shape (C or 1, 1, 1)."""
        return torch.tensor(self.constants[name]).view(-1, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Normalise an image (B, C, H, W)."""
        return (image - self.mean) / self.std
