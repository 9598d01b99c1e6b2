"""The image processors against the official runtime's arithmetic, written here with OpenCV."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from david_hf.model.image_processing_david import DavidImageProcessor
from david_hf.model.image_processing_pil_david import DavidImageProcessorPil
from david_hf.model.image_transforms_david import interpolation_taps, pyramid_taps, shrink_to_input

SIZE = 64  # small networks, so that images above three times their side stay small too
BACKENDS = [DavidImageProcessor, DavidImageProcessorPil]
SHAPES = [
    *[(1, 1), (1, 9), (9, 1), (2, 3), (64, 64), (63, 65)],
    *[(120, 81), (81, 120), (192, 192), (193, 193), (194, 50), (401, 300), (300, 401), (801, 790)],
    *[(700, 5), (5, 700), (801, 190)],
]
backends = pytest.mark.parametrize("backend", BACKENDS)


def make_image(height: int, width: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Noise: the hardest picture to resample alike. Floats go below 0 and above 1."""
    values = np.random.default_rng(seed).random((height, width, 3))
    if dtype.startswith("float"):
        return (values * 1.4 - 0.2).astype(dtype)
    return (values * np.iinfo(dtype).max).round().astype(dtype)


def pad_of(height: int, width: int) -> tuple[int, int, int, int]:
    """Padding at the top, bottom, left and right."""
    difference = abs(height - width)
    small, rest = difference // 2, difference - difference // 2
    return (small, rest, 0, 0) if height < width else (0, 0, small, rest)


def official_input(image: np.ndarray, size: int) -> np.ndarray:
    """What the official runtime feeds its network for an RGB image (it reads BGR itself)."""
    scale = {"uint8": 255.0, "uint16": 65535.0}.get(image.dtype.name, 1.0)
    pixels = np.clip(image / scale, 0.0, 1.0).astype(np.float32)[..., ::-1]
    padding = pad_of(*pixels.shape[:2])
    pixels = cv2.copyMakeBorder(np.ascontiguousarray(pixels), *padding, cv2.BORDER_REPLICATE)
    while pixels.shape[0] > 3 * size and pixels.shape[1] > 3 * size:
        pixels = cv2.pyrDown(pixels)
    pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    return pixels.transpose(2, 0, 1)


def official_output(output: np.ndarray, height: int, width: int) -> np.ndarray:
    """The official way back for maps (h, w) or (h, w, 3)."""
    side = max(height, width)
    top, _, left, _ = pad_of(height, width)
    restored = cv2.resize(output, (side, side), interpolation=cv2.INTER_CUBIC)
    return restored[top : top + height, left : left + width]


def smooth_maps(channels: int, seed: int = 0) -> torch.Tensor:
    """Maps (2, channels, SIZE, SIZE) about as smooth as a network's.

    White noise would tell OpenCV's builds apart: without IPP they round positions to float32.
    """
    noise = torch.randn(2, channels, 6, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (SIZE, SIZE), mode="bicubic")


@backends
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_inputs_are_those_of_the_official_runtime(
    backend: Any, dtype: str, height: int, width: int
) -> None:
    image = make_image(height, width, dtype)

    pixel_values = backend(size=SIZE)(image, return_tensors="pt").pixel_values

    expected = torch.from_numpy(official_input(image, SIZE))[None]
    assert pixel_values.dtype is torch.float32
    torch.testing.assert_close(pixel_values, expected, atol=1e-5, rtol=0)


@backends
@pytest.mark.parametrize(("height", "width"), [(1537, 1201), (700, 1600)])
def test_the_default_input_is_512_pixels_in_bgr(backend: Any, height: int, width: int) -> None:
    image = make_image(height, width, "uint8")

    pixel_values = backend()(image, return_tensors="pt").pixel_values

    expected = torch.from_numpy(official_input(image, 512))[None]
    torch.testing.assert_close(pixel_values, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_both_backends_give_the_same_numbers(height: int, width: int) -> None:
    image = make_image(height, width, "uint8")

    from_torch, from_pil = (backend(size=SIZE)(image)["pixel_values"][0] for backend in BACKENDS)

    assert isinstance(from_torch, torch.Tensor)
    assert isinstance(from_pil, np.ndarray)
    np.testing.assert_allclose(from_torch.numpy(), from_pil, atol=1e-5)


@backends
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_outputs_are_those_of_the_official_runtime(backend: Any, height: int, width: int) -> None:
    depth, normals, alphas = smooth_maps(1)[:, 0], smooth_maps(3, seed=1), smooth_maps(1, seed=2)
    outputs = SimpleNamespace(predicted_depth=depth, normals=normals, alphas=alphas)
    processor, sizes = backend(size=SIZE), [(height, width)] * 2

    depth_maps = processor.post_process_depth_estimation(outputs, sizes)
    normal_maps = processor.post_process_normal_estimation(outputs, sizes)
    alpha_maps = processor.post_process_image_matting(outputs, sizes)

    for item in range(2):
        expected_depth = official_output(depth[item].numpy(), height, width)
        expected_normals = official_output(normals[item].permute(1, 2, 0).numpy(), height, width)
        length = np.linalg.norm(expected_normals, axis=-1, keepdims=True)
        expected_normals = (expected_normals / (length + 1e-8)).transpose(2, 0, 1)
        expected_alpha = official_output(alphas[item, 0].numpy(), height, width).clip(0, 1)
        np.testing.assert_allclose(
            depth_maps[item]["predicted_depth"].numpy(), expected_depth, atol=1e-5
        )
        np.testing.assert_allclose(
            normal_maps[item]["normals"].numpy(), expected_normals, atol=1e-5
        )
        np.testing.assert_allclose(alpha_maps[item]["alphas"].numpy(), expected_alpha, atol=1e-5)


@pytest.mark.parametrize(("source", "target"), [(64, 64), (64, 401), (64, 7), (512, 1187), (5, 1)])
def test_cubic_weights_are_exact_keys_weights(source: int, target: int) -> None:
    taps = interpolation_taps(source, target, "cubic")

    positions = (np.arange(target) + 0.5) * source / target - 0.5
    nearest = np.floor(positions).astype(int)
    for tap, offset in enumerate((-1, 0, 1, 2)):
        distance = np.abs(positions - nearest - offset)
        inside = 1.25 * distance**3 - 2.25 * distance**2 + 1
        outside = -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weights = np.where(distance <= 1, inside, outside)
        np.testing.assert_array_equal(
            taps.indices[:, tap].numpy(), np.clip(nearest + offset, 0, source - 1)
        )
        np.testing.assert_allclose(taps.weights[:, tap].numpy(), weights, atol=1e-6)


class LargestResult(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


@pytest.mark.parametrize("shape", [(16_000, 4), (4, 16_000), (4_000, 16)])
def test_a_strip_takes_no_more_memory_than_a_photo_of_its_pixels(shape: tuple[int, int]) -> None:
    plane = torch.rand(shape)

    with LargestResult() as largest:
        shrink_to_input(plane, (16, 16), "linear", pad=True)

    assert largest.elements <= 5 * plane.numel()  # tables have five taps for each pixel


def test_a_constant_stays_constant_through_every_table() -> None:
    for taps in (interpolation_taps(7, 20, "linear"), pyramid_taps(6), pyramid_taps(7)):
        torch.testing.assert_close(taps.weights.sum(1), torch.ones(len(taps.weights)))


@backends
def test_a_batch_of_different_sizes_equals_its_rows(backend: Any) -> None:
    images = [
        make_image(40, 90, "uint8"),
        make_image(200, 199, "uint16"),
        make_image(1, 1, "uint8"),
    ]
    processor = backend(size=SIZE)

    batch = processor(images, return_tensors="pt")

    assert list(batch) == ["pixel_values"]
    assert batch.pixel_values.shape == (3, 3, SIZE, SIZE)
    for row, image in zip(batch.pixel_values, images, strict=True):
        torch.testing.assert_close(row, processor(image, return_tensors="pt").pixel_values[0])


@backends
def test_rgb_order_is_bgr_turned_round(backend: Any) -> None:
    image = make_image(30, 20, "uint8")

    bgr = backend(size=SIZE)(image, return_tensors="pt").pixel_values
    rgb = backend(size=SIZE, channel_order="rgb")(image, return_tensors="pt").pixel_values

    torch.testing.assert_close(rgb, bgr.flip(1))
    by_call = backend(size=SIZE)(image, channel_order="rgb", return_tensors="pt").pixel_values
    torch.testing.assert_close(by_call, rgb)


@backends
def test_layouts_and_libraries_agree(backend: Any) -> None:
    image = make_image(30, 20, "uint8")
    channels_first = np.ascontiguousarray(image.transpose(2, 0, 1))
    same = [
        *[Image.fromarray(image), image, channels_first, image[::-1][::-1]],
        *[torch.from_numpy(image), torch.from_numpy(channels_first)],
    ]

    rows = backend(size=SIZE)(same, return_tensors="pt").pixel_values

    for row in rows[1:]:
        torch.testing.assert_close(row, rows[0])


def colour_of(processor: Any, image: Any, **kwargs: Any) -> list[float]:
    """Colour of the centre pixel, red first."""
    pixels = processor(image, return_tensors="pt", channel_order="rgb", **kwargs).pixel_values
    return pixels[0, :, SIZE // 2, SIZE // 2].tolist()


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 51, 102, 204])
    image.info["transparency"] = b"\xff\x00"
    return image


ORANGE = (204, 102, 51)
PIL_IMAGES = {
    "RGB": (Image.new("RGB", (4, 4), ORANGE), [0.8, 0.4, 0.2]),
    "RGBA, transparent": (Image.new("RGBA", (4, 4), (*ORANGE, 0)), [0.8, 0.4, 0.2]),
    "L": (Image.new("L", (4, 4), 102), [0.4] * 3),
    "LA, transparent": (Image.new("LA", (4, 4), (102, 0)), [0.4] * 3),
    "1": (Image.new("1", (4, 4), 1), [1.0] * 3),
    "CMYK": (Image.new("CMYK", (4, 4), (51, 153, 204, 0)), [0.8, 0.4, 0.2]),
    "P, transparent": (palette_with_transparency(), [0.2, 0.4, 0.8]),
    "I;16": (Image.fromarray(np.full((4, 4), 13107, np.uint16)), [0.2] * 3),
    "I": (Image.fromarray(np.full((4, 4), 13107, np.int32)), [0.2] * 3),
    "F": (Image.fromarray(np.full((4, 4), 0.2, np.float32)), [0.2] * 3),
    "1x1": (Image.new("RGB", (1, 1), ORANGE), [0.8, 0.4, 0.2]),
}


@backends
@pytest.mark.parametrize("kind", PIL_IMAGES)
def test_every_pil_mode_keeps_its_colour(backend: Any, kind: str) -> None:
    image, expected = PIL_IMAGES[kind]

    assert colour_of(backend(size=SIZE), image) == pytest.approx(expected, abs=1e-6)


@backends
def test_arrays_and_tensors_of_one_pixel_are_read_by_the_custom_of_their_library(
    backend: Any,
) -> None:
    processor, pixel = backend(size=SIZE), np.array([204, 102, 51], np.uint8)

    assert colour_of(processor, pixel.reshape(1, 1, 3)) == pytest.approx([0.8, 0.4, 0.2])
    assert colour_of(processor, torch.from_numpy(pixel.reshape(3, 1, 1))) == pytest.approx(
        [0.8, 0.4, 0.2]
    )
    first = colour_of(processor, pixel.reshape(3, 1, 1), input_data_format="channels_first")
    assert first == pytest.approx([0.8, 0.4, 0.2])


@backends
def test_grey_and_four_channel_arrays_become_rgb(backend: Any) -> None:
    processor = backend(size=SIZE)
    grey = np.full((5, 3), 26214, np.uint16)
    with_alpha = np.tile(np.array([204, 102, 51, 0], np.uint8), (5, 6, 1))

    assert colour_of(processor, grey) == pytest.approx([0.4] * 3)
    assert colour_of(processor, [grey, grey]) == pytest.approx([0.4] * 3)
    assert colour_of(processor, grey[..., None]) == pytest.approx([0.4] * 3)
    assert colour_of(processor, grey.astype(">u2")) == pytest.approx([0.4] * 3)
    assert colour_of(processor, with_alpha) == pytest.approx([0.8, 0.4, 0.2])
    kept = processor(with_alpha, do_convert_rgb=False, return_tensors="pt").pixel_values
    assert kept.shape == (1, 4, SIZE, SIZE)


@backends
def test_options_of_the_transformers_interface_work(backend: Any) -> None:
    processor, image = backend(size=SIZE), make_image(30, 20, "uint8")

    raw = processor(image, do_rescale=False, return_tensors="pt").pixel_values
    unit = processor(image, return_tensors="pt").pixel_values
    torch.testing.assert_close(raw / 255, unit)

    mean, std = [0.5, 0.4, 0.3], [0.1, 0.2, 0.3]
    options = {"do_normalize": True, "image_mean": mean, "image_std": std}
    normalized = processor(image, **options, return_tensors="pt").pixel_values
    blue_first = (unit - torch.tensor(mean[::-1]).view(3, 1, 1)) / torch.tensor(std[::-1]).view(
        3, 1, 1
    )
    torch.testing.assert_close(normalized, blue_first)

    padded = processor(image, do_resize=False, return_tensors="pt").pixel_values
    assert padded.shape == (1, 3, 30, 30)
    torch.testing.assert_close(padded[..., 0], padded[..., 5])
    stretched = processor(image, do_pad=False, return_tensors="np").pixel_values
    expected = cv2.resize(image / np.float32(255), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(stretched[0], expected[..., ::-1].transpose(2, 0, 1), atol=1e-5)
    sharp = processor(image, resample=Image.Resampling.BICUBIC, return_tensors="pt").pixel_values
    assert not torch.allclose(sharp, unit, atol=1e-2)


@backends
def test_without_padding_maps_are_stretched_back(backend: Any) -> None:
    depth = smooth_maps(1)[:1, 0]
    outputs = {"predicted_depth": depth}

    maps = backend(size=SIZE, do_pad=False).post_process_depth_estimation(outputs, [(30, 20)])

    expected = cv2.resize(depth[0].numpy(), (20, 30), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(maps[0]["predicted_depth"].numpy(), expected, atol=1e-5)
    of_a_call = backend(size=SIZE).post_process_depth_estimation(outputs, [(30, 20)], do_pad=False)
    torch.testing.assert_close(of_a_call[0]["predicted_depth"], maps[0]["predicted_depth"])


@backends
def test_without_target_sizes_maps_stay_as_the_model_gave_them(backend: Any) -> None:
    outputs = SimpleNamespace(
        predicted_depth=smooth_maps(1)[:, 0], normals=smooth_maps(3), alphas=smooth_maps(1)
    )
    processor = backend(size=SIZE)

    depth = processor.post_process_depth_estimation(outputs)
    normals = processor.post_process_normal_estimation(outputs)
    alphas = processor.post_process_image_matting(outputs)

    assert torch.equal(depth[1]["predicted_depth"], outputs.predicted_depth[1])
    assert torch.equal(normals[1]["normals"], outputs.normals[1])
    assert torch.equal(alphas[1]["alphas"], outputs.alphas[1, 0])


@backends
def test_sizes_may_be_pairs_or_a_tensor_and_differ(backend: Any) -> None:
    outputs = SimpleNamespace(alphas=smooth_maps(1))
    processor = backend(size=SIZE)

    from_pairs = processor.post_process_image_matting(outputs, [(1, 50), (33, 1)])
    from_tensor = processor.post_process_image_matting(outputs, torch.tensor([[1, 50], [33, 1]]))

    assert [maps["alphas"].shape for maps in from_pairs] == [(1, 50), (33, 1)]
    for one, other in zip(from_pairs, from_tensor, strict=True):
        assert torch.equal(one["alphas"], other["alphas"])


@backends
@pytest.mark.parametrize("sizes", [None, [(40, 30)] * 2])
def test_half_precision_outputs_come_back_in_float32(backend: Any, sizes: Any) -> None:
    outputs = SimpleNamespace(
        predicted_depth=smooth_maps(1)[:, 0].bfloat16(),
        normals=smooth_maps(3).bfloat16(),
        alphas=smooth_maps(1).half(),
    )
    processor = backend(size=SIZE)

    maps = [
        processor.post_process_depth_estimation(outputs, sizes)[0]["predicted_depth"],
        processor.post_process_normal_estimation(outputs, sizes)[0]["normals"],
        processor.post_process_image_matting(outputs, sizes)[0]["alphas"],
    ]

    assert {item.dtype for item in maps} == {torch.float32}
    if sizes is not None:
        torch.testing.assert_close(maps[1].norm(dim=0), torch.ones(40, 30))
        assert maps[2].min() == 0.0
        assert maps[2].max() == 1.0


@backends
def test_bad_arguments_are_named(backend: Any) -> None:
    processor = backend(size=SIZE)
    outputs = {"predicted_depth": smooth_maps(1)[:, 0], "normals": None}

    with pytest.raises(ValueError, match="one target size for each of 2 images, got 1"):
        processor.post_process_depth_estimation(outputs, [(3, 3)])
    with pytest.raises(ValueError, match="the model gave no `normals`"):
        processor.post_process_normal_estimation(outputs)
    with pytest.raises(ValueError, match='channel_order must be "bgr" or "rgb", got \'gbr\''):
        backend(channel_order="gbr")
    with pytest.raises(ValueError, match='size must have a "height" and a "width"'):
        backend(size={"shortest_edge": 3})
    with pytest.raises(ValueError, match="resample must be BILINEAR or BICUBIC"):
        processor(make_image(3, 3, "uint8"), resample=Image.Resampling.LANCZOS)
    with pytest.raises(ValueError, match=r"1, 3 or 4 channels, .*got shape \(5, 6, 7\)"):
        processor(np.zeros((5, 6, 7), np.uint8))
    with pytest.raises(ValueError, match=r"at least one pixel, got shape \(0, 6, 3\)"):
        processor(np.zeros((0, 6, 3), np.uint8))


@backends
def test_float_images_of_255_are_warned_of(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = "david_hf.model.image_processing_base_david.logger"
    warnings: list[str] = []
    monkeypatch.setattr(f"{logger}.warning_once", warnings.append)

    backend(size=SIZE)(np.full((4, 4, 3), 1.2, np.float32))
    assert warnings == []
    backend(size=SIZE)(np.full((4, 4, 3), 200.0, np.float32))
    assert warnings[0].startswith("a float image should hold values in [0, 1], got up to 200;")


@backends
def test_a_saved_processor_is_the_same_after_loading(backend: Any, tmp_path: Path) -> None:
    processor = backend(size=SIZE, channel_order="rgb", do_pad=False)

    processor.save_pretrained(tmp_path)

    for other in BACKENDS:
        assert other.from_pretrained(tmp_path).to_dict() == processor.to_dict() | {
            "image_processor_type": "DavidImageProcessor"
        }


def test_both_backends_save_the_same_file(tmp_path: Path) -> None:
    files = []
    for backend in BACKENDS:
        backend(size=SIZE).save_pretrained(tmp_path / backend.__name__)
        files.append((tmp_path / backend.__name__ / "preprocessor_config.json").read_text())

    assert json.loads(files[0]) == json.loads(files[1])
    assert json.loads(files[0])["image_processor_type"] == "DavidImageProcessor"
    assert json.loads(files[0])["size"] == {"height": SIZE, "width": SIZE}


@backends
def test_paths_are_read_by_both_backends(backend: Any, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), ORANGE).save(tmp_path / "orange.png")

    colour = colour_of(backend(size=SIZE), str(tmp_path / "orange.png"))

    assert colour == pytest.approx([0.8, 0.4, 0.2])


def test_tensors_stay_on_their_device() -> None:
    """The meta device stands for an accelerator: nothing can be read back from it."""
    processor = DavidImageProcessor()
    photo = torch.zeros(3, 40, 30, dtype=torch.uint8, device="meta")
    sizes = torch.tensor([[40, 30]])

    inputs = processor(photo, return_tensors="pt")
    depth = torch.zeros(1, 48, 48, device="meta")
    normals = torch.zeros(1, 3, 48, 48, device="meta")
    alphas = torch.zeros(1, 1, 48, 48, device="meta")

    results = [
        inputs["pixel_values"],
        processor.post_process_depth_estimation({"predicted_depth": depth}, sizes)[0],
        processor.post_process_normal_estimation({"normals": normals}, sizes)[0],
        processor.post_process_image_matting({"alphas": alphas}, sizes)[0],
    ]
    for result in results:
        maps = next(iter(result.values())) if isinstance(result, dict) else result
        assert maps.device.type == "meta"
