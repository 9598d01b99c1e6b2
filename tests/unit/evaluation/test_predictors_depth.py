"""Depth models of transformers in the evaluation: their own numbers, in the right space."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photos import make_picture
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoImageProcessor,
    AutoModelForDepthEstimation,
    BeitConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DepthProConfig,
    DepthProForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    PreTrainedModel,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
)
from unit.evaluation.tiny_models import glpn

from david_hf.evaluation.predictors.base import Predictor
from david_hf.evaluation.predictors.opening import open_predictor

needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None,
    reason="these image processors need torchvision",
)


def dpt() -> PreTrainedModel:
    return DPTForDepthEstimation(
        DPTConfig(
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=8,
            backbone_out_indices=[0, 1, 2, 3],
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
        )
    )


def depth_anything(kind: str) -> PreTrainedModel:
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    )
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=16,
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            head_hidden_size=8,
            depth_estimation_type=kind,
            max_depth=20,
        )
    )


def zoedepth(*heads: str) -> PreTrainedModel:
    backbone = BeitConfig(
        image_size=32,
        num_hidden_layers=4,
        hidden_size=16,
        intermediate_size=32,
        num_attention_heads=2,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    bins: list[dict[str, Any]] = [
        {"n_bins": 4, "min_depth": 0.1, "max_depth": 10.0 * (index + 1), "name": name}
        for index, name in enumerate(heads)
    ]
    return ZoeDepthForDepthEstimation(
        ZoeDepthConfig(
            backbone_config=backbone,
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            bottleneck_features=8,
            num_relative_features=4,
            num_attractors=[4, 2, 2, 1],
            bin_embedding_dim=8,
            bin_configurations=bins,
            num_patch_transformer_layers=4,
            patch_transformer_hidden_size=128,  # the classifier takes no other
            patch_transformer_intermediate_size=16,
            patch_transformer_num_attention_heads=2,
        )
    )


def depth_pro() -> PreTrainedModel:
    encoder = {
        "model_type": "dinov2",
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "patch_size": 4,
        "image_size": 8,
    }
    return DepthProForDepthEstimation(
        DepthProConfig(
            patch_size=8,
            fusion_hidden_size=8,
            intermediate_hook_ids=[1, 0],
            intermediate_feature_dims=[8, 8],
            scaled_images_ratios=[0.5, 1.0],
            scaled_images_overlap_ratios=[0.0, 0.2],
            scaled_images_feature_dims=[8, 8],
            use_fov_model=True,
            num_fov_head_layers=1,
            image_model_config=encoder,
            patch_model_config=encoder,
            fov_model_config=encoder,
        )
    )


def squares(side: int, **options: Any) -> dict[str, Any]:
    return {
        "image_processor_type": "DPTImageProcessor",
        "size": {"height": side, "width": side},
    } | (options)


ZOEDEPTH = {
    "image_processor_type": "ZoeDepthImageProcessor",
    "size": {"height": 64, "width": 64},
    "ensure_multiple_of": 32,
}
# How each is built, its image processor, the space of its depth.
MODELS: dict[str, tuple[Callable[[], PreTrainedModel], dict[str, Any], str]] = {
    "dpt": (dpt, squares(32), "disparity"),
    "relative": (
        lambda: depth_anything("relative"),
        squares(56, keep_aspect_ratio=True, ensure_multiple_of=14),
        "disparity",
    ),
    "metric": (lambda: depth_anything("metric"), squares(56), "depth"),
    "glpn": (glpn, {"image_processor_type": "GLPNImageProcessor"}, "depth"),
    "zoedepth": (lambda: zoedepth("only"), ZOEDEPTH, "depth"),
    "zoedepth-padless": (lambda: zoedepth("only"), {**ZOEDEPTH, "do_pad": False}, "depth"),
    "zoedepth-heads": (lambda: zoedepth("nyu", "kitti"), ZOEDEPTH, "depth"),
    "depth-pro": (
        depth_pro,
        {"image_processor_type": "DepthProImageProcessor", "size": {"height": 16, "width": 16}},
        "depth",
    ),
}
NAMES = [
    pytest.param(name, marks=[needs_torchvision] if name.startswith(("zoe", "depth-pro")) else [])
    for name in MODELS
]


@pytest.fixture(scope="session")
def checkpoint(save_model: Callable[..., Path]) -> Callable[[str], Path]:
    folders: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        if name not in folders:
            build, processor, _ = MODELS[name]
            folders[name] = save_model(build(), processor, positive_head=name == "depth-pro")
        return folders[name]

    return folder_of


def depths(predictor: Predictor, photos: list[np.ndarray]) -> list[np.ndarray]:
    found = [maps.depth for maps in predictor.predict(photos)]
    assert all(depth is not None and depth.dtype == np.float32 for depth in found)
    assert [depth.shape for depth in found] == [photo.shape[:2] for photo in photos]
    return found


@torch.no_grad()
def depth_in_transformers(folder: Path, photo: np.ndarray) -> np.ndarray:
    """What the documentation of transformers says to do with one photo."""
    model = AutoModelForDepthEstimation.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    outputs = model(**processor(Image.fromarray(photo), return_tensors="pt"))
    sizes = [photo.shape[:2]]
    padded = model.config.model_type == "zoedepth" and processor.do_pad
    options = {"source_sizes": sizes} if padded else {"target_sizes": sizes}
    return processor.post_process_depth_estimation(outputs, **options)[0]["predicted_depth"].numpy()


@pytest.mark.parametrize("name", NAMES)
def test_depth_is_what_transformers_makes_of_a_photo(
    name: str, checkpoint: Callable[[str], Path], photos: list[np.ndarray]
) -> None:
    folder = checkpoint(name)

    predictor = open_predictor(folder, device="cpu")

    assert predictor.tasks == ("depth",)
    assert predictor.depth_space == MODELS[name][2]
    assert predictor.describe()["depth_space"] == MODELS[name][2]
    for photo in photos[:2]:
        expected = depth_in_transformers(folder, photo)
        assert np.ptp(expected) > 1e-3 * np.abs(expected).max()
        np.testing.assert_allclose(depths(predictor, [photo])[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_all_sizes_gives_what_each_photo_gives_alone(
    name: str, checkpoint: Callable[[str], Path], photos: list[np.ndarray]
) -> None:
    predictor = open_predictor(checkpoint(name), device="cpu")

    together = depths(predictor, photos)

    for photo, depth in zip(photos, together, strict=True):
        alone = depths(predictor, [photo])[0]
        np.testing.assert_allclose(depth, alone, rtol=1e-4, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("dpt", 1),
        ("relative", 3),
        # Several heads take a vote of the whole batch on which one to use.
        pytest.param("zoedepth-heads", 4, marks=needs_torchvision),
    ],
)
def test_photos_of_one_input_size_go_through_the_model_together_where_that_changes_nothing(
    name: str, passes: int, checkpoint: Callable[[str], Path], photos: list[np.ndarray]
) -> None:
    predictor: Any = open_predictor(checkpoint(name), device="cpu")
    sizes = []
    predictor.model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))

    predictor.predict(photos)

    assert len(sizes) == passes
    assert sum(sizes) == len(photos)


def test_no_photo_gives_no_maps(checkpoint: Callable[[str], Path]) -> None:
    assert open_predictor(checkpoint("dpt"), device="cpu").predict([]) == []


def test_a_photo_one_pixel_wide_keeps_its_shape(checkpoint: Callable[[str], Path]) -> None:
    predictor = open_predictor(checkpoint("dpt"), device="cpu")

    depths(predictor, [np.full((40, 1, 3), 90, np.uint8), np.full((1, 40, 3), 90, np.uint8)])


def test_the_caller_knows_better_what_a_checkpoint_predicts(
    checkpoint: Callable[[str], Path], photos: list[np.ndarray]
) -> None:
    usual = open_predictor(checkpoint("dpt"), device="cpu")

    metric = open_predictor(checkpoint("dpt"), device="cpu", depth_space="depth")

    assert (usual.depth_space, metric.depth_space) == ("disparity", "depth")
    assert metric.describe()["depth_space"] == "depth"
    np.testing.assert_array_equal(depths(metric, photos)[0], depths(usual, photos)[0])


def test_models_whose_space_is_not_known_are_refused_unless_it_is_given(
    tmp_path: Path, refusal: Callable[..., str]
) -> None:
    config = {"model_type": "chmv2", "architectures": ["CHMv2ForDepthEstimation"]}
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert refusal(tmp_path) == (
        f"cannot load {tmp_path}: nothing says whether chmv2 predicts depth or disparity; give "
        "depth_space"
    )
    # The next thing that is missing.
    assert "found none" in refusal(tmp_path, depth_space="depth")


def test_an_image_processor_without_post_processing_leaves_a_plain_resize(
    save_model: Callable[..., Path],
) -> None:
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    predictor: Any = open_predictor(save_model(dpt(), processor), device="cpu")
    photo = np.asarray(make_picture(90, 110))

    found = depths(predictor, [photo])[0]

    with torch.no_grad():
        depth = predictor.model(predictor.prepare(photo)).predicted_depth
    expected = torch.nn.functional.interpolate(depth[None], (90, 110), mode="bilinear")[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_half_precision_gives_float32_maps(
    checkpoint: Callable[[str], Path], photos: list[np.ndarray]
) -> None:
    exact = open_predictor(checkpoint("metric"), device="cpu")
    half = open_predictor(checkpoint("metric"), device="cpu", dtype="bfloat16")

    found = depths(half, photos)

    assert half.describe()["dtype"] == "bfloat16"
    assert exact.describe()["dtype"] == "float32"
    assert not np.array_equal(found[0], depths(exact, photos)[0])
    np.testing.assert_allclose(found[0], depths(exact, photos)[0], rtol=0.1)


def without(folder: Path, target: Path, part: str) -> Path:
    """Copy a checkpoint without some of its weights."""
    shutil.copytree(folder, target)
    file = target / "model.safetensors"
    weights = load_file(file)
    kept = {name: value for name, value in weights.items() if part not in name}
    assert len(kept) < len(weights)
    save_file(kept, file, {"format": "pt"})
    return target


def test_weights_may_lack_only_where_published_checkpoints_do_not_use_them(
    checkpoint: Callable[[str], Path],
    photos: list[np.ndarray],
    tmp_path: Path,
    refusal: Callable[..., str],
) -> None:
    whole = checkpoint("dpt")
    as_published = without(whole, tmp_path / "a", "fusion_stage.layers.0.residual_layer1.")
    broken = without(whole, tmp_path / "b", "fusion_stage.layers.1.residual_layer1.")

    found = depths(open_predictor(as_published, device="cpu"), photos)

    np.testing.assert_array_equal(found[0], depths(open_predictor(whole, device="cpu"), photos)[0])
    line = refusal(broken)
    assert line.startswith(f"cannot load {broken}: weights are missing from it, neck.fusion_stage")


@pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is not None, reason="torchvision is there"
)
@pytest.mark.parametrize("name", ["zoedepth", "depth-pro"])
def test_image_processors_that_need_torchvision_say_so(
    name: str, checkpoint: Callable[[str], Path], refusal: Callable[..., str]
) -> None:
    assert "torchvision" in refusal(checkpoint(name))
