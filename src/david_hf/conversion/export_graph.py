"""What is exported: a trained network, and around it, if wanted, the image processing."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from david_hf.model import DavidForDensePrediction, DavidImageProcessor, DavidPreTrainedModel
from david_hf.model.fusable_david import DavidFusable
from david_hf.model.heads_david import HEAD_NAMES

__all__ = ["ExportedNetwork", "ProcessedNetwork", "deployable", "keep_tasks"]

# Photos are halved at most this often inside the graph: enough for 48 times the input's side.
MAX_HALVINGS = 4

_OUTPUTS = {"depth": "predicted_depth", "normals": "normals", "alpha": "alphas"}


class ExportedNetwork(nn.Module):
    """A network that takes one tensor and returns a tuple of float32 maps.

    Args:
        model: The network, in evaluation mode; half precision works too.
        tasks: Its outputs in order.
        reverse_colours: Whether the input's colour order is not the network's own.
        negate_depth: Whether depth leaves with smaller = nearer.
    """

    def __init__(
        self,
        model: DavidPreTrainedModel,
        tasks: Sequence[str],
        *,
        reverse_colours: bool = False,
        negate_depth: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.tasks = tuple(tasks)
        self.reverse_colours = reverse_colours
        self.negate_depth = negate_depth

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Map pixel values (B, 3, H, W), float32 in [0, 1], to the maps, float32.

        Returns:
            Per task: depth (B, H, W), normals (B, 3, H, W) or alpha (B, 1, H, W).
        """
        outputs = self.model(image.flip(1) if self.reverse_colours else image)
        maps = {task: outputs[_OUTPUTS[task]].float() for task in self.tasks}
        if self.negate_depth and "depth" in maps:
            maps["depth"] = -maps["depth"]
        return tuple(maps.values())


class _Axis(NamedTuple):
    """One axis of the photo, as tensors: what is known only when the graph runs is no shape.

    Attributes:
        positions: 0, 1, 2, ... for each pixel, int64, shape (N,).
        length: N, int64, a scalar.
        frame: Length with padding.
    """

    positions: torch.Tensor
    length: torch.Tensor
    frame: torch.Tensor


class ProcessedNetwork(nn.Module):
    """An `ExportedNetwork` between the arithmetic of the image processor and its way back.

    `image_transforms_david` counts in Python numbers, which a graph for photos of every size cannot
    hold. This is the same arithmetic as one matrix per axis: padding, every halving and the
    interpolation are linear, so their product is computed when the size is known, and two matrix
    products resize the photo. Positions are integer fractions: nothing is lost in single precision.

    Args:
        network: What runs at the size of the network's input; it takes red-green-blue.
        processor: The checkpoint's image processor.
        size: Height and width of the network's input.

    Raises:
        ValueError: If the processor does something that the graph cannot.
    """

    def __init__(
        self, network: ExportedNetwork, processor: DavidImageProcessor, size: tuple[int, int]
    ) -> None:
        super().__init__()
        _check_processor(processor)
        self.network = network
        self.size = size
        self.divisor = 1.0 / processor.rescale_factor
        self.pad = bool(processor.do_pad)

    def forward(self, photo: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Map photos (B, H, W, 3), uint8, red-green-blue, to maps of the photos' size."""
        height, width = self._axes(photo)
        rows, columns = self._shrinking(height, width)
        pixels = (photo.permute(0, 3, 1, 2).float() / self.divisor).clamp(0.0, 1.0)
        maps = self.network(rows @ pixels @ columns.T)
        rows, columns = (
            _cubic_matrix(axis, side) for axis, side in zip((height, width), self.size, strict=True)
        )
        tasks = self.network.tasks
        return tuple(_restore(task, m, rows, columns) for task, m in zip(tasks, maps, strict=True))

    def _axes(self, photo: torch.Tensor) -> tuple[_Axis, _Axis]:
        lines = (photo[0, :, 0, 0], photo[0, 0, :, 0])
        ones = [torch.ones_like(line, dtype=torch.int64) for line in lines]
        height, width = (one.sum() for one in ones)
        longer = torch.maximum(height, width)
        frames = (longer, longer) if self.pad else (height, width)
        return (
            _Axis(ones[0].cumsum(0) - 1, height, frames[0]),
            _Axis(ones[1].cumsum(0) - 1, width, frames[1]),
        )

    def _shrinking(self, height: _Axis, width: _Axis) -> tuple[torch.Tensor, torch.Tensor]:
        """Matrices (side of the input, side of the photo) that pad, halve and interpolate."""
        # Room for every position of the frame, whichever side is the longer one.
        positions = torch.cat([height.positions, width.positions + height.length])
        sizes = [(height.frame, width.frame)]
        halvings = []
        for _ in range(MAX_HALVINGS):
            current = sizes[-1]
            # 1 where the stage halves, 0 where it does nothing: a graph cannot leave a loop early.
            larger = [n > 3 * side for n, side in zip(current, self.size, strict=True)]
            halves = (larger[0] & larger[1]).to(torch.int64)
            halvings.append(halves)
            sizes.append(tuple(_halved(n, halves) for n in current))  # type: ignore[arg-type]
        matrices = []
        for axis, photo_axis in enumerate((height, width)):
            lengths = [size[axis] for size in sizes]
            matrix = _linear_matrix(positions, lengths[-1], self.size[axis])
            for length, halves in zip(reversed(lengths[:-1]), reversed(halvings), strict=True):
                matrix = _unhalve(matrix, positions, length, halves)
            matrices.append(_unpad(matrix, positions, photo_axis))
        return matrices[0], matrices[1]


def keep_tasks(model: DavidPreTrainedModel, tasks: Sequence[str]) -> None:
    """Remove the heads of all other tasks from a model with several."""
    if not isinstance(model, DavidForDensePrediction):
        return
    for task in set(model.config.tasks) - set(tasks):
        delattr(model, HEAD_NAMES[task])
    model.config.tasks = list(tasks)


def deployable(model: DavidPreTrainedModel, dtype: torch.dtype) -> DavidPreTrainedModel:
    """Copy a model into the form for inference with the fewest operations (`model.fuse`).

    Fused in single precision: some variances of batch norms are too small for half precision.
    """
    copied = copy.deepcopy(model).fuse()
    for module in list(copied.modules()):
        if isinstance(module, DavidFusable):
            module.discard_weights()
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
    return copied.to(dtype)  # type: ignore[arg-type]  # decorated `to`


def _check_processor(processor: DavidImageProcessor) -> None:
    usual = processor.do_rescale and processor.do_resize and not processor.do_normalize
    if not usual or processor.resample != DavidImageProcessor.resample:
        raise ValueError(
            "image processing goes into the graph as DAViD's runtime does it: do_rescale and "
            "do_resize on, do_normalize off, resample BILINEAR; export without it, or change the "
            "processor"
        )


def _halved(length: torch.Tensor, halves: torch.Tensor) -> torch.Tensor:
    return torch.div(length + halves, 1 + halves, rounding_mode="floor")


def _half_pixel(
    positions: torch.Tensor, source: torch.Tensor | int, target: torch.Tensor | int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Base pixel (int64) and fraction (float32) of each `(position + 0.5) * source/target - 0.5`.

    One whole pixel is added before the division and taken off behind it: integer division of
    negative numbers is not the same everywhere.
    """
    numerator = (2 * positions + 1) * source + target
    base = torch.div(numerator, 2 * target, rounding_mode="trunc")
    fraction = (numerator - base * (2 * target)).float() / (2 * target)
    return base - 1, fraction


def _linear_matrix(positions: torch.Tensor, source: torch.Tensor, target: int) -> torch.Tensor:
    """Linear interpolation to `target` pixels, shape (target, number of positions)."""
    base, fraction = _half_pixel(torch.arange(target), source, target)
    matrix: Any = 0.0
    for offset, weight in ((0, 1.0 - fraction), (1, fraction)):
        indices = torch.minimum((base + offset).clamp(min=0), source - 1)
        matrix = matrix + (indices[:, None] == positions) * weight[:, None]
    return matrix


def _cubic_matrix(axis: _Axis, source: int, a: float = -0.75) -> torch.Tensor:
    """Keys' interpolation (1981) from the network's side to the photo's, shape (N, source)."""
    start = torch.div(axis.frame - axis.length, 2, rounding_mode="floor")
    base, fraction = _half_pixel(axis.positions + start, source, axis.frame)
    outer, inner = fraction + 1.0, 1.0 - fraction
    before = ((a * outer - 5 * a) * outer + 8 * a) * outer - 4 * a
    left = ((a + 2) * fraction - (a + 3)) * fraction * fraction + 1
    right = ((a + 2) * inner - (a + 3)) * inner * inner + 1
    weights = (before, left, right, 1.0 - before - left - right)
    columns = torch.arange(source)
    matrix: Any = 0.0
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        indices = (base + offset).clamp(0, source - 1)
        matrix = matrix + (indices[:, None] == columns) * weight[:, None]
    return matrix


def _unhalve(
    matrix: torch.Tensor, positions: torch.Tensor, length: torch.Tensor, halves: torch.Tensor
) -> torch.Tensor:
    """Make a matrix for an axis of `length` from one for what `cv2.pyrDown` leaves of it.

    Gathered, not scattered: ONNX Runtime's sums over repeated indices depend on its threads. Where
    `halves` is 0 nothing was left out, and the matrix stays.
    """
    rows, last = matrix.T, length - 1
    # Positions behind the end stay empty.
    inside = _spread(rows, positions, length) * (positions < length).float()[:, None]
    # What the taps read beyond the ends, and where mirrored borders have it.
    two_one = torch.tensor([2, 1])
    beyond = torch.cat([-two_one, last + two_one.flip(0)])
    mirrored = torch.cat([two_one, last - two_one.flip(0)])
    borders = (positions[:, None] == mirrored).float() @ _spread(rows, beyond, length)
    return torch.where(halves > 0, inside + borders, rows).T


def _spread(rows: torch.Tensor, places: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Sum what each place of an axis gives to the taps (1, 4, 6, 4, 1) / 16 at every other one."""
    total: Any = 0.0
    for offset, weight in zip((-2, -1, 0, 1, 2), (1, 4, 6, 4, 1), strict=True):
        centre = places - offset
        half = torch.div(centre, 2, rounding_mode="trunc")
        valid = (half * 2 == centre) & (centre >= 0) & (centre < length)
        index = torch.minimum(half.clamp(min=0), length - 1)
        total = total + rows.index_select(0, index) * (valid.float() * (weight / 16.0))[:, None]
    return total


def _unpad(matrix: torch.Tensor, positions: torch.Tensor, axis: _Axis) -> torch.Tensor:
    """Make a matrix for the photo from one for the frame: padding repeats the photo's border."""
    start = torch.div(axis.frame - axis.length, 2, rounding_mode="floor")
    rows, last = matrix.T, axis.length - 1
    before = (positions < start).float() @ rows
    behind = (positions > start + last).float() @ rows
    return (
        rows.index_select(0, axis.positions + start)
        + (axis.positions == 0).float()[:, None] * before
        + (axis.positions == last).float()[:, None] * behind
    ).T


def _restore(
    task: str, maps: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """Bring a map of the network to the photo's size, as the processor's `post_process_*` do."""
    resized = rows @ maps @ columns.T
    if task == "alpha":
        return resized.clamp(0.0, 1.0)
    if task == "normals":
        return resized / ((resized * resized).sum(dim=1, keepdim=True).sqrt() + 1e-8)
    return resized
