"""A checkpoint that carries its code runs on a machine without this package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from factories import tiny_config, tiny_model

from david_hf.model import DavidConfig, DavidForDensePrediction, DavidImageProcessor

SCRIPT = """
import sys

sys.modules["david_hf"] = None  # any import of the package fails

import torch
from transformers import AutoImageProcessor, AutoModel

folder = sys.argv[1]
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
pixel_values = torch.load(folder + "/images.pt")
outputs = model(pixel_values)
maps = {name: outputs[name].detach() for name in ("predicted_depth", "normals", "alphas")}
torch.save({**maps, "processor": type(processor).__name__}, folder + "/maps.pt")
"""


@pytest.mark.parametrize("encoder_type", ["vit", "mobilenet_v2"])
def test_a_checkpoint_with_code_needs_no_package(
    encoder_type: str,
    tmp_path: Path,
    generator: torch.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for model_class, auto_class in (
        (DavidConfig, "AutoConfig"),
        (DavidForDensePrediction, "AutoModel"),
        (DavidImageProcessor, "AutoImageProcessor"),
    ):
        monkeypatch.setattr(model_class, "_auto_class", auto_class)
    model = tiny_model(DavidForDensePrediction, tiny_config(encoder_type))
    model.save_pretrained(tmp_path)
    DavidImageProcessor().save_pretrained(tmp_path)
    pixel_values = torch.rand(1, 3, 40, 48, generator=generator)
    torch.save(pixel_values, tmp_path / "images.pt")

    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")},
        cwd=tmp_path,
        check=True,
        timeout=300,
    )

    assert "modeling_david.DavidForDensePrediction" in json.dumps(
        json.loads((tmp_path / "config.json").read_text())["auto_map"]
    )
    maps = torch.load(tmp_path / "maps.pt")
    assert maps.pop("processor").startswith("DavidImageProcessor")
    expected = model(pixel_values)
    for name, values in maps.items():
        torch.testing.assert_close(values, expected[name], atol=1e-4, rtol=1e-4)
