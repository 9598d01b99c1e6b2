# Copyright 2026 The david_hf authors. MIT licence.
"""What the two image processors of DAViD have in common: options, preparation, post-processing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import PILImageResampling
from transformers.processing_utils import ImagesKwargs
from transformers.utils import logging

from .image_inputs_david import reverse_colours, to_unit_range
from .image_transforms_david import Interpolation, restore_to_image, shrink_to_input

logger = logging.get_logger(__name__)

TargetSizes = torch.Tensor | Sequence[Sequence[int]]

_INTERPOLATIONS: dict[int, Interpolation] = {
    PILImageResampling.BILINEAR: "linear",
    PILImageResampling.BICUBIC: "cubic",
}


class DavidImageProcessorKwargs(ImagesKwargs, total=False):
    r"""Options beyond those of every image processor.

    channel_order (`"bgr"` or `"rgb"`, *optional*, defaults to `self.channel_order`):
        Order of the colour channels in `pixel_values`. The official DAViD weights were trained on
        blue-green-red. Inputs are always red-green-blue.
    """

    channel_order: Literal["bgr", "rgb"]


class DavidBaseImageProcessor(BaseImageProcessor):
    """Options and arithmetic of both backends, which differ only in what holds the pixels.

    An image is scaled to [0, 1] by its dtype, padded to a square by replicating its borders, halved
    while both sides exceed three times the wanted ones, resized bilinearly without antialiasing,
    and put into `channel_order`: the numbers of the official runtime. `pixel_values` is all that
    preprocessing returns: the padding follows from the size of the image, so post-processing needs
    only `target_sizes`.

    The EXIF orientation of a PIL image is not applied, so that maps fit the pixels passed in; turn
    such photos first, as `david_hf.inference.load_image` does.

    Options, as arguments of the constructor or of a call:
        size: Height and width of `pixel_values`.
        resample: `BILINEAR` (the official runtime's) or `BICUBIC`.
        channel_order: "bgr" (official weights) or "rgb".
        do_convert_rgb: Repeat grey, convert CMYK and palettes, drop transparency.
        do_pad: Pad to a square; without it the image is stretched, and maps are stretched back.
        do_rescale: Scale by dtype and clip to [0, 1]: 8-bit integers by `rescale_factor`, 16-bit
            ones by a 257th of it, floats not at all.
        do_normalize: Subtract `image_mean` and divide by `image_std`, both in red-green-blue order.
            Off by default: networks that need it do it themselves.
    """

    valid_kwargs = DavidImageProcessorKwargs
    model_input_names = ["pixel_values"]  # noqa: RUF012 - as transformers declares it

    do_convert_rgb = True
    do_rescale = True
    rescale_factor = 1 / 255
    do_pad = True
    do_resize = True
    size = {"height": 512, "width": 512}  # noqa: RUF012 - copied by the base class
    default_to_square = True
    resample = PILImageResampling.BILINEAR
    do_normalize = False
    image_mean = None
    image_std = None
    channel_order = "bgr"

    def fetch_images(self, image_url_or_urls: Any) -> Any:
        """Decode paths and URLs with Pillow in both backends, so that both see the same pixels."""
        return BaseImageProcessor.fetch_images(self, image_url_or_urls)

    def _prepare_images_structure(self, images: Any, expected_ndims: int = 3) -> Any:
        """Make a flat list of images; grey images may have two dimensions."""
        images = self.fetch_images(images)
        several = isinstance(images, (list, tuple)) and len(images) > 0
        if getattr(images[0] if several else images, "ndim", None) == 2:
            return list(images) if several else [images]
        return super()._prepare_images_structure(images, expected_ndims)

    def _standardize_kwargs(  # type: ignore[override]  # options stay together, by name
        self, **kwargs: Any
    ) -> dict[str, Any]:
        """Check the options that only this processor has, on construction and on every call."""
        kwargs = super()._standardize_kwargs(**kwargs)
        if kwargs["channel_order"] not in ("bgr", "rgb"):
            raise ValueError(
                f'channel_order must be "bgr" or "rgb", got {kwargs["channel_order"]!r}'
            )
        size = kwargs["size"]
        if kwargs["do_resize"] and not (size and size.height and size.width):
            raise ValueError(f'size must have a "height" and a "width", got {size}')
        if kwargs["do_resize"] and kwargs["resample"] not in _INTERPOLATIONS:
            raise ValueError(f"resample must be BILINEAR or BICUBIC, got {kwargs['resample']!r}")
        return kwargs

    def _to_pixel_values(self, image: torch.Tensor, options: Mapping[str, Any]) -> torch.Tensor:
        """Bring one image, (C, H, W) of any dtype, to float32 (C, height, width) of the network."""
        size, pad = options["size"], bool(options["do_pad"])
        target = (int(size.height), int(size.width)) if options["do_resize"] else None
        kind = _INTERPOLATIONS.get(options["resample"], "linear")
        planes: Iterable[torch.Tensor] = image.unbind()
        if options["do_rescale"]:
            _warn_of_unscaled_floats(image)
            # A generator: a photo of 60 megapixels never lies in memory as one float image.
            planes = (to_unit_range(plane, options["rescale_factor"]) for plane in planes)
        pixels = torch.stack(
            [shrink_to_input(plane.float(), target, kind, pad=pad) for plane in planes]
        )
        if options["do_normalize"]:
            mean = pixels.new_tensor(options["image_mean"]).view(-1, 1, 1)
            pixels = (pixels - mean) / pixels.new_tensor(options["image_std"]).view(-1, 1, 1)
        return reverse_colours(pixels) if options["channel_order"] == "bgr" else pixels

    def post_process_depth_estimation(
        self, outputs: Any, target_sizes: TargetSizes | None = None, do_pad: bool | None = None
    ) -> list[dict[str, torch.Tensor]]:
        """Bring predicted depth to the size of each image.

        Args:
            outputs: Output of a model with `predicted_depth` of shape (B, h, w).
            target_sizes: (height, width) of each image, as pairs or as a tensor of shape (B, 2).
                Without it, maps stay as the model gave them.
            do_pad: As the images were processed; None takes the option of the processor.

        Returns:
            For each image `{"predicted_depth": (H, W)}`, float32, relative, larger = nearer.

        Raises:
            ValueError: If the output is not there, or sizes do not match the batch.
        """
        depth = _float_output(outputs, "predicted_depth")
        restored = self._restore(depth[:, None], target_sizes, do_pad)
        return [{"predicted_depth": maps[0]} for maps in restored]

    def post_process_normal_estimation(
        self, outputs: Any, target_sizes: TargetSizes | None = None, do_pad: bool | None = None
    ) -> list[dict[str, torch.Tensor]]:
        """Bring predicted normals to the size of each image and back to unit length.

        Args:
            outputs: Output of a model with `normals` of shape (B, 3, h, w).
            target_sizes: As in `post_process_depth_estimation`.
            do_pad: As there.

        Returns:
            For each image `{"normals": (3, H, W)}`, float32, X right, Y up, Z to the camera.

        Raises:
            ValueError: If the output is not there, or sizes do not match the batch.
        """
        restored = self._restore(_float_output(outputs, "normals"), target_sizes, do_pad)
        if target_sizes is not None:
            restored = [maps.div_(_length(maps) + 1e-8) for maps in restored]
        return [{"normals": maps} for maps in restored]

    def post_process_image_matting(
        self, outputs: Any, target_sizes: TargetSizes | None = None, do_pad: bool | None = None
    ) -> list[dict[str, torch.Tensor]]:
        """Bring the predicted soft foreground mask to the size of each image.

        Args:
            outputs: Output of a model with `alphas` of shape (B, 1, h, w).
            target_sizes: As in `post_process_depth_estimation`.
            do_pad: As there.

        Returns:
            For each image `{"alphas": (H, W)}`, float32 in [0, 1], 1 = foreground.

        Raises:
            ValueError: If the output is not there, or sizes do not match the batch.
        """
        restored = self._restore(_float_output(outputs, "alphas"), target_sizes, do_pad)
        if target_sizes is not None:
            restored = [maps.clamp_(0.0, 1.0) for maps in restored]
        return [{"alphas": maps[0]} for maps in restored]

    def _restore(
        self, maps: torch.Tensor, target_sizes: TargetSizes | None, do_pad: bool | None
    ) -> list[torch.Tensor]:
        """Resize (B, C, h, w) to new maps (C, H, W) of each target size."""
        if target_sizes is None:
            return list(maps)
        if len(target_sizes) != len(maps):
            raise ValueError(
                f"expected one target size for each of {len(maps)} images, got {len(target_sizes)}"
            )
        sizes = [(int(height), int(width)) for height, width in target_sizes]
        pad = bool(self.do_pad if do_pad is None else do_pad)
        return [
            restore_to_image(item, height, width, pad=pad)
            for item, (height, width) in zip(maps, sizes, strict=True)
        ]


def _length(vectors: torch.Tensor) -> torch.Tensor:
    """Length of each vector of (3, H, W); twenty times as fast as `norm` over the first axis."""
    x, y, z = vectors
    return torch.hypot(torch.hypot(x, y), z)


def _warn_of_unscaled_floats(image: torch.Tensor) -> None:
    """Say once that float images of 0..255 come out white, the usual mistake with floats."""
    if image.is_floating_point() and image.max() > 2.0:
        logger.warning_once(
            f"a float image should hold values in [0, 1], got up to {image.max().item():g}; larger "
            "values are clipped to 1. Divide it first, or pass 8-bit or 16-bit integers."
        )


def _float_output(outputs: Any, name: str) -> torch.Tensor:
    """Take an output of the model, as float32 whatever precision the model ran in."""
    value = outputs.get(name) if isinstance(outputs, Mapping) else getattr(outputs, name, None)
    if value is None:
        raise ValueError(f"the model gave no `{name}`; does this checkpoint have that head?")
    return value.float()
