import pytest
import torch
from factories import disc_mask, random_images, sphere_labels, tiny_config, tiny_model
from torch import nn

from david_hf.model import (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidModel,
    DavidPreTrainedModel,
)

SINGLE_TASK = {
    "depth": (DavidForDepthEstimation, "predicted_depth"),
    "normals": (DavidForNormalEstimation, "normals"),
    "alpha": (DavidForImageMatting, "alphas"),
}
TASKS = list(SINGLE_TASK)


@pytest.fixture(params=["vit", "mobilenet_v2"])
def dense_model(request: pytest.FixtureRequest) -> DavidForDensePrediction:
    return tiny_model(DavidForDensePrediction, tiny_config(request.param))


@pytest.mark.parametrize(
    ("height", "width"), [(48, 48), (37, 53), (64, 9), (7, 65), (1, 20), (20, 1), (1, 1)]
)
def test_maps_have_the_size_of_the_image(
    dense_model: DavidForDensePrediction, height: int, width: int, generator: torch.Generator
) -> None:
    outputs = dense_model(random_images(generator, height, width))

    assert outputs.predicted_depth.shape == (2, height, width)
    assert outputs.normals.shape == (2, 3, height, width)
    assert outputs.alphas.shape == (2, 1, height, width)
    assert all(values.isfinite().all() for values in outputs.values())


def test_maps_are_unit_normals_and_alphas_in_range(
    dense_model: DavidForDensePrediction, generator: torch.Generator
) -> None:
    outputs = dense_model(random_images(generator))

    lengths = outputs.normals.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert outputs.alphas.min() >= 0
    assert outputs.alphas.max() <= 1


def test_features_have_half_the_size_of_the_image(generator: torch.Generator) -> None:
    outputs = tiny_model(DavidModel)(random_images(generator, 37, 53))

    assert outputs.last_hidden_state.shape == (2, 8, 19, 27)


@pytest.mark.parametrize("task", TASKS)
def test_one_pass_gives_what_single_task_models_give(
    task: str, dense_model: DavidForDensePrediction, generator: torch.Generator
) -> None:
    model_class, name = SINGLE_TASK[task]
    single = tiny_model(model_class, dense_model.config)
    single.load_state_dict(dense_model.state_dict(), strict=False)
    images, labels = random_images(generator), sphere_labels(40, 48)[task]
    mask = None if task == "alpha" else disc_mask(40, 48)

    outputs = single(images, labels=labels, mask=mask)

    expected = dense_model(images, labels={task: labels}, mask=mask)
    torch.testing.assert_close(outputs[name], expected[name])
    torch.testing.assert_close(outputs.loss, expected.loss)


def test_tasks_left_out_of_the_config_are_left_out_of_the_model(
    generator: torch.Generator,
) -> None:
    model = tiny_model(DavidForDensePrediction, tasks=["alpha", "depth"])

    outputs = model(random_images(generator))

    assert not hasattr(model, "normal_head")
    assert list(outputs) == ["predicted_depth", "alphas"]


def test_the_sign_of_depth_follows_the_config(generator: torch.Generator) -> None:
    images = random_images(generator)
    inverse = tiny_model(DavidForDepthEstimation)
    direct = tiny_model(DavidForDepthEstimation, depth_is_inverse=False)
    direct.load_state_dict(inverse.state_dict())

    torch.testing.assert_close(direct(images).predicted_depth, -inverse(images).predicted_depth)


def test_images_are_normalized_inside_the_network(generator: torch.Generator) -> None:
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    plain = tiny_model(DavidModel)
    normalizing = tiny_model(DavidModel, image_mean=mean, image_std=std)
    normalizing.load_state_dict(plain.state_dict())
    images = random_images(generator)
    normalized = torch.stack(
        [(images[:, channel] - mean[channel]) / std[channel] for channel in range(3)], dim=1
    )

    torch.testing.assert_close(normalizing(images)[0], plain(normalized)[0])


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 4, 32, 32), (1, 32, 32, 3)])
def test_anything_but_a_batch_of_images_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"pixel_values must have shape \(B, 3, H, W\), got"):
        tiny_model(DavidModel)(torch.zeros(shape))


def test_input_embeddings_are_the_layer_that_sees_the_pixels(
    dense_model: DavidForDensePrediction,
) -> None:
    layer = dense_model.get_input_embeddings()

    assert isinstance(layer, nn.Conv2d)
    assert layer.in_channels == 3


# Losses


def test_loss_is_the_sum_of_its_named_parts(
    dense_model: DavidForDensePrediction, generator: torch.Generator
) -> None:
    labels, mask = sphere_labels(40, 48), disc_mask(40, 48)

    outputs = dense_model(random_images(generator), labels=labels, mask=mask)

    assert set(outputs.losses) == {
        "depth_mse",
        "depth_gradient",
        "normals_cosine",
        "alpha_bce",
        "alpha_l1",
        "alpha_dice",
        "alpha_laplacian",
    }
    assert not any(part.requires_grad for part in outputs.losses.values())
    torch.testing.assert_close(outputs.loss.detach(), sum(outputs.losses.values()))


def test_no_labels_no_loss(generator: torch.Generator) -> None:
    outputs = tiny_model(DavidForDensePrediction)(random_images(generator))

    assert outputs.loss is None
    assert outputs.losses is None


def test_loss_weights_scale_whole_tasks(generator: torch.Generator) -> None:
    images, labels = random_images(generator), sphere_labels(40, 48)
    plain = tiny_model(DavidForDensePrediction)
    weighted = tiny_model(DavidForDensePrediction, loss_weights={"alpha": 3.0, "depth": 0.0})
    weighted.load_state_dict(plain.state_dict())
    mask = disc_mask(40, 48)

    expected = plain(images, labels=labels, mask=mask).losses
    losses = weighted(images, labels=labels, mask=mask).losses

    torch.testing.assert_close(losses["alpha_l1"], 3 * expected["alpha_l1"])
    torch.testing.assert_close(losses["normals_cosine"], expected["normals_cosine"])
    assert losses["depth_mse"] == 0


@pytest.mark.parametrize("labels", [{}, {"normals": torch.zeros(2, 3, 40, 48), "pose": None}])
def test_labels_for_unknown_tasks_are_refused(
    labels: dict[str, torch.Tensor], generator: torch.Generator
) -> None:
    model = tiny_model(DavidForDensePrediction)

    with pytest.raises(ValueError, match=r"labels must hold some of \['alpha', 'depth', 'normals'"):
        model(random_images(generator), labels=labels)


def test_every_parameter_learns(
    dense_model: DavidForDensePrediction, generator: torch.Generator
) -> None:
    labels, mask = sphere_labels(64, 64), disc_mask(64, 64)

    dense_model(random_images(generator, 64, 64), labels=labels, mask=mask).loss.backward()

    idle = [
        name
        for name, parameter in dense_model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


def train(model: DavidPreTrainedModel, generator: torch.Generator, num_steps: int) -> list[float]:
    """Fit a ball on noise and return the loss of each step."""
    images, labels, mask = random_images(generator), sphere_labels(40, 48), disc_mask(40, 48)
    images = images * 0.2 + 0.8 * labels["alpha"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(num_steps):
        loss = model(images, labels=labels, mask=mask).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_one_batch_can_be_learnt_by_heart(
    dense_model: DavidForDensePrediction, generator: torch.Generator
) -> None:
    losses = train(dense_model, generator, num_steps=40)

    assert losses[-1] < 0.35 * losses[0]


def test_trained_depth_is_larger_where_the_ball_is_nearer(generator: torch.Generator) -> None:
    model = tiny_model(DavidForDensePrediction, tasks=["depth", "alpha", "normals"])
    train(model, generator, num_steps=60)
    labels, mask = sphere_labels(40, 48), disc_mask(40, 48)

    depth = model(random_images(generator) * 0.2 + 0.8 * labels["alpha"]).predicted_depth

    pair = torch.stack([depth[mask], -labels["depth"][mask]])
    assert torch.corrcoef(pair)[0, 1] > 0.7


# Precision, memory, compilation


@pytest.mark.parametrize("task", TASKS)
def test_bfloat16_models_take_float32_images(task: str, generator: torch.Generator) -> None:
    model_class, name = SINGLE_TASK[task]
    model = tiny_model(model_class).bfloat16()
    labels = sphere_labels(40, 48)[task]

    outputs = model(random_images(generator), labels=labels, mask=disc_mask(40, 48))

    assert outputs[name].dtype == torch.bfloat16
    assert outputs[name].isfinite().all()
    assert outputs.loss.dtype == torch.float32
    assert outputs.loss.isfinite()


def test_autocast_trains(generator: torch.Generator) -> None:
    model = tiny_model(DavidForDensePrediction).train()
    labels, mask = sphere_labels(40, 48), disc_mask(40, 48)

    with torch.autocast("cpu", torch.bfloat16):
        loss = model(random_images(generator), labels=labels, mask=mask).loss
    loss.backward()

    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_replica_without_parameters_predicts_the_same(generator: torch.Generator) -> None:
    model = tiny_model(DavidForDensePrediction).eval()
    images = random_images(generator)
    expected = model(images).predicted_depth
    # As `nn.DataParallel` makes them: weights are plain attributes.
    for module in list(model.modules()):
        weights = dict(module._parameters)
        module._parameters.clear()
        for name, value in weights.items():
            object.__setattr__(module, name, value)

    found = model(images).predicted_depth

    assert not list(model.parameters())
    torch.testing.assert_close(found, expected)


def gradients(model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of the summed depth, by parameter."""
    model.zero_grad()
    model(images).predicted_depth.sum().backward()
    return {name: values.grad.clone() for name, values in model.named_parameters()}


@pytest.mark.parametrize("encoder_type", ["vit", "mobilenet_v2"])
def test_gradient_checkpointing_changes_memory_only(
    encoder_type: str, generator: torch.Generator
) -> None:
    model = tiny_model(DavidForDepthEstimation, tiny_config(encoder_type))
    images = random_images(generator)
    expected = gradients(model, images)

    # Newer releases of transformers have renamed the method and warn about the old name.
    new_name, old_name = "activation_checkpointing_enable", "gradient_checkpointing_enable"
    getattr(model, new_name if hasattr(model, new_name) else old_name)()
    # Training mode turns checkpointing on; batch norms keep their fixed statistics.
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()

    torch.testing.assert_close(gradients(model, images), expected)


def test_the_model_compiles_into_one_graph(generator: torch.Generator) -> None:
    model = tiny_model(DavidForDensePrediction)
    images = random_images(generator)
    expected = model(images)

    outputs = torch.compile(model, fullgraph=True, backend="eager")(images)

    for name, values in expected.items():
        torch.testing.assert_close(outputs[name], values)


def test_channels_last_gives_the_same_maps(
    dense_model: DavidForDensePrediction, generator: torch.Generator
) -> None:
    images = random_images(generator)
    expected = dense_model(images)

    dense_model.to(memory_format=torch.channels_last)
    outputs = dense_model(images.contiguous(memory_format=torch.channels_last))

    for name, values in expected.items():
        torch.testing.assert_close(outputs[name], values, atol=1e-4, rtol=1e-4)


def test_hidden_states_are_returned_when_asked_for(
    dense_model: DavidForDensePrediction, generator: torch.Generator
) -> None:
    images = random_images(generator)

    outputs = dense_model(images, output_hidden_states=True)

    assert dense_model(images).hidden_states is None
    assert len(outputs.hidden_states) == dense_model.config.num_hidden_layers + 1


def test_outputs_come_as_a_tuple_when_asked_for(generator: torch.Generator) -> None:
    model = tiny_model(DavidForDensePrediction)

    depth, normals, alphas = model(random_images(generator), return_dict=False)

    assert (depth.ndim, normals.shape[1], alphas.shape[1]) == (3, 3, 1)
