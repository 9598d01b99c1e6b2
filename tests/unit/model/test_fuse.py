"""The form for inference: the same maps with fewer operations, and nothing of it is saved."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from factories import random_images, tiny_config, tiny_model
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from david_hf import DavidForDensePrediction, bundled_checkpoint
from david_hf.model.fusable_david import DavidFusableSequential, fold_batch_norm

MAPS = ("predicted_depth", "normals", "alphas")


def build(encoder_type: str = "vit", **overrides: Any) -> DavidForDensePrediction:
    """A model whose every weight and statistic is its own."""
    model = tiny_model(DavidForDensePrediction, tiny_config(encoder_type, **overrides))
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "levels" in name or name.endswith("bias"):
                tensor.add_(0.1 * torch.randn_like(tensor))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return model


def run(
    model: DavidForDensePrediction, images: torch.Tensor
) -> tuple[dict[str, torch.Tensor], int]:
    """Maps, and the operations they cost."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        outputs = model(images)
    return {name: outputs[name] for name in MAPS}, counter.get_total_flops()


CASES: dict[str, dict[str, Any]] = {
    "usual": {},
    "mobilenet": {"encoder_type": "mobilenet_v2"},
    "no projection": {"projection_kernels": [], "projection_activations": []},
    "two projections": {"projection_kernels": [1, 1], "projection_activations": ["none", "none"]},
    "projection first": {"projection_first": True},
    "half-pixel corners": {"interp_align_corners": False},
    "two merges": {"concat_kernels": [1, 3], "concat_activations": ["silu", "relu"]},
    "no activation": {"concat_activations": ["none"]},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_fused_model_gives_the_same_maps_with_fewer_operations(
    case: dict[str, Any], generator: torch.Generator
) -> None:
    # In double precision: what is left is not rounding.
    model = build(**case).double()
    images = random_images(generator, 96, 112).double()
    expected, cost = run(model, images)

    fused, fused_cost = run(model.fuse(), images)

    for name in MAPS:
        torch.testing.assert_close(fused[name], expected[name], atol=1e-6, rtol=1e-6)
    assert fused_cost < cost


@pytest.mark.parametrize(
    "case",
    [
        {"projection_activations": ["relu"]},
        {"projection_kernels": [3]},
        {"concat_kernels": [3]},
    ],
)
def test_what_does_not_commute_with_a_resize_stays_as_it_is(
    case: dict[str, Any], generator: torch.Generator
) -> None:
    model = build(**case)
    images = random_images(generator)
    expected, cost = run(model, images)

    fused, fused_cost = run(model.fuse(), images)

    assert fused_cost == cost
    assert torch.equal(fused["predicted_depth"], expected["predicted_depth"])


@pytest.mark.parametrize("encoder_type", ["vit", "mobilenet_v2"])
def test_fusing_changes_neither_the_weights_nor_what_is_saved(
    encoder_type: str, tmp_path: Path
) -> None:
    model = build(encoder_type)
    before = copy.deepcopy(model.state_dict())

    model.fuse().save_pretrained(tmp_path)

    assert list(model.state_dict()) == list(before)
    loaded = DavidForDensePrediction.from_pretrained(tmp_path)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert loaded.config.to_dict().keys() == model.config.to_dict().keys()


def test_unfusing_brings_back_the_very_same_numbers(generator: torch.Generator) -> None:
    model = build("mobilenet_v2")
    images = random_images(generator)
    expected, cost = run(model, images)

    restored, restored_cost = run(model.fuse().unfuse(), images)

    assert restored_cost == cost
    assert all(torch.equal(restored[name], expected[name]) for name in MAPS)


def test_training_goes_back_to_the_weights(generator: torch.Generator) -> None:
    model = build().fuse()
    images = random_images(generator)

    model.train()
    model(images, labels={"alpha": torch.ones(2, 1, 40, 48)}).loss.backward()

    merge = model.model.decoder.levels[1].merge[0].convolution
    assert merge.weight.grad is not None
    assert merge.weight.grad.abs().sum() > 0


def test_loading_weights_leaves_no_trace_of_older_ones(generator: torch.Generator) -> None:
    model, other = build().fuse(), build()
    images = random_images(generator)

    model.load_state_dict(other.state_dict())

    expected, _ = run(other, images)
    assert torch.equal(run(model, images)[0]["predicted_depth"], expected["predicted_depth"])


def test_a_fused_model_runs_in_half_precision_and_copies(generator: torch.Generator) -> None:
    model = build().fuse()
    images = random_images(generator)

    halved = copy.deepcopy(model).to(torch.bfloat16)

    assert run(halved, images)[0]["alphas"].dtype == torch.bfloat16
    assert run(halved, images)[1] == run(model, images)[1]


def test_weights_that_are_not_in_memory_are_refused() -> None:
    with torch.device("meta"):
        model = DavidForDensePrediction(tiny_config("vit"))

    with pytest.raises(ValueError, match="load the model without offloading"):
        model.fuse()


def test_a_folded_convolution_is_convolution_and_norm(generator: torch.Generator) -> None:
    convolution = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    norm = nn.BatchNorm2d(6, eps=0.1).eval()
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            assert tensor is not None
            tensor.normal_()
    images = torch.randn(2, 4, 9, 9, generator=generator)

    torch.testing.assert_close(
        fold_batch_norm(convolution, norm)(images), norm(convolution(images))
    )


def test_a_sequence_without_batch_norms_has_no_faster_form() -> None:
    sequence = DavidFusableSequential(nn.Conv2d(3, 4, 1), nn.ReLU())

    sequence.fuse()

    assert sequence.fused is None
    assert len(sequence) == 2


def test_the_bundled_checkpoint_fuses(generator: torch.Generator) -> None:
    model = DavidForDensePrediction.from_pretrained(bundled_checkpoint()).eval()
    images = random_images(generator, 256, 256, 1)
    expected, cost = run(model, images)

    fused, fused_cost = run(model.fuse(), images)

    assert fused_cost < cost
    spread = expected["predicted_depth"].max() - expected["predicted_depth"].min()
    difference = (fused["predicted_depth"] - expected["predicted_depth"]).abs().max()
    assert difference < 1e-5 * spread
    torch.testing.assert_close(fused["alphas"], expected["alphas"], atol=1e-5, rtol=0)
