# Copyright 2026 The david_hf authors. MIT licence.
"""Activations by name."""

from torch import nn
from transformers.activations import ACT2FN

__all__ = ["build_activation"]

# What transformers has no name for.
_OTHERS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "elu": nn.ELU,
    "hardsigmoid": nn.Hardsigmoid,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
}


def build_activation(name: str) -> nn.Module:
    """Return the activation that transformers knows under a name.

    Beside those: "none" changes nothing, "elu", "hardsigmoid", "selu" and "softplus" are torch's,
    "leaky_relu_0.2" has that slope below zero, "clip_0_1" keeps values between two bounds.

    Raises:
        ValueError: If no activation has that name.
    """
    try:
        if name.startswith("leaky_relu_"):
            return nn.LeakyReLU(float(name.removeprefix("leaky_relu_")))
        if name.startswith("clip_"):
            low, high = sorted(map(float, name.removeprefix("clip_").split("_")))
            return nn.Hardtanh(low, high)
        return _OTHERS[name]() if name in _OTHERS else ACT2FN[name]
    except (KeyError, ValueError) as error:
        raise ValueError(f"unknown activation {name!r}") from error
