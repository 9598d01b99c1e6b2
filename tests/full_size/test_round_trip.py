"""Networks of the published sizes, with random weights, to ONNX and back: `make test-full-size`.

Needs 14 GB of memory and ten minutes.
"""

from pathlib import Path

import pytest
import torch
from onnx_exports import export_onnx

from david_hf import DavidConfig, DavidForDensePrediction, DavidImageProcessor, DavidPredictor
from david_hf.conversion import ExportSettings, convert_onnx, export_checkpoint
from david_hf.conversion.export_graph import ExportedNetwork

ALL = ("depth", "normals", "alpha")
MIB = 1 << 20


def random_model(size: str, tasks: tuple[str, ...]) -> DavidForDensePrediction:
    """No two weights alike: exporters would store equal ones once."""
    model = DavidForDensePrediction(DavidConfig.from_size(size, tasks=tasks)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.01 * torch.randn_like(parameter))
    return model


@pytest.mark.full_size
@pytest.mark.parametrize(
    ("size", "tasks", "exporter", "size_mib"),
    [
        ("base", ("depth",), "legacy", 428.42),
        ("base", ("normals",), "dynamo", 428.42),
        ("large", ("alpha",), "legacy", 1314.13),
        ("large", ALL, "legacy", 1316.66),
        ("large", ALL, "dynamo", 1316.66),
    ],
)
def test_every_published_size_comes_back_bit_for_bit(
    size: str, tasks: tuple[str, ...], exporter: str, size_mib: float, tmp_path: Path
) -> None:
    torch.set_num_threads(2)
    model = random_model(size, tasks)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    path = tmp_path / "model.onnx"
    opset = 17 if exporter == "legacy" else 18
    export_onnx(ExportedNetwork(model, tasks).eval(), path, (512, 512), exporter, opset)
    del model
    if exporter == "legacy":
        # That one made the published files; what there is beside the weights is 300 KB of theirs.
        assert abs(path.stat().st_size / MIB - size_mib) < 0.5

    done = convert_onnx(path, tmp_path / "checkpoint", tasks=tasks, depth_is_inverse=True)

    assert all(difference.is_small for difference in done.differences)
    predictor = DavidPredictor.from_pretrained(tmp_path / "checkpoint", "cpu")
    back = predictor.model
    assert isinstance(back, torch.nn.Module)
    found = back.state_dict()
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(found[name], value), name


@pytest.mark.full_size
def test_the_large_model_exports_as_a_drop_in_for_the_official_file(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    random_model("large", ALL).save_pretrained(tmp_path / "checkpoint")
    DavidImageProcessor(size=512).save_pretrained(tmp_path / "checkpoint")

    report = export_checkpoint(tmp_path / "checkpoint", tmp_path / "david.onnx", ExportSettings())

    assert report.input_shape == (-1, 3, 512, 512)
    assert [file.name for file in report.files] == ["david.onnx"]
    assert all(difference.accepted for difference in report.differences)
