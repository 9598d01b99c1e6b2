"""Networks of DAViD, checkpoints and ONNX files, behind the interface of the evaluation."""

from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from david_hf.evaluation.metrics.depth import Space
from david_hf.evaluation.metrics.normals import Convention, convert_normals
from david_hf.load_errors import ModelLoadError
from david_hf.onnx_backend import OnnxDavid
from david_hf.predictor import DavidPredictor

from .base import Map, Maps, Photo, Predictor
from .checkpoint import Checkpoint, digest_of_files

__all__ = ["DavidEvaluationPredictor"]


class DavidEvaluationPredictor(Predictor):
    """A network of DAViD.

    Args:
        predictor: The network.
        name: Hub id, or name of the folder or file.
        facts: What `describe` tells, but for the conventions; "family" at least.
        depth_space: What its depth is affine to; None stands for "depth".
        normals_convention: Frame of its normals; None stands for "opengl".
    """

    def __init__(
        self,
        predictor: DavidPredictor,
        name: str,
        facts: dict[str, Any],
        depth_space: Space | None = None,
        normals_convention: Convention | None = None,
    ) -> None:
        self.family = str(facts["family"])
        self.name = name
        self.tasks = predictor.tasks
        self.depth_space = depth_space or "depth"
        self.normals_convention: Convention = normals_convention or "opengl"
        self._predictor = predictor
        self._facts = facts

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        **conventions: Any,
    ) -> "DavidEvaluationPredictor":
        """Load a checkpoint.

        Args:
            checkpoint: What to load.
            device: Where to run; None takes an accelerator if there is one.
            dtype: Precision of the weights; None takes that of the checkpoint.
            **conventions: `depth_space` and `normals_convention` of the constructor.

        Raises:
            ModelLoadError: If it cannot be loaded.
        """
        digest = digest_of_files(checkpoint.weight_files())
        predictor = DavidPredictor.from_pretrained(checkpoint.source, device, checkpoint.revision)
        model: Any = predictor.model
        if dtype is not None:
            model.to(dtype)
        facts = {
            "family": "david",
            "class": type(model).__name__,
            "revision": checkpoint.revision,
            "weights_sha256": digest,
            "parameters": model.num_parameters(),
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": predictor.device.type,
        }
        return cls(predictor, checkpoint.name, facts, **conventions)

    @classmethod
    def from_onnx(
        cls, path: str | Path, device: str | torch.device | None = None, **conventions: Any
    ) -> "DavidEvaluationPredictor":
        """Open an ONNX file, see `OnnxDavid.from_file`.

        Args:
            path: An .onnx file.
            device: "cpu" or "cuda"; None takes CUDA where onnxruntime has it, else the CPU.
            **conventions: `depth_space` and `normals_convention` of the constructor.

        Raises:
            ModelLoadError: If it cannot be opened, or nothing tells what it predicts.
        """
        predictor = DavidPredictor.from_pretrained(path, device)
        network: Any = predictor.model
        if network.undecided:
            raise ModelLoadError(
                f"cannot load {path}: nothing in it says whether it predicts "
                f"{' or '.join(network.undecided)}; write that into its name"
            )
        on_cuda = network.session.get_providers()[0] == "CUDAExecutionProvider"
        file = Path(path).expanduser()
        facts = {
            "family": "onnx",
            "class": OnnxDavid.__name__,
            **_facts_of_graph(file),
            "device": "cuda" if on_cuda else "cpu",
        }
        return cls(predictor, file.name, facts, **conventions)

    def predict(self, photos: Sequence[Photo]) -> list[Maps]:
        """Predict all maps of a batch; see the base class."""
        predictions = self._predictor.predict_batch(photos)
        return [
            Maps(self._to_space(found.depth), self._to_opengl(found.normals), found.alpha)
            for found in predictions
        ]

    def _to_space(self, depth: Map | None) -> Map | None:
        """Turn depth that grows towards the camera around, unless it is taken for disparity."""
        return -depth if depth is not None and self.depth_space == "depth" else depth

    def _to_opengl(self, normals: Map | None) -> Map | None:
        if normals is None:
            return None
        last = np.ascontiguousarray(np.moveaxis(normals, 0, -1))
        return convert_normals(last, self.normals_convention).astype(np.float32, copy=False)

    def describe(self) -> dict[str, Any]:
        """What tells this model from others; see the base class."""
        return {
            **self._facts,
            "depth_space": self.depth_space if "depth" in self.tasks else None,
            "normals_convention": self.normals_convention if "normals" in self.tasks else None,
        }


def _facts_of_graph(file: Path) -> dict[str, Any]:
    """Digest of an ONNX file with the files it keeps tensors in; their number and precision."""
    try:
        import onnx
    except ImportError as error:
        raise ModelLoadError(
            f"cannot load {file}: it needs onnx, which is not installed: "
            "pip install 'david-hf[onnx]'"
        ) from error
    tensors = onnx.load(str(file), load_external_data=False).graph.initializer
    files = {file}
    values: Counter[str] = Counter()
    for tensor in tensors:
        files |= {file.parent / x.value for x in tensor.external_data if x.key == "location"}
        values[onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).name] += prod(tensor.dims)
    return {
        "weights_sha256": digest_of_files(sorted(files)),
        "parameters": values.total(),
        # A quantised file has several: that of most values.
        "dtype": values.most_common(1)[0][0] if values else None,
    }
