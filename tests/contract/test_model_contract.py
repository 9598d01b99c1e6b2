"""A model does what one of transformers' own does: attention, placement, shards, graphs."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from factories import (
    MODEL_CLASSES,
    SINGLE_TASKS,
    disc_mask,
    random_images,
    sphere_labels,
    tiny_config,
    tiny_model,
)
from torch import Tensor, nn
from torch.export import Dim, export
from transformers import AttentionInterface
from transformers.utils import output_capturing

from david_hf.model import (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForNormalEstimation,
    DavidPreTrainedModel,
)

ENCODER_TYPES = ["vit", "mobilenet_v2"]


def assert_same_maps(actual: Any, expected: Any, tolerance: float = 1e-5) -> None:
    for name in ("predicted_depth", "normals", "alphas"):
        torch.testing.assert_close(actual[name], expected[name], atol=tolerance, rtol=tolerance)


@pytest.fixture
def dense_model() -> DavidForDensePrediction:
    return tiny_model(DavidForDensePrediction)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex_attention"])
def test_attention_is_chosen_at_loading_and_afterwards(
    implementation: str,
    dense_model: DavidForDensePrediction,
    generator: torch.Generator,
    tmp_path: Path,
) -> None:
    dense_model.save_pretrained(tmp_path)
    images = random_images(generator)
    expected = dense_model(images)

    loaded = DavidForDensePrediction.from_pretrained(tmp_path, attn_implementation=implementation)
    dense_model.set_attn_implementation(implementation)

    assert loaded.config._attn_implementation == implementation
    assert_same_maps(loaded(images), expected)
    assert_same_maps(dense_model(images), expected)


@torch.no_grad()
def test_any_function_of_the_attention_interface_attends(
    dense_model: DavidForDensePrediction, generator: torch.Generator
) -> None:
    """Flash attention comes this way, too, where its package and its hardware are."""
    calls = []

    def attend(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: None, **options: Any
    ) -> tuple[Tensor, None]:
        calls.append((module.is_causal, query.shape))
        attended = F.scaled_dot_product_attention(query, key, value, scale=options["scaling"])
        return attended.transpose(1, 2), None

    AttentionInterface.register("recorded", attend)
    images = random_images(generator)
    expected = dense_model(images)
    dense_model.set_attn_implementation("recorded")

    assert_same_maps(dense_model(images), expected)
    assert calls == 4 * [(False, (2, 2, 17, 8))]


@pytest.mark.parametrize("encoder_type", ENCODER_TYPES)
@pytest.mark.parametrize("model_class", MODEL_CLASSES)
def test_every_class_records_hidden_states(
    model_class: type[DavidPreTrainedModel], encoder_type: str, generator: torch.Generator
) -> None:
    model = tiny_model(model_class, tiny_config(encoder_type))
    images = random_images(generator)
    num_states = model.config.num_hidden_layers + 1

    every = model(images, output_hidden_states=True).hidden_states

    assert len(every) == num_states
    if not hasattr(output_capturing, "selected_hidden_states"):
        return  # transformers before 5.23 has no choice of single states
    some = model(images, output_hidden_states=[0, num_states - 1]).hidden_states
    assert [state is not None for state in some] == [
        index in (0, num_states - 1) for index in range(num_states)
    ]
    torch.testing.assert_close(some[-1], every[-1])


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
def test_every_class_records_attentions(
    model_class: type[DavidPreTrainedModel], generator: torch.Generator
) -> None:
    model = tiny_model(model_class)
    model.set_attn_implementation("eager")

    attentions = model(random_images(generator), output_attentions=True).attentions

    assert len(attentions) == model.config.num_hidden_layers
    for weights in attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 17))


@torch.no_grad()
def test_a_row_of_a_batch_is_what_it_is_alone(
    dense_model: DavidForDensePrediction, generator: torch.Generator
) -> None:
    images = random_images(generator, batch_size=3)

    together = dense_model(images)

    for row in range(3):
        alone = dense_model(images[row : row + 1])
        assert_same_maps(alone, {name: maps[row : row + 1] for name, maps in together.items()})


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (37, 16), (48, 48), (129, 65)])
@pytest.mark.parametrize("encoder_type", ENCODER_TYPES)
def test_images_of_any_size_give_maps_of_that_size(
    encoder_type: str, height: int, width: int, generator: torch.Generator
) -> None:
    model = tiny_model(DavidForDensePrediction, tiny_config(encoder_type))

    outputs = model(random_images(generator, height, width, batch_size=1))

    assert outputs.predicted_depth.shape == (1, height, width)
    assert outputs.normals.shape == (1, 3, height, width)
    assert outputs.alphas.shape == (1, 1, height, width)
    assert all(torch.isfinite(maps).all() for maps in outputs.values())


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("encoder_type", ENCODER_TYPES)
def test_half_precision_models_take_float32_images(
    encoder_type: str, dtype: torch.dtype, generator: torch.Generator, tmp_path: Path
) -> None:
    model = tiny_model(DavidForDensePrediction, tiny_config(encoder_type))
    model.save_pretrained(tmp_path)
    images = random_images(generator)

    half = DavidForDensePrediction.from_pretrained(tmp_path, dtype=dtype)
    outputs = half(images)

    assert {maps.dtype for maps in outputs.values()} == {dtype}
    torch.testing.assert_close(outputs.alphas.float(), model(images).alphas, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    "device_map",
    [
        "auto",
        {"": "cpu"},
        {"model.encoder": "cpu", "model.resizer": "disk", "model.decoder": "cpu"}
        | {
            "model.normalize": "cpu",
            "depth_head": "cpu",
            "normal_head": "disk",
            "alpha_head": "cpu",
        },
    ],
)
@torch.no_grad()
def test_device_maps_place_and_offload(
    device_map: str | dict[str, str],
    dense_model: DavidForDensePrediction,
    generator: torch.Generator,
    tmp_path: Path,
) -> None:
    dense_model.save_pretrained(tmp_path)
    images = random_images(generator)

    placed = DavidForDensePrediction.from_pretrained(
        tmp_path, device_map=device_map, offload_folder=tmp_path / "offload"
    )

    assert_same_maps(placed(images), dense_model(images))


@torch.no_grad()
def test_sharded_checkpoints_load(
    dense_model: DavidForDensePrediction, generator: torch.Generator, tmp_path: Path
) -> None:
    dense_model.save_pretrained(tmp_path, max_shard_size="20KB")
    images = random_images(generator)

    loaded = DavidForDensePrediction.from_pretrained(tmp_path)

    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert_same_maps(loaded(images), dense_model(images), tolerance=0)


@torch.no_grad()
@pytest.mark.parametrize("encoder_type", ENCODER_TYPES)
def test_one_graph_serves_every_size(encoder_type: str, generator: torch.Generator) -> None:
    model = tiny_model(DavidForDensePrediction, tiny_config(encoder_type))
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")

    for batch_size, height, width in ((2, 40, 48), (1, 33, 50), (3, 64, 64)):
        images = random_images(generator, height, width, batch_size)
        assert_same_maps(compiled(images), model(images))


@torch.no_grad()
@pytest.mark.parametrize("encoder_type", ENCODER_TYPES)
def test_an_exported_program_serves_every_size(
    encoder_type: str, generator: torch.Generator
) -> None:
    model = tiny_model(DavidForDensePrediction, tiny_config(encoder_type))
    # From 17 on: below, the coarsest map is a single pixel, which torch takes for a constant.
    free = {0: Dim("batch", max=64), 2: Dim("height", min=17), 3: Dim("width", min=17)}

    program = export(model, (random_images(generator),), dynamic_shapes=(free,)).module()

    for batch_size, height, width in ((1, 17, 90), (3, 57, 33)):
        images = random_images(generator, height, width, batch_size)
        assert_same_maps(program(images), model(images))


@pytest.mark.parametrize("encoder_type", ENCODER_TYPES)
@pytest.mark.parametrize("model_class", [*SINGLE_TASKS, DavidForDensePrediction])
def test_every_head_trains_in_bfloat16(
    model_class: type[DavidPreTrainedModel], encoder_type: str, generator: torch.Generator
) -> None:
    model = tiny_model(model_class, tiny_config(encoder_type)).train().to(torch.bfloat16)
    labels = sphere_labels(40, 48)
    wanted = labels[SINGLE_TASKS[model_class]] if model_class in SINGLE_TASKS else labels

    loss = model(random_images(generator), labels=wanted, mask=disc_mask(40, 48)).loss
    loss.backward()

    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert all(
        parameter.grad is None or torch.isfinite(parameter.grad).all()
        for parameter in model.parameters()
    )


@pytest.mark.parametrize("model_class", [DavidForDepthEstimation, DavidForNormalEstimation])
def test_an_empty_mask_costs_nothing_and_spoils_nothing(
    model_class: type[DavidPreTrainedModel], generator: torch.Generator
) -> None:
    model = tiny_model(model_class).train()
    labels = sphere_labels(40, 48)[SINGLE_TASKS[model_class]]
    nothing = torch.zeros(2, 40, 48, dtype=torch.bool)

    loss = model(random_images(generator), labels=labels, mask=nothing).loss
    loss.backward()

    assert loss == 0
    assert not any(torch.isnan(parameter.grad).any() for parameter in model.parameters())
