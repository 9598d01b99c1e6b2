# Copyright 2026 The david_hf authors. MIT licence.
"""Modules with a second, faster form for inference, made from their weights and never saved."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["DavidFixedConv2d", "DavidFusable", "DavidFusableSequential"]


class DavidFixedConv2d(nn.Module):
    """A convolution whose weights were computed from others: no parameters, nothing to save.

    Args:
        weight: Shape (out, in / groups, k, k).
        bias: Shape (out,), or None.
        like: Convolution whose stride, padding and groups hold here too; None takes those of a
            pointwise one.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, like: nn.Conv2d | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.options: dict[str, Any] = {}
        if like is not None:
            self.options = {name: getattr(like, name) for name in ("stride", "padding", "groups")}

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (B, in, H, W) to (B, out, H', W')."""
        return F.conv2d(image, self.weight, self.bias, **self.options)


class DavidFusable(nn.Module):
    """A module that computes the same with fewer operations after `fuse`.

    The weights stay where they are, so checkpoints do not change, and `fused` holds what was
    computed from them. Training and loading would leave that behind: both drop it.
    """

    @property
    def fused(self) -> nn.ModuleDict | None:
        """The parts of the faster form, if it is switched on."""
        parts: Any = self._modules.get("fused_parts")
        return parts

    def build_fused(self) -> nn.ModuleDict | None:
        """Compute the parts of the faster form from the weights; None if there is none."""
        return None

    @torch.no_grad()
    def fuse(self) -> None:
        """Switch to the faster form, where there is one."""
        self.unfuse()
        parts = self.build_fused()
        if parts is not None:
            self.add_module("fused_parts", parts)

    def discard_weights(self) -> None:
        """Drop the weights that the faster form does without, for good: to be exported."""

    def unfuse(self) -> None:
        """Switch back to the weights."""
        # Out of the children altogether: a sequence counts them.
        self._modules.pop("fused_parts", None)

    def train(self, mode: bool = True) -> "DavidFusable":
        """Switch to training, which needs the weights, or to evaluation."""
        if mode:
            self.unfuse()
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.unfuse()
        super()._load_from_state_dict(*args, **kwargs)


class DavidFusableSequential(nn.Sequential, DavidFusable):
    """A sequence in which batch norms are folded into the convolutions in front of them."""

    def build_fused(self) -> nn.ModuleDict | None:
        """Compute the folded convolutions; batch norms become identities."""
        parts: dict[str, nn.Module] = {}
        for index in range(len(self) - 1):
            convolution, norm = self[index], self[index + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parts[str(index)] = fold_batch_norm(convolution, norm)
                parts[str(index + 1)] = nn.Identity()
        return nn.ModuleDict(parts) if parts else None

    def discard_weights(self) -> None:
        """Put the folded convolutions in the place of what they were made from."""
        fused = self.fused
        if fused is not None:
            for name, part in fused.items():
                self._modules[name] = part
            self.unfuse()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Chain the modules."""
        fused = self.fused
        for name, module in self._modules.items():
            if name != "fused_parts":
                image = (fused[name] if fused is not None and name in fused else module)(image)
        return image


def fold_batch_norm(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> DavidFixedConv2d:
    """Return one convolution that does what convolution and batch norm do in evaluation."""
    # In double precision: some variances are small.
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    factor = (variance.double() + norm.eps).rsqrt()
    shift = -mean.double() * factor
    if convolution.bias is not None:
        shift = shift + convolution.bias.double() * factor
    if norm.affine:
        factor = factor * norm.weight.double()
        shift = shift * norm.weight.double() + norm.bias.double()
    weight = convolution.weight.double() * factor[:, None, None, None]
    dtype = convolution.weight.dtype
    return DavidFixedConv2d(weight.to(dtype), shift.to(dtype), like=convolution)
