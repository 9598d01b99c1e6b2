import pytest
import torch
from factories import random_images, tiny_vit_config

from david_hf.model.decoder_david import DavidDecoder, DavidResidualUnit
from david_hf.model.layers_david import unit_vectors
from david_hf.model.resizer_david import DavidResizer


@pytest.mark.parametrize(
    ("side", "expected"), [(48, [24, 12, 6, 3]), (37, [19, 10, 5, 3]), (1, [1, 1, 1, 1])]
)
def test_resizer_levels_halve_the_sides_rounding_up(
    side: int, expected: list[int], generator: torch.Generator
) -> None:
    resizer = DavidResizer(3, [4, 6, 8, 8], kernels=[3, 1], activations=["relu", "none"])

    maps = resizer(random_images(generator, side, 16))

    assert [x.shape[2] for x in maps] == expected
    assert [x.shape[1] for x in maps] == [4, 6, 8, 8]


def test_resizer_activations_follow_the_config(generator: torch.Generator) -> None:
    images = random_images(generator)
    resizer = DavidResizer(3, [4, 4, 4, 4], kernels=[3], activations=["relu"])
    linear = DavidResizer(3, [4, 4, 4, 4], kernels=[3], activations=["none"])
    linear.load_state_dict(resizer.state_dict())

    torch.testing.assert_close(resizer(images)[0], linear(images)[0].relu())
    assert linear(images)[0].min() < 0


def test_residual_unit_without_weights_changes_nothing(generator: torch.Generator) -> None:
    unit = DavidResidualUnit(4, bias=True)
    torch.nn.init.zeros_(unit.convolution2.weight)
    torch.nn.init.zeros_(unit.convolution2.bias)
    features = torch.randn(1, 4, 5, 5, generator=generator)

    torch.testing.assert_close(unit(features), features)


def test_decoder_gives_one_map_of_the_finest_resizer_map(generator: torch.Generator) -> None:
    config = tiny_vit_config()
    encoder_sides, resizer_sides = (16, 8, 4, 2), (21, 11, 6, 3)
    encoder_maps = [
        torch.randn(2, channels, side, side, generator=generator)
        for channels, side in zip(config.neck_hidden_sizes, encoder_sides, strict=True)
    ]
    resizer_maps = [
        torch.randn(2, channels, side, side + 2, generator=generator)
        for channels, side in zip(config.resizer_hidden_sizes, resizer_sides, strict=True)
    ]

    assert DavidDecoder(config)(encoder_maps, resizer_maps).shape == (2, 8, 21, 23)


def test_only_the_coarsest_level_lacks_a_skip_unit() -> None:
    levels = DavidDecoder(tiny_vit_config()).levels

    assert [level.skip_unit is None for level in levels] == [False, False, False, True]


def test_unit_vectors_are_safe_at_zero() -> None:
    vectors = torch.tensor([[3.0, 0.0], [4.0, 0.0]])[None].requires_grad_()

    units = unit_vectors(vectors)
    units.sum().backward()

    torch.testing.assert_close(units, torch.tensor([[0.6, 0.0], [0.8, 0.0]])[None])
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
