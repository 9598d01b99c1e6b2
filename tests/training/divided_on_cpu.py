"""training/train.py with FSDP or DeepSpeed on CPUs, where Accelerate has neither.

Started by `accelerate launch`: the settings of its file come by the environment. What divides the
weights is real, over gloo.
"""

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType

os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
gpus: Any = lambda *_: ("gloo", DistributedType.MULTI_GPU)  # noqa: E731
PartialState._prepare_backend = gpus  # type: ignore[method-assign]
torch.accelerator.is_available = lambda: True
with suppress(ImportError):  # else it compiles C++ for minutes
    import_module("deepspeed.comm.torch").build_shm_op = lambda: None  # type: ignore[attr-defined]

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
train: Any = import_module("train")
build, leave = train.build_accelerator, train.Run._leave


def build_and_tell(config: Any) -> Any:
    """The accelerator; says of which kind it is."""
    accelerator = build(config)
    accelerator.print(f"divided by {accelerator.distributed_type.value}")
    return accelerator


def leave_and_stop(run: Any, output: Path) -> bool:
    """Leave what is due, and end the run at the step that the test names."""
    left = leave(run, output)
    if run.step == int(os.environ["DAVID_TEST_UNTIL"]):
        sys.exit()
    return bool(left)


train.build_accelerator = build_and_tell
train.Run._leave = leave_and_stop
train.main()
