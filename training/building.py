"""What a run is made of: Accelerate's settings, the network, its optimizer, and its average."""

import math
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, ProjectConfiguration
from averaging import WeightAverage
from config import TrainConfig
from huggingface_hub.errors import StrictDataclassError
from muon import Muon, takes_muon
from safetensors import SafetensorError
from samples import one_line
from torch.optim.lr_scheduler import LambdaLR

from david_hf.conversion.backbones import interpolate_positions, load_backbone
from david_hf.model import DavidForDensePrediction, DavidImageProcessor
from david_hf.model.layers_david import DavidNormalize

# No process has the whole weights.
DIVIDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)


def build_accelerator(config: TrainConfig) -> Accelerator:
    """Accelerate, by the configuration and by what launched this process.

    Raises:
        ValueError: If it is to train in fp16 on a CPU, by Muon where no process has the whole
            weights, or by DeepSpeed in half precision or with accumulated batches.
    """
    output = Path(config.output_dir)
    accelerator = Accelerator(
        # Told so, it finds its fellow processes on a CPU, too.
        cpu=config.cpu or not torch.accelerator.is_available(),
        mixed_precision=config.mixed_precision,
        log_with=list(config.trackers),
        project_config=ProjectConfiguration(str(output), logging_dir=str(output / "logs")),
    )
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        # Accelerate says nothing and trains in fp32.
        raise ValueError("mixed_precision: fp16 needs a GPU; on a CPU, take bf16 or no")
    if config.optimizer == "muon" and accelerator.distributed_type in DIVIDED:
        raise ValueError(
            f"optimizer: expected adamw with {accelerator.distributed_type}, which divides the "
            "weights among processes, got muon"
        )
    if accelerator.distributed_type == DistributedType.FSDP:
        # Autocast alone, as with whole weights: the policy that comes with bf16 would round labels,
        # counts and the heads' last layers, too.
        accelerator.state.fsdp_plugin.mixed_precision_policy = None
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        if accelerator.mixed_precision != "no":
            raise ValueError(
                "mixed_precision: DeepSpeed would round heads, labels and the saved weights, too; "
                f"expected no, or FSDP, got {accelerator.mixed_precision}"
            )
        if config.accumulation > 1:
            raise ValueError(
                "accumulation: DeepSpeed makes a step of every batch; expected 1 and a larger "
                f"batch_size, got {config.accumulation}"
            )
        # It clips gradients itself, and asks for the batch's size where it gets no loader.
        accelerator.state.deepspeed_plugin.deepspeed_config |= {
            "train_micro_batch_size_per_gpu": config.batch_size,
            "gradient_clipping": config.clip_grad_norm,
        }
    return accelerator


def build_average(
    config: TrainConfig, accelerator: Accelerator, model: torch.nn.Module
) -> WeightAverage | None:
    """The moving average of the weights, if one is wanted.

    Raises:
        ValueError: If no process has the whole weights.
    """
    if not config.ema_decay:
        return None
    if accelerator.distributed_type in DIVIDED:
        raise ValueError(
            f"ema_decay: expected 0 with {accelerator.distributed_type}, which divides the weights "
            f"among processes, got {config.ema_decay}"
        )
    return WeightAverage(model, config.ema_decay)


def build_model(config: TrainConfig) -> DavidForDensePrediction:
    """The network with its pretrained encoder, or that of a checkpoint.

    Raises:
        ValueError: If checkpoint or encoder do not fit.
    """
    if config.init_from:
        model = load_checkpoint(config)
    else:
        model = DavidForDensePrediction(config.model_config())
    if config.backbone:
        encoder: Any = model.get_submodule("model.encoder")
        print(load_backbone(encoder, config.backbone))  # noqa: T201
    freeze(model, config.frozen_blocks)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return model


def set_layout(model: torch.nn.Module, accelerator: Accelerator) -> None:
    """Lay kernels out so that convolutions on CPUs are several times faster."""
    if accelerator.distributed_type not in DIVIDED:  # which take contiguous weights alone
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_checkpoint(config: TrainConfig) -> DavidForDensePrediction:
    """The network of a checkpoint, for pictures in RGB; heads that it lacks are fresh.

    A ViT that is to see another `image_size` gets its position embeddings interpolated.

    Raises:
        ValueError: If there is none, or its pixels are not as those of a training.
    """
    overrides = dict(config.model_overrides)
    image_size = overrides.pop("image_size", None)
    try:
        processor = DavidImageProcessor.from_pretrained(str(config.init_from))
        loaded: DavidForDensePrediction = DavidForDensePrediction.from_pretrained(
            str(config.init_from),
            tasks=list(config.tasks),
            freeze_batch_norm=config.freeze_batch_norm,
            use_safetensors=True,
            **overrides,
        )
        if image_size not in (None, loaded.config.image_size):
            loaded = at_image_size(loaded, image_size)
    except (OSError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise ValueError(f"init_from: cannot load {config.init_from}: {one_line(error)}") from error
    if processor.do_normalize:
        raise ValueError(
            f"init_from: the image processor of {config.init_from} normalises; move image_mean and "
            "image_std to its config.json"
        )
    if processor.channel_order == "bgr":
        reverse_input_colours(loaded)
    return loaded


def at_image_size(model: DavidForDensePrediction, image_size: int) -> DavidForDensePrediction:
    """The same network whose encoder sees pictures of another side in pixels.

    Raises:
        StrictDataclassError: If the encoder's patches do not fill it.
    """
    config = type(model.config)(**{**model.config.to_dict(), "image_size": image_size})
    resized = DavidForDensePrediction(config)
    places = resized.state_dict()
    state = {
        name: interpolate_positions(weights, places[name])
        if name.endswith(".position_embeddings")
        else weights
        for name, weights in model.state_dict().items()
    }
    resized.load_state_dict(state)
    return resized


def reverse_input_colours(model: DavidForDensePrediction) -> None:
    """Let a network make of RGB what it made of BGR, and the other way round."""
    for name in ("encoder", "resizer"):
        layers = model.get_submodule(f"model.{name}").modules()
        first = next(layer for layer in layers if isinstance(layer, torch.nn.Conv2d))
        first.weight.data = first.weight.data.flip(1)
    numbers = model.config
    if isinstance(numbers.image_mean, list | tuple):
        numbers.image_mean = list(reversed(numbers.image_mean))
    if isinstance(numbers.image_std, list | tuple):
        numbers.image_std = list(reversed(numbers.image_std))
    if numbers.image_mean is not None and numbers.image_std is not None:
        normalize = DavidNormalize(numbers.image_mean, numbers.image_std)
        model.get_submodule("model").normalize = normalize


def freeze(model: DavidForDensePrediction, frozen_blocks: int) -> None:
    """Keep the weights of the encoder's first blocks.

    Raises:
        ValueError: If the encoder has fewer.
    """
    encoder: Any = model.get_submodule("model.encoder")
    blocks = encoder.blocks
    if frozen_blocks > len(blocks):
        raise ValueError(
            f"frozen_blocks: the encoder has {len(blocks)} with its stem, got {frozen_blocks}"
        )
    for block in blocks[:frozen_blocks]:
        block.requires_grad_(False)


def build_optimizer(
    config: TrainConfig, model: torch.nn.Module, steps: int
) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """AdamW, or Muon for kernels and matrices; linear warm-up, then a cosine to zero."""
    groups: dict[tuple[bool, bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_muons = config.optimizer == "muon" and takes_muon(parameter)
        is_decayed = parameter.ndim in (2, 4)  # not what is added, such as positions
        key = (name.startswith("model.encoder."), is_decayed, is_muons)
        groups.setdefault(key, []).append(parameter)
    factor = config.backbone_learning_rate_factor
    kind = Muon if config.optimizer == "muon" else torch.optim.AdamW
    optimizer = kind(
        [
            {
                "params": parameters,
                "lr": config.learning_rate * (factor if is_encoder else 1),
                "weight_decay": config.weight_decay if is_decayed else 0.0,
                "orthogonal": is_muons,
            }
            for (is_encoder, is_decayed, is_muons), parameters in sorted(
                groups.items(), reverse=True
            )
        ],
        fused=True,  # six times as fast on CPUs as the loop that is the default there
    )

    def share(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return optimizer, LambdaLR(optimizer, share)
