# Copyright 2026 The david_hf authors. MIT licence.
"""DAViD models: the shared network, one class per task, and one with all heads in a single pass."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, DepthEstimatorOutput
from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES
from transformers.utils.generic import (
    TransformersKwargs,
    can_return_tuple,
    merge_with_config_defaults,
)
from transformers.utils.output_capturing import capture_outputs

from .configuration_david import DavidConfig
from .decoder_david import DavidDecoder
from .encoder_david import (
    DavidViTAttention,
    DavidViTEmbeddings,
    build_encoder,
)
from .fusable_david import DavidFusable
from .heads_david import (
    HEAD_NAMES,
    DavidAlphaHead,
    DavidDepthHead,
    DavidHead,
    DavidNormalHead,
    build_head,
)
from .layers_david import (
    DavidEncoderBlock,
    DavidNormalize,
    DavidQuietConv2d,
)
from .outputs_david import (
    DavidDensePredictionOutput,
    DavidImageMattingOutput,
    DavidNormalEstimatorOutput,
)
from .resizer_david import DavidResizer

__all__ = [
    "DavidForDensePrediction",
    "DavidForDepthEstimation",
    "DavidForImageMatting",
    "DavidForNormalEstimation",
    "DavidModel",
    "DavidPreTrainedModel",
]


class DavidPreTrainedModel(PreTrainedModel):
    """What all DAViD models share: names, features, fresh weights."""

    config: DavidConfig
    base_model_prefix = "model"
    main_input_name = "pixel_values"
    input_modalities = "image"
    supports_gradient_checkpointing = True
    _no_split_modules = [  # noqa: RUF012 - an instance never writes them
        "DavidViTEmbeddings",
        "DavidViTLayer",
        "DavidInvertedResidual",
        "DavidFusionLevel",
    ]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    # The losses are means: over accumulated batches transformers' Trainer must average itself.
    accepts_loss_kwargs = False
    _can_record_outputs = {  # noqa: RUF012 - an instance never writes them
        "hidden_states": DavidEncoderBlock,
        "attentions": DavidViTAttention,
    }
    # A multi-task checkpoint loads into any class; heads that class lacks are no news.
    _keys_to_ignore_on_load_unexpected = [r"^(depth|normal|alpha)_head\."]  # noqa: RUF012

    def fuse(self) -> "DavidPreTrainedModel":
        """Switch to a form for inference with fewer operations, equal up to rounding.

        Batch norms are folded into convolutions; the decoder's pointwise convolutions are merged
        and run before the resizes they commute with. The weights stay as they are: `state_dict`
        and `save_pretrained` give the same as before. `unfuse`, `train` and loading weights switch
        back; call it again after changing weights by hand.

        Returns:
            The model itself, in evaluation mode.

        Raises:
            ValueError: If weights are offloaded.
        """
        if any(parameter.is_meta for parameter in self.parameters()):
            raise ValueError("fuse needs all weights in memory: load the model without offloading")
        self.eval()
        for module in list(self.modules()):
            if isinstance(module, DavidFusable):
                module.fuse()
        return self

    def unfuse(self) -> "DavidPreTrainedModel":
        """Undo `fuse`; returns the model itself."""
        for module in list(self.modules()):
            if isinstance(module, DavidFusable):
                module.unfuse()
        return self

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Write fresh values; linear layers and norms are left to transformers."""
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            # No batch norm follows most convolutions: He scaling keeps deep features alive, and
            # quiet ends keep residual sums from growing and raw maps out of saturation.
            gain = 0.1 if isinstance(module, DavidQuietConv2d) else 1.0
            init.normal_(module.weight, std=gain * (2 / module.weight[0].numel()) ** 0.5)
            fresh_bias = getattr(module, "fresh_bias", None)
            if module.bias is not None and fresh_bias is not None:
                init.copy_(module.bias, torch.tensor(fresh_bias))
        elif isinstance(module, nn.ConvTranspose2d):
            # Stride equals kernel: each output pixel sums over the input channels only.
            init.normal_(module.weight, std=module.in_channels**-0.5)
        elif isinstance(module, DavidViTEmbeddings):
            init.trunc_normal_(module.cls_token, std=self.config.initializer_range)
            init.trunc_normal_(module.position_embeddings, std=self.config.initializer_range)
        elif isinstance(module, DavidNormalize):
            for name in module.constants:
                init.copy_(module.get_buffer(name), module.constant(name))


class DavidModel(DavidPreTrainedModel):
    """Encoder, resizer and decoder: image in, fused features at half its size out."""

    def __init__(self, config: DavidConfig) -> None:
        super().__init__(config)
        self.normalize: nn.Module = nn.Identity()
        if config.image_mean is not None and config.image_std is not None:
            self.normalize = DavidNormalize(config.image_mean, config.image_std)
        self.encoder = build_encoder(config)
        self.resizer = DavidResizer(
            config.num_channels,
            config.resizer_hidden_sizes,
            config.resizer_kernels,
            config.resizer_activations,
            config.lateral_kernels,
            config.lateral_activations,
        )
        self.decoder = DavidDecoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the encoder layer that sees the pixels."""
        return self.encoder.stem

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> BaseModelOutput:
        """Fuse what the encoder understands with what the resizer sees.

        Args:
            pixel_values: Images of any height and width, shape (B, C, H, W).
            **kwargs: Options of transformers, `output_hidden_states` for example.

        Returns:
            `last_hidden_state`: features (B, fusion_hidden_size, ceil(H / 2), ceil(W / 2)).

        Raises:
            ValueError: If `pixel_values` is no batch of images with `num_channels` channels.
        """
        if pixel_values.ndim != 4 or pixel_values.shape[1] != self.config.num_channels:
            raise ValueError(
                f"pixel_values must have shape (B, {self.config.num_channels}, H, W), "
                f"got {tuple(pixel_values.shape)}"
            )
        # Not `self.dtype`: replicas of `nn.DataParallel` have no parameters to ask.
        stem: Any = self.resizer.levels[0]
        image = self.normalize(pixel_values.to(stem[0].convolution.weight.dtype))
        sides = (self.config.image_size, self.config.image_size)
        encoder_image = F.interpolate(
            image,
            size=sides,
            mode=self.config.resize_mode,
            align_corners=self.config.resize_align_corners,
        )
        encoder_maps = self.encoder(encoder_image, **kwargs)
        features = self.decoder(encoder_maps, self.resizer(image))
        return BaseModelOutput(last_hidden_state=features)


class DavidForDepthEstimation(DavidPreTrainedModel):
    """Relative depth of people: `AutoModelForDepthEstimation`."""

    def __init__(self, config: DavidConfig) -> None:
        super().__init__(config)
        self.model = DavidModel(config)
        self.depth_head = DavidDepthHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        counts: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> DepthEstimatorOutput:
        """Predict relative depth.

        Args:
            pixel_values: Images, shape (B, C, H, W).
            labels: Z-depth in metres, larger = farther, shape (B, H, W).
            mask: Valid foreground of the labels, bool or weights, shape (B, H, W).
            counts: What losses are divided by, as of `count_valid`; None counts this batch.
            **kwargs: Options of transformers.

        Returns:
            `predicted_depth` (B, H, W), larger = nearer, up to scale and shift; `loss` with labels.
        """
        outputs = self.model(pixel_values, **kwargs)
        raw = self.depth_head(outputs.last_hidden_state, pixel_values.shape[-2:])
        return DepthEstimatorOutput(
            loss=_total_loss(self.depth_head, raw, labels, mask, counts),
            predicted_depth=self.depth_head.to_map(raw),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class DavidForNormalEstimation(DavidPreTrainedModel):
    """Surface normals of people: `AutoModelForNormalEstimation`."""

    def __init__(self, config: DavidConfig) -> None:
        super().__init__(config)
        self.model = DavidModel(config)
        self.normal_head = DavidNormalHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        counts: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> DavidNormalEstimatorOutput:
        """Predict surface normals.

        Args:
            pixel_values: Images, shape (B, C, H, W).
            labels: Normals, X right, Y up, Z towards the camera, shape (B, 3, H, W).
            mask: Valid foreground of the labels, bool or weights, shape (B, H, W).
            counts: What losses are divided by, as of `count_valid`; None counts this batch.
            **kwargs: Options of transformers.

        Returns:
            `normals` (B, 3, H, W) of unit length; `loss` with labels.
        """
        outputs = self.model(pixel_values, **kwargs)
        raw = self.normal_head(outputs.last_hidden_state, pixel_values.shape[-2:])
        return DavidNormalEstimatorOutput(
            loss=_total_loss(self.normal_head, raw, labels, mask, counts),
            normals=self.normal_head.to_map(raw),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class DavidForImageMatting(DavidPreTrainedModel):
    """Soft foreground of people: `AutoModelForImageMatting`."""

    def __init__(self, config: DavidConfig) -> None:
        super().__init__(config)
        self.model = DavidModel(config)
        self.alpha_head = DavidAlphaHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        counts: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> DavidImageMattingOutput:
        """Predict the soft foreground.

        Args:
            pixel_values: Images, shape (B, C, H, W).
            labels: Alpha in [0, 1], shape (B, 1, H, W).
            mask: Pixels that count, bool or weights, shape (B, H, W); None counts all.
            counts: What losses are divided by, as of `count_valid`; None counts this batch.
            **kwargs: Options of transformers.

        Returns:
            `alphas` (B, 1, H, W) in [0, 1]; `loss` with labels.
        """
        outputs = self.model(pixel_values, **kwargs)
        raw = self.alpha_head(outputs.last_hidden_state, pixel_values.shape[-2:])
        return DavidImageMattingOutput(
            loss=_total_loss(self.alpha_head, raw, labels, mask, counts),
            alphas=self.alpha_head.to_map(raw),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class DavidForDensePrediction(DavidPreTrainedModel):
    """All tasks of `config.tasks` in one pass over one shared network."""

    def __init__(self, config: DavidConfig) -> None:
        super().__init__(config)
        self.model = DavidModel(config)
        for task in config.tasks:
            self.add_module(HEAD_NAMES[task], build_head(task, config))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: Mapping[str, torch.Tensor] | None = None,
        mask: torch.Tensor | Mapping[str, torch.Tensor] | None = None,
        counts: Mapping[str, torch.Tensor] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> DavidDensePredictionOutput:
        """Predict every map.

        Args:
            pixel_values: Images, shape (B, C, H, W).
            labels: Any of "depth", "normals", "alpha", as the single-task classes take them; a task
                left out is left out of the loss.
            mask: Valid foreground for depth and normals, bool or weights, shape (B, H, W); or the
                pixels that count of each task by its name, where samples have different labels.
            counts: What the losses of each task are divided by, as of `count_valid`; None, and a
                task left out, count this batch.
            **kwargs: Options of transformers.

        Returns:
            The maps; with labels also `loss` and its parts `losses`.

        Raises:
            ValueError: If labels name a task the model lacks.
        """
        outputs = self.model(pixel_values, **kwargs)
        features, size = outputs.last_hidden_state, pixel_values.shape[-2:]
        raw = {task: self._head(task)(features, size) for task in self.config.tasks}
        maps = {task: self._head(task).to_map(values) for task, values in raw.items()}
        losses = None if labels is None else self._losses(raw, labels, mask, counts or {})
        return DavidDensePredictionOutput(
            loss=None if losses is None else torch.stack(list(losses.values())).sum(),
            losses=losses and {name: part.detach() for name, part in losses.items()},
            predicted_depth=maps.get("depth"),
            normals=maps.get("normals"),
            alphas=maps.get("alpha"),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _head(self, task: str) -> DavidHead:
        return getattr(self, HEAD_NAMES[task])

    def _losses(
        self,
        raw: Mapping[str, torch.Tensor],
        labels: Mapping[str, torch.Tensor],
        mask: torch.Tensor | Mapping[str, torch.Tensor] | None,
        counts: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return the weighted parts of every labelled task, named "task_part"."""
        if not labels or set(labels) - set(raw):
            raise ValueError(f"labels must hold some of {sorted(raw)}, got {sorted(labels)}")
        parts: dict[str, Any] = {}
        for task, target in labels.items():
            weight = (self.config.loss_weights or {}).get(task, 1.0)
            if isinstance(mask, Mapping):
                valid = mask.get(task)
            else:
                # The foreground is judged everywhere: telling people from background is its task.
                valid = None if task == "alpha" else mask
            found = self._head(task).losses(raw[task], target, valid, counts.get(task))
            parts |= {f"{task}_{name}": weight * part for name, part in found.items()}
        return parts


def _total_loss(
    head: DavidHead,
    raw: torch.Tensor,
    labels: torch.Tensor | None,
    mask: torch.Tensor | None,
    counts: torch.Tensor | None,
) -> torch.Tensor | None:
    """Sum the parts of a head's loss, if there are labels."""
    if labels is None:
        return None
    return torch.stack(list(head.losses(raw, labels, mask, counts).values())).sum()


# The depth pipeline of transformers looks class names up here, whatever is registered, and would
# log an error about an unsupported model. Done in this file for checkpoints that bring their code.
MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES.setdefault(
    DavidConfig.model_type,
    (DavidForDepthEstimation.__name__, DavidForDensePrediction.__name__),  # type: ignore[arg-type]
)
