"""Every number of a training run: a YAML file sets it, a flag overrides it."""

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from david_hf.data.augmentations import PhotometricAugmentations
from david_hf.data.geometry import GeometricAugmentations
from david_hf.data.transforms import TrainingTransform
from david_hf.model.configuration_david import DavidConfig


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        data: Folders written by `david synthesize`.
        output_dir: Where checkpoints and logs go.
        backgrounds: Folder of photos without people, or None for made-up rooms only.
        model_size: Name for `DavidConfig.from_size`.
        model_overrides: Fields of `DavidConfig` to set differently.
        geometric: Fields of `GeometricAugmentations` to set differently; None leaves them out: the
            composition places people anew already.
        photometric: Fields of `PhotometricAugmentations` to set differently.
        backbone_weights: Pretrained encoder file (nano: torchvision's MobileNetV2), or None.
        steps: Optimizer steps.
        batch_size: Samples per process and step.
        sides: Input side over the run: pairs of (share of the steps until which it holds, side).
        learning_rate: Peak of the decoder's and heads'; warm-up, then cosine to zero. Our choice.
        backbone_learning_rate_factor: Times the learning rate for the pretrained encoder. Our
            choice.
        weight_decay: AdamW's, on matrices and kernels only.
        warmup_steps: Linear warm-up.
        clip_grad_norm: Largest gradient norm.
        freeze_batch_norm: Keep the pretrained statistics: small batches would spoil them.
        seed: Of initial weights and samples.
        num_workers: Loader processes per training process.
        log_every: Steps between log lines.
        save_every: Steps between resumable states.
        mixed_precision: no, bf16 or fp16; None leaves it to the launcher.
        cpu: Stay on the CPU even if there is an accelerator.
    """

    data: tuple[str, ...]
    output_dir: str
    backgrounds: str | None = None
    model_size: str = "nano"
    model_overrides: dict[str, Any] = field(default_factory=dict)
    geometric: dict[str, Any] | None = None
    photometric: dict[str, Any] = field(default_factory=dict)
    backbone_weights: str | None = None
    steps: int = 1500
    batch_size: int = 16
    sides: tuple[tuple[float, int], ...] = ((1.0, 256),)
    learning_rate: float = 2e-3
    backbone_learning_rate_factor: float = 0.5
    weight_decay: float = 0.01
    warmup_steps: int = 100
    clip_grad_norm: float = 5.0
    freeze_batch_norm: bool = True
    seed: int = 0
    num_workers: int = 1
    log_every: int = 20
    save_every: int = 200
    mixed_precision: str | None = None
    cpu: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked before anything is loaded.

        Raises:
            ValueError: If a value makes no sense or a path does not exist.
        """
        object.__setattr__(self, "data", tuple(self.data))
        object.__setattr__(self, "sides", tuple((float(a), int(b)) for a, b in self.sides))
        positive = ("steps", "batch_size", "learning_rate", "log_every", "save_every")
        for name in positive:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)}")
        shares = [share for share, _ in self.sides]
        if not shares or shares != sorted(shares) or shares[-1] != 1.0:
            raise ValueError(f"sides: expected rising shares that end at 1.0, got {self.sides}")
        if not self.data:
            raise ValueError("data: expected at least one folder; `david synthesize` makes one")
        for name in ("data", "backgrounds", "backbone_weights"):
            value = getattr(self, name)
            for path in value if isinstance(value, tuple) else (value,):
                if path is not None and not Path(path).exists():
                    raise ValueError(f"{name}: {path} does not exist")
        self.model_config()
        self.transform(self.sides[-1][1])

    def model_config(self) -> DavidConfig:
        """The network's configuration, validated by its own rules."""
        options = {"freeze_batch_norm": self.freeze_batch_norm, **self.model_overrides}
        return DavidConfig.from_size(self.model_size, **options)

    def transform(self, side: int) -> TrainingTransform:
        """What is done to a sample, validated by the augmentations' own rules."""
        geometric = None
        if self.geometric is not None:
            geometric = GeometricAugmentations(**self.geometric)
        return TrainingTransform(side, geometric, PhotometricAugmentations(**self.photometric))

    def side_at(self, step: int) -> int:
        """Input side of a step."""
        return next(side for share, side in self.sides if step < share * self.steps or share == 1.0)

    def save(self, path: Path) -> None:
        """Write the configuration as YAML."""
        plain = dataclasses.asdict(self)
        plain["data"] = list(self.data)
        plain["sides"] = [list(pair) for pair in self.sides]
        path.write_text(yaml.safe_dump(plain, sort_keys=False))


USAGE = "usage: accelerate launch training/train.py --config FILE [--key VALUE ...]"


def parse_config(arguments: list[str]) -> TrainConfig:
    """Read `--config FILE` and `--key VALUE` (YAML syntax); exit with one line on bad input."""
    if not arguments or arguments[0] in ("-h", "--help"):
        keys = ", ".join(item.name for item in dataclasses.fields(TrainConfig))
        sys.exit(f"{USAGE}\nkeys: {keys}")
    if len(arguments) % 2 or not all(flag.startswith("--") for flag in arguments[::2]):
        sys.exit(f"error: expected pairs of --key VALUE, got {' '.join(arguments)}\n{USAGE}")
    pairs = [(flag[2:], value) for flag, value in zip(arguments[::2], arguments[1::2], strict=True)]
    try:
        values: dict[str, Any] = {}
        for key, value in pairs:
            if key == "config":
                values |= _read_yaml(Path(value))
        values |= {key: yaml.safe_load(value) for key, value in pairs if key != "config"}
        unknown = sorted(set(values) - {item.name for item in dataclasses.fields(TrainConfig)})
        if unknown:
            raise ValueError(f"unknown keys {unknown}; --help lists the known ones")
        if isinstance(values.get("data"), str):
            values["data"] = [values["data"]]
        return TrainConfig(**values)
    except (ValueError, TypeError, OSError, yaml.YAMLError) as error:
        sys.exit(f"error: {error}")


def _read_yaml(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping of keys to values")
    return content
