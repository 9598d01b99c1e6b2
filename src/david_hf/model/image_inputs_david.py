# Copyright 2026 The david_hf authors. MIT licence.
"""From any image that transformers accepts to a channel-first tensor with values in [0, 1]."""

import numpy as np
import torch
from PIL import Image
from transformers.image_utils import ChannelDimension

# Channel counts of grey, colour, and colour with alpha.
_CHANNELS = (1, 3, 4)


def pil_to_array(image: Image.Image) -> np.ndarray:
    """Read the colours of a PIL image of any mode, at the depth it is stored in.

    Transparency is dropped, as `Image.convert("RGB")` does: what lies under a transparent pixel is
    used as it is stored, nothing is blended in.

    Args:
        image: Image in any mode; one with an EXIF orientation is taken as stored, not turned.

    Returns:
        Array of shape (H, W) for 16-bit grey (uint16) and float images (float32), otherwise uint8
        of shape (H, W, 3).
    """
    if image.mode.startswith("I;16"):
        return np.array(image).astype(np.uint16)
    if image.mode == "I":  # Pillow's older home of 16-bit grey
        return np.array(image).clip(0, 65535).astype(np.uint16)
    if image.mode == "F":
        return np.array(image)
    if image.mode in ("P", "PA"):
        # Straight to RGB, Pillow warns about palettes with transparency.
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def to_channels_first(
    image: Image.Image | np.ndarray | torch.Tensor,
    input_data_format: str | ChannelDimension | None = None,
) -> torch.Tensor:
    """Turn one image into a (C, H, W) tensor of its own dtype and device.

    Without `input_data_format`, a shape that fits both layouts, such as (1, 1, 3), is read by the
    custom of its library: arrays have their channels last, tensors first.

    Args:
        image: PIL image, or array or tensor of shape (H, W), (H, W, C) or (C, H, W).
        input_data_format: Layout of arrays and tensors, "channels_first" or "channels_last".

    Raises:
        TypeError: If `image` is none of these.
        ValueError: If the image has no pixels or its channel axis cannot be told.
    """
    if isinstance(image, Image.Image):
        image, input_data_format = pil_to_array(image), ChannelDimension.LAST
    if isinstance(image, np.ndarray):
        # Torch wants contiguous, writable arrays in the machine's own byte order.
        native = np.require(image, image.dtype.newbyteorder("="), ["C", "W"])
        tensor, layouts = torch.from_numpy(native), [ChannelDimension.LAST, ChannelDimension.FIRST]
    elif isinstance(image, torch.Tensor):
        tensor, layouts = image, [ChannelDimension.FIRST, ChannelDimension.LAST]
    else:
        raise TypeError(f"expected a PIL image, an array or a tensor, got {type(image).__name__}")
    if tensor.numel() == 0:
        raise ValueError(
            f"expected an image with at least one pixel, got shape {tuple(tensor.shape)}"
        )
    if tensor.ndim == 2:
        return tensor[None]
    if input_data_format is not None:
        layouts = [ChannelDimension(input_data_format)]
    return _move_channels_first(tensor, layouts)


def _move_channels_first(tensor: torch.Tensor, layouts: list[ChannelDimension]) -> torch.Tensor:
    """Apply the first of the `layouts` that leaves 1, 3 or 4 channels."""
    for layout in layouts:
        moved = tensor if layout is ChannelDimension.FIRST else tensor.movedim(-1, 0)
        if tensor.ndim == 3 and moved.shape[0] in _CHANNELS:
            return moved
    names = " or ".join(layout.value for layout in layouts)
    raise ValueError(
        f"expected an image of 1, 3 or 4 channels, {names}, got shape {tuple(tensor.shape)}"
    )


def to_rgb(image: torch.Tensor) -> torch.Tensor:
    """Make three channels of (C, H, W): grey is repeated, an alpha channel is dropped."""
    return image.expand(3, -1, -1) if image.shape[0] == 1 else image[:3]


def to_unit_range(plane: torch.Tensor, rescale_factor: float) -> torch.Tensor:
    """Scale pixel values by their dtype, clip them to [0, 1], give float32.

    Args:
        plane: Values of any dtype: floats are taken as scaled already, uint16 fills 16 bits, every
            other integer holds 8-bit values.
        rescale_factor: Factor for 8-bit values, 1/255 as a rule; 16-bit values get a 257th of it.
    """
    if plane.is_floating_point() or plane.dtype == torch.bool:
        scaled = plane.float()
    else:
        # Division, not multiplication, by 255 and 65535: the official runtime divides.
        divisor = (257.0 if plane.dtype == torch.uint16 else 1.0) / rescale_factor
        scaled = plane.float() / divisor
    return scaled.clamp(0.0, 1.0)


def reverse_colours(image: torch.Tensor) -> torch.Tensor:
    """Swap red and blue of (C, H, W); grey stays as it is, alpha stays last."""
    if image.shape[0] < 3:
        return image
    return torch.cat([image[:3].flip(0), image[3:]])
