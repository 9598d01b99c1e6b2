# Copyright 2026 The david_hf authors. MIT licence.
"""Image processor of DAViD on torch tensors, on any device."""

from typing import Any

import torch
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_processing_base import BatchFeature
from transformers.image_utils import ChannelDimension
from transformers.utils.generic import TensorType

from .image_inputs_david import to_channels_first, to_rgb
from .image_processing_base_david import DavidBaseImageProcessor, DavidImageProcessorKwargs


class DavidImageProcessor(DavidBaseImageProcessor, TorchvisionBackend):
    """Prepare images for DAViD as torch tensors; a tensor on a GPU stays there.

    The backend carries torchvision's name, but none of its functions is called: this class also
    works where torchvision is not installed. See `DavidBaseImageProcessor` for the options.
    """

    def process_image(
        self,
        image: Any,
        do_convert_rgb: bool | None = None,
        input_data_format: str | ChannelDimension | None = None,
        device: "str | torch.device | None" = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Turn one image of any kind into a (C, H, W) tensor, moved to `device` if given."""
        tensor = to_channels_first(image, input_data_format).to(device)
        return to_rgb(tensor) if do_convert_rgb else tensor

    def _preprocess(  # type: ignore[override]  # options stay together, by name
        self,
        images: list[torch.Tensor],
        return_tensors: str | TensorType | None = None,
        **options: Any,
    ) -> BatchFeature:
        pixel_values = [self._to_pixel_values(image, options) for image in images]
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)


__all__ = ["DavidImageProcessor", "DavidImageProcessorKwargs"]
