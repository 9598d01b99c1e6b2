"""The figures of the released models, reproduced without allocating a weight."""

import pytest
import torch
from benchmarks.macs import build_on_meta, count_macs
from torch import nn

from david_hf.model import DavidConfig, DavidForDensePrediction, DavidForDepthEstimation

ALL_TASKS = ["depth", "normals", "alpha"]


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("size", "tasks", "parameters", "giga_macs"),
    [
        ("base", ["depth"], 112_262_273, 172.4),
        ("large", ["depth"], 344_414_145, 331.5),
        ("large", ALL_TASKS, 345_078_149, 389.9),
    ],
)
def test_parameters_and_macs_are_the_published_ones(
    size: str, tasks: list[str], parameters: int, giga_macs: float
) -> None:
    model = build_on_meta(size, tasks)

    assert num_parameters(model) == parameters
    assert round(count_macs(model, side=512).onnx_tool / 1e9, 1) == giga_macs


def test_nano_is_small() -> None:
    model = build_on_meta("nano", ALL_TASKS)

    assert isinstance(model, DavidForDensePrediction)
    assert 2_000_000 < num_parameters(model) < 4_000_000


@pytest.mark.parametrize(
    "placement",
    [
        # Where the two 1x1 convolutions of each level sit is not fixed by any public number.
        {"resizer_kernels": [3], "concat_kernels": [1, 1]},
        {"resizer_kernels": [3], "lateral_kernels": [1]},
        {"resizer_kernels": [3], "projection_kernels": [1, 1]},
        {"resizer_kernels": [3, 1, 1], "concat_kernels": [1], "projection_kernels": []},
        {"resizer_kernels": [3], "concat_kernels": [1, 1, 1], "projection_kernels": []},
    ],
)
def test_other_placements_of_the_pointwise_convolutions_have_as_many_parameters(
    placement: dict[str, list[int]],
) -> None:
    activations = {
        name.replace("kernels", "activations"): ["relu"] * len(kernels)
        for name, kernels in placement.items()
    }
    with torch.device("meta"):
        model = DavidForDepthEstimation(DavidConfig.from_size("base", **placement, **activations))

    assert num_parameters(model) == 112_262_273


def test_macs_of_a_convolution_are_counted_by_hand() -> None:
    class Convolution(nn.Conv2d):
        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return super().forward(pixel_values).relu_()

    with torch.device("meta"):
        model = Convolution(3, 5, kernel_size=3, padding=1)

    macs = count_macs(model, side=8)

    outputs = 5 * 8 * 8
    assert macs.honest == outputs * 27
    assert macs.onnx_tool == outputs * 27 + outputs


def test_transposed_convolutions_are_overcounted_as_the_published_figures_are() -> None:
    with torch.device("meta"):
        model = nn.ConvTranspose2d(3, 3, kernel_size=4, stride=4)

    macs = count_macs(model, side=8)

    assert macs.honest == 3 * 8 * 8 * 3 * 16
    assert macs.onnx_tool == 16 * macs.honest + 3 * 32 * 32
