# Copyright 2026 The david_hf authors. MIT licence.
"""The losses of the paper (DAViD, Saleh et al. 2025, eq. 3 and 4) as pure functions.

All of them compute in float32 at least, take masks as bool or as weights, and are zero with zero
gradients where a mask is empty. Sums run over the whole batch before they are divided by the number
of valid pixels, so that a person seen small does not outweigh one seen large. Where a batch is
divided, among processes or in time, `count_valid` of the whole batch makes the sum of the parts'
losses that of the whole.
"""

from typing import Literal

import torch
import torch.nn.functional as F

from .layers_david import unit_vectors

__all__ = [
    "align_scale_shift",
    "alpha_losses",
    "binary_cross_entropy",
    "count_valid",
    "depth_losses",
    "dice_loss",
    "gradient_matching_loss",
    "laplacian_loss",
    "local_relief_loss",
    "normal_loss",
    "normalize_to_nearness",
    "scale_shift_invariant_loss",
]

Orientation = Literal["free", "positive"]

# Scales of the gradient term, each with half the sides of the one before (Ranftl et al. 2020).
_NUM_SCALES = 4
# Tiles along each side, and least span of nearness within one, for the local term.
_LOCAL_GRIDS = (2, 4, 8)
_MIN_SPAN = 0.05
# Least number a loss is divided by: shares of a count are seldom smaller.
_MIN_COUNT = 1e-3
# Variance below which a prediction counts as constant.
_MIN_VARIANCE = 1e-9


def count_valid(task: str, mask: torch.Tensor) -> torch.Tensor:
    """Count what the losses of a task are divided by; counts of parts of a batch may be added.

    Args:
        task: "depth", "normals" or "alpha".
        mask: Pixels that count, bool or weights, shape (B, H, W).

    Returns:
        float32. Of depth, the valid pixels at each scale of the gradient term, shape (4,); of
        normals, the valid pixels, shape (1,); of alpha, the valid pixels and the images that have
        some, shape (2,).
    """
    weights = mask.float()
    if task == "depth":
        steps = [2**scale for scale in range(_NUM_SCALES)]
        return torch.stack([weights[:, ::step, ::step].sum() for step in steps])
    if task == "normals":
        return weights.sum()[None]
    return torch.stack([weights.sum(), (weights.sum(dim=(1, 2)) > 0).sum().float()])


def depth_losses(
    prediction: torch.Tensor,
    depth: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    orientation: Orientation = "free",
    gradient_weight: float = 0.5,
    local_weight: float = 0.0,
    counts: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Compare relative depth with z-depth up to scale and shift (DAViD, eq. 4).

    The paper does not publish the weight of the gradient term; 0.5 is that of MiDaS
    (Ranftl et al. 2020, eq. 12). It has no local term: that is our choice, off by default.

    Args:
        prediction: Relative depth, larger = nearer, shape (B, H, W).
        depth: Z-depth in metres, anything outside the mask, shape (B, H, W).
        mask: Valid foreground, shape (B, H, W); None takes every pixel.
        orientation: "positive" punishes a map turned inside out, "free" accepts it.
        gradient_weight: Weight of the gradient term.
        local_weight: Weight of `local_relief_loss`; 0 leaves it out.
        counts: See `count_valid`; None counts this batch.

    Returns:
        The weighted parts, scalars, under "mse" and "gradient", and "local" if it has a weight.
    """
    prediction = _at_least_float32(prediction)
    weights = _as_weights(mask, prediction)
    counts = count_valid("depth", weights) if counts is None else counts
    target = normalize_to_nearness(depth, weights)
    aligned = align_scale_shift(prediction, target, weights, orientation)
    gradient = gradient_matching_loss(aligned, target, weights, counts=counts)
    losses = {
        "mse": _half_mean_square(aligned - target, weights, counts[0]),
        "gradient": gradient_weight * gradient,
    }
    if local_weight:
        losses["local"] = local_weight * local_relief_loss(aligned, target, weights, counts)
    return losses


def scale_shift_invariant_loss(
    prediction: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None = None,
    orientation: Orientation = "free",
) -> torch.Tensor:
    """Half the mean squared residual of the best affine fit (Ranftl et al. 2020, eq. 1).

    Args:
        prediction: Shape (B, H, W).
        target: Shape (B, H, W), finite inside the mask.
        mask: Valid pixels, shape (B, H, W); None takes every pixel.
        orientation: See `align_scale_shift`.

    Returns:
        A scalar: the sum over the batch over twice the number of valid pixels.
    """
    prediction = _at_least_float32(prediction)
    weights = _as_weights(mask, prediction)
    target = _inside(target, weights)
    aligned = align_scale_shift(prediction, target, weights, orientation)
    return _half_mean_square(aligned - target, weights, weights.sum())


def normalize_to_nearness(depth: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Map z-depth to 1 at the nearest and 0 at the farthest valid pixel of each image.

    The alignment removes any affine map anyway: this fixes the unit of the loss and its sign.

    Args:
        depth: Z-depth in metres, larger = farther, shape (B, H, W).
        mask: Valid pixels, shape (B, H, W).

    Returns:
        Nearness in [0, 1], zero outside the mask, shape (B, H, W).
    """
    valid = mask > 0
    depth = _at_least_float32(depth)
    nearest = depth.masked_fill(~valid, torch.inf).amin(dim=(1, 2), keepdim=True)
    farthest = depth.masked_fill(~valid, -torch.inf).amax(dim=(1, 2), keepdim=True)
    nearness = (farthest - depth) / (farthest - nearest).clamp_min(1e-6)
    return nearness.masked_fill(~valid, 0.0)


def align_scale_shift(
    prediction: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor,
    orientation: Orientation = "free",
) -> torch.Tensor:
    """Fit `scale * prediction + shift` to `target` by least squares (Ranftl et al. 2020, eq. 4).

    Solved through centred moments, which keeps float32 accurate; gradients run through the fit.

    Args:
        prediction: Shape (B, H, W).
        target: Shape (B, H, W), finite everywhere.
        mask: Weight of each pixel, shape (B, H, W).
        orientation: "positive" makes the scale positive (absolute value), the shift follows.

    Returns:
        The aligned prediction, shape (B, H, W).
    """
    count = mask.sum(dim=(1, 2), keepdim=True).clamp_min(_MIN_COUNT)
    prediction_mean = (mask * prediction).sum(dim=(1, 2), keepdim=True) / count
    target_mean = (mask * target).sum(dim=(1, 2), keepdim=True) / count
    centred = prediction - prediction_mean
    covariance = (mask * centred * (target - target_mean)).sum(dim=(1, 2), keepdim=True) / count
    variance = (mask * centred.square()).sum(dim=(1, 2), keepdim=True) / count
    scale = covariance / (variance + _MIN_VARIANCE)
    if orientation == "positive":
        scale = scale.abs()
    return scale * centred + target_mean


def gradient_matching_loss(
    prediction: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None = None,
    num_scales: int = _NUM_SCALES,
    counts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean absolute gradient of the residual at several scales (Ranftl et al. 2020, eq. 11).

    Args:
        prediction: Aligned prediction, shape (B, H, W).
        target: Shape (B, H, W), finite inside the mask.
        mask: Valid pixels, shape (B, H, W); a difference needs both of its pixels.
        num_scales: Scales, each with half the sides of the one before.
        counts: Valid pixels at each scale, shape (num_scales,); None counts this batch.

    Returns:
        A scalar: the sum over scales and both directions.
    """
    prediction = _at_least_float32(prediction)
    weights = _as_weights(mask, prediction)
    residual = prediction - _inside(target, weights)
    loss = residual.new_zeros(())
    for scale in range(num_scales):
        step = 2**scale
        part, valid = residual[:, ::step, ::step], weights[:, ::step, ::step]
        vertical = (part.diff(dim=1).abs() * valid[:, 1:] * valid[:, :-1]).sum()
        horizontal = (part.diff(dim=2).abs() * valid[:, :, 1:] * valid[:, :, :-1]).sum()
        count = valid.sum() if counts is None else counts[scale]
        loss = loss + (vertical + horizontal) / count.clamp_min(_MIN_COUNT)
    return loss


def local_relief_loss(
    prediction: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None = None,
    counts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean absolute residual within tiles of the image, each about its mean and over its span.

    Beside a whole body, or people one behind the other, the relief of a face is next to nothing:
    in its own tile it is all there is. As the local loss of MoGe (Wang et al. 2025, section 3.3),
    on tiles in place of balls, and with one scale for the image.

    Args:
        prediction: Aligned prediction, shape (B, H, W).
        target: Nearness, finite inside the mask, shape (B, H, W).
        mask: Valid pixels, shape (B, H, W); None takes every pixel.
        counts: Valid pixels, the first of `count_valid`'s; None counts this batch.

    Returns:
        A scalar: the sum over grids of 2, 4 and 8 tiles along each side.
    """
    prediction = _at_least_float32(prediction)
    weights = _as_weights(mask, prediction)
    target = _inside(target, weights)
    loss = prediction.new_zeros(())
    for grid in _LOCAL_GRIDS:
        residual, valid = _tiles(prediction - target, grid), _tiles(weights, grid)
        count = valid.sum(dim=(1, 2), keepdim=True).clamp_min(_MIN_COUNT)
        mean = (valid * residual).sum(dim=(1, 2), keepdim=True) / count
        nearness, is_out = _tiles(target, grid), valid == 0
        nearest = nearness.masked_fill(is_out, -torch.inf).amax(dim=(1, 2), keepdim=True)
        farthest = nearness.masked_fill(is_out, torch.inf).amin(dim=(1, 2), keepdim=True)
        span = (nearest - farthest).clamp_min(_MIN_SPAN)
        loss = loss + (valid * (residual - mean).abs() / span).sum()
    count = weights.sum() if counts is None else counts[0]
    return loss / count.clamp_min(_MIN_COUNT)


def _tiles(maps: torch.Tensor, grid: int) -> torch.Tensor:
    """Cut (B, H, W) into (B * grid * grid, h, w), with zeros where a side is no multiple."""
    height, width = maps.shape[1:]
    maps = F.pad(maps, (0, -width % grid, 0, -height % grid))
    rows = maps.unflatten(2, (grid, -1)).unflatten(1, (grid, -1))
    return rows.transpose(2, 3).flatten(0, 2)


def normal_loss(
    prediction: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None = None,
    counts: torch.Tensor | None = None,
) -> torch.Tensor:
    """One minus the cosine between normals, as in DAViD.

    Args:
        prediction: Normals of any length, shape (B, 3, H, W).
        target: Normals of any length, anything outside the mask, shape (B, 3, H, W).
        mask: Valid foreground, shape (B, H, W); None takes every pixel.
        counts: See `count_valid`; None counts this batch.

    Returns:
        A scalar in [0, 2]: the mean over valid pixels.
    """
    prediction = _at_least_float32(prediction)
    weights = _as_weights(mask, prediction[:, 0])
    target = unit_vectors(_inside(target, weights.unsqueeze(1)))
    cosine = (unit_vectors(prediction) * target).sum(dim=1)
    count = weights.sum() if counts is None else counts[0]
    return (weights * (1 - cosine)).sum() / count.clamp_min(_MIN_COUNT)


def alpha_losses(
    alpha: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    logits: torch.Tensor | None = None,
    laplacian_weight: float = 1.0,
    counts: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Compare soft foregrounds: BCE + L1 + dice + Laplacian (DAViD, eq. 3).

    The paper weighs all terms alike but the Laplacian; its weight is missing from every copy we
    know, and 1 is our choice.

    Args:
        alpha: Predicted foreground, shape (B, 1, H, W). Values outside [0, 1] are clamped for BCE
            and dice; L1 and the Laplacian see them as they are and pull them back.
        target: True foreground in [0, 1], shape (B, 1, H, W).
        mask: Pixels that count, shape (B, H, W); None takes every pixel.
        logits: What `alpha` is the sigmoid of, if it is one; BCE is then computed stably.
        laplacian_weight: Weight of the Laplacian term.
        counts: See `count_valid`; None counts this batch.

    Returns:
        The weighted parts, scalars, under "bce", "l1", "dice" and "laplacian".
    """
    alpha = _at_least_float32(alpha)
    weights = _as_weights(None if mask is None else mask.unsqueeze(1), alpha)
    target = _inside(target, weights)
    residual = (alpha - target) * weights
    cross_entropy = binary_cross_entropy(alpha, target, logits)
    counts = count_valid("alpha", weights.squeeze(1)) if counts is None else counts
    count = counts[0].clamp_min(_MIN_COUNT)
    laplacian = laplacian_loss(residual, torch.zeros_like(residual))
    return {
        "bce": (weights * cross_entropy).sum() / count,
        "l1": residual.abs().sum() / count,
        "dice": dice_loss(alpha.clamp(0, 1), target, weights, labelled=counts[1]),
        # A mean over all pixels, of which those without weight add nothing.
        "laplacian": laplacian_weight * laplacian * (weights.numel() / count),
    }


def binary_cross_entropy(
    alpha: torch.Tensor, target: torch.Tensor, logits: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross entropy per pixel, from logits where there are any.

    Args:
        alpha: Predicted foreground, clamped to [0, 1], any shape.
        target: True foreground in [0, 1], same shape.
        logits: What `alpha` is the sigmoid of, or None.

    Returns:
        The cross entropy, same shape.
    """
    if logits is not None:
        logits = _at_least_float32(logits)
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    alpha = alpha.clamp(1e-6, 1 - 1e-6)
    return -(target * alpha.log() + (1 - target) * (1 - alpha).log())


def dice_loss(
    alpha: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor | None = None,
    smoothing: float = 1.0,
    labelled: torch.Tensor | None = None,
) -> torch.Tensor:
    """Soft dice distance, the mean over labelled images (Sudre et al. 2017, plain form).

    Args:
        alpha: Predicted foreground in [0, 1], shape (B, 1, H, W).
        target: True foreground in [0, 1], shape (B, 1, H, W).
        weights: Pixels that count, shape (B, 1, H, W); an image without any has no label.
        smoothing: Pixels added above and below, which makes two empty maps equal.
        labelled: Number of labelled images to divide by; None counts this batch.

    Returns:
        A scalar in [0, 1].
    """
    alpha, target = _at_least_float32(alpha), _at_least_float32(target)
    weights = torch.ones_like(alpha) if weights is None else weights
    overlap = (weights * alpha * target).sum(dim=(1, 2, 3))
    total = (weights * (alpha + target)).sum(dim=(1, 2, 3))
    if labelled is None:
        labelled = (weights.sum(dim=(1, 2, 3)) > 0).sum()
    # An image without weights adds nothing: its overlap and total are zero.
    distances = 1 - (2 * overlap + smoothing) / (total + smoothing)
    return distances.sum() / labelled.clamp_min(_MIN_COUNT)


def laplacian_loss(alpha: torch.Tensor, target: torch.Tensor, num_levels: int = 5) -> torch.Tensor:
    """L1 distance of Laplacian pyramids, level `l` weighing `2 ** l` (Hou and Liu 2019).

    Kernel and borders are Robust Video Matting's. Pyramids are linear, so that of the difference
    is the difference of both. Small images end after as many levels as they have.

    Args:
        alpha: Predicted foreground, shape (B, C, H, W).
        target: True foreground, shape (B, C, H, W).
        num_levels: Levels at most.

    Returns:
        A scalar: the weighted sum over levels divided by their number.
    """
    current = _at_least_float32(alpha) - _at_least_float32(target)
    loss = current.sum() * 0.0
    level = 0
    # Autocast would blur in half precision and lose what the fine levels are made of.
    with torch.autocast(current.device.type, enabled=False):
        while level < num_levels and min(current.shape[-2:]) >= 4:
            coarse, detail = _pyramid_step(current)
            loss = loss + 2**level * detail.abs().mean()
            current, level = coarse, level + 1
    return loss / max(level, 1)


def _pyramid_step(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split (B, C, H, W) into a map of half the sides and the detail that one misses."""
    height, width = (side - side % 2 for side in image.shape[-2:])
    image = image[..., :height, :width]
    # Matrix products: many times faster on CPUs than convolutions of a single channel.
    rows, columns = _blur_matrix(height, image), _blur_matrix(width, image)
    coarse = rows[::2] @ image @ columns[::2].T
    # Enlarging puts zeros between the pixels and blurs; twice per axis keeps the mean.
    enlarged = (2 * rows[:, ::2]) @ coarse @ (2 * columns[:, ::2]).T
    return coarse, image - enlarged


def _blur_matrix(side: int, like: torch.Tensor) -> torch.Tensor:
    """Matrix (side, side) of the blur 1, 4, 6, 4, 1 along an axis with mirrored borders."""
    impulses = torch.eye(side, dtype=like.dtype, device=like.device)
    padded = F.pad(impulses, (2, 2), mode="reflect")
    taps = (1, 4, 6, 4, 1)
    shifted = [tap / 16 * padded[:, start : start + side] for start, tap in enumerate(taps)]
    return torch.stack(shifted).sum(dim=0).T


def _half_mean_square(
    residual: torch.Tensor, weights: torch.Tensor, count: torch.Tensor
) -> torch.Tensor:
    """Sum of the squared residual over twice the number of valid pixels."""
    return (weights * residual.square()).sum() / (2 * count.clamp_min(_MIN_COUNT))


def _as_weights(mask: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    """Return the mask in the type of `like`; no mask counts every pixel."""
    return torch.ones_like(like) if mask is None else mask.to(like.dtype)


def _inside(target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Zero the target outside the mask, where files hold infinities and sentinels."""
    return _at_least_float32(target).masked_fill(weights <= 0, 0.0)


def _at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Convert half precisions and integers to float32, leave float64."""
    return values if values.dtype == torch.float64 else values.float()
