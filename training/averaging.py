"""The moving average of a network's weights, which generalises better than the last ones."""

from typing import Any

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of the parameters; buffers are taken as they are.

    Young averages forget faster: the decay of update n is at most (1 + n) / (10 + n), so that the
    first weights, which are random, are soon gone.

    Args:
        model: The network.
        decay: Of each update; 0 keeps the last weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay, self._updates = model, decay, 0
        self._average = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        current = [p.detach() for p in self._model.parameters()]
        torch._foreach_lerp_(list(self._average.values()), current, 1 - decay)

    def weights(self) -> dict[str, torch.Tensor]:
        """State dict of the network with the average in it."""
        return {**self._model.state_dict(), **self._average}

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {"updates": self._updates, "average": self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved average."""
        self._updates = int(state["updates"])
        for name, value in self._average.items():
            value.copy_(state["average"][name])
