"""Pretrained encoders for new models: of transformers, timm, torchvision or another checkpoint."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from transformers.utils import CONFIG_NAME, IMAGE_PROCESSOR_NAME

from david_hf.load_errors import ModelLoadError, in_one_line
from david_hf.model.encoder_david import DavidViTEncoder
from david_hf.model.mobilenet_v2_david import DavidMobileNetV2Encoder

from .backbone_files import fetch, first_names, read_weights
from .backbone_sources import Layout, Pixels, describe_encoder, describe_source

__all__ = ["BackboneReport", "load_backbone"]

_POSITIONS = "embeddings.position_embeddings"


@dataclass(frozen=True)
class BackboneReport:
    """What was loaded; as a string, one line.

    Attributes:
        source: Hub id or path.
        revision: Commit on the Hub, None for a folder or a file.
        layout: Whose names the tensors have: "transformers", "timm", "david" or "torchvision".
        num_tensors: Tensors that were used.
        notes: What was changed on the way, and what is not known of the source.
    """

    source: str
    revision: str | None
    layout: str
    num_tensors: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        commit = f" at {self.revision}" if self.revision else ""
        loaded = f"{self.num_tensors} tensors of {self.source}{commit}, {self.layout} layout"
        return "; ".join([loaded, *self.notes])


def load_backbone(
    encoder: DavidViTEncoder | DavidMobileNetV2Encoder,
    source: str | Path,
    *,
    revision: str | None = None,
) -> BackboneReport:
    """Load a pretrained encoder, every tensor exactly once, or refuse and change nothing.

    The source is one of

    - a ViT or DeiT of transformers, such as google/vit-large-patch16-384,
    - a plain ViT or DeiT of timm, such as timm/vit_large_patch16_384.augreg_in21k_ft_in1k,
    - a checkpoint of this package, whose encoder comes with what makes maps of its tokens,
    - for nano, torchvision's mobilenet_v2-b0353104.pth, or a .safetensors file of that layout.

    The first three are folders or Hub ids, with weights in the format safetensors. Position
    embeddings of another grid are interpolated. The pixel normalisation of the pretraining is
    folded into a ViT's patch projection: the encoder then makes the same of a photo, given RGB in
    [0, 1] and the normalisation of its own configuration.

    Args:
        encoder: Encoder of a model, `model.model.encoder`; changed in place.
        source: Folder, Hub id, or file.
        revision: Branch, tag or commit on the Hub.

    Returns:
        What was loaded, and what was changed on the way.

    Raises:
        ModelLoadError: If the source cannot be read, its sizes, activation, layer norms or biases
            are not those of the encoder, or a tensor is missing, left over or of another shape.
    """
    own = describe_encoder(encoder)
    try:
        path = fetch(source, revision, CONFIG_NAME, IMAGE_PROCESSOR_NAME)
        # The cache names the folder after the commit.
        commit = None if Path(source).expanduser().exists() else path.name
        pretrained = describe_source(path)
        _check_numbers(pretrained.numbers, own.numbers)
        weights = pretrained.layout.select(read_weights(source, commit))
        state = _rename(weights, pretrained.layout, encoder.state_dict())
        notes = _compare_grids(weights, pretrained.layout, state)
        notes += _fold_pixels(state, pretrained.pixels, own.pixels)
    except Exception as error:  # the Hub and foreign files fail in many ways
        raise ModelLoadError(f"cannot load backbone {source}: {in_one_line(error)}") from error
    # Not strict: what makes maps of the tokens is not part of a plain ViT.
    encoder.load_state_dict(state, strict=False)
    return BackboneReport(str(source), commit, pretrained.layout.name, len(weights), tuple(notes))


def _check_numbers(pretrained: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    differences = [
        f"{name} is {value} there, {own[name]} in the model's configuration"
        for name, value in pretrained.items()
        if name in own and value != own[name]
    ]
    if differences:
        raise ValueError("; ".join(differences))


def _rename(
    weights: Mapping[str, torch.Tensor], layout: Layout, own: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Give the tensors of a file the names, and positions the grid, that the encoder has.

    Args:
        weights: The file's tensors.
        layout: Their names.
        own: The encoder's.

    Returns:
        The encoder's new state.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape.
    """
    sources = {name: names for name in own if (names := layout.parts_of(name))}
    used = {part for group in sources.values() for part in group}
    if missing := used - weights.keys():
        raise ValueError(f"tensors are missing from it: {first_names(missing)}")
    if left_over := weights.keys() - used:
        raise ValueError(f"the encoder has no place for its {first_names(left_over)}")
    state = {}
    for name, group in sources.items():
        parts = {part: weights[part] for part in group}
        if name == _POSITIONS:
            parts = {
                part: interpolate_positions(tensor, own[name]) for part, tensor in parts.items()
            }
        state[name] = _join(parts, own[name])
    return state


def _join(parts: Mapping[str, torch.Tensor], place: torch.Tensor) -> torch.Tensor:
    """Concatenate equal parts, whose names serve the message, to the shape of their place."""
    if len(parts) == 1:
        places: Sequence[torch.Tensor] = [place]
    else:
        places = place.chunk(len(parts))
    for (name, part), own in zip(parts.items(), places, strict=True):
        if part.shape != own.shape:
            raise ValueError(f"{name} has the shape {tuple(part.shape)}, not {tuple(own.shape)}")
    return torch.cat(list(parts.values())) if len(parts) > 1 else next(iter(parts.values()))


def interpolate_positions(positions: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Interpolate position embeddings to the grid of another image size.

    Bicubic with antialiasing, as in timm; the row of the class token stays.

    Args:
        positions: (1, 1 + n * n, D), for a grid of n x n patches.
        place: The tensor that they are for, (1, 1 + m * m, D).

    Returns:
        (1, 1 + m * m, D), float32 where it was interpolated; what is not of that form, as it is.
    """
    if positions.ndim != 3 or positions.shape[1] == place.shape[1]:
        return positions
    old, new = _side(positions), _side(place)
    if 1 + old * old != positions.shape[1]:
        return positions
    grid = positions[:, 1:].float().transpose(1, 2).unflatten(2, (old, old))
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", antialias=True)
    return torch.cat([positions[:, :1].float(), grid.flatten(2).transpose(1, 2)], dim=1)


def _side(positions: torch.Tensor) -> int:
    """Side of the grid of patches beside the class token."""
    return math.isqrt(positions.shape[1] - 1)


def _compare_grids(
    weights: Mapping[str, torch.Tensor], layout: Layout, state: Mapping[str, torch.Tensor]
) -> list[str]:
    """Say whether position embeddings were interpolated."""
    if _POSITIONS not in state:
        return []
    before, after = _side(weights[layout.parts_of(_POSITIONS)[0]]), _side(state[_POSITIONS])
    if before == after:
        return []
    return [f"position embeddings interpolated from {before}x{before} to {after}x{after} patches"]


def _fold_pixels(
    state: dict[str, torch.Tensor], trained: Pixels | None, own: Pixels | None
) -> list[str]:
    """Change the first layer so that it takes the pixels of the model for those it was trained on.

    Args:
        state: The encoder's, changed in place.
        trained: Pixels of the pretraining, None if unknown.
        own: Pixels that the encoder gets in the model, None if unknown.

    Returns:
        What was done.
    """
    if trained is None:
        return ["its pixel normalisation is unknown, the first layer is as it was"]
    stem = "embeddings.patch_projection" if _POSITIONS in state else "features.0.0"
    weight, mean, std = state[f"{stem}.weight"].double(), trained.mean, trained.std
    if not {len(mean), len(std)} <= {1, weight.shape[1]}:
        raise ValueError(f"expected pixels of {weight.shape[1]} channels, got {trained}")
    notes = [f"trained on pixels of {trained}"]
    if trained.order == "bgr":
        weight, mean, std = weight.flip(1), mean.flip(0), std.flip(0)
        notes.append("first layer turned from BGR to RGB")
    if own is None:
        notes.append("the model must normalise its pixels in the same way")
    else:
        # The weights expect (own.std * x + own.mean - mean) / std of the pixels x of the model.
        shift = ((own.mean - mean) / std).expand(weight.shape[1])
        state[f"{stem}.bias"] = state[f"{stem}.bias"].double() + weight.sum(dim=(2, 3)) @ shift
        weight = weight * (own.std / std).view(1, -1, 1, 1)
        notes.append("their normalisation is folded into the first layer")
    state[f"{stem}.weight"] = weight
    return notes
