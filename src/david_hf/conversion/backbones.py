"""Pretrained encoders for new models: of transformers, timm, torchvision or another checkpoint."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from huggingface_hub import snapshot_download
from safetensors.torch import load_file
from transformers import ViTConfig
from transformers.utils import (
    CONFIG_NAME,
    IMAGE_PROCESSOR_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
)

from david_hf.load_errors import ModelLoadError, in_one_line
from david_hf.model.configuration_david import DavidConfig
from david_hf.model.encoder_david import DavidViTEncoder
from david_hf.model.image_processing_david import DavidImageProcessor
from david_hf.model.mobilenet_v2_david import DavidMobileNetV2Encoder

from .mobilenet_v2 import IMAGENET_SHA256, read_mobilenet_v2

__all__ = ["BackboneReport", "load_backbone"]

# Fields of `DavidConfig` that every ViT has, and those of what turns its tokens into maps.
_VIT_FIELDS = (
    "num_channels", "patch_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "hidden_act", "layer_norm_eps", "qkv_bias",
)  # fmt: skip
_MAP_FIELDS = ("out_indices", "neck_hidden_sizes", "reassemble_factors", "readout_type")

# Width, depth and heads of timm's plain ViTs, which have names like vit_large_patch16_384.
_TIMM_SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}
# Arguments of theirs that are read here, or leave what the tensors compute as it is.
_TIMM_ARGUMENTS = {
    "attn_drop_rate", "class_token", "depth", "drop_path_rate", "drop_rate", "dynamic_img_size",
    "embed_dim", "global_pool", "img_size", "in_chans", "mlp_ratio", "num_classes", "num_heads",
    "patch_drop_rate", "patch_size", "pos_drop_rate", "proj_drop_rate", "qkv_bias",
    "strict_img_size", "weight_init",
}  # fmt: skip

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
    own = _describe_encoder(encoder)
    try:
        path = _fetch(source, revision, CONFIG_NAME, IMAGE_PROCESSOR_NAME)
        # The cache names the folder after the commit.
        commit = None if Path(source).expanduser().exists() else path.name
        pretrained = _describe(path)
        _check_numbers(pretrained.numbers, own.numbers)
        weights = pretrained.layout.select(_read_weights(source, commit))
        state = _rename(weights, pretrained.layout, encoder.state_dict())
        notes = _compare_grids(weights, pretrained.layout, state)
        notes += _fold_pixels(state, pretrained.pixels, own.pixels)
    except Exception as error:  # the Hub and foreign files fail in many ways
        raise ModelLoadError(f"cannot load backbone {source}: {in_one_line(error)}") from error
    # Not strict: what makes maps of the tokens is not part of a plain ViT.
    encoder.load_state_dict(state, strict=False)
    return BackboneReport(str(source), commit, pretrained.layout.name, len(weights), tuple(notes))


@dataclass(frozen=True)
class _Layout:
    """How a file names its tensors.

    Attributes:
        name: Whose names they are.
        excluded: Pattern of those that the encoder has no use for.
        prefix: Pattern in front of the others.
        blocks: What those of a block begin with.
        modules: Modules of the encoder, and those of the file that together are one; empty if the
            names are the same.
    """

    name: str
    excluded: str = r"(?!)"
    prefix: str = ""
    blocks: str = ""
    modules: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def select(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Leave out what is excluded, and the prefix of the other names."""
        return {
            re.sub(f"^{self.prefix}", "", name): tensor
            for name, tensor in weights.items()
            if not re.match(self.excluded, name)
        }

    def parts_of(self, name: str) -> list[str]:
        """Names in the file of what makes a tensor of the encoder; none if a ViT lacks it."""
        if not self.modules:
            return [name]
        block, module, kind = re.fullmatch(  # type: ignore[union-attr]  # matches everything
            r"(?:layers\.(\d+\.))?(.+?)(\.weight|\.bias)?", name
        ).groups(default="")
        prefix = f"{self.blocks}{block}" if block else ""
        return [f"{prefix}{part}{kind}" for part in self.modules.get(module, ())]


_TRANSFORMERS = _Layout(
    "transformers",
    excluded=r"((vit|deit)\.)?(layernorm|pooler)\.|classifier\.",
    prefix=r"(vit|deit)\.",
    blocks="encoder.layer.",
    modules={
        "embeddings.cls_token": ["embeddings.cls_token"],
        "embeddings.position_embeddings": ["embeddings.position_embeddings"],
        "embeddings.patch_projection": ["embeddings.patch_embeddings.projection"],
        "attention_norm": ["layernorm_before"],
        "attention.qkv": [f"attention.attention.{part}" for part in ("query", "key", "value")],
        "attention.projection": ["attention.output.dense"],
        "mlp_norm": ["layernorm_after"],
        "mlp_in": ["intermediate.dense"],
        "mlp_out": ["output.dense"],
    },
)
_TIMM = _Layout(
    "timm",
    excluded=r"(norm|fc_norm|pre_logits|head)\.",
    blocks="blocks.",
    modules={
        "embeddings.cls_token": ["cls_token"],
        "embeddings.position_embeddings": ["pos_embed"],
        "embeddings.patch_projection": ["patch_embed.proj"],
        "attention_norm": ["norm1"],
        "attention.qkv": ["attn.qkv"],
        "attention.projection": ["attn.proj"],
        "mlp_norm": ["norm2"],
        "mlp_in": ["mlp.fc1"],
        "mlp_out": ["mlp.fc2"],
    },
)
_DAVID = _Layout("david", excluded=r"(?!(model\.)?encoder\.)", prefix=r"(model\.)?encoder\.")
_TORCHVISION = _Layout("torchvision")


@dataclass(frozen=True)
class _Pixels:
    """What an encoder sees of colours in [0, 1]: mean and deviation, each (C,), in `order`."""

    mean: torch.Tensor
    std: torch.Tensor
    order: str = "rgb"

    def __str__(self) -> str:
        mean, std = (
            ", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std)
        )
        return f"mean ({mean}) and standard deviation ({std})"


@dataclass(frozen=True)
class _Encoder:
    """What is known of an encoder beside its weights; no pixels if nothing tells."""

    layout: _Layout
    numbers: dict[str, Any]
    pixels: _Pixels | None


def _describe(path: Path) -> _Encoder:
    """Read the configuration of a folder; a file can only be torchvision's."""
    if path.is_file():
        pixels = _read_pixels([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        return _Encoder(_TORCHVISION, {"encoder_type": "mobilenet_v2"}, pixels)
    config, processor = _read_json(path / CONFIG_NAME), _read_json(path / IMAGE_PROCESSOR_NAME)
    if config is None:
        raise ValueError(f"it has no {CONFIG_NAME}")
    kind = config.get("model_type")
    if kind is None and "architecture" in config:
        return _describe_timm(config)
    if kind in ("vit", "deit"):
        return _describe_transformers(ViTConfig.from_dict(config), processor)
    if kind == "david":
        return _describe_david(DavidConfig.from_dict(config), processor)
    raise ValueError(f"expected a ViT of transformers or timm, or a david model, got {kind}")


def _describe_transformers(config: ViTConfig, processor: dict[str, Any] | None) -> _Encoder:
    numbers = {name: getattr(config, name) for name in _VIT_FIELDS}
    numbers |= {"encoder_type": "vit", "MLP width": config.intermediate_size}
    if processor is None:
        return _Encoder(_TRANSFORMERS, numbers, None)
    mean, std = processor.get("image_mean"), processor.get("image_std")
    if not processor.get("do_normalize", True):
        mean, std = 0.0, 1.0
    # The largest value that the mean is subtracted from.
    white = 255.0
    if processor.get("do_rescale", True):
        white *= processor.get("rescale_factor", 1 / 255)
    return _Encoder(_TRANSFORMERS, numbers, _read_pixels(mean, std, white=white))


def _describe_timm(config: dict[str, Any]) -> _Encoder:
    architecture, arguments = config["architecture"], config.get("model_args") or {}
    # Others may compute something else with tensors of the same names.
    known = re.fullmatch(rf"(?:vit|deit)_({'|'.join(_TIMM_SIZES)})_patch(\d+)_\d+", architecture)
    unknown = sorted(set(arguments) - _TIMM_ARGUMENTS)
    if known is None or unknown:
        raise ValueError(
            "expected a plain ViT of timm such as vit_large_patch16_384, got "
            + " with ".join([architecture, *unknown])
        )
    width, depth, num_heads = _TIMM_SIZES[known[1]]
    width = arguments.get("embed_dim", width)
    numbers = {
        "encoder_type": "vit",
        "num_channels": arguments.get("in_chans", 3),
        "patch_size": arguments.get("patch_size", int(known[2])),
        "hidden_size": width,
        "num_hidden_layers": arguments.get("depth", depth),
        "num_attention_heads": arguments.get("num_heads", num_heads),
        "MLP width": int(width * arguments.get("mlp_ratio", 4)),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": arguments.get("qkv_bias", True),
    }
    # In older files its content lies one level up.
    pretraining = config.get("pretrained_cfg", config)
    return _Encoder(_TIMM, numbers, _read_pixels(pretraining.get("mean"), pretraining.get("std")))


def _describe_david(config: DavidConfig, processor: dict[str, Any] | None) -> _Encoder:
    if processor is None:
        raise ValueError(f"it has no {IMAGE_PROCESSOR_NAME}, which tells the order of its colours")
    if processor.get("do_normalize"):
        raise ValueError(
            f"its image processor normalises; move image_mean and image_std to {CONFIG_NAME}"
        )
    order = processor.get("channel_order", DavidImageProcessor.channel_order)
    return _Encoder(_DAVID, _numbers(config), _own_pixels(config, order))


def _describe_encoder(encoder: DavidViTEncoder | DavidMobileNetV2Encoder) -> _Encoder:
    if isinstance(encoder, DavidMobileNetV2Encoder):
        return _Encoder(_DAVID, {"encoder_type": "mobilenet_v2"}, None)
    config = cast(DavidConfig, encoder.get_submodule("layers.0.attention").config)
    return _Encoder(_DAVID, _numbers(config), _own_pixels(config))


def _numbers(config: DavidConfig) -> dict[str, Any]:
    """What another encoder must have in common with this one, but for the names of tensors."""
    if config.encoder_type != "vit":
        return {"encoder_type": config.encoder_type}
    numbers = {name: getattr(config, name) for name in ("encoder_type", *_VIT_FIELDS, *_MAP_FIELDS)}
    numbers["MLP width"] = int(config.hidden_size * config.mlp_ratio)
    numbers["readout_act"] = config.readout_act or config.hidden_act
    return numbers


def _own_pixels(config: DavidConfig, order: str = "rgb") -> _Pixels | None:
    """Pixels behind the normalisation inside the network; without one they are in [0, 1]."""
    return _read_pixels(config.image_mean or 0.0, config.image_std or 1.0, order)


def _read_pixels(mean: Any, std: Any, order: str = "rgb", white: float = 1.0) -> _Pixels | None:
    """Bring a mean and a deviation of colours in [0, white] to [0, 1]; None if one is unknown."""
    if mean is None or std is None:
        return None
    means = torch.atleast_1d(torch.tensor(mean, dtype=torch.float64)) / white
    deviations = torch.atleast_1d(torch.tensor(std, dtype=torch.float64)) / white
    if not (deviations > 0).all():
        raise ValueError(f"expected positive standard deviations of its pixels, got {std}")
    return _Pixels(means, deviations, order)


def _check_numbers(pretrained: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    differences = [
        f"{name} is {value} there, {own[name]} in the model's configuration"
        for name, value in pretrained.items()
        if name in own and value != own[name]
    ]
    if differences:
        raise ValueError("; ".join(differences))


def _rename(
    weights: Mapping[str, torch.Tensor], layout: _Layout, own: Mapping[str, torch.Tensor]
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
        raise ValueError(f"tensors are missing from it: {_first(missing)}")
    if left_over := weights.keys() - used:
        raise ValueError(f"the encoder has no place for its {_first(left_over)}")
    state = {}
    for name, group in sources.items():
        parts = {part: weights[part] for part in group}
        if name == _POSITIONS:
            parts = {part: _fit(tensor, own[name]) for part, tensor in parts.items()}
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


def _fit(positions: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Interpolate (1, 1 + n * n, D) to the grid of its place; leave what is not of that form.

    Bicubic with antialiasing, as in timm; the row of the class token stays.
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
    weights: Mapping[str, torch.Tensor], layout: _Layout, state: Mapping[str, torch.Tensor]
) -> list[str]:
    """Say whether position embeddings were interpolated."""
    if _POSITIONS not in state:
        return []
    before, after = _side(weights[layout.parts_of(_POSITIONS)[0]]), _side(state[_POSITIONS])
    if before == after:
        return []
    return [f"position embeddings interpolated from {before}x{before} to {after}x{after} patches"]


def _fold_pixels(
    state: dict[str, torch.Tensor], trained: _Pixels | None, own: _Pixels | None
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


def _fetch(source: str | Path, revision: str | None, *patterns: str) -> Path:
    """Find a file or a folder, or get those files of a repository on the Hub."""
    path = Path(source).expanduser()
    if path.exists():
        return path
    if path.is_absolute() or str(source).startswith(".") or str(source).count("/") != 1:
        raise ValueError("no such file or folder")
    return Path(snapshot_download(str(source), revision=revision, allow_patterns=list(patterns)))


def _read_weights(source: str | Path, revision: str | None) -> dict[str, torch.Tensor]:
    """Read all tensors of a source; pickles are read only if they are the known one."""
    path = _fetch(
        source, revision, SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, "model-*.safetensors"
    )
    if path.is_file():
        checksum = None if path.suffix == ".safetensors" else IMAGENET_SHA256
        return read_mobilenet_v2(path, checksum)
    names = {SAFE_WEIGHTS_NAME}
    if not (path / SAFE_WEIGHTS_NAME).exists():
        index = _read_json(path / SAFE_WEIGHTS_INDEX_NAME) or {}
        names = set(index.get("weight_map", {}).values()) or names
    if absent := {name for name in names if not (path / name).is_file()}:
        raise ValueError(f"it has no {_first(absent)}; weights are read from safetensors alone")
    weights: dict[str, torch.Tensor] = {}
    for name in names:
        weights |= load_file(path / name)
    return weights


def _read_json(path: Path) -> dict[str, Any] | None:
    """Read an object; None if there is no such file."""
    if not path.is_file():
        return None
    content = json.loads(path.read_text("utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return content


def _first(names: Iterable[str]) -> str:
    """List the first three names."""
    first, *others = sorted(names)
    shown = [first, *others[:2]]
    return ", ".join(shown) + (f" and {len(others) - 2} more" if len(others) > 2 else "")
