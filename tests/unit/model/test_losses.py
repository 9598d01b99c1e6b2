import math

import pytest
import torch

from david_hf.model.losses_david import (
    align_scale_shift,
    alpha_losses,
    binary_cross_entropy,
    count_valid,
    depth_losses,
    dice_loss,
    gradient_matching_loss,
    laplacian_loss,
    local_relief_loss,
    normal_loss,
    normalize_to_nearness,
    scale_shift_invariant_loss,
)


def random_map(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


# Scale and shift


@pytest.mark.parametrize(("scale", "shift"), [(2.0, 0.5), (0.1, -3.0), (-1.0, 4.0)])
def test_alignment_undoes_any_affine_map(
    scale: float, shift: float, generator: torch.Generator
) -> None:
    target = random_map(generator, 2, 8, 8)

    aligned = align_scale_shift((target - shift) / scale, target, torch.ones_like(target))

    torch.testing.assert_close(aligned, target, atol=1e-5, rtol=0)


def test_alignment_is_the_least_squares_solution(generator: torch.Generator) -> None:
    prediction, target = random_map(generator, 1, 6, 7), random_map(generator, 1, 6, 7)
    mask = random_map(generator, 1, 6, 7) > 0.3

    aligned = align_scale_shift(prediction, target, mask.double())

    design = torch.stack([prediction[mask], torch.ones_like(prediction[mask])], dim=1)
    solution = torch.linalg.lstsq(design, target[mask, None]).solution
    torch.testing.assert_close(aligned[mask], (design @ solution)[:, 0])


def test_invariant_loss_ignores_scale_and_shift(generator: torch.Generator) -> None:
    prediction, target = random_map(generator, 2, 8, 8), random_map(generator, 2, 8, 8)

    loss = scale_shift_invariant_loss(2 * prediction + 3, target)

    torch.testing.assert_close(loss, scale_shift_invariant_loss(prediction, target))


def test_weights_may_sum_to_less_than_a_pixel(generator: torch.Generator) -> None:
    target = random_map(generator, 1, 8, 8)
    weights = torch.full_like(target, 0.1 / 64)

    aligned = align_scale_shift(2 * target + 3, target, weights)

    torch.testing.assert_close(aligned, target, atol=1e-5, rtol=0)


def test_invariant_loss_of_a_step_against_a_ramp_is_known() -> None:
    prediction = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    target = torch.tensor([[[0.0, 1.0, 2.0, 3.0]]])

    # The best fit is 0.5, 0.5, 2.5, 2.5: four residuals of one half, squared and halved.
    torch.testing.assert_close(scale_shift_invariant_loss(prediction, target), torch.tensor(0.125))


def test_a_large_mask_outweighs_a_small_one_in_the_batch() -> None:
    prediction = torch.tensor([[[0.0, 0.0, 1.0, 1.0]], [[0.0, 1.0, 0.0, 0.0]]])
    target = torch.tensor([[[0.0, 1.0, 2.0, 3.0]], [[0.0, 1.0, 9.0, 9.0]]])
    mask = torch.tensor([[[1, 1, 1, 1]], [[1, 1, 0, 0]]])

    # The second image fits exactly but adds two valid pixels to the denominator.
    loss = scale_shift_invariant_loss(prediction, target, mask)

    torch.testing.assert_close(loss, torch.tensor(1.0 / 12), atol=1e-6, rtol=0)


def test_a_map_turned_inside_out_is_free_or_punished_as_told(generator: torch.Generator) -> None:
    target = random_map(generator, 1, 8, 8)

    free = scale_shift_invariant_loss(-target, target)
    positive = scale_shift_invariant_loss(-target, target, orientation="positive")

    assert free < 1e-6
    # With the scale's sign flipped the residual is twice the centred target.
    expected = 2 * (target - target.mean()).square().mean()
    torch.testing.assert_close(positive, expected, atol=1e-6, rtol=0)


# Depth


def test_nearness_is_one_at_the_nearest_and_zero_at_the_farthest_valid_pixel() -> None:
    depth = torch.tensor([[[2.0, 3.0, 4.0, math.inf]]])
    mask = torch.tensor([[[True, True, True, False]]])

    assert normalize_to_nearness(depth, mask).tolist() == [[[1.0, 0.5, 0.0, 0.0]]]


def test_depth_losses_vanish_for_any_affine_map_of_nearness(generator: torch.Generator) -> None:
    depth = random_map(generator, 2, 16, 16) + 1

    losses = depth_losses(7 - 3 * depth, depth, orientation="positive")

    assert set(losses) == {"mse", "gradient"}
    for loss in losses.values():
        torch.testing.assert_close(loss, torch.zeros_like(loss), atol=1e-6, rtol=0)


def test_depth_losses_punish_depth_instead_of_nearness(generator: torch.Generator) -> None:
    depth = random_map(generator, 1, 16, 16) + 1

    losses = depth_losses(depth, depth, orientation="positive")

    assert losses["mse"] > 0.05


def test_gradient_term_ignores_a_constant_residual(generator: torch.Generator) -> None:
    target = random_map(generator, 2, 16, 16)

    loss = gradient_matching_loss(target + 5, target)

    torch.testing.assert_close(loss, torch.zeros_like(loss))


def test_gradient_term_of_a_ramp_is_known() -> None:
    ramp = torch.arange(16.0).expand(1, 16, 16)

    loss = gradient_matching_loss(ramp, torch.zeros_like(ramp))

    # At scale k, n = 16 / 2^k columns differ by 2^k: n (n - 1) 2^k / n^2.
    sides = [16, 8, 4, 2]
    expected = sum((side - 1) / side * 16 / side for side in sides)
    torch.testing.assert_close(loss, torch.tensor(expected))


def test_gradient_term_counts_only_pairs_of_valid_pixels() -> None:
    residual = torch.tensor([[[0.0, 1.0, 50.0, 2.0]]])
    mask = torch.tensor([[[1.0, 1.0, 0.0, 1.0]]])

    loss = gradient_matching_loss(residual, torch.zeros_like(residual), mask, num_scales=1)

    torch.testing.assert_close(loss, torch.tensor(1.0 / 3))


def test_local_term_ignores_a_constant_residual(generator: torch.Generator) -> None:
    nearness = random_map(generator, 2, 20, 24)

    loss = local_relief_loss(nearness + 0.3, nearness)

    torch.testing.assert_close(loss, torch.zeros_like(loss), atol=1e-6, rtol=0)


def test_local_term_measures_a_residual_by_the_span_of_each_tile() -> None:
    # Tiles of 4, 2 and 1 rows of a ramp span 3/7, 1/7 and nothing; alone, a pixel is its own mean.
    ramp = torch.linspace(0, 1, 8)[None, :, None].expand(1, 8, 8)
    checks = (-1.0) ** (torch.arange(8)[:, None] + torch.arange(8))

    loss = local_relief_loss(ramp + 0.01 * checks, ramp)

    assert float(loss) == pytest.approx(0.01 * (7 / 3 + 7))


def test_local_term_is_bounded_where_the_target_is_flat() -> None:
    checks = (-1.0) ** (torch.arange(8)[:, None] + torch.arange(8))

    loss = local_relief_loss(0.01 * checks[None], torch.zeros(1, 8, 8))

    assert float(loss) == pytest.approx(2 * 0.01 / 0.05)


def test_local_term_sees_nothing_outside_the_mask(generator: torch.Generator) -> None:
    prediction, nearness = random_map(generator, 1, 20, 20), random_map(generator, 1, 20, 20)
    mask = random_map(generator, 1, 20, 20) > 0.5
    other = torch.where(mask, nearness, 100.0)

    torch.testing.assert_close(
        local_relief_loss(prediction, nearness, mask), local_relief_loss(prediction, other, mask)
    )


def test_local_term_is_there_if_it_has_a_weight(generator: torch.Generator) -> None:
    prediction, depth = random_map(generator, 1, 16, 16), 1 + random_map(generator, 1, 16, 16)

    once = depth_losses(prediction, depth, local_weight=1.0)
    twice = depth_losses(prediction, depth, local_weight=2.0)

    assert "local" not in depth_losses(prediction, depth)
    torch.testing.assert_close(twice["local"], 2 * once["local"])


def test_gradient_weight_scales_its_part(generator: torch.Generator) -> None:
    prediction, depth = random_map(generator, 1, 8, 8), random_map(generator, 1, 8, 8)

    once = depth_losses(prediction, depth, gradient_weight=1.0)
    twice = depth_losses(prediction, depth, gradient_weight=2.0)

    torch.testing.assert_close(twice["gradient"], 2 * once["gradient"])
    torch.testing.assert_close(twice["mse"], once["mse"])


# Normals


@pytest.mark.parametrize(
    ("prediction", "expected"), [((0, 0, 3), 0.0), ((2, 0, 0), 1.0), ((0, 0, -1), 2.0)]
)
def test_normal_loss_is_one_minus_the_cosine_at_any_length(
    prediction: tuple[int, int, int], expected: float
) -> None:
    target = torch.tensor([0.0, 0.0, 0.5]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    predicted = torch.tensor(prediction, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, 4, 4)

    torch.testing.assert_close(normal_loss(predicted, target), torch.tensor(expected))


def test_normal_loss_averages_over_the_mask() -> None:
    target = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).repeat(1, 1, 1, 3)
    prediction = target.clone()
    prediction[..., 1] *= -1
    prediction[..., 2] *= -1
    target[..., 2] = torch.nan

    loss = normal_loss(prediction, target, torch.tensor([[[True, True, False]]]))

    torch.testing.assert_close(loss, torch.tensor(1.0))


# Foreground


def test_cross_entropy_from_logits_and_from_probabilities_agree(
    generator: torch.Generator,
) -> None:
    logits, target = random_map(generator, 2, 1, 4, 4) * 6 - 3, random_map(generator, 2, 1, 4, 4)

    from_logits = binary_cross_entropy(logits.sigmoid(), target, logits)

    torch.testing.assert_close(from_logits, binary_cross_entropy(logits.sigmoid(), target))


def test_alpha_losses_vanish_at_equality() -> None:
    target = torch.zeros(2, 1, 32, 32)
    target[..., 8:24, 8:24] = 1

    losses = alpha_losses(target, target, logits=(target - 0.5) * 200)

    assert set(losses) == {"bce", "l1", "dice", "laplacian"}
    for loss in losses.values():
        torch.testing.assert_close(loss, torch.zeros_like(loss))


def test_alpha_losses_of_the_opposite_are_known() -> None:
    target = torch.ones(1, 1, 4, 4)

    losses = alpha_losses(torch.zeros_like(target), target)

    torch.testing.assert_close(losses["l1"], torch.tensor(1.0))
    torch.testing.assert_close(losses["bce"], torch.tensor(-math.log(1e-6)), atol=1e-3, rtol=0)
    torch.testing.assert_close(losses["dice"], torch.tensor(1 - 1 / 17))


def test_alpha_losses_see_nothing_outside_the_mask(generator: torch.Generator) -> None:
    target = torch.rand(1, 1, 32, 32, generator=generator)
    prediction = target.clone()
    prediction[..., 16:, :] = 0.3
    mask = torch.ones(1, 32, 32)
    mask[:, 16:] = 0
    target[..., 16:, :] = torch.nan

    losses = alpha_losses(prediction, target, mask)

    torch.testing.assert_close(losses["l1"], torch.tensor(0.0))
    torch.testing.assert_close(losses["laplacian"], torch.tensor(0.0))
    assert losses["bce"].isfinite()
    assert losses["dice"].isfinite()


def test_dice_of_half_an_overlap_is_known() -> None:
    alpha = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 2, 2)
    target = torch.tensor([0.0, 1.0, 1.0, 0.0]).view(1, 1, 2, 2)

    torch.testing.assert_close(dice_loss(alpha, target, smoothing=0.0), torch.tensor(0.5))


def test_dice_of_two_empty_maps_is_zero() -> None:
    empty = torch.zeros(2, 1, 4, 4)

    assert dice_loss(empty, empty) == 0


def reference_laplacian_loss(
    alpha: torch.Tensor, target: torch.Tensor, levels: int
) -> torch.Tensor:
    """Robust Video Matting's form: a pyramid each, two-dimensional kernel, zero insertion."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=alpha.dtype)
    kernel = (taps[:, None] * taps[None, :] / 256)[None, None]

    def blur(image: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="reflect")
        return torch.nn.functional.conv2d(padded, kernel)

    def pyramid(image: torch.Tensor) -> list[torch.Tensor]:
        details = []
        for _ in range(levels):
            height, width = image.shape[2] // 2 * 2, image.shape[3] // 2 * 2
            image = image[:, :, :height, :width]
            coarse = blur(image)[:, :, ::2, ::2]
            spread = torch.zeros_like(image)
            spread[:, :, ::2, ::2] = coarse * 4
            details.append(image - blur(spread))
            image = coarse
        return details

    distances = [
        2**level * (ours - theirs).abs().mean()
        for level, (ours, theirs) in enumerate(zip(pyramid(alpha), pyramid(target), strict=True))
    ]
    return torch.stack(distances).sum() / levels


@pytest.mark.parametrize(("height", "width"), [(128, 128), (131, 150)])
def test_laplacian_loss_is_that_of_robust_video_matting(
    height: int, width: int, generator: torch.Generator
) -> None:
    alpha = random_map(generator, 2, 1, height, width)
    target = random_map(generator, 2, 1, height, width)

    expected = reference_laplacian_loss(alpha, target, levels=5)

    torch.testing.assert_close(laplacian_loss(alpha, target), expected)


@pytest.mark.parametrize(("side", "levels"), [(31, 3), (8, 2), (4, 1)])
def test_small_images_have_fewer_laplacian_levels(
    side: int, levels: int, generator: torch.Generator
) -> None:
    alpha, target = random_map(generator, 1, 1, side, side), random_map(generator, 1, 1, side, side)

    expected = reference_laplacian_loss(alpha, target, levels)

    torch.testing.assert_close(laplacian_loss(alpha, target), expected)


def test_an_image_too_small_for_a_pyramid_costs_nothing() -> None:
    alpha = torch.ones(1, 1, 1, 9, requires_grad=True)

    loss = laplacian_loss(alpha, torch.zeros_like(alpha))
    loss.backward()

    assert loss == 0
    assert alpha.grad is not None


def test_laplacian_loss_ignores_a_constant_offset(generator: torch.Generator) -> None:
    alpha = random_map(generator, 1, 1, 64, 64)

    loss = laplacian_loss(alpha, alpha + 0.25)

    torch.testing.assert_close(loss, torch.zeros_like(loss))


# All of them


def all_losses(
    depth: torch.Tensor, normals: torch.Tensor, logits: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Sum every loss against fixed targets."""
    dtype = torch.promote_types(depth.dtype, torch.float32)
    rows = torch.linspace(0, 1, depth.shape[1], dtype=dtype)[:, None].expand_as(depth)
    towards = torch.tensor([0.1, 0.2, 1.0], dtype=dtype).view(1, 3, 1, 1)
    alpha = logits.to(dtype).sigmoid()
    parts = [
        *depth_losses(depth, rows, mask, orientation="positive", local_weight=1.0).values(),
        normal_loss(normals, towards.expand_as(normals), mask),
        *alpha_losses(alpha, rows[:, None], mask, logits=logits).values(),
    ]
    return torch.stack(parts).sum()


def test_gradients_are_those_of_finite_differences(generator: torch.Generator) -> None:
    mask = random_map(generator, 1, 9, 9) > 0.2
    inputs = [
        random_map(generator, *shape).requires_grad_()
        for shape in ((1, 9, 9), (1, 3, 9, 9), (1, 1, 9, 9))
    ]

    assert torch.autograd.gradcheck(lambda *maps: all_losses(*maps, mask), inputs)


def test_an_empty_mask_gives_zero_loss_and_zero_gradients(generator: torch.Generator) -> None:
    inputs = [
        torch.randn(shape, generator=generator).requires_grad_()
        for shape in ((2, 8, 8), (2, 3, 8, 8), (2, 1, 8, 8))
    ]

    loss = all_losses(*inputs, torch.zeros(2, 8, 8, dtype=torch.bool))
    loss.backward()

    assert loss == 0
    for values in inputs:
        assert values.grad is not None
        assert (values.grad == 0).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_predictions_have_finite_gradients(value: float) -> None:
    inputs = [
        torch.full(shape, value, requires_grad=True)
        for shape in ((2, 8, 8), (2, 3, 8, 8), (2, 1, 8, 8))
    ]

    all_losses(*inputs, torch.ones(2, 8, 8)).backward()

    for values in inputs:
        assert values.grad is not None
        assert values.grad.isfinite().all()


def test_half_precision_predictions_are_judged_in_float32(generator: torch.Generator) -> None:
    inputs = [
        torch.randn(shape, generator=generator).bfloat16()
        for shape in ((2, 32, 32), (2, 3, 32, 32), (2, 1, 32, 32))
    ]
    mask = torch.ones(2, 32, 32)

    loss = all_losses(*inputs, mask)

    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, all_losses(*(values.float() for values in inputs), mask))


def test_autocast_does_not_touch_the_losses(generator: torch.Generator) -> None:
    inputs = [
        torch.randn(shape, generator=generator)
        for shape in ((2, 32, 32), (2, 3, 32, 32), (2, 1, 32, 32))
    ]
    mask = torch.ones(2, 32, 32)

    with torch.autocast("cpu", torch.bfloat16):
        loss = all_losses(*inputs, mask)

    torch.testing.assert_close(loss, all_losses(*inputs, mask))


@pytest.mark.parametrize("task", ["depth", "normals", "alpha"])
def test_losses_of_the_parts_of_a_batch_add_up_to_that_of_the_whole(
    task: str, generator: torch.Generator
) -> None:
    mask = (
        torch.rand(4, 32, 40, generator=generator)
        < torch.tensor([0.1, 0.5, 0.9, 0.0])[:, None, None]
    )
    prediction = torch.rand(4, 3, 32, 40, generator=generator)
    target = torch.rand(4, 3, 32, 40, generator=generator) + 0.1

    def losses(rows: slice, counts: torch.Tensor | None) -> torch.Tensor:
        if task == "depth":
            maps = (prediction[rows, 0], target[rows, 0], mask[rows])
            parts = depth_losses(*maps, local_weight=1.0, counts=counts)
        elif task == "alpha":
            alpha, true = prediction[rows, :1], target[rows, :1].clamp(0, 1)
            parts = alpha_losses(alpha, true, mask[rows], counts=counts)
        else:
            parts = {"": normal_loss(prediction[rows], target[rows], mask[rows], counts)}
        return torch.stack(list(parts.values()))

    counts = count_valid(task, mask[:1]) + count_valid(task, mask[1:])
    whole = losses(slice(None), None)
    parts = losses(slice(0, 1), counts) + losses(slice(1, 4), counts)

    torch.testing.assert_close(parts, whole)
