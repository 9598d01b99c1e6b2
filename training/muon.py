"""Muon: kernels move by the orthogonal factor of their momentum, all else as in AdamW."""

from collections.abc import Callable
from typing import Any

import torch

# A quintic whose iteration brings singular values near one (Jordan et al. 2024).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.AdamW):
    """Muon for groups with `orthogonal: True`, AdamW for the others, in one optimizer.

    Updates are scaled as AdamW's are, by 0.2 times the root of the longer side (Liu et al. 2025,
    "Muon is scalable for LLM training", section 2.2), so that both take the same learning rate.

    Args:
        groups: Groups of parameters; `orthogonal` is False where it is left out.
        momentum: Of the gradients of orthogonal groups, in Nesterov's form.
        **options: AdamW's.
    """

    def __init__(
        self, groups: list[dict[str, Any]], *, momentum: float = 0.95, **options: Any
    ) -> None:
        super().__init__(
            [{"orthogonal": False, "momentum": momentum} | g for g in groups], **options
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; the gradients of orthogonal groups are used up."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["orthogonal"]:
                self._move(group)
        super().step()  # skips what has no gradient
        return loss

    def _move(self, group: dict[str, Any]) -> None:
        rate = float(group["lr"])
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:  # AdamW reads the count of steps out of any state
                state |= {"step": torch.zeros(()), "average": torch.zeros_like(parameter)}
            average = state["average"]
            average.lerp_(parameter.grad, 1 - group["momentum"])
            ahead = parameter.grad.lerp(average, group["momentum"]).flatten(1)
            update = orthogonalize(ahead) * 0.2 * max(ahead.shape) ** 0.5
            parameter.mul_(1 - rate * group["weight_decay"])
            parameter.add_(update.view_as(parameter), alpha=-rate)
            parameter.grad = None


def takes_muon(parameter: torch.Tensor) -> bool:
    """Whether it maps several channels to more than a picture's; depthwise kernels do not."""
    return parameter.ndim in (2, 4) and parameter.shape[0] > 3 and parameter.shape[1] > 1


def orthogonalize(matrix: torch.Tensor) -> torch.Tensor:
    """About the orthogonal factor of a matrix (M, N): all singular values near one."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if is_tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x
