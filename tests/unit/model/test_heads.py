import pytest
import torch
from factories import sphere_labels, tiny_vit_config

from david_hf.model.heads_david import DavidAlphaHead, DavidDepthHead, DavidNormalHead, build_head


def test_raw_map_has_the_size_asked_for(generator: torch.Generator) -> None:
    head = build_head("normals", tiny_vit_config())

    raw = head(torch.randn(2, 8, 7, 9, generator=generator), (13, 18))

    assert raw.shape == (2, 3, 13, 18)


@pytest.mark.parametrize("resize_first", [False, True])
def test_autocast_rounds_features_and_no_raw_values(
    resize_first: bool, generator: torch.Generator
) -> None:
    head = build_head("depth", tiny_vit_config(head_resize_first=resize_first))
    features = torch.randn(2, 8, 7, 9, generator=generator)
    bias = head.predict.bias
    assert bias is not None
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = head(features, (13, 18))
        bias += 4.0  # of which the loss sees nothing, and bfloat16 only every 32nd
        found = head(features, (13, 18))

    assert found.dtype == torch.float32
    torch.testing.assert_close(found - 4.0, expected, rtol=0, atol=1e-6)


def test_autocast_takes_weights_of_half_precision(generator: torch.Generator) -> None:
    head = build_head("depth", tiny_vit_config()).bfloat16()
    features = torch.randn(2, 8, 7, 9, generator=generator).bfloat16()

    with torch.autocast("cpu", torch.bfloat16):
        found = head(features, (13, 18))

    assert found.dtype == torch.float32


def test_depth_grows_towards_the_camera_whatever_the_head_was_trained_for() -> None:
    raw = torch.tensor([[[[1.0, 2.0]]]])

    inverse = DavidDepthHead(tiny_vit_config(depth_is_inverse=True)).to_map(raw)
    direct = DavidDepthHead(tiny_vit_config(depth_is_inverse=False)).to_map(raw)

    assert inverse.tolist() == [[[1.0, 2.0]]]
    assert direct.tolist() == [[[-1.0, -2.0]]]


def test_depth_activation_comes_before_the_sign() -> None:
    config = tiny_vit_config(depth_activation="relu", depth_is_inverse=False)

    depth = DavidDepthHead(config).to_map(torch.tensor([[[[-3.0, 2.0]]]]))

    assert depth.tolist() == [[[0.0, -2.0]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normals_have_unit_length(dtype: torch.dtype, generator: torch.Generator) -> None:
    raw = torch.randn(2, 3, 8, 8, generator=generator).mul(30).to(dtype)

    normals = DavidNormalHead(tiny_vit_config()).to_map(raw)

    assert normals.dtype == dtype
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 1e-2}[dtype]
    lengths = normals.float().norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("none", [0.0, 0.5, 1.0]), ("sigmoid", [0.119203, 0.622459, 0.880797])],
)
def test_alpha_lies_between_zero_and_one(activation: str, expected: list[float]) -> None:
    head = DavidAlphaHead(tiny_vit_config(alpha_activation=activation))

    alphas = head.to_map(torch.tensor([-2.0, 0.5, 2.0]).view(1, 1, 1, 3))

    torch.testing.assert_close(alphas.flatten(), torch.tensor(expected))


def test_wrong_alpha_logits_keep_a_gradient_where_probabilities_have_lost_it() -> None:
    head = DavidAlphaHead(tiny_vit_config())
    raw = torch.full((1, 1, 8, 8), 50.0, requires_grad=True)

    head.losses(raw, torch.zeros(1, 1, 8, 8), None)["bce"].backward()

    assert raw.grad is not None
    torch.testing.assert_close(raw.grad.sum(), torch.tensor(1.0))


def test_values_outside_the_range_of_alpha_are_pulled_back() -> None:
    head = DavidAlphaHead(tiny_vit_config(alpha_activation="none"))
    raw = torch.full((1, 1, 8, 8), 3.0, requires_grad=True)

    sum(head.losses(raw, torch.ones(1, 1, 8, 8), None).values(), torch.zeros(())).backward()

    assert raw.grad is not None
    assert (raw.grad > 0).all()


@pytest.mark.parametrize("task", ["depth", "normals", "alpha"])
def test_labels_of_another_shape_are_refused(task: str) -> None:
    head = build_head(task, tiny_vit_config())
    raw = head(torch.zeros(2, 8, 4, 4), (8, 8))
    labels = sphere_labels(8, 8)[task]

    with pytest.raises(ValueError, match=f"{task} labels must have shape"):
        head.losses(raw, labels[:, None], None)
    with pytest.raises(ValueError, match=r"mask must have shape \(2, 8, 8\), got \(2, 1, 8, 8\)"):
        head.losses(raw, labels, torch.ones(2, 1, 8, 8))
