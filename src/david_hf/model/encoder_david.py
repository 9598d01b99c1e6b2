# Copyright 2026 The david_hf authors. MIT licence.
"""The ViT encoder: one fixed-size image in, four feature maps out, finest first."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .activations_david import build_activation
from .configuration_david import DavidConfig
from .layers_david import DavidEncoderBlock
from .mobilenet_v2_david import DavidMobileNetV2Encoder

__all__ = [
    "DavidViTAttention",
    "DavidViTEmbeddings",
    "DavidViTEncoder",
    "DavidViTLayer",
    "build_encoder",
]


def build_encoder(config: DavidConfig) -> "DavidViTEncoder | DavidMobileNetV2Encoder":
    """Build the encoder `config.encoder_type` names."""
    if config.encoder_type == "vit":
        return DavidViTEncoder(config)
    return DavidMobileNetV2Encoder(
        config.num_channels, config.out_indices, config.freeze_batch_norm
    )


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend in plain PyTorch, the one form that can return its weights.

    Args:
        module: The attention module, asked whether it is training.
        query: Shape (B, heads, N, head_dim), as are `key` and `value`.
        key: See `query`.
        value: See `query`.
        attention_mask: Part of the common signature; every token sees every other here.
        scaling: Factor on the scores.
        dropout: Probability of dropping a weight while training.
        **kwargs: Options other attention functions understand.

    Returns:
        The attended values (B, N, heads, head_dim) and the weights (B, heads, N, N).
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class DavidViTEmbeddings(nn.Module):
    """Cut the image into patches, prepend the class token, add positions (timm's ViT).

    Args:
        num_channels: Colour channels.
        image_size: Side of the image in pixels.
        patch_size: Side of a patch in pixels.
        hidden_size: Width of a token.
    """

    def __init__(
        self, num_channels: int, image_size: int, patch_size: int, hidden_size: int
    ) -> None:
        super().__init__()
        num_patches = (image_size // patch_size) ** 2
        self.patch_projection = nn.Conv2d(num_channels, hidden_size, patch_size, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, hidden_size))
        self.position_embeddings = nn.Parameter(torch.zeros(1, num_patches + 1, hidden_size))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (B, channels, S, S) to tokens (B, 1 + patches, hidden_size)."""
        patches = self.patch_projection(image).flatten(2).transpose(1, 2)
        cls_token = self.cls_token.expand(patches.shape[0], -1, -1)
        return torch.cat([cls_token, patches], dim=1) + self.position_embeddings


class DavidViTAttention(nn.Module):
    """Multi-head self-attention with one fused projection for queries, keys and values.

    It takes the whole configuration because the attention functions of transformers read
    `module.config`, and `model.set_attn_implementation` changes it later.
    """

    def __init__(self, config: DavidConfig) -> None:
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.dropout = config.attention_probs_dropout_prob
        self.scaling = self.head_dim**-0.5
        self.is_causal = False
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_bias)
        self.projection = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, tokens: torch.Tensor, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Map tokens (B, N, D) to (B, N, D) and the weights (B, heads, N, N), if there are any."""
        batch_size, num_tokens, _ = tokens.shape
        # Rows of the fused weight: all queries, all keys, all values; each head by head (timm).
        qkv = self.qkv(tokens).view(batch_size, num_tokens, 3, self.num_heads, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attend: Callable[..., tuple[torch.Tensor, torch.Tensor | None]]
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        dropout = self.dropout if self.training else 0.0
        attended, weights = attend(
            self, query, key, value, None, dropout=dropout, scaling=self.scaling, **kwargs
        )
        return self.projection(attended.reshape(batch_size, num_tokens, -1)), weights


class DavidViTLayer(GradientCheckpointingLayer, DavidEncoderBlock):
    """Pre-norm transformer block (ViT, eq. 2 and 3)."""

    def __init__(self, config: DavidConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        mlp_width = int(width * config.mlp_ratio)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.attention = DavidViTAttention(config)
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.mlp_in = nn.Linear(width, mlp_width)
        self.mlp_activation = build_activation(config.hidden_act)
        self.mlp_out = nn.Linear(mlp_width, width)

    def forward(self, tokens: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Map tokens (B, N, D) to (B, N, D)."""
        attended, _ = self.attention(self.attention_norm(tokens), **kwargs)
        tokens = tokens + attended
        hidden = self.mlp_activation(self.mlp_in(self.mlp_norm(tokens)))
        return tokens + self.mlp_out(hidden)


class DavidReadout(nn.Module):
    """Hand the class token to every patch token, then drop it (DPT, Ranftl et al. 2021).

    Args:
        hidden_size: Width of a token.
        readout_type: "project" (concatenate, project, activate), "add", or "ignore".
        activation: Name of the activation behind the projection.
    """

    def __init__(self, hidden_size: int, readout_type: str, activation: str) -> None:
        super().__init__()
        self.readout_type = readout_type
        if readout_type == "project":
            self.projection = nn.Linear(2 * hidden_size, hidden_size)
            self.activation = build_activation(activation)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens (B, 1 + N, D) to patch tokens (B, N, D)."""
        cls_token, patches = tokens[:, :1], tokens[:, 1:]
        if self.readout_type == "ignore":
            return patches
        if self.readout_type == "add":
            return patches + cls_token
        pairs = torch.cat([patches, cls_token.expand_as(patches)], dim=-1)
        return self.activation(self.projection(pairs))


class DavidReassemble(nn.Module):
    """Turn tokens into a feature map of the wanted width and scale (DPT, Ranftl et al. 2021).

    Args:
        readout: Module that folds the class token into the patch tokens.
        hidden_size: Width of a token.
        channels: Width of the map.
        factor: Side of the map over the side of the token grid: 4, 2, 1 or 0.5.
    """

    def __init__(self, readout: nn.Module, hidden_size: int, channels: int, factor: float) -> None:
        super().__init__()
        self.readout = readout
        self.projection = nn.Conv2d(hidden_size, channels, kernel_size=1)
        self.resize: nn.Module = nn.Identity()
        if factor > 1:
            self.resize = nn.ConvTranspose2d(channels, channels, int(factor), stride=int(factor))
        elif factor < 1:
            self.resize = nn.Conv2d(channels, channels, 3, stride=round(1 / factor), padding=1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens (B, 1 + n * n, D) to (B, channels, factor * n, factor * n)."""
        patches = self.readout(tokens)
        side = int(patches.shape[1] ** 0.5)
        grid = patches.transpose(1, 2).unflatten(2, (side, side))
        return self.resize(self.projection(grid))


class DavidViTEncoder(nn.Module):
    """Vision transformer whose blocks `config.out_indices` become feature maps.

    It has no final norm: the published graphs read the blocks directly.
    """

    def __init__(self, config: DavidConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.out_indices = list(config.out_indices)
        self.embeddings = DavidViTEmbeddings(
            config.num_channels, config.image_size, config.patch_size, width
        )
        self.layers = nn.ModuleList(DavidViTLayer(config) for _ in range(config.num_hidden_layers))
        activation = config.readout_act or config.hidden_act
        self.reassemble = nn.ModuleList(
            DavidReassemble(
                DavidReadout(width, config.readout_type, activation), width, channels, factor
            )
            for channels, factor in zip(
                config.neck_hidden_sizes, config.reassemble_factors, strict=True
            )
        )

    @property
    def stem(self) -> nn.Module:
        """The layer that sees the pixels."""
        return self.embeddings.patch_projection

    @property
    def blocks(self) -> list[nn.Module]:
        """The embeddings, then what they pass, in order."""
        return [self.embeddings, *self.layers]

    def forward(self, image: torch.Tensor, **kwargs: Any) -> list[torch.Tensor]:
        """Map (B, channels, image_size, image_size) to four maps, finest first."""
        tokens = self.embeddings(image)
        stages = []
        for index, layer in enumerate(self.layers):
            tokens = layer(tokens, **kwargs)
            if index in self.out_indices:
                stages.append(tokens)
        return [reassemble(x) for reassemble, x in zip(self.reassemble, stages, strict=True)]
