# Copyright 2026 The david_hf authors. MIT licence.
"""The configuration: every number that shapes the network, validated, and the named sizes."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .activations_david import build_activation

__all__ = ["TASKS", "DavidConfig"]

TASKS = ("depth", "normals", "alpha")

Integers = list[int] | tuple[int, ...]
Floats = list[float] | tuple[float, ...]
Names = list[str] | tuple[str, ...]

# The task of each class with a single head.
_SINGLE_TASKS = {
    "DavidForDepthEstimation": "depth",
    "DavidForNormalEstimation": "normals",
    "DavidForImageMatting": "alpha",
}
# This file runs as part of the package, or as code that a checkpoint brought along.
_IS_REMOTE_CODE = __name__.startswith("transformers_modules.")

# Widths of the seventeen inverted residual blocks of MobileNetV2 (Sandler et al. 2018, table 2).
MOBILENET_V2_WIDTHS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)

_NANO: dict[str, Any] = {
    "encoder_type": "mobilenet_v2",
    "image_size": 224,
    "input_size": 256,
    "num_hidden_layers": len(MOBILENET_V2_WIDTHS),
    "out_indices": [2, 5, 12, 16],
    "neck_hidden_sizes": [24, 32, 96, 320],
    "fusion_hidden_size": 48,
    "resizer_hidden_sizes": [16, 24, 32, 48],
    "head_hidden_sizes": [16, 8],
    # The statistics the ImageNet weights were trained with, in RGB order.
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
_TINY: dict[str, Any] = {
    "hidden_size": 192,
    "num_attention_heads": 3,
    "neck_hidden_sizes": [24, 48, 96, 192],
    "fusion_hidden_size": 64,
    "resizer_hidden_sizes": [64, 64, 64, 64],
    "head_hidden_sizes": [32, 32],
}
_SMALL: dict[str, Any] = {
    "hidden_size": 384,
    "num_attention_heads": 6,
    "neck_hidden_sizes": [48, 96, 192, 384],
    "fusion_hidden_size": 128,
    "resizer_hidden_sizes": [128, 128, 128, 128],
    "head_hidden_sizes": [64, 32],
}
_LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "out_indices": [5, 11, 17, 23],
    "neck_hidden_sizes": [256, 512, 1024, 1024],
}
# The defaults of `DavidConfig` are the Base model.
_SIZES: dict[str, dict[str, Any]] = {
    "nano": _NANO,
    "tiny": _TINY,
    "small": _SMALL,
    "base": {},
    "large": _LARGE,
}


@strict
class DavidConfig(PreTrainedConfig):
    """Numbers that shape a DAViD network; the defaults are the published Base model.

    The encoder sees the image at one fixed square size, a convolutional "resizer" sees it at its
    own size, and a DPT-like decoder merges both (DAViD, Saleh et al. 2025).

    Args:
        encoder_type: "vit" (published models) or "mobilenet_v2" (nano).
        freeze_batch_norm: Whether MobileNetV2 keeps the statistics of its batch norms while it is
            trained, as small batches need.
        tasks: Heads of `DavidForDensePrediction`, in output order.
        num_channels: Colour channels of the image.
        image_size: Side in pixels of the square the encoder sees, whatever comes in.
        input_size: Side in pixels of the square the image processor makes.
        patch_size: Side in pixels of a ViT patch.
        hidden_size: Width of the ViT tokens.
        num_hidden_layers: Blocks of the encoder.
        num_attention_heads: Attention heads of a ViT block.
        mlp_ratio: Width of the ViT's hidden MLP layer over `hidden_size`.
        hidden_act: Activation inside the ViT.
        readout_act: Activation of its readout; None takes `hidden_act`.
        attention_probs_dropout_prob: Dropout on attention weights while training.
        layer_norm_eps: Epsilon of the ViT's layer norms.
        qkv_bias: Whether queries, keys and values have a bias.
        out_indices: The four encoder blocks whose output is decoded; the last block closes the
            list, since blocks behind it would be dead.
        readout_type: How the class token reaches the patch tokens, one of the three ways of DPT.
        neck_hidden_sizes: Widths of the four encoder maps, finest first.
        reassemble_factors: Side of each ViT map over the side of the token grid.
        fusion_hidden_size: Width of the decoder.
        rn_bias: Whether the convolutions that bring encoder maps to decoder width have a bias.
        rcu_bias: Whether the convolutions of the residual units have a bias.
        rcu_activation: Activation in front of each of them.
        projection_kernels: Kernel sizes of the convolutions between a level's residual unit and the
            place where the resizer joins: DPT's 1x1 convolution, more or none.
        projection_activations: Activation after each of them.
        projection_first: Whether they run before the resize to the resizer's size, not after it.
        resizer_hidden_sizes: Widths of the resizer's levels at strides 2, 4, 8, 16.
        resizer_kernels: Kernel sizes within one resizer level; the first convolution has stride 2.
        resizer_activations: Activation after each of them.
        lateral_kernels: Kernel sizes of the convolutions that a resizer map goes through before the
            decoder, but not before the next resizer level; none in the published models.
        lateral_activations: Activation after each of them.
        concat_kernels: Kernel sizes of the convolutions that merge decoder and resizer.
        concat_activations: Activation after each of them.
        head_hidden_sizes: Widths of the first and second convolution of a head.
        head_activations: Activation after each of them.
        head_resize_first: Whether a head's first activation comes behind the resize to the image's
            size, not before it.
        depth_activation: Activation on the raw depth, or "none".
        normals_activation: Activation on the raw normals, before they get unit length.
        alpha_activation: Activation on the raw foreground; anything but "sigmoid" is clamped.
        depth_is_inverse: Whether the raw depth head grows towards the camera; if not it is negated.
        resize_mode: Interpolation of the resize in front of the encoder.
        resize_align_corners: Corner alignment of that resize.
        interp_align_corners: Corner alignment of every resize in the decoder.
        skip_align_corners: Corner alignment of the resizes of encoder maps; None takes the
            decoder's.
        head_align_corners: Corner alignment of the heads' resize; None takes the decoder's.
        image_mean: Mean subtracted inside the network, per channel or one for all, or None.
        image_std: Standard deviation divided by there, per channel or one for all, or None.
        initializer_range: Standard deviation of fresh linear weights and embeddings.
        loss_weights: Weight of each task in the loss; a task left out weighs 1.
        depth_gradient_weight: Weight of the gradient term in the depth loss.
        depth_local_weight: Weight of its local term, which the paper does not have; 0 for none.
        alpha_laplacian_weight: Weight of the Laplacian pyramid term in the foreground loss.
    """

    model_type = "david"
    # Not predictions: transformers' Trainer gathers all other outputs when it evaluates.
    keys_to_ignore_at_inference = ["losses", "hidden_states", "attentions"]  # noqa: RUF012

    encoder_type: Literal["vit", "mobilenet_v2"] = "vit"
    freeze_batch_norm: bool = True
    tasks: Names = TASKS
    num_channels: int = 3
    image_size: int = 384
    input_size: int = 512

    patch_size: int = 16
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    mlp_ratio: float | int = 4.0
    hidden_act: str = "gelu"
    readout_act: str | None = None
    attention_probs_dropout_prob: float | int = 0.0
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True
    out_indices: Integers = (2, 5, 8, 11)
    readout_type: Literal["project", "add", "ignore"] = "project"
    neck_hidden_sizes: Integers = (96, 192, 384, 768)
    reassemble_factors: list[float | int] | tuple[float | int, ...] = (4, 2, 1, 0.5)

    fusion_hidden_size: int = 256
    rn_bias: bool = False
    rcu_bias: bool = True
    rcu_activation: str = "relu"
    projection_kernels: Integers = (1,)
    projection_activations: Names = ("none",)
    projection_first: bool = False
    resizer_hidden_sizes: Integers = (256, 256, 256, 256)
    resizer_kernels: Integers = (3, 1)
    resizer_activations: Names = ("relu", "relu")
    lateral_kernels: Integers = ()
    lateral_activations: Names = ()
    concat_kernels: Integers = (1,)
    concat_activations: Names = ("relu",)

    head_hidden_sizes: Integers = (128, 32)
    head_activations: Names = ("relu", "relu")
    head_resize_first: bool = False
    depth_activation: str = "none"
    normals_activation: str = "none"
    alpha_activation: str = "sigmoid"
    depth_is_inverse: bool = True

    resize_mode: Literal["bilinear", "bicubic"] = "bilinear"
    resize_align_corners: bool = False
    interp_align_corners: bool = True
    skip_align_corners: bool | None = None
    head_align_corners: bool | None = None
    image_mean: Floats | float | None = None
    image_std: Floats | float | None = None

    initializer_range: float = 0.02
    loss_weights: dict[str, float | int] | None = None
    depth_gradient_weight: float | int = 0.5
    depth_local_weight: float | int = 0.0
    alpha_laplacian_weight: float | int = 1.0

    def __post_init__(self, **kwargs: Any) -> None:
        """Store sequences as lists, the form a config has after a trip through JSON."""
        if not _IS_REMOTE_CODE:
            # The package has the code and registers the pipelines: what a checkpoint brings along
            # is not needed, must not ask for trust, and would dangle in what is saved from here.
            kwargs.pop("auto_map", None)
            kwargs.pop("custom_pipelines", None)
        for name, value in list(vars(self).items()):
            if isinstance(value, tuple):
                setattr(self, name, list(value))
        super().__post_init__(**kwargs)

    @classmethod
    def from_size(cls, size: str, **overrides: Any) -> "DavidConfig":
        """Build the configuration of a named size.

        Args:
            size: "nano" (MobileNetV2, for CPUs), "tiny", "small", "base" or "large".
            **overrides: Fields that differ from that size.

        Returns:
            The configuration.

        Raises:
            ValueError: If no size has that name.
        """
        if size not in _SIZES:
            raise ValueError(f"unknown size {size!r}: choose one of {', '.join(_SIZES)}")
        return cls(**{**_SIZES[size], **overrides})

    def trained_tasks(self) -> list[str]:
        """Tasks of the class the checkpoint was saved from; empty if nothing tells."""
        for name in self.architectures or ():
            if name == "DavidForDensePrediction":
                return list(self.tasks)
            if name in _SINGLE_TASKS:
                return [_SINGLE_TASKS[name]]
        return []

    def validate_tasks(self) -> None:
        """Check tasks and loss weights (run by `@strict`)."""
        if not self.tasks or len(set(self.tasks)) < len(self.tasks) or set(self.tasks) - set(TASKS):
            raise ValueError(f"tasks must be distinct names out of {TASKS}, got {self.tasks}")
        if unknown := set(self.loss_weights or {}) - set(TASKS):
            raise ValueError(f"loss_weights may hold {TASKS}, got {sorted(unknown)}")

    def validate_encoder(self) -> None:
        """Check the encoder's numbers (run by `@strict`)."""
        last = self.num_hidden_layers - 1
        if sorted(set(self.out_indices)) != self.out_indices or self.out_indices[-1:] != [last]:
            raise ValueError(
                f"out_indices must rise and end with the last block, {last}, got {self.out_indices}"
            )
        if self.encoder_type == "vit":
            self._check_vit()
        else:
            self._check_mobilenet_v2()

    def validate_decoder(self) -> None:
        """Check that lists which run in parallel have equal lengths (run by `@strict`)."""
        for name in ("neck_hidden_sizes", "reassemble_factors", "resizer_hidden_sizes"):
            self._check_length(name, len(self.out_indices), "one entry per out_indices")
        for part, fewest in (("resizer", 1), ("lateral", 0), ("projection", 0), ("concat", 1)):
            kernels = getattr(self, f"{part}_kernels")
            if len(kernels) < fewest or any(kernel % 2 == 0 for kernel in kernels):
                raise ValueError(f"{part}_kernels must be odd, {fewest} or more, got {kernels}")
            self._check_length(f"{part}_activations", len(kernels), f"one per {part}_kernels")
        self._check_length("head_hidden_sizes", 2, "two hidden convolutions")
        self._check_length("head_activations", 2, "two hidden convolutions")

    def validate_activations(self) -> None:
        """Check that every activation is known by its name (run by `@strict`)."""
        for name, value in vars(self).items():
            if name.endswith(("_activation", "_activations", "_act")) and value is not None:
                for activation in [value] if isinstance(value, str) else value:
                    try:
                        build_activation(activation)
                    except ValueError as error:
                        raise ValueError(f"{name}: {error}") from error

    def validate_normalization(self) -> None:
        """Check mean and standard deviation (run by `@strict`)."""
        if (self.image_mean is None) != (self.image_std is None):
            raise ValueError("image_mean and image_std must be given together or not at all")
        for name in ("image_mean", "image_std"):
            if isinstance(getattr(self, name), list):
                self._check_length(name, self.num_channels, "one entry per channel")
        deviations = [self.image_std] if isinstance(self.image_std, float) else self.image_std
        if any(deviation <= 0 for deviation in deviations or []):
            raise ValueError(f"image_std must be positive, got {self.image_std}")

    def _check_vit(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )
        if self.image_size % self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} must be a multiple of patch_size {self.patch_size}"
            )

    def _check_mobilenet_v2(self) -> None:
        if self.num_hidden_layers != len(MOBILENET_V2_WIDTHS):
            raise ValueError(
                f"a mobilenet_v2 encoder has num_hidden_layers {len(MOBILENET_V2_WIDTHS)}, "
                f"got {self.num_hidden_layers}"
            )
        widths = [MOBILENET_V2_WIDTHS[index] for index in self.out_indices]
        if self.neck_hidden_sizes != widths:
            raise ValueError(
                f"neck_hidden_sizes must be the widths {widths} of mobilenet_v2 blocks "
                f"{self.out_indices}, got {self.neck_hidden_sizes}"
            )

    def _check_length(self, name: str, expected: int, meaning: str) -> None:
        values = getattr(self, name)
        if len(values) != expected:
            raise ValueError(f"{name} needs {expected} entries ({meaning}), got {values}")
