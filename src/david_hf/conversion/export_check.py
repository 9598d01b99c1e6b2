"""Is an exported file the network it was made from? Pictures to try it on, and differences."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

__all__ = [
    "Difference",
    "Runner",
    "accuracy_loss",
    "compare",
    "make_picture",
    "merge_differences",
]

# An image or a photo in, the maps in the order of the tasks out, float32.
Runner = Callable[[torch.Tensor], Sequence[torch.Tensor]]

# Largest share of pixels that may differ by more than the limit. The direction of a normal whose
# raw vector is near zero is an accident of rounding. Half precision also moves the soft edge of a
# person by a fraction of a pixel, which is a large difference there and means nothing.
_SHARE_ABOVE = {"fp32": 1e-4, "fp16": 1e-3}
_LIMITS = {
    "fp32": {"depth": 1e-4, "normals": 1e-4, "alpha": 1e-4},
    "fp16": {"depth": 2e-2, "normals": 1e-2, "alpha": 1e-2},
}


@dataclass(frozen=True)
class Difference:
    """How far a file's output is from PyTorch's, over all pictures it was tried on.

    Attributes:
        task: "depth", "normals" or "alpha".
        maximum: Largest absolute difference; of depth, as a share of the depth's range.
        judged: What is held against `limit`: the same, without the ten-thousandth (in half
            precision the thousandth) of the pixels that differ most.
        limit: Largest value of `judged` that is accepted, or None where nothing is refused.
    """

    task: str
    maximum: float
    judged: float
    limit: float | None

    @property
    def accepted(self) -> bool:
        """Whether the file may be kept; a difference that is no number is not accepted."""
        return self.limit is None or self.judged <= self.limit


def compare(
    expected: Sequence[torch.Tensor],
    actual: Sequence[torch.Tensor],
    tasks: Sequence[str],
    precision: str,
) -> list[Difference]:
    """Compare the outputs for one input.

    Args:
        expected: PyTorch's maps, float32, in the order of the tasks.
        actual: The file's maps.
        tasks: What they are.
        precision: "fp32", "fp16" or "int8"; the last one has no limit.

    Raises:
        ValueError: If the file gives another number of outputs, or other shapes.
    """
    shapes = [tuple(maps.shape) for maps in actual]
    wanted = [tuple(maps.shape) for maps in expected]
    if shapes != wanted:
        raise ValueError(f"the exported file gives outputs of shapes {shapes}, expected {wanted}")
    differences = []
    for task, true, maps in zip(tasks, expected, actual, strict=True):
        error = (maps.float() - true).abs()
        if task == "depth":
            error = error / (true.max() - true.min()).clamp_min(1e-12)
        error = error.flatten()
        limit = _LIMITS.get(precision, {}).get(task)
        allowed = int(error.numel() * _SHARE_ABOVE.get(precision, 0.0))
        judged = error.kthvalue(error.numel() - allowed).values.item()
        if not error.isfinite().all():
            judged = float("nan")
        differences.append(Difference(task, error.max().item(), judged, limit))
    return differences


def merge_differences(differences: Iterable[Difference]) -> list[Difference]:
    """Keep the worst of each task."""
    worst: dict[str, Difference] = {}
    for difference in differences:
        known = worst.get(difference.task)
        # Written so that one that is no number stays.
        if known is None or not difference.judged <= known.judged:
            worst[difference.task] = difference
    return list(worst.values())


def accuracy_loss(
    expected: Iterable[Sequence[torch.Tensor]],
    actual: Iterable[Sequence[torch.Tensor]],
    tasks: Sequence[str],
) -> dict[str, float]:
    """Measure what a coarser precision costs, against the full one, as a mean over pictures.

    Args:
        expected: Maps of the full precision, one sequence per picture.
        actual: Maps of the coarser one.
        tasks: What the maps are, in their order.

    Returns:
        "alpha_mae" and "alpha_iou" (of the masks at 0.5), "normals_deg" (mean angle), and
        "depth_error": mean absolute difference after the best scale and shift, as a share of the
        depth's range (a relative depth has no true zero to divide by). Normals and depth count
        inside the foreground of the full precision, where alpha is among the tasks.
    """
    sums: dict[str, list[float]] = {}
    for true, maps in zip(expected, actual, strict=True):
        for name, value in _picture_loss(true, maps, tasks).items():
            sums.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in sums.items()}


def _picture_loss(
    expected: Sequence[torch.Tensor], actual: Sequence[torch.Tensor], tasks: Sequence[str]
) -> dict[str, float]:
    true = dict(zip(tasks, expected, strict=True))
    maps = dict(zip(tasks, actual, strict=True))
    shape = expected[0].shape
    mask = torch.ones(shape[0], *shape[-2:], dtype=torch.bool)
    result = {}
    if "alpha" in true:
        ours, wanted = maps["alpha"][:, 0] > 0.5, true["alpha"][:, 0] > 0.5
        union = (ours | wanted).sum().item()
        result["alpha_mae"] = (maps["alpha"] - true["alpha"]).abs().mean().item()
        result["alpha_iou"] = (ours & wanted).sum().item() / union if union else 1.0
        mask = wanted if wanted.any() else mask
    if "normals" in true:
        first, second = (
            n.movedim(1, -1)[mask].double() for n in (true["normals"], maps["normals"])
        )
        sine = torch.linalg.cross(first, second).norm(dim=-1)
        angle = torch.atan2(sine, (first * second).sum(-1))
        result["normals_deg"] = angle.rad2deg().mean().item()
    if "depth" in true:
        result["depth_error"] = _aligned_error(true["depth"][mask], maps["depth"][mask])
    return result


def _aligned_error(true: torch.Tensor, depth: torch.Tensor) -> float:
    """Mean absolute difference after the best scale and shift, over the range of `true`."""
    true, depth = true.double(), depth.double()
    centred = depth - depth.mean()
    scale = (centred * true).mean() / (centred**2).mean().clamp_min(1e-12)
    error = (scale * centred + true.mean() - true).abs().mean()
    return (error / (true.max() - true.min()).clamp_min(1e-12)).item()


def make_picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Draw a figure in front of a soft background: a picture more like a photo than noise is.

    Args:
        height: In pixels.
        width: In pixels.
        seed: Another one draws another background, other colours and another place.

    Returns:
        RGB in [0, 1], float32, shape (1, 3, height, width).
    """
    generator = torch.Generator().manual_seed(seed)
    size = (height, width)
    coarse = torch.rand(1, 3, 5, 5, generator=generator)
    fine = torch.rand(1, 3, 40, 40, generator=generator)
    picture = _enlarge(coarse, size) * 0.8 + _enlarge(fine, size) * 0.1
    rows = torch.linspace(-1, 1, height)[:, None]
    columns = torch.linspace(-1, 1, width)[None]
    shift = float(torch.rand((), generator=generator)) * 0.4 - 0.2
    for centre, radii in (((0.9, shift), (0.75, 0.5)), ((-0.2, shift), (0.4, 0.25))):
        distance = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2
        inside = ((1.05 - distance) / 0.1).clamp(0, 1)
        colour = torch.rand(3, generator=generator).view(1, 3, 1, 1) * 0.6 + 0.2
        # Lit from the upper left, as a body is.
        light = 1.0 - 0.3 * (columns - centre[1] + rows - centre[0])
        picture = picture * (1 - inside) + (colour * light) * inside
    return picture.clamp(0, 1)


def _enlarge(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(image, size=size, mode="bicubic", align_corners=True)
