"""Every number of a training run: a YAML file sets it, a flag overrides it."""

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from accelerate.tracking import get_available_trackers
from fields import check_types
from huggingface_hub.errors import StrictDataclassError

from david_hf.atomic import write_text
from david_hf.data.augmentations import PhotometricAugmentations
from david_hf.data.geometry import GeometricAugmentations
from david_hf.data.held_out import HeldOut
from david_hf.data.sources.registry import check_options, find_dataset
from david_hf.data.transforms import TrainingTransform
from david_hf.evaluation.benchmarks.registry import find_benchmark
from david_hf.model.configuration_david import TASKS, DavidConfig

OPTIMIZERS = ("adamw", "muon")
TRACKERS = ("tensorboard", "trackio", "wandb")
# What may change when a run goes on: none of it changes the weights.
FREE_TO_CHANGE = (
    *("num_workers", "trackers", "log_every", "save_every"),
    *("validation", "validate_every", "resume"),
)


@dataclass(frozen=True)
class DataPart:
    """One data set of the mixture.

    Attributes:
        root: Its folder.
        name: A data set of `david data list`.
        split: One of its splits.
        weight: Share of the samples, relative to the other parts.
        composed: Whether rendered people are put before other backgrounds, alone and in groups;
            of data set "generated" alone.
        options: What the data set takes besides.
        limit: Most samples, spread evenly; None for all.
    """

    root: str
    name: str = "generated"
    split: str = "train"
    weight: float = 1.0
    composed: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None

    def __post_init__(self) -> None:
        check_types(self, "data: ")
        if not Path(self.root).is_dir():
            raise ValueError(f"data: {self.root} does not exist")
        if self.limit is not None and (self.limit < 1 or self.composed):
            raise ValueError(
                f"data: {self.root}: expected a limit of 1 or more, of samples that are not "
                f"composed, got {self.limit}"
            )
        splits = find_dataset(self.name).source.splits
        if self.split not in splits:
            raise ValueError(
                f"data: {self.name}: expected a split out of {', '.join(splits)}, got {self.split}"
            )
        check_options(self.name, self.options)
        if self.weight <= 0:
            raise ValueError(f"data: {self.root}: expected a positive weight, got {self.weight}")
        if self.composed and self.options:
            raise ValueError(f"data: {self.root}: composed people take no options")
        if self.composed and self.name != "generated":
            raise ValueError(f"data: {self.root}: only people of `david synthesize` are composed")


@dataclass(frozen=True)
class Validation:
    """What is measured during the run.

    Attributes:
        root: Folder of the data.
        benchmark: One that `david evaluate --list` names.
        limit: Most images, spread evenly; None for all.
        options: What its data set takes besides, such as the split; None for none, but for what
            `synthetic` has: the people that training leaves out.
    """

    root: str
    benchmark: str = "synthetic"
    limit: int | None = 64
    options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_types(self, "validation: ")
        find_benchmark(self.benchmark)
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"validation: expected a limit of 1 or more, got {self.limit}")
        if self.options is None:
            options = {"split": "validation"} if self.benchmark == "synthetic" else {}
            object.__setattr__(self, "options", options)
        if not Path(self.root).is_dir():
            raise ValueError(f"validation: {self.root} does not exist")


@dataclass(frozen=True)
class TrainConfig:
    """One training run. "Our choice" marks numbers that the paper does not give.

    Attributes:
        data: Parts of the mixture; a mere folder stands for composed people of it.
        output_dir: Where checkpoints and logs go.
        validation: What is measured on the way; the best checkpoint is chosen by it.
        backgrounds: Folder of photos without people, or None for made-up rooms only.
        held_out: YAML file of what no training may see (`david_hf.data.held_out`), or None.
        tasks: Heads: some of depth, normals, alpha.
        model_size: Name for `DavidConfig.from_size`; of no effect with `init_from`.
        model_overrides: Fields of `DavidConfig` to set differently.
        init_from: david checkpoint to go on from, folder or Hub id; it brings its configuration, of
            which `model_overrides` changes what leaves the weights' shapes as they are.
        backbone: Pretrained encoder: Hub id or folder of a ViT, or for nano torchvision's file.
        geometric: Fields of `GeometricAugmentations` to set differently; None leaves them out. They
            are for what is not composed: the composition places people anew already.
        photometric: Fields of `PhotometricAugmentations` to set differently.
        epochs: As many samples as so many times through all parts have, drawn by the parts'
            weights; None takes `steps`. The paper: 100, of one part.
        steps: Optimizer steps, where `epochs` is None. Of files and flags that give one of the two,
            the last counts.
        batch_size: Samples per process, step and accumulation. The paper: 24.
        accumulation: Batches whose gradients are summed for one step.
        sides: Input side over the run: pairs of (share of the steps until which it holds, side).
            The paper: 512.
        optimizer: adamw, or muon for kernels and matrices and adamw for the rest. The paper: AdamW.
        learning_rate: Peak of the decoder's and heads'; warm-up, then cosine to zero. Our choice.
        backbone_learning_rate_factor: Times the learning rate for the encoder. Our choice.
        weight_decay: On matrices and kernels only, and not on tokens. Our choice.
        warmup_steps: Linear warm-up. Our choice.
        clip_grad_norm: Largest gradient norm. Our choice.
        ema_decay: Of the moving average of the weights, which is what is saved; 0 for none. Our
            choice.
        freeze_batch_norm: Keep the pretrained statistics: small batches would spoil them.
        frozen_blocks: Blocks of the encoder, the stem first, that keep their pretrained weights.
        gradient_checkpointing: Compute activations of the ViT twice, to save memory.
        torch_compile: Compile the network.
        seed: Of initial weights and samples.
        num_workers: Loader processes per training process.
        log_every: Steps between log lines.
        save_every: Steps between resumable states.
        validate_every: Steps between validations.
        trackers: Some of tensorboard, trackio, wandb.
        mixed_precision: no, bf16 or fp16; None leaves it to the launcher.
        cpu: Stay on the CPU even if there is an accelerator.
        resume: Go on with the run that `output_dir` holds.
    """

    data: tuple[DataPart, ...]
    output_dir: str
    validation: tuple[Validation, ...] = ()
    backgrounds: str | None = None
    held_out: str | None = None
    tasks: tuple[str, ...] = TASKS
    model_size: str = "nano"
    model_overrides: dict[str, Any] = field(default_factory=dict)
    init_from: str | None = None
    backbone: str | None = None
    geometric: dict[str, Any] | None = None
    photometric: dict[str, Any] = field(default_factory=dict)
    epochs: float | None = None
    steps: int = 1500
    batch_size: int = 16
    accumulation: int = 1
    sides: tuple[tuple[float, int], ...] = ((1.0, 256),)
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    backbone_learning_rate_factor: float = 0.5
    weight_decay: float = 0.01
    warmup_steps: int = 100
    clip_grad_norm: float = 5.0
    ema_decay: float = 0.0
    freeze_batch_norm: bool = True
    frozen_blocks: int = 0
    gradient_checkpointing: bool = False
    torch_compile: bool = False
    seed: int = 0
    num_workers: int = 1
    log_every: int = 20
    save_every: int = 200
    validate_every: int = 1000
    trackers: tuple[str, ...] = ("tensorboard",)
    mixed_precision: str | bool | None = None
    cpu: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked before anything is loaded.

        Raises:
            ValueError: If a value makes no sense or a path does not exist.
        """
        check_types(self)
        for name in ("tasks", "trackers"):
            value = getattr(self, name)
            self._set(name, (value,) if isinstance(value, str) else tuple(value))
        self._set("data", tuple(_data_part(part) for part in self.data))
        self._set("validation", tuple(_validation(part) for part in self.validation))
        self._set("sides", tuple((float(share), side) for share, side in self.sides))
        if not self.tasks or set(self.tasks) - set(TASKS):
            raise ValueError(f"tasks: expected some of {', '.join(TASKS)}, got {self.tasks}")
        self._set("tasks", tuple(task for task in TASKS if task in self.tasks))
        self._check_arithmetic()
        self._check_numbers()
        shares = [share for share, _ in self.sides]
        if not shares or shares != sorted(shares) or shares[-1] != 1.0:
            raise ValueError(f"sides: expected rising shares that end at 1.0, got {self.sides}")
        if not all(isinstance(side, int) and side > 0 for _, side in self.sides):
            raise ValueError(f"sides: expected whole numbers of pixels, got {self.sides}")
        if not self.data:
            raise ValueError("data: expected at least one folder; `david synthesize` makes one")
        self._check_trackers()
        for name in ("backgrounds", "held_out"):
            value = getattr(self, name)
            if value is not None and not Path(value).exists():
                raise ValueError(f"{name}: {value} does not exist")
        if self.init_from and self.backbone:
            raise ValueError("init_from brings its encoder: leave out backbone")
        self.model_config()
        self.transform(self.sides[-1][1])
        self.left_out()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_arithmetic(self) -> None:
        if self.mixed_precision is False:  # what YAML makes of no
            self._set("mixed_precision", "no")
        if self.mixed_precision not in (None, "no", "bf16", "fp16"):
            raise ValueError(
                f"mixed_precision: expected no, bf16 or fp16, got {self.mixed_precision}"
            )
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer: expected adamw or muon, got {self.optimizer}")
        if self.optimizer == "muon" and self.mixed_precision == "fp16":
            raise ValueError("optimizer: muon trains in bf16 or in full precision, got fp16")

    def _check_trackers(self) -> None:
        if set(self.trackers) - set(TRACKERS):
            raise ValueError(f"trackers: expected some of {TRACKERS}, got {self.trackers}")
        # Accelerate would leave them out and say nothing.
        missing = set(self.trackers) - {str(tracker) for tracker in get_available_trackers()}
        if missing:
            raise ValueError(f"trackers: `pip install {' '.join(sorted(missing))}` first")

    def _check_numbers(self) -> None:
        positive = (
            *("steps", "epochs", "batch_size", "accumulation", "learning_rate", "clip_grad_norm"),
            *("log_every", "save_every", "validate_every"),
        )
        not_negative = (
            *("backbone_learning_rate_factor", "weight_decay", "warmup_steps"),
            *("frozen_blocks", "num_workers", "seed"),
        )
        for name in (*positive, *not_negative):
            value = getattr(self, name)
            if name in positive and value is not None and value <= 0:
                raise ValueError(f"{name}: expected a positive number, got {value}")
            if name in not_negative and value < 0:
                raise ValueError(f"{name}: expected 0 or more, got {value}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay: expected 0 to below 1, got {self.ema_decay}")

    def model_config(self) -> DavidConfig:
        """The network's configuration, validated by its own rules."""
        options = {
            "freeze_batch_norm": self.freeze_batch_norm,
            "tasks": list(self.tasks),
            **self.model_overrides,
        }
        try:
            return DavidConfig.from_size(self.model_size, **options)
        except StrictDataclassError as error:
            raise ValueError(f"model_overrides: {error.__cause__ or error}") from error

    def transform(self, side: int) -> TrainingTransform:
        """What is done to a sample, validated by the augmentations' own rules."""
        geometric = None
        if self.geometric is not None:
            geometric = GeometricAugmentations(**self.geometric)
        return TrainingTransform(side, geometric, PhotometricAugmentations(**self.photometric))

    def left_out(self) -> HeldOut:
        """What no training may see."""
        return HeldOut.read(Path(self.held_out)) if self.held_out else HeldOut()

    def side_at(self, step: int, steps: int) -> int:
        """Input side of one of so many steps."""
        return next(side for share, side in self.sides if step < share * steps or share == 1.0)

    def plain(self) -> dict[str, Any]:
        """The configuration as YAML has it."""
        return dict(yaml.safe_load(yaml.safe_dump(_to_lists(dataclasses.asdict(self)))))

    def save(self, path: Path) -> None:
        """Write the configuration as YAML."""
        write_text(path, yaml.safe_dump(self.plain(), sort_keys=False))

    def check_same_run(self, path: Path) -> None:
        """Refuse to go on with a run of another configuration.

        Args:
            path: Configuration that the run began with.

        Raises:
            ValueError: If weights would depend on a difference.
        """
        before, now = read_yaml(path), self.plain()
        changed = [
            name for name in now if name not in FREE_TO_CHANGE and before.get(name) != now[name]
        ]
        if changed:
            listed = ", ".join(f"{n}: {before.get(n)} before, {now[n]} now" for n in changed)
            raise ValueError(
                f"{path.parent} holds a run with another configuration ({listed}); take another "
                "output_dir, or the same configuration"
            )


def _data_part(part: Any) -> DataPart:
    if isinstance(part, DataPart):
        return part
    if isinstance(part, str):
        return DataPart(part, composed=True)
    return _from_mapping(DataPart, part, "data")


def _validation(part: Any) -> Validation:
    if isinstance(part, Validation):
        return part
    if isinstance(part, str):
        return Validation(part)
    return _from_mapping(Validation, part, "validation")


def _from_mapping(kind: Any, values: Any, name: str) -> Any:
    known = [item.name for item in dataclasses.fields(kind)]
    if not isinstance(values, dict) or set(values) - set(known) or "root" not in values:
        raise ValueError(
            f"{name}: expected a folder, or a mapping with root and some of {', '.join(known)}, "
            f"got {values}"
        )
    return kind(**values)


def _to_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_lists(item) for key, item in value.items()}
    return [_to_lists(item) for item in value] if isinstance(value, tuple | list) else value


USAGE = (
    "usage: accelerate launch training/train.py --config FILE [--key VALUE ...] [--resume]\n"
    "values are YAML; later files and flags override earlier ones"
)


def parse_config(arguments: list[str]) -> TrainConfig:
    """Read `--config FILE`, `--key VALUE` and `--resume`; exit with one line on bad input."""
    if not arguments or arguments[0] in ("-h", "--help"):
        keys = ", ".join(item.name for item in dataclasses.fields(TrainConfig))
        sys.exit(f"{USAGE}\nkeys: {keys}")
    words = list(arguments)
    if "--resume" in words:
        words.remove("--resume")
        words += ["--resume", "true"]
    if len(words) % 2 or not all(flag.startswith("--") for flag in words[::2]):
        sys.exit(f"error: expected pairs of --key VALUE, got {' '.join(arguments)}\n{USAGE}")
    pairs = [(flag[2:], value) for flag, value in zip(words[::2], words[1::2], strict=True)]
    try:
        values: dict[str, Any] = {}
        for key, value in pairs:
            given = read_yaml(Path(value)) if key == "config" else {key: yaml.safe_load(value)}
            values = _over(values, given)
        unknown = sorted(set(values) - {item.name for item in dataclasses.fields(TrainConfig)})
        if unknown:
            raise ValueError(f"unknown keys {unknown}; --help lists the known ones")
        for name in ("data", "validation"):
            if isinstance(values.get(name), str | dict):
                values[name] = [values[name]]
        return TrainConfig(**values)
    except (ValueError, TypeError, OSError, yaml.YAMLError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")


def read_yaml(path: Path) -> dict[str, Any]:
    """Values of a file, over those of the file beside it that its key `extends` names.

    Raises:
        ValueError: If a file is no mapping.
        OSError: If it cannot be read.
    """
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping of keys to values")
    base = content.pop("extends", None)
    return content if base is None else _over(read_yaml(path.parent / str(base)), content)


def _over(before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Values over earlier ones; a number of steps is one over a number of epochs, too."""
    if "steps" in given:
        before = {key: value for key, value in before.items() if key != "epochs"}
    return before | given
