"""Open any model for the evaluation: DAViD, ONNX files, and what transformers can load."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto import modeling_auto

from david_hf.evaluation.metrics.depth import Space
from david_hf.evaluation.metrics.normals import Convention
from david_hf.load_errors import ModelLoadError
from david_hf.onnx_backend import is_onnx_file
from david_hf.predictor import bundled_checkpoint

from .base import Predictor
from .checkpoint import Checkpoint
from .david import DavidEvaluationPredictor
from .depth import DepthPredictor, depth_space_of
from .matting import MattingPredictor, SegmentationPredictor, refuse_trimap_models
from .normals import NormalPredictor, normals_convention_of
from .transformers_model import load_model

__all__ = ["open_predictor"]

# Auto classes of transformers, with the classes of its own that they load, by `model_type`.
_NATIVE: dict[str, dict[str, Any]] = {
    "AutoModelForDepthEstimation": modeling_auto.MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES,
    "AutoModelForNormalEstimation": modeling_auto.MODEL_FOR_NORMAL_ESTIMATION_MAPPING_NAMES,
    "AutoModelForImageMatting": modeling_auto.MODEL_FOR_IMAGE_MATTING_MAPPING_NAMES,
}
# Those that code of a checkpoint may offer.
_REMOTE = (*_NATIVE, "AutoModelForImageSegmentation")

_CHOICES = {
    "depth_space": ("depth", "disparity"),
    "normals_convention": ("opengl", "opencv"),
    "dtype": ("float32", "float16", "bfloat16"),
}


def open_predictor(
    model: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    depth_space: Space | None = None,
    normals_convention: Convention | None = None,
    dtype: str | torch.dtype | None = None,
    trust_remote_code: bool = False,
) -> Predictor:
    """Open a model of any family; its weights come from safetensors or ONNX, never from pickles.

    Args:
        model: Local folder, Hub id or .onnx file; None takes the checkpoint that comes with the
            package.
        device: Where to run; None takes an accelerator if there is one.
        depth_space: What the model's depth is affine to, "depth" or "disparity"; None takes what
            its configuration or its kind tells.
        normals_convention: Frame of the model's normals, "opengl" or "opencv"; None takes what is
            known of its kind.
        dtype: Precision of the weights, "float32", "float16" or "bfloat16"; None takes that of the
            checkpoint. Not for ONNX files.
        trust_remote_code: Whether Python code that comes with a checkpoint may be run. Models that
            transformers or this package has do without it.

    Raises:
        ModelLoadError: If the model cannot be loaded, or is of a kind that is not supported.
        ValueError: If an option has another value, or the model has no use for it.
    """
    precision = None if dtype is None else str(dtype).removeprefix("torch.")
    given: dict[str, Any] = {"depth_space": depth_space, "normals_convention": normals_convention}
    _check_choices({**given, "dtype": precision})
    predictor: Predictor
    if model is not None and is_onnx_file(model):
        if precision is not None:
            raise ValueError(f"expected no dtype for an ONNX file, got {precision}; leave it out")
        predictor = DavidEvaluationPredictor.from_onnx(model, device, **given)
    else:
        checkpoint = Checkpoint.find(bundled_checkpoint() if model is None else model)
        loading: dict[str, Any] = {"device": device, "dtype": None}
        if precision is not None:
            loading["dtype"] = getattr(torch, precision)
        if checkpoint.config.get("model_type") == "david":
            predictor = DavidEvaluationPredictor.from_checkpoint(checkpoint, **loading, **given)
        else:
            predictor = _open_transformers(checkpoint, trust_remote_code, loading, **given)
    _check_use(predictor, given)
    return predictor


def _open_transformers(
    checkpoint: Checkpoint,
    trust_remote_code: bool,
    loading: dict[str, Any],
    depth_space: Space | None,
    normals_convention: Convention | None,
) -> Predictor:
    """Find out what a model predicts, and in which frame, before it is downloaded."""
    auto_class, own_code = _choose_auto_class(checkpoint)
    if own_code and not trust_remote_code:
        raise ModelLoadError(
            f"cannot load {checkpoint.source}: it needs the Python code that comes with it; read "
            "that code, then allow it with trust_remote_code"
        )
    load = partial(
        load_model,
        checkpoint,
        getattr(transformers, auto_class),
        trust_remote_code=own_code,
        **loading,
    )
    if auto_class == "AutoModelForDepthEstimation":
        space = depth_space or depth_space_of(checkpoint)
        return DepthPredictor(load(), space)
    if auto_class == "AutoModelForNormalEstimation":
        convention = normals_convention or normals_convention_of(checkpoint)
        return NormalPredictor(load(), convention)
    if auto_class == "AutoModelForImageMatting":
        refuse_trimap_models(checkpoint)
        return MattingPredictor(load())
    return SegmentationPredictor(load(needs_processor=False))


def _choose_auto_class(checkpoint: Checkpoint) -> tuple[str, bool]:
    """Name the Auto class for a checkpoint, and tell whether its class is code of its own."""
    for auto_class, classes in _NATIVE.items():
        if classes.get(checkpoint.kind) in checkpoint.architectures:
            return auto_class, False
    for auto_class in _REMOTE:
        if auto_class in (checkpoint.config.get("auto_map") or {}):
            return auto_class, True
    raise ModelLoadError(
        f"cannot load {checkpoint.source}: expected a model for {', '.join(_REMOTE)}, got "
        f"{', '.join(checkpoint.architectures) or 'none'} of the type {checkpoint.kind}"
    )


def _check_choices(given: dict[str, str | None]) -> None:
    for name, value in given.items():
        if value is not None and value not in _CHOICES[name]:
            raise ValueError(f"expected {name} out of {', '.join(_CHOICES[name])}, got {value}")


def _check_use(predictor: Predictor, given: dict[str, Any]) -> None:
    """Refuse options that have no effect: they were meant for another model."""
    for name, task in (("depth_space", "depth"), ("normals_convention", "normals")):
        if given[name] is not None and task not in predictor.tasks:
            raise ValueError(
                f"expected no {name} for {predictor.name}, which predicts "
                f"{' and '.join(predictor.tasks)}; leave it out"
            )
