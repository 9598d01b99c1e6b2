"""ONNX files of small networks, as the two exporters of torch write them."""

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn


def export_onnx(
    network: nn.Module,
    path: Path,
    size: tuple[int, int],
    exporter: str = "legacy",
    opset: int = 17,
    **options: Any,
) -> Path:
    """Export with a free batch size and nothing printed.

    Args:
        network: A module of one image tensor.
        path: File to write.
        size: Height and width of the input.
        exporter: "legacy" (torch.jit) or "dynamo" (torch.export).
        opset: ONNX opset version.
        **options: For `torch.onnx.export`.
    """
    image = torch.rand(2, 3, *size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # The fused kernel of MultiheadAttention has no form in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            shapes = ({0: torch.export.Dim("batch")},)
            options = {"dynamic_shapes": shapes, "external_data": False, **options}
        else:
            options = {"dynamic_axes": {"input": {0: "batch"}}, **options}
        torch.onnx.export(
            network,
            (image,),
            str(path),
            input_names=["input"],
            dynamo=exporter == "dynamo",
            opset_version=opset,
            verbose=False,
            **options,
        )
    return path
