import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from factories import random_images, tiny_mobilenet_config, tiny_model, tiny_vit_config
from hub_server import HubServer, Repo, running_hub
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, ViTConfig, ViTForImageClassification, ViTModel
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from david_hf.conversion import backbone_files
from david_hf.conversion.backbones import load_backbone
from david_hf.load_errors import ModelLoadError
from david_hf.model import (
    DavidConfig,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidImageProcessor,
    DavidModel,
)

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
WEIGHTS, CONFIG, PROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"
POSITIONS = "embeddings.position_embeddings"
SIDE = 32

State = dict[str, torch.Tensor]


def tiny_vit(model_class: type[PreTrainedModel] = ViTModel, **overrides: Any) -> PreTrainedModel:
    """The encoder of `tiny_vit_config` as transformers has it, with weights that all matter."""
    numbers = {
        "image_size": SIDE,
        "patch_size": 8,
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "layer_norm_eps": 1e-6,
    }
    return with_random_weights(model_class(ViTConfig(**{**numbers, **overrides})))


def with_random_weights(model: Any) -> Any:
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return model.eval()


def save_vit(folder: Path, vit: PreTrainedModel | None = None, **processor: Any) -> Path:
    """Write a checkpoint of transformers with its image processor."""
    (vit or tiny_vit()).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}, **processor).save_pretrained(folder)
    return folder


def timm_name(name: str) -> str:
    """Give a tensor of a saved ViTModel the name that timm has for it."""
    for pattern, replacement in (
        (r"^embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
        (r"^embeddings\.position_embeddings", "pos_embed"),
        (r"^embeddings\.", ""),
        (r"^encoder\.layer\.", "blocks."),
        (r"layernorm_before", "norm1"),
        (r"layernorm_after", "norm2"),
        (r"attention\.output\.dense", "attn.proj"),
        (r"intermediate\.dense", "mlp.fc1"),
        (r"output\.dense", "mlp.fc2"),
        (r"^layernorm", "norm"),
        (r"^pooler\.dense", "head"),
    ):
        name = re.sub(pattern, replacement, name)
    return name


def save_timm(folder: Path, **config: Any) -> Path:
    """Write the weights of `tiny_vit` as timm does."""
    save_vit(folder / "transformers")
    weights = load_file(folder / "transformers/model.safetensors")
    shutil.rmtree(folder / "transformers")
    for kind in ("weight", "bias"):
        for block in range(4):
            old = f"encoder.layer.{block}.attention.attention"
            parts = [weights.pop(f"{old}.{part}.{kind}") for part in ("query", "key", "value")]
            weights[f"blocks.{block}.attn.qkv.{kind}"] = torch.cat(parts)
    save_file({timm_name(name): value for name, value in weights.items()}, folder / WEIGHTS)
    pixels = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    arguments = {"img_size": SIDE, "embed_dim": 16, "depth": 4, "num_heads": 2, "mlp_ratio": 2.0}
    content = {
        "architecture": "vit_tiny_patch8_32",
        "pretrained_cfg": pixels,
        "model_args": arguments,
    }
    write_config(folder, {**content, **config})
    return folder


def write_config(folder: Path, content: Any) -> None:
    (folder / CONFIG).write_text(json.dumps(content))


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(folder: Path, change: Callable[[State], Any]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def save_david(folder: Path, model: Any, **options: Any) -> Path:
    with_random_weights(model).save_pretrained(folder)
    DavidImageProcessor(**{"channel_order": "rgb", **options}).save_pretrained(folder)
    return folder


def random_photo() -> np.ndarray:
    """A photo of the encoder's size, so that no processor needs to resize it."""
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


@torch.no_grad()
def hidden_states(model: DavidModel, photo: np.ndarray, **options: Any) -> list[torch.Tensor]:
    """The tokens of a photo, in front of the blocks and behind each, by way of the processor."""
    size = {"height": SIDE, "width": SIDE}
    processor = DavidImageProcessor(**{"size": size, "channel_order": "rgb", **options})
    pixels = processor(photo, return_tensors="pt")["pixel_values"]
    return list(model(pixels, output_hidden_states=True).hidden_states)


def copy_of(encoder: nn.Module) -> State:
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def assert_same(state: State, expected: State) -> None:
    torch.testing.assert_close(state, expected, rtol=0, atol=0)


def assert_refused(encoder: Any, source: Path | str, *words: str, **options: Any) -> None:
    """It says so in one line with these words, and nothing was loaded."""
    before = copy_of(encoder)
    with pytest.raises(ModelLoadError) as caught:
        load_backbone(encoder, source, **options)
    message = str(caught.value)
    assert message.startswith(f"cannot load backbone {source}: ")
    assert "\n" not in message
    for word in words:
        assert word in message
    assert_same(copy_of(encoder), before)


@pytest.fixture
def model() -> DavidModel:
    return tiny_model(DavidModel)


@pytest.fixture
def encoder(model: DavidModel) -> Any:
    return model.encoder


@pytest.mark.parametrize("model_class", [ViTModel, ViTForImageClassification])
@pytest.mark.parametrize("own", [{}, IMAGENET, {"image_mean": 0.3, "image_std": 0.2}])
@pytest.mark.parametrize(
    "theirs",
    [
        {},
        IMAGENET,
        {"do_normalize": False},
        {"do_rescale": False, "image_mean": [127.0] * 3, "image_std": [60.0] * 3},
        {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
    ],
)
def test_every_block_makes_of_a_photo_what_the_vit_of_transformers_makes(
    model_class: type[PreTrainedModel], own: Any, theirs: Any, tmp_path: Path
) -> None:
    vit = tiny_vit(model_class)
    save_vit(tmp_path, vit, **theirs)
    photo = random_photo()
    processor = ViTImageProcessorPil.from_pretrained(tmp_path)
    with torch.no_grad():
        outputs = vit(**processor(photo, return_tensors="pt"), output_hidden_states=True)
    assert len(outputs.hidden_states) == 5
    model = tiny_model(DavidModel, **own)

    report = load_backbone(model.encoder, tmp_path)

    # The rounding of pixels as large as 255 is that much larger.
    tolerance = 1e-3 if "do_rescale" in theirs else 1e-5
    torch.testing.assert_close(
        hidden_states(model, photo), list(outputs.hidden_states), rtol=1e-5, atol=tolerance
    )
    assert (report.layout, report.revision, report.num_tensors) == ("transformers", None, 68)


def test_only_what_makes_maps_of_tokens_is_left_as_it_was(encoder: Any, tmp_path: Path) -> None:
    before = copy_of(encoder)

    load_backbone(encoder, save_vit(tmp_path))

    after = copy_of(encoder)
    same = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert same == {name for name in before if name.startswith("reassemble.")}


def test_timms_names_give_the_same_as_those_of_transformers(
    model: DavidModel, tmp_path: Path
) -> None:
    other = tiny_model(DavidModel)
    load_backbone(other.encoder, save_vit(tmp_path / "transformers"))

    report = load_backbone(model.encoder, save_timm(tmp_path / "timm"))

    expected = {n: v for n, v in copy_of(other.encoder).items() if "reassemble" not in n}
    assert_same({name: model.encoder.state_dict()[name] for name in expected}, expected)
    assert (report.layout, report.num_tensors) == ("timm", 52)
    assert (
        "trained on pixels of mean (0.5, 0.5, 0.5) and standard deviation (0.5, 0.5, 0.5)"
        in str(report)
    )


def test_older_configurations_of_timm_have_the_pixels_one_level_up(
    encoder: Any, tmp_path: Path
) -> None:
    save_timm(tmp_path, pretrained_cfg=None)
    content = json.loads((tmp_path / CONFIG).read_text())
    del content["pretrained_cfg"]
    write_config(tmp_path, {**content, "mean": [0.25] * 3, "std": [0.5] * 3})

    assert "mean (0.25, 0.25, 0.25)" in str(load_backbone(encoder, tmp_path))


def test_without_pixel_statistics_the_first_layer_is_taken_as_it_is(
    encoder: Any, tmp_path: Path
) -> None:
    vit = tiny_vit()
    vit.save_pretrained(tmp_path)

    report = load_backbone(encoder, str(tmp_path))

    expected = vit.embeddings.patch_embeddings.projection.state_dict()
    assert_same(encoder.embeddings.patch_projection.state_dict(), expected)
    assert report.notes == ("its pixel normalisation is unknown, the first layer is as it was",)


@pytest.mark.parametrize("side", [16, 24, 64])
def test_positions_of_another_grid_are_interpolated_as_pillow_does(
    side: int, encoder: Any, tmp_path: Path
) -> None:
    vit = tiny_vit(image_size=side)

    report = load_backbone(encoder, save_vit(tmp_path, vit))

    # Pillow's bicubic filter is that of torch with antialiasing.
    class_token, *patches = vit.embeddings.position_embeddings.detach()[0]
    loaded = encoder.embeddings.position_embeddings.detach()[0]
    torch.testing.assert_close(loaded[0], class_token, rtol=0, atol=0)
    grid = torch.stack(patches).unflatten(0, (side // 8, side // 8)).numpy()
    for channel in range(16):
        plane = Image.fromarray(grid[..., channel]).resize((4, 4), Image.Resampling.BICUBIC)
        expected = torch.from_numpy(np.array(plane)).flatten()
        torch.testing.assert_close(loaded[1:, channel], expected, rtol=1e-5, atol=1e-5)
    grids = f"{side // 8}x{side // 8} to 4x4 patches"
    assert f"position embeddings interpolated from {grids}" in report.notes


def test_weights_of_half_precision_and_in_shards_are_loaded(
    model: DavidModel, tmp_path: Path
) -> None:
    vit = tiny_vit().half()
    vit.save_pretrained(tmp_path, max_shard_size="10KB")
    ViTImageProcessorPil().save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1

    load_backbone(model.encoder, tmp_path)

    expected = vit.layers[3].mlp.fc2.weight.float()
    torch.testing.assert_close(model.encoder.layers[3].mlp_out.weight, expected, rtol=0, atol=0)
    next(tmp_path.glob("model-*.safetensors")).unlink()
    assert_refused(model.encoder, tmp_path, "it has no model-0")


@pytest.mark.parametrize(
    "model_class", [DavidModel, DavidForDepthEstimation, DavidForDensePrediction]
)
def test_a_checkpoint_of_this_package_gives_its_whole_encoder(
    model_class: Any, encoder: Any, tmp_path: Path
) -> None:
    source = model_class(tiny_vit_config())

    report = load_backbone(encoder, save_david(tmp_path, source))

    assert_same(copy_of(encoder), copy_of(source.base_model.encoder))
    assert (report.layout, report.num_tensors) == ("david", len(encoder.state_dict()))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_colour_order_and_normalisation_of_a_checkpoint_are_adapted(
    order: str, tmp_path: Path
) -> None:
    source = DavidModel(tiny_vit_config(**IMAGENET)).eval()
    save_david(tmp_path, source, channel_order=order)
    expected = hidden_states(source, random_photo(), channel_order=order)
    model = tiny_model(DavidModel, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6])

    report = load_backbone(model.encoder, tmp_path)

    assert ("first layer turned from BGR to RGB" in report.notes) == (order == "bgr")
    torch.testing.assert_close(hidden_states(model, random_photo()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ({"hidden_size": 24}, "hidden_size is 24 there, 16 in the model's configuration"),
        ({"num_hidden_layers": 3}, "num_hidden_layers is 3 there, 4 in"),
        ({"num_attention_heads": 4}, "num_attention_heads is 4 there, 2 in"),
        ({"patch_size": 16}, "patch_size is 16 there, 8 in"),
        ({"intermediate_size": 64}, "MLP width is 64 there, 32 in"),
        ({"num_channels": 1}, "num_channels is 1 there, 3 in"),
        ({"layer_norm_eps": 1e-12}, "layer_norm_eps is 1e-12 there, 1e-06 in"),
        ({"hidden_act": "quick_gelu"}, "hidden_act is quick_gelu there, gelu in"),
        ({"qkv_bias": False}, "qkv_bias is False there, True in"),
    ],
)
def test_numbers_that_differ_are_refused_with_both(
    theirs: Any, words: str, encoder: Any, tmp_path: Path
) -> None:
    tiny_vit(**theirs).save_pretrained(tmp_path)
    assert_refused(encoder, tmp_path, words)


def test_all_numbers_that_differ_are_named_at_once(encoder: Any, tmp_path: Path) -> None:
    save_timm(tmp_path, model_args={"num_heads": 2})
    assert_refused(
        encoder, tmp_path, "hidden_size is 192 there", "num_hidden_layers is 12", "MLP width is 768"
    )


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        ({"out_indices": [0, 1, 1 + 1, 3], "readout_type": "add"}, "readout_type is add there"),
        ({"neck_hidden_sizes": [4, 6, 8, 12]}, "neck_hidden_sizes is [4, 6, 8, 12] there"),
        ({"readout_act": "relu"}, "readout_act is relu there, gelu in"),
    ],
)
def test_a_checkpoint_with_other_maps_is_refused(
    ours: Any, words: str, encoder: Any, tmp_path: Path
) -> None:
    save_david(tmp_path, DavidModel(tiny_vit_config(**ours)))
    assert_refused(encoder, tmp_path, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda weights: weights.pop("encoder.layer.2.attention.attention.key.bias"),
            "missing from it: encoder.layer.2.attention.attention.key.bias",
        ),
        (
            lambda weights: weights.update(lambda_1=torch.ones(16)),
            "no place for its lambda_1",
        ),
        (
            lambda weights: weights.update(
                {"encoder.layer.1.attention.attention.value.weight": torch.ones(16, 15)}
            ),
            "encoder.layer.1.attention.attention.value.weight has the shape (16, 15), not (16, 16)",
        ),
        (
            lambda weights: weights.update(
                {"embeddings.position_embeddings": torch.ones(1, 7, 16)}
            ),
            "embeddings.position_embeddings has the shape (1, 7, 16), not (1, 17, 16)",
        ),
        (
            lambda weights: weights.update({POSITIONS: torch.ones(16)}),
            "embeddings.position_embeddings has the shape (16,), not (1, 17, 16)",
        ),
        (
            lambda weights: weights.update({f"extra.{index}": torch.ones(1) for index in range(5)}),
            "no place for its extra.0, extra.1, extra.2 and 2 more",
        ),
    ],
)
def test_tensors_that_do_not_match_are_refused_by_name(
    change: Callable[[State], Any], words: str, encoder: Any, tmp_path: Path
) -> None:
    save_vit(tmp_path)
    change_weights(tmp_path, change)
    assert_refused(encoder, tmp_path, words)


def test_a_distilled_deit_is_refused(encoder: Any, tmp_path: Path) -> None:
    save_vit(tmp_path)
    change_json(tmp_path / CONFIG, model_type="deit")
    token = {"embeddings.distillation_token": torch.ones(1, 1, 16)}
    change_weights(tmp_path, lambda weights: weights.update(token))
    assert_refused(encoder, tmp_path, "no place for its embeddings.distillation_token")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architecture": "vit_base_patch16_clip_224"}, "got vit_base_patch16_clip_224"),
        ({"architecture": "resnet50"}, "expected a plain ViT of timm such as"),
        (
            {"model_args": {"num_heads": 2, "act_layer": "quick_gelu"}},
            "got vit_tiny_patch8_32 with act_layer",
        ),
        ({"model_args": {"qkv_bias": False}}, "qkv_bias is False there"),
        ({"architecture": "vit_tiny_patch16_32"}, "patch_size is 16 there, 8 in"),
    ],
)
def test_models_of_timm_that_compute_something_else_are_refused(
    config: Any, words: str, encoder: Any, tmp_path: Path
) -> None:
    assert_refused(encoder, save_timm(tmp_path, **config), words)


def test_pickles_are_not_read(encoder: Any, tmp_path: Path) -> None:
    save_vit(tmp_path)
    torch.save(load_file(tmp_path / WEIGHTS), tmp_path / "pytorch_model.bin")
    (tmp_path / WEIGHTS).unlink()
    assert_refused(
        encoder, tmp_path, "it has no model.safetensors; weights are read from safetensors alone"
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (CONFIG, "{", "Expecting property name"),
        (CONFIG, "[]", "config.json holds no JSON object"),
        (CONFIG, '{"model_type": "dinov2"}', "expected a ViT of transformers or timm, or a david"),
        (CONFIG, '{"model_type": "vit", "hidden_size": "wide"}', "hidden_size"),
        (PROCESSOR, '{"image_mean": [0, 0, 0], "image_std": [1, 0, 1]}', "expected positive"),
        (PROCESSOR, '{"image_mean": [0, 0], "image_std": [1, 1]}', "pixels of 3 channels"),
        (WEIGHTS, "no weights", "eader"),
    ],
)
def test_broken_files_are_refused(
    name: str, content: str, words: str, encoder: Any, tmp_path: Path
) -> None:
    save_vit(tmp_path)
    (tmp_path / name).write_text(content)
    assert_refused(encoder, tmp_path, words)


def test_a_folder_without_configuration_is_refused(encoder: Any, tmp_path: Path) -> None:
    assert_refused(encoder, tmp_path, "it has no config.json")


@pytest.mark.parametrize("source", ["/no/such/folder", "./vit", "vit", "a/b/c"])
def test_what_is_neither_there_nor_a_hub_id_is_refused(source: str, encoder: Any) -> None:
    assert_refused(encoder, source, "no such file or folder")


def test_a_checkpoint_must_tell_its_colours(encoder: Any, tmp_path: Path) -> None:
    save_david(tmp_path, DavidModel(tiny_vit_config()), do_normalize=True, **IMAGENET)
    assert_refused(encoder, tmp_path, "its image processor normalises")
    (tmp_path / PROCESSOR).unlink()
    assert_refused(encoder, tmp_path, "it has no preprocessor_config.json")


@pytest.fixture
def nano() -> Any:
    return tiny_model(DavidModel, tiny_mobilenet_config()).encoder


@pytest.fixture
def torchvision_weights(nano: Any) -> State:
    """A state dict of torchvision's layout, with something behind the encoder's last map."""
    other = DavidModel(tiny_mobilenet_config()).encoder.state_dict()
    return {
        **{name: torch.rand_like(value.float()).to(value.dtype) for name, value in other.items()},
        "features.18.0.weight": torch.rand(8, 320, 1, 1),
        "classifier.1.bias": torch.rand(2),
    }


def test_nano_takes_torchvisions_layout_from_safetensors(
    nano: Any, torchvision_weights: State, tmp_path: Path
) -> None:
    save_file(torchvision_weights, tmp_path / "mobilenet.safetensors")

    report = load_backbone(nano, tmp_path / "mobilenet.safetensors")

    loaded = copy_of(nano)
    assert_same(loaded, {name: torchvision_weights[name] for name in loaded})
    assert (report.layout, report.num_tensors) == ("torchvision", 306)
    assert "mean (0.485, 0.456, 0.406)" in str(report)
    assert "the model must normalise its pixels in the same way" in report.notes


def test_nano_takes_a_pickle_if_it_is_torchvisions(
    nano: Any, torchvision_weights: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(torchvision_weights, path)
    assert_refused(nano, path, "SHA-256", "get the file again")
    monkeypatch.setattr(backbone_files, "IMAGENET_SHA256", None)

    load_backbone(nano, path)

    loaded = copy_of(nano)
    assert_same(loaded, {name: torchvision_weights[name] for name in loaded})


@pytest.mark.parametrize("name", ["features.17.conv.3.weight", "features.0.1.num_batches_tracked"])
def test_nano_refuses_what_does_not_match_and_stays_as_it_was(
    name: str, nano: Any, torchvision_weights: State, tmp_path: Path
) -> None:
    path = tmp_path / "mobilenet.safetensors"
    save_file({**torchvision_weights, name: torch.ones(2, 2)}, path)
    assert_refused(nano, path, f"{name} has the shape (2, 2)")
    del torchvision_weights[name]
    save_file(torchvision_weights, path)
    assert_refused(nano, path, f"missing from it: {name}")


def test_nano_takes_the_encoder_of_another_checkpoint_in_its_colour_order(
    nano: Any, tmp_path: Path, generator: torch.Generator
) -> None:
    source = DavidForDepthEstimation(tiny_mobilenet_config())
    save_david(tmp_path, source, channel_order="bgr")
    photos = random_images(generator, 64, 64)
    expected = source.model.encoder.eval()(photos.flip(1))

    load_backbone(nano, tmp_path)

    torch.testing.assert_close(nano(photos), expected)


def test_an_encoder_of_the_other_type_is_refused(
    encoder: Any, nano: Any, torchvision_weights: State, tmp_path: Path
) -> None:
    file = tmp_path / "mobilenet.safetensors"
    save_file(torchvision_weights, file)
    words = "encoder_type is mobilenet_v2 there, vit in the model's configuration"
    assert_refused(encoder, file, words)
    assert_refused(
        encoder, save_david(tmp_path / "nano", DavidModel(tiny_mobilenet_config())), words
    )
    assert_refused(nano, save_vit(tmp_path / "vit"), "encoder_type is vit there, mobilenet_v2 in")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A Hub with owner/vit and owner/pickles, and a cache that is empty."""
    with running_hub() as server:
        files_at = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files_at)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        folder = save_vit(tmp_path / "vit")
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        files["pytorch_model.bin"] = files["onnx/model.onnx"] = b"not to be fetched"
        add_repository(server, "owner/vit", files)
        del files[WEIGHTS]
        add_repository(server, "owner/pickles", files)
        yield server
        huggingface_hub.close_session()


def add_repository(server: HubServer, repo_id: str, files: dict[str, bytes]) -> None:
    server.repos[repo_id] = Repo(private=False, files=files)
    server.repos[repo_id].commit("first", [])


def test_a_hub_id_is_fetched_once_and_then_loads_offline(
    hub: HubServer, encoder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = load_backbone(encoder, "owner/vit")

    loaded = copy_of(encoder)
    head = hub.repos["owner/vit"].head
    assert (report.source, report.revision) == ("owner/vit", head)
    assert f"owner/vit at {head}" in str(report)
    fetched = {
        request.path.split("/resolve/")[1].partition("/")[2]
        for request in hub.requests
        if "/resolve/" in request.path
    }
    assert fetched == {CONFIG, PROCESSOR, WEIGHTS}
    hub.stop()
    huggingface_hub.close_session()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    other = tiny_model(DavidModel).encoder
    assert load_backbone(other, "owner/vit", revision="main").revision == head
    for name in report_names(loaded):
        assert torch.equal(other.state_dict()[name], loaded[name])


def report_names(state: State) -> list[str]:
    return [name for name in state if not name.startswith("reassemble.")]


def test_weights_are_not_fetched_for_a_model_they_do_not_fit(hub: HubServer) -> None:
    config = DavidConfig(**{**tiny_vit_config().to_dict(), "num_attention_heads": 4})
    encoder = tiny_model(DavidModel, config).encoder
    assert_refused(encoder, "owner/vit", "num_attention_heads is 2 there, 4 in")
    assert not any(request.path.endswith(WEIGHTS) for request in hub.requests)


def test_a_repository_of_pickles_is_refused(hub: HubServer, encoder: Any) -> None:
    assert_refused(encoder, "owner/pickles", "it has no model.safetensors")
    assert not any(request.path.endswith(".bin") for request in hub.requests)


def test_what_the_hub_has_not_is_refused_in_one_line(hub: HubServer, encoder: Any) -> None:
    assert_refused(encoder, "owner/nothing", "owner/nothing")
    hub.outage = 503
    assert_refused(encoder, "owner/vit", "503")


def test_offline_without_a_cached_copy_is_refused_in_one_line(encoder: Any) -> None:
    assert_refused(encoder, "owner/never-fetched", "outgoing traffic has been disabled")
