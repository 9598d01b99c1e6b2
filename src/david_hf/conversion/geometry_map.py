"""How a graph resizes, and what it does to the colours of the image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .decoder_map import Level
from .onnx_graph import Node
from .survey import Survey
from .weighted_nodes import WeightedNode

__all__ = ["read_colours", "read_resizes"]

_PATCHES = "model.encoder.embeddings.patch_projection"
_RESIZER = "model.resizer.levels.0.0.convolution"
_ROUNDING = 1e-5
_COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners")


def read_resizes(
    survey: Survey, levels: Sequence[Level], heads: Sequence[Sequence[WeightedNode]]
) -> None:
    """Read mode and corner alignment of every resize."""
    in_heads = {node.index for head in heads for node in head}
    skips = {level.skip[-1].index for level in levels if level.skip}
    units = {level.fused[-1].index for level in levels}
    groups: dict[str, list[bool]] = {"input": [], "skip": [], "decoder": [], "head": []}
    modes = ["bilinear"]
    for node in survey.graph.nodes:
        if node.op != "Resize":
            continue
        before = survey.ancestry.all(node.inputs[0])
        nearest = survey.ancestry.nearest(node.inputs[0])
        if not before:
            group = "input"
        elif before & in_heads:
            group = "head"
        else:
            group = "skip" if nearest & skips and not nearest & units else "decoder"
        mode, aligned = _read_resize(survey, node)
        groups[group].append(aligned)
        if group == "input":
            modes.append(mode)
        elif mode != "bilinear":
            raise survey.error(f"Resize {node.name} is {mode}")
    aligned_by_group = {
        group: survey.same(f"the corner alignments of the {group}", found) if found else None
        for group, found in groups.items()
    }
    decoder = bool(aligned_by_group["decoder"])
    survey.map.config |= {
        "resize_mode": modes[-1],
        "resize_align_corners": bool(aligned_by_group["input"]),
        "interp_align_corners": decoder,
    }
    for group in ("skip", "head"):
        own = aligned_by_group[group]
        survey.map.config[f"{group}_align_corners"] = None if own == decoder else own


def _read_resize(survey: Survey, node: Node) -> tuple[str, bool]:
    """Mode, by PyTorch's name, and corner alignment."""
    mode = node.attribute("mode", "nearest")
    coordinates = node.attribute("coordinate_transformation_mode", "half_pixel")
    cubic = mode == "cubic" and np.isclose(node.attribute("cubic_coeff_a", -0.75), -0.75)
    usual = (mode == "linear" or cubic) and coordinates in _COORDINATES
    if not usual or node.attribute("antialias", 0) or node.attribute("exclude_outside", 0):
        raise survey.error(
            f"Resize {node.name} is none of PyTorch's: mode {mode}, {coordinates}, antialias "
            f"{node.attribute('antialias', 0)}"
        )
    return "bicubic" if cubic else "bilinear", coordinates == "align_corners"


@dataclass(frozen=True)
class _Colours:
    """What a graph does to colours: channel c becomes scale * image[source] + shift.

    Attributes:
        source: Channel of the image behind each channel, int, shape (C,).
        scale: Shape (C,).
        shift: Shape (C,).
    """

    source: np.ndarray
    scale: np.ndarray
    shift: np.ndarray


def read_colours(survey: Survey, patch: WeightedNode, resizer: WeightedNode) -> None:
    """Read what happens to colours in front of the network: mean, deviation, order.

    What the resizer sees becomes the configuration's mean and deviation: its convolutions pad with
    zeros, so nothing else is equal to it. The patch embedding pads nothing: what it sees otherwise
    goes into its weights.
    """
    tensors = [patch.source, resizer.source]
    for_patches, for_resizer = _probe_colours(survey, tensors)
    channels = np.arange(len(for_resizer.scale))
    back = np.argsort(for_resizer.source)
    std, mean = (1 / for_resizer.scale)[back], (-for_resizer.shift / for_resizer.scale)[back]
    if (std <= 0).any():
        raise survey.error(f"the image is divided by a negative deviation: {std.tolist()}")
    plain = np.allclose(std, 1, atol=_ROUNDING) and np.allclose(mean, 0, atol=_ROUNDING)
    if plain:
        std, mean = np.ones_like(std), np.zeros_like(mean)
    std, mean = _rounded(std), _rounded(mean)
    survey.map.config["image_std"] = None if plain else std.tolist()
    survey.map.config["image_mean"] = None if plain else mean.tolist()
    state = survey.map.state
    if (back != channels).any():
        state[f"{_RESIZER}.weight"] = state[f"{_RESIZER}.weight"][:, back]
    # Of the patch embedding's input in terms of the normalised image.
    scale = for_patches.scale * std[for_patches.source]
    shift = for_patches.scale * mean[for_patches.source] + for_patches.shift
    if not (np.allclose(scale, 1, atol=_ROUNDING) and np.allclose(shift, 0, atol=_ROUNDING)):
        weight = state[f"{_PATCHES}.weight"].astype(np.float64)
        bias = state.get(f"{_PATCHES}.bias", np.zeros(len(weight))) + weight.sum((2, 3)) @ shift
        state[f"{_PATCHES}.bias"] = bias.astype(np.float32)
        state[f"{_PATCHES}.weight"] = (weight * scale[:, None, None]).astype(np.float32)
    order = np.argsort(for_patches.source)
    if (order != channels).any():
        state[f"{_PATCHES}.weight"] = state[f"{_PATCHES}.weight"][:, order]


def _probe_colours(survey: Survey, tensors: Sequence[str]) -> list[_Colours]:
    """Run the graph's beginning on pictures of a single colour."""
    graph = survey.graph
    shape = graph.image_shape
    pictures = [np.zeros(shape, np.float32)]
    for channel in range(shape[1]):
        pictures.append(np.zeros(shape, np.float32))
        pictures[-1][:, channel] = 1
    runs = [graph.run(tensors, picture) for picture in pictures]
    found = []
    for tensor in tensors:
        values = [run[tensor][0].astype(np.float64) for run in runs]
        if any(np.ptp(v, axis=(1, 2)).max() > _ROUNDING * (1 + np.abs(v).max()) for v in values):
            raise survey.error(f"a picture of one colour has several at {tensor}")
        black, *primaries = (v.mean((1, 2)) for v in values)
        gains = np.stack(primaries, 1) - black[:, None]  # (C of the tensor, C of the image)
        source = np.abs(gains).argmax(1)
        scale = gains[np.arange(len(gains)), source]
        rest = np.abs(gains).sum(1) - np.abs(scale)
        if (rest > _ROUNDING * np.abs(scale)).any() or len(set(source)) < len(gains):
            raise survey.error(f"colours are mixed in front of {tensor}")
        found.append(_Colours(source, scale, black))
    return found


def _rounded(values: np.ndarray) -> np.ndarray:
    """Write numbers as short as their single precision allows, 0.229 for 0.2290000021."""
    short = np.array([float(f"{value:.4g}") for value in values])
    return short if np.allclose(short, values, rtol=1e-6, atol=1e-7) else values
