"""A checkpoint that carries its code runs on a machine without this package."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import tiny_config, tiny_model
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel, pipeline

from david_hf.hub.remote_code import export_remote_code
from david_hf.model import (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidImageProcessor,
    DavidPreTrainedModel,
)

# One process for all heads and both backends. It writes tensors, named "task/output".
STRANGER = """
import os, sys

sys.modules["david_hf"] = None  # any import of the package fails
if "no-torchvision" in sys.argv:
    sys.modules["torchvision"] = None

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoImageProcessor, AutoModel, pipeline
import transformers

root, photo = sys.argv[1], Image.open(sys.argv[2])
TASKS = {
    "depth": ["depth-estimation"],
    "normals": ["surface-normal-estimation"],
    "alpha": ["image-matting"],
    "dense": ["depth-estimation", "surface-normal-estimation", "image-matting",
              "human-dense-prediction"],
}
found = {}
for head, tasks in TASKS.items():
    folder = os.path.join(root, head)
    for backend in ("pil", "torchvision"):
        processor = AutoImageProcessor.from_pretrained(
            folder, backend=backend, trust_remote_code=True
        )
        suffix = "Pil" if backend == "pil" else ""
        assert type(processor).__name__ == "DavidImageProcessor" + suffix
        inputs = processor(photo, return_tensors="pt")
        found[f"{head}/{backend}"] = inputs["pixel_values"]
    trunk = AutoModel.from_pretrained(folder, trust_remote_code=True)
    with torch.no_grad():
        found[f"{head}/features"] = trunk(**inputs).last_hidden_state
    for task in tasks:
        predict = pipeline(task, model=folder, trust_remote_code=True, device="cpu")
        assert type(predict.model).__module__.startswith("transformers_modules")
        for name, value in predict(photo).items():
            if torch.is_tensor(value):
                found[f"{head}/{task}/{name}"] = value
names = {
    "AutoModelForDepthEstimation": "DavidForDepthEstimation",
    "AutoModelForNormalEstimation": "DavidForNormalEstimation",
    "AutoModelForImageMatting": "DavidForImageMatting",
    "AutoModelForImageToImage": "DavidForDensePrediction",
}
for auto_name, name in names.items():
    auto_class = getattr(transformers, auto_name)
    model = auto_class.from_pretrained(os.path.join(root, "dense"), trust_remote_code=True)
    assert type(model).__name__ == name
save_file({name: value.contiguous() for name, value in found.items()}, sys.argv[3])
"""
CLASSES: dict[str, type[DavidPreTrainedModel]] = {
    "depth": DavidForDepthEstimation,
    "normals": DavidForNormalEstimation,
    "alpha": DavidForImageMatting,
    "dense": DavidForDensePrediction,
}


def save_checkpoint(folder: Path, head: str = "dense", encoder_type: str = "vit") -> Path:
    tiny_model(CLASSES[head], tiny_config(encoder_type)).save_pretrained(folder)
    DavidImageProcessor(size={"height": 48, "width": 48}).save_pretrained(folder)
    return folder


def write_photo(path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (33, 50, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run_stranger(root: Path, photo: Path, *options: str) -> dict[str, torch.Tensor]:
    """Load what lies under `root` in a process that lacks the package."""
    found = root / "found.safetensors"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", STRANGER, root, photo, found, *options],
        env={**os.environ, "HF_MODULES_CACHE": str(root / "modules"), "OMP_NUM_THREADS": "1"},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return load_file(found)


@pytest.mark.parametrize(
    ("encoder_type", "options"), [("vit", ()), ("mobilenet_v2", ("no-torchvision",))]
)
def test_a_stranger_gets_what_the_package_gives(
    encoder_type: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    photo = write_photo(tmp_path / "photo.png")
    for head in CLASSES:
        plain = save_checkpoint(tmp_path / "plain" / head, head, encoder_type)
        export_remote_code(plain, tmp_path / "carrying" / head)

    found = run_stranger(tmp_path / "carrying", photo, *options)

    assert len(found) == 3 * len(CLASSES) + 3 + 3 + 3
    image = Image.open(photo)
    for head in CLASSES:
        folder = tmp_path / "plain" / head
        pixels = AutoImageProcessor.from_pretrained(folder)(image, return_tensors="pt")
        with torch.no_grad():
            features = AutoModel.from_pretrained(folder)(**pixels).last_hidden_state
        expected: dict[str, Any] = {
            "pil": pixels["pixel_values"],
            "torchvision": pixels["pixel_values"],
            "features": features,
        }
        for name in found:
            if name.startswith(f"{head}/") and name.count("/") == 2:
                task = name.split("/")[1]
                result = pipeline(task, model=str(folder), device="cpu")(image)
                expected |= {f"{task}/{key}": value for key, value in result.items()}
        for name, value in found.items():
            if name.startswith(f"{head}/"):
                wanted = expected[name.removeprefix(f"{head}/")]
                torch.testing.assert_close(value, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("task", ["depth-estimation", "human-dense-prediction"])
@pytest.mark.parametrize("trust", [None, True])
def test_where_the_package_is_it_runs_and_nobody_is_asked(
    task: str, trust: bool | None, tmp_path: Path, transformers_log: list[str]
) -> None:
    folder = export_remote_code(save_checkpoint(tmp_path / "plain"), tmp_path / "carrying")

    predict = pipeline(task, model=str(folder), device="cpu", trust_remote_code=trust)

    assert type(predict.model).__module__ == "david_hf.model.modeling_david"
    assert transformers_log == []


def test_the_copy_holds_the_checkpoint_and_code_and_nothing_else(tmp_path: Path) -> None:
    plain = save_checkpoint(tmp_path / "plain")
    (plain / "optimizer.pt").write_bytes(b"not a part")
    (plain / "metrics.json").write_text("{}")

    carrying = export_remote_code(plain, tmp_path / "carrying")

    names = {path.name for path in carrying.iterdir()}
    code = {name for name in names if name.endswith("_david.py")}
    assert names - code == {
        "config.json",
        "metrics.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    assert {"modeling_david.py", "pipeline_david.py", "configuration_david.py"} < code
    assert "auto_map" not in json.loads((plain / "config.json").read_text())


def test_only_heads_the_checkpoint_has_are_promised(tmp_path: Path) -> None:
    carrying = export_remote_code(save_checkpoint(tmp_path / "plain", "alpha"), tmp_path / "out")

    config = json.loads((carrying / "config.json").read_text())

    assert config["auto_map"].keys() == {"AutoConfig", "AutoModel", "AutoModelForImageMatting"}
    assert config["custom_pipelines"].keys() == {"image-matting"}


def test_bad_input_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    plain = save_checkpoint(tmp_path / "plain")
    target = tmp_path / "carrying"

    with pytest.raises(ValueError, match="no such folder"):
        export_remote_code(tmp_path / "missing", target)
    with pytest.raises(ValueError, match="exists already"):
        export_remote_code(plain, plain)
    (plain / "config.json").write_text('{"model_type": "dpt"}')
    with pytest.raises(ValueError, match="expected a model of type david, got dpt"):
        export_remote_code(plain, target)
    (plain / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: expected a configuration"):
        export_remote_code(plain, target)
    (plain / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"it has no preprocessor_config\.json"):
        export_remote_code(plain, target)
    assert {path.name for path in tmp_path.iterdir()} == {"plain"}
