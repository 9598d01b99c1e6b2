"""What is known of pretrained encoders beside their weights: names, numbers, pixels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from transformers import ViTConfig
from transformers.utils import CONFIG_NAME, IMAGE_PROCESSOR_NAME

from david_hf.model.configuration_david import DavidConfig
from david_hf.model.encoder_david import DavidViTEncoder
from david_hf.model.image_processing_david import DavidImageProcessor
from david_hf.model.mobilenet_v2_david import DavidMobileNetV2Encoder

from .backbone_files import read_json

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


@dataclass(frozen=True)
class Layout:
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


_TRANSFORMERS = Layout(
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
_TIMM = Layout(
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
_DAVID = Layout("david", excluded=r"(?!(model\.)?encoder\.)", prefix=r"(model\.)?encoder\.")
_TORCHVISION = Layout("torchvision")


@dataclass(frozen=True)
class Pixels:
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
class SourceEncoder:
    """What is known of an encoder beside its weights; no pixels if nothing tells."""

    layout: Layout
    numbers: dict[str, Any]
    pixels: Pixels | None


def describe_source(path: Path) -> SourceEncoder:
    """Read the configuration of a folder; a file can only be torchvision's."""
    if path.is_file():
        pixels = _read_pixels([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        return SourceEncoder(_TORCHVISION, {"encoder_type": "mobilenet_v2"}, pixels)
    config, processor = read_json(path / CONFIG_NAME), read_json(path / IMAGE_PROCESSOR_NAME)
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


def _describe_transformers(config: ViTConfig, processor: dict[str, Any] | None) -> SourceEncoder:
    numbers = {name: getattr(config, name) for name in _VIT_FIELDS}
    numbers |= {"encoder_type": "vit", "MLP width": config.intermediate_size}
    if processor is None:
        return SourceEncoder(_TRANSFORMERS, numbers, None)
    mean, std = processor.get("image_mean"), processor.get("image_std")
    if not processor.get("do_normalize", True):
        mean, std = 0.0, 1.0
    # The largest value that the mean is subtracted from.
    white = 255.0
    if processor.get("do_rescale", True):
        white *= processor.get("rescale_factor", 1 / 255)
    return SourceEncoder(_TRANSFORMERS, numbers, _read_pixels(mean, std, white=white))


def _describe_timm(config: dict[str, Any]) -> SourceEncoder:
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
    return SourceEncoder(
        _TIMM, numbers, _read_pixels(pretraining.get("mean"), pretraining.get("std"))
    )


def _describe_david(config: DavidConfig, processor: dict[str, Any] | None) -> SourceEncoder:
    if processor is None:
        raise ValueError(f"it has no {IMAGE_PROCESSOR_NAME}, which tells the order of its colours")
    if processor.get("do_normalize"):
        raise ValueError(
            f"its image processor normalises; move image_mean and image_std to {CONFIG_NAME}"
        )
    order = processor.get("channel_order", DavidImageProcessor.channel_order)
    return SourceEncoder(_DAVID, _numbers(config), _own_pixels(config, order))


def describe_encoder(encoder: DavidViTEncoder | DavidMobileNetV2Encoder) -> SourceEncoder:
    """Tell the encoder of a model, whose weights are to be replaced."""
    if isinstance(encoder, DavidMobileNetV2Encoder):
        return SourceEncoder(_DAVID, {"encoder_type": "mobilenet_v2"}, None)
    config = cast(DavidConfig, encoder.get_submodule("layers.0.attention").config)
    return SourceEncoder(_DAVID, _numbers(config), _own_pixels(config))


def _numbers(config: DavidConfig) -> dict[str, Any]:
    """What another encoder must have in common with this one, but for the names of tensors."""
    if config.encoder_type != "vit":
        return {"encoder_type": config.encoder_type}
    numbers = {name: getattr(config, name) for name in ("encoder_type", *_VIT_FIELDS, *_MAP_FIELDS)}
    numbers["MLP width"] = int(config.hidden_size * config.mlp_ratio)
    numbers["readout_act"] = config.readout_act or config.hidden_act
    return numbers


def _own_pixels(config: DavidConfig, order: str = "rgb") -> Pixels | None:
    """Pixels behind the normalisation inside the network; without one they are in [0, 1]."""
    return _read_pixels(config.image_mean or 0.0, config.image_std or 1.0, order)


def _read_pixels(mean: Any, std: Any, order: str = "rgb", white: float = 1.0) -> Pixels | None:
    """Bring a mean and a deviation of colours in [0, white] to [0, 1]; None if one is unknown."""
    if mean is None or std is None:
        return None
    means = torch.atleast_1d(torch.tensor(mean, dtype=torch.float64)) / white
    deviations = torch.atleast_1d(torch.tensor(std, dtype=torch.float64)) / white
    if not (deviations > 0).all():
        raise ValueError(f"expected positive standard deviations of its pixels, got {std}")
    return Pixels(means, deviations, order)
