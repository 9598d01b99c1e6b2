"""DAViD networks in ONNX files, run by onnxruntime: the official files, and what is exported here.

Needs the extra: `pip install 'david-hf[onnx]'`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .load_errors import ModelLoadError, first_line, in_one_line
from .model import DavidDensePredictionOutput, DavidImageProcessor
from .model.configuration_david import TASKS
from .model.layers_david import unit_vectors
from .onnx_signature import OnnxSignature, read_signature

__all__ = ["OnnxDavid", "is_onnx_file", "providers_of_device"]

Provider = str | tuple[str, dict[str, Any]]

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Of onnxruntime: errors come as exceptions, their copies on standard error say nothing more.
_LOG_NOTHING = 4


class OnnxDavid:
    """A network in an ONNX file, called like the models in torch, with the same outputs.

    Args:
        session: The opened file, an `onnxruntime.InferenceSession`.
        signature: What it takes and gives.

    Attributes:
        tasks: What it predicts, out of "depth", "normals", "alpha".
        undecided: Two tasks of `tasks` that only one output stands for; empty if the file tells.
            Both are given then, and the caller knows which one is meant.
    """

    def __init__(self, session: Any, signature: OnnxSignature) -> None:
        self.session = session
        self.signature = signature
        self.undecided = ("depth", "alpha") if None in signature.tasks else ()
        self.tasks = tuple(
            task for task in TASKS if task in signature.tasks or task in self.undecided
        )

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        providers: Sequence[Provider] | None = None,
        tasks: Sequence[str] | None = None,
    ) -> "OnnxDavid":
        """Open an ONNX file.

        Outputs are told apart by the metadata that this package's export writes, else by their
        shapes: (B, H, W) is depth, three channels are normals, one channel is alpha; whether a lone
        output of one channel is depth is told by its name, the name of the file, a final sigmoid
        or its values. Without metadata, colours are blue-green-red, and depth has the sign of the
        official files: a file with depth alone grows towards the camera, one with several outputs
        away from it.

        Args:
            path: An .onnx file.
            providers: Execution providers of onnxruntime, first choice first, as names or pairs of
                name and options; None takes CUDA where onnxruntime has it, else the CPU.
            tasks: What the outputs are, in the order of the file; None finds out.

        Raises:
            ModelLoadError: If onnxruntime or a provider is missing, or the file cannot be read or
                holds another kind of network.
        """
        file = Path(path).expanduser()
        try:
            if file.suffix.lower() != ".onnx":
                raise ModelLoadError("expected the name of an .onnx file")
            if not file.is_file():
                raise ModelLoadError("no such file")
            session = _open(file, providers)
            return cls(session, read_signature(session, file, tasks))
        except Exception as error:  # onnxruntime's own errors have no common class but this
            raise ModelLoadError(f"cannot load {path}: {_reason(error)}") from error

    def image_processor(self) -> DavidImageProcessor:
        """Build the image processor that prepares photos for this file and restores its maps."""
        height, width = self.signature.input_size
        options: dict[str, Any] = {"channel_order": self.signature.channel_order}
        return DavidImageProcessor(size={"height": height, "width": width}, **options)

    def __call__(self, pixel_values: torch.Tensor) -> DavidDensePredictionOutput:
        """Predict the maps of a batch.

        Args:
            pixel_values: What `image_processor` makes, shape (B, 3, H, W); photos in RGB, uint8,
                shape (B, H, W, 3), for a file that includes the processing.

        Returns:
            float32 tensors on the CPU, None for what the file lacks: `predicted_depth` (B, H, W),
            larger = nearer, `normals` (B, 3, H, W) of unit length, `alphas` (B, 1, H, W) in [0, 1].

        Raises:
            RuntimeError: If onnxruntime fails, for example over a size that the file does not take.
        """
        images = pixel_values.numpy(force=True).astype(self.signature.input_dtype, copy=False)
        batches = np.split(images, len(images)) if self.signature.one_by_one else [images]
        parts = [self._run(batch) for batch in batches]
        raw = {
            task: torch.cat([torch.from_numpy(part[position]).float() for part in parts])
            for position, task in enumerate(self.signature.tasks)
        }
        return self._to_output(raw)

    def _run(self, images: np.ndarray) -> list[np.ndarray]:
        try:
            outputs: list[np.ndarray] = self.session.run(
                None, {self.signature.input_name: np.ascontiguousarray(images)}
            )
        except Exception as error:  # as in `from_file`
            raise RuntimeError(f"onnxruntime failed: {_reason(error)}") from error
        return outputs

    def _to_output(self, raw: Mapping[str | None, torch.Tensor]) -> DavidDensePredictionOutput:
        """Give raw outputs sign, length, range and shape of the models' maps."""
        # An undecided output is under None: it is given in both ways.
        depth, alphas = (raw.get(task, raw.get(None)) for task in ("depth", "alpha"))
        normals = raw.get("normals")
        if depth is not None:
            depth = depth.reshape(-1, *depth.shape[-2:])
            depth = depth if self.signature.depth_is_inverse else -depth
        if alphas is not None:
            alphas = alphas.reshape(-1, 1, *alphas.shape[-2:]).clamp(0.0, 1.0)
        return DavidDensePredictionOutput(
            predicted_depth=depth,
            normals=None if normals is None else unit_vectors(normals),
            alphas=alphas,
        )


def is_onnx_file(model: str | Path) -> bool:
    """Tell the name of an ONNX file from a checkpoint folder or a Hub id."""
    path = Path(model).expanduser()
    return path.suffix.lower() == ".onnx" and not path.is_dir()


def providers_of_device(device: str | torch.device | None) -> list[Provider] | None:
    """Translate a device of torch into execution providers of onnxruntime.

    Args:
        device: "cpu", "cuda" or "cuda:N"; None leaves the choice to `OnnxDavid.from_file`.

    Raises:
        ModelLoadError: If an ONNX file cannot run there.
    """
    if device is None:
        return None
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ModelLoadError(f"cannot run on {device}: {first_line(error)}") from error
    if wanted.type == "cpu":
        return [_CPU]
    if wanted.type != "cuda":
        raise ModelLoadError(f"cannot run on {device}: an ONNX file runs on cpu or cuda")
    return [(_CUDA, {"device_id": wanted.index or 0}), _CPU]


def _open(file: Path, providers: Sequence[Provider] | None) -> Any:
    """Open a file with onnxruntime, on the first of the providers and not in silence on another."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelLoadError(
            "it needs onnxruntime, which is not installed: pip install 'david-hf[onnx]'"
        ) from error
    there = onnxruntime.get_available_providers()
    chosen = [name for name in (_CUDA, _CPU) if name in there] if providers is None else providers
    missing = [name for name in map(_name, chosen) if name not in there]
    if missing:
        hint = "; pip install onnxruntime-gpu" if _CUDA in missing else ""
        raise ModelLoadError(
            f"this onnxruntime has no {', '.join(missing)}, only {', '.join(there)}{hint}"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_NOTHING
    options.intra_op_num_threads = torch.get_num_threads()  # torch respects limits of containers
    session = onnxruntime.InferenceSession(str(file), options, providers=list(chosen))
    if providers and _name(providers[0]) not in session.get_providers():
        raise ModelLoadError(f"onnxruntime cannot start {_name(providers[0])}; are its drivers in?")
    return session


def _name(provider: Provider) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _reason(error: Exception) -> str:
    """Give one line without the codes that onnxruntime puts in front of what it says."""
    text = in_one_line(error)
    if not text.startswith("[ONNXRuntimeError]"):
        return text
    code, _, reason = (
        text.removeprefix("[ONNXRuntimeError] : ").partition(" : ")[2].partition(" : ")
    )
    if code in ("INVALID_PROTOBUF", "INVALID_GRAPH"):
        return f"no ONNX file, or a damaged one ({reason})"
    return reason or code
