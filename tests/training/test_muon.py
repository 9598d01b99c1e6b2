from pathlib import Path
from types import SimpleNamespace
from typing import Any

import building
import pytest
import torch
from accelerate.utils import DistributedType
from building import build_model, build_optimizer
from config import DataPart, TrainConfig
from figures import write_person
from muon import Muon, orthogonalize, takes_muon


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    write_person(tmp_path / "people", 0)
    return TrainConfig(
        data=(DataPart(str(tmp_path / "people"), composed=True),),
        output_dir=str(tmp_path / "run"),
        model_overrides={"image_size": 64, "input_size": 64},
        sides=((1.0, 64),),
        optimizer="muon",
        cpu=True,
    )


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6)])
def test_the_orthogonal_factor_keeps_directions_and_forgets_sizes(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))

    factor = orthogonalize(matrix)

    sizes = torch.linalg.svdvals(factor)
    assert sizes.min() > 0.6
    assert sizes.max() < 1.3
    # Only of a matrix of the same singular vectors is this product symmetric.
    product = matrix.T @ factor
    torch.testing.assert_close(product, product.T, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(orthogonalize(1e4 * matrix), factor, atol=1e-4, rtol=1e-4)


def test_kernels_move_as_far_as_adamw_would_move_them() -> None:
    kernel = torch.nn.Parameter(torch.zeros(16, 16, 3, 3))
    optimizer = Muon([{"params": [kernel], "orthogonal": True}], lr=0.01, weight_decay=0.0)
    kernel.grad = 1e-6 * torch.randn(kernel.shape, generator=torch.Generator().manual_seed(0))
    downhill = -kernel.grad.clone()

    optimizer.step()

    assert float(kernel.detach().pow(2).mean().sqrt()) == pytest.approx(0.2 * 0.01, rel=0.25)
    assert float((kernel.detach() * downhill).sum()) > 0


def test_weights_decay() -> None:
    matrix = torch.nn.Parameter(torch.eye(4))
    optimizer = Muon([{"params": [matrix], "orthogonal": True}], lr=0.1, weight_decay=0.5)
    matrix.grad = torch.zeros_like(matrix)

    optimizer.step()

    torch.testing.assert_close(matrix.detach(), 0.95 * torch.eye(4))


def test_all_else_moves_as_in_adamw() -> None:
    options: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.1}
    pairs = [torch.nn.Parameter(torch.ones(4)) for _ in range(2)]
    matrix = torch.nn.Parameter(torch.ones(4, 4))
    adamw = torch.optim.AdamW([pairs[0]], **options)
    muon = Muon([{"params": [pairs[1]]}, {"params": [matrix], "orthogonal": True}], **options)
    for step in range(3):
        for parameter in pairs:
            parameter.grad = torch.tensor([1.0, -2.0, 3.0, step])
        matrix.grad = torch.ones(4, 4)
        adamw.step()
        muon.step()

    torch.testing.assert_close(*pairs, rtol=0, atol=0)


def test_it_goes_on_from_a_saved_state() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(4, 5, 5, generator=generator)

    def build(value: torch.Tensor) -> tuple[torch.nn.Parameter, Muon]:
        parameter = torch.nn.Parameter(value.clone())
        return parameter, Muon([{"params": [parameter], "orthogonal": True}], lr=0.1)

    def move(parameter: torch.nn.Parameter, optimizer: Muon, several: torch.Tensor) -> None:
        for gradient in several:
            parameter.grad = gradient.clone()
            optimizer.step()

    unbroken, optimizer = build(torch.zeros(5, 5))
    move(unbroken, optimizer, gradients)
    broken, optimizer = build(torch.zeros(5, 5))
    move(broken, optimizer, gradients[:2])
    resumed, other = build(broken.detach())
    other.load_state_dict(optimizer.state_dict())
    move(resumed, other, gradients[2:])

    torch.testing.assert_close(resumed, unbroken, rtol=0, atol=0)


def test_it_takes_kernels_and_matrices_and_leaves_depthwise_ones_and_vectors(
    config: TrainConfig,
) -> None:
    model = build_model(config)

    optimizer, _ = build_optimizer(config, model, 10)

    placed = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(placed) == len({id(p) for p in placed}) == len(list(model.parameters()))
    for group in optimizer.param_groups:
        assert all(takes_muon(parameter) == group["orthogonal"] for parameter in group["params"])
    depthwise = model.get_parameter("model.encoder.features.2.conv.1.0.weight")
    assert depthwise.shape[1] == 1
    assert not takes_muon(depthwise)


def test_where_weights_are_divided_it_is_bad_input(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    divided = SimpleNamespace(
        mixed_precision="no", device=torch.device("cpu"), distributed_type=DistributedType.FSDP
    )
    monkeypatch.setattr(building, "Accelerator", lambda **_: divided)

    with pytest.raises(ValueError, match=r"optimizer: expected adamw with .*FSDP.*, got muon"):
        building.build_accelerator(config)
