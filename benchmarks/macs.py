"""Print parameters and multiply-accumulates of each size, beside the published ones.

    python benchmarks/macs.py [--size 512]

The published figures were made with onnx_tool on the exported graph. It counts more than
multiplications, and transposed convolutions on their output grid, 4 or 16 times too much; its rule
is repeated here so that the figures can be compared, next to an honest count of multiplications.
Models live on the meta device: nothing is computed and no weight takes memory.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from david_hf.model import DavidConfig, DavidForDensePrediction, DavidForDepthEstimation

# onnx_tool's price of an element, where it is not 1.
EXP, DIV, SQRT, SOFTMAX, RESIZE = 32, 4, 24, 36, 4
# x / sqrt(2), erf (free), + 1, * x, * 0.5
GELU = DIV + 3
# Per element 3 products and 4 sums; per token also the root of the variance and a division.
NORM_ELEMENT, NORM_TOKEN = 7, 1 + SQRT + DIV


@dataclass
class Macs:
    """Multiply-accumulates of one forward pass."""

    onnx_tool: int = 0
    honest: int = 0

    def add(self, onnx_tool: int, honest: int = 0) -> None:
        """Add the cost of one operation."""
        self.onnx_tool += onnx_tool
        self.honest += honest


Arguments = tuple[Any, ...]


def count_convolution(macs: Macs, output: torch.Tensor, args: Arguments) -> None:
    """Output elements times kernel volume, plus the bias."""
    _, weight, bias = args[:3]
    products = output.numel() * weight[0].numel()
    macs.add(products + _bias_cost(output, bias), products)


def count_transposed_convolution(macs: Macs, output: torch.Tensor, args: Arguments) -> None:
    """As onnx_tool does, on the output grid; honestly, on the input grid."""
    image, weight, bias = args[:3]
    kernel_volume = weight[0].numel()
    macs.add(
        output.numel() * kernel_volume + _bias_cost(output, bias), image.numel() * kernel_volume
    )


def count_linear(macs: Macs, output: torch.Tensor, args: Arguments) -> None:
    """Output elements times input width, plus the bias."""
    _, weight, bias = args[:3]
    products = output.numel() * weight.shape[1]
    macs.add(products + _bias_cost(output, bias), products)


def count_attention(macs: Macs, output: torch.Tensor, args: Arguments) -> None:
    """Two matrix products, a softmax, and the scaling of queries and keys."""
    query, key, _ = args[:3]
    scores = query[..., 0].numel() * key.shape[-2]
    products = 2 * scores * query.shape[-1]
    macs.add(products + SOFTMAX * scores + query.numel() + key.numel(), products)


def count_norm(macs: Macs, output: torch.Tensor, args: Arguments) -> None:
    """Layer norm over the last dimension."""
    macs.add(NORM_ELEMENT * output.numel() + NORM_TOKEN * output[..., 0].numel())


def per_element(price: int) -> Callable[[Macs, torch.Tensor, Arguments], None]:
    """Return a counter that charges each output element the same."""

    def count(macs: Macs, output: torch.Tensor, args: Arguments) -> None:
        macs.add(price * output.numel())

    return count


def _bias_cost(output: torch.Tensor, bias: torch.Tensor | None) -> int:
    return 0 if bias is None else output.numel()


COUNTERS: dict[Any, Callable[[Macs, torch.Tensor, Arguments], None]] = {
    torch.conv2d: count_convolution,
    torch.conv_transpose2d: count_transposed_convolution,
    F.linear: count_linear,
    F.scaled_dot_product_attention: count_attention,
    F.layer_norm: count_norm,
    F.gelu: per_element(GELU),
    F.relu: per_element(1),
    F.hardtanh: per_element(1),
    F.interpolate: per_element(RESIZE),
    torch.sigmoid: per_element(EXP),
    torch.Tensor.add: per_element(1),
    torch.Tensor.sub: per_element(1),
    torch.Tensor.mul: per_element(1),
    torch.Tensor.div: per_element(DIV),
    torch.Tensor.sqrt: per_element(SQRT),
}


class MacCounter(TorchFunctionMode):
    """Count what runs inside the context.

    Functions are caught where models call them, before PyTorch takes them apart, since one call is
    about one node of an exported graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self.macs = Macs()

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Arguments = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the function, and count it if it costs anything."""
        output = func(*args, **(kwargs or {}))
        if func in COUNTERS:
            COUNTERS[func](self.macs, output, args)
        return output


def build_on_meta(size: str, tasks: list[str]) -> DavidForDensePrediction | DavidForDepthEstimation:
    """Build a model without weights: the dense one for several tasks, otherwise depth."""
    config = DavidConfig.from_size(size, tasks=tasks)
    with torch.device("meta"):
        if len(tasks) > 1:
            return DavidForDensePrediction(config).eval()
        return DavidForDepthEstimation(config).eval()


def count_macs(model: torch.nn.Module, side: int) -> Macs:
    """Count one forward pass over a square image of `side` pixels."""
    pixel_values = torch.empty(1, 3, side, side, device="meta")
    with torch.no_grad(), MacCounter() as counter:
        model(pixel_values)
    return counter.macs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Parameters and MACs of each size.")
    parser.add_argument("--size", type=int, default=512, help="side of the image in pixels")
    side = parser.parse_args().size
    print(f"{'model':<16}{'parameters':>12}{'onnx_tool G':>13}{'published G':>13}{'honest G':>10}")
    depth, dense = ["depth"], ["depth", "normals", "alpha"]
    rows: list[tuple[str, list[str], str]] = [
        ("nano", dense, ""),
        ("tiny", dense, ""),
        ("small", dense, ""),
        ("base", depth, "172.4"),
        ("large", depth, "331.5"),
        ("large", dense, "389.9"),
    ]
    for size, tasks, published in rows:
        model = build_on_meta(size, tasks)
        macs = count_macs(model, side)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        name = f"{size}, {len(tasks)} head{'s' if len(tasks) > 1 else ''}"
        known = published if side == 512 else ""
        print(
            f"{name:<16}{parameters:>12,}{macs.onnx_tool / 1e9:>13.3f}{known:>13}"
            f"{macs.honest / 1e9:>10.3f}"
        )


if __name__ == "__main__":
    main()
