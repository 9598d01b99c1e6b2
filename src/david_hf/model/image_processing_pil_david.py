# Copyright 2026 The david_hf authors. MIT licence.
"""Image processor of DAViD on PIL images and numpy arrays."""

from typing import Any

import numpy as np
import torch
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_base import BatchFeature
from transformers.image_utils import ChannelDimension
from transformers.utils.generic import TensorType

from .image_inputs_david import to_channels_first, to_rgb
from .image_processing_base_david import DavidBaseImageProcessor, DavidImageProcessorKwargs


class DavidImageProcessorPil(DavidBaseImageProcessor, PilBackend):
    """Prepare images for DAViD on the CPU, as numpy arrays.

    The numbers and the saved file are those of `DavidImageProcessor`. See
    `DavidBaseImageProcessor` for the options.
    """

    def process_image(
        self,
        image: Any,
        do_convert_rgb: bool | None = None,
        input_data_format: str | ChannelDimension | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Turn one image of any kind into a (C, H, W) array."""
        tensor = to_channels_first(image, input_data_format).cpu()
        return (to_rgb(tensor) if do_convert_rgb else tensor).numpy()

    def _preprocess(  # type: ignore[override]  # options stay together, by name
        self,
        images: list[np.ndarray],
        return_tensors: str | TensorType | None = None,
        **options: Any,
    ) -> BatchFeature:
        pixel_values = [
            self._to_pixel_values(torch.from_numpy(image), options).numpy() for image in images
        ]
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)


__all__ = ["DavidImageProcessorKwargs", "DavidImageProcessorPil"]
