"""Models of soft foreground in the evaluation, those with code of their own included."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from photos import make_picture
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    AutoImageProcessor,
    AutoModelForImageMatting,
    Sapiens2ForImageMatting,
    dynamic_module_utils,
)
from unit.evaluation.tiny_models import sapiens2_config

from david_hf.evaluation.predictors.base import Predictor
from david_hf.evaluation.predictors.opening import open_predictor

SIZE = {"height": 32, "width": 24}

# Like BiRefNet: one channel of logits, at several scales, the final one last.
CODE = """
from pathlib import Path

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

Path({marker!r}).touch()


class LikeBiRefNetConfig(PreTrainedConfig):
    model_type = "SegformerForSemanticSegmentation"


class LikeBiRefNet(PreTrainedModel):
    config_class = LikeBiRefNetConfig

    def __init__(self, config):
        super().__init__(config)
        self.head = nn.Conv2d(3, 1, 1)
        self.post_init()

    def forward(self, x):
        logits = self.head(x)
        return {outputs}
"""
WEIGHTS = {
    "head.weight": torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1),
    "head.bias": torch.ones(1),
}


def sapiens2() -> Sapiens2ForImageMatting:
    return Sapiens2ForImageMatting(sapiens2_config(4))


@pytest.fixture(scope="module")
def checkpoint(save_model: Callable[..., Path]) -> Path:
    return save_model(sapiens2(), {"image_processor_type": "ViTImageProcessor", "size": SIZE})


@pytest.fixture
def modules_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep code that transformers copies out of the home folder, and unloaded afterwards."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("transformers_modules"):
            del sys.modules[name]


def save_remote(
    folder: Path,
    outputs: str = "[logits[..., ::2, ::2], logits]",
    auto_class: str = "AutoModelForImageSegmentation",
    **config: Any,
) -> Path:
    """Write a checkpoint whose config.json looks like that of BiRefNet; its code leaves a mark."""
    folder.mkdir()
    marker = str(folder / "code_has_run")
    (folder / "like.py").write_text(CODE.format(marker=marker, outputs=outputs))
    auto_map = {"AutoConfig": "like.LikeBiRefNetConfig", auto_class: "like.LikeBiRefNet"}
    content = {"architectures": ["LikeBiRefNet"], "auto_map": auto_map, **config}
    (folder / "config.json").write_text(json.dumps(content))
    save_file(WEIGHTS, folder / "model.safetensors", {"format": "pt"})
    return folder


def alphas(predictor: Predictor, photos: list[np.ndarray]) -> list[np.ndarray]:
    found = [maps.alpha for maps in predictor.predict(photos)]
    assert [alpha.shape for alpha in found] == [photo.shape[:2] for photo in photos]
    assert all(alpha.dtype == np.float32 for alpha in found)
    assert all(alpha.min() >= 0 and alpha.max() <= 1 for alpha in found)
    return found


def alpha_of_colours(photo: np.ndarray) -> np.ndarray:
    """What the weights above make of each pixel, by itself."""
    colours = (photo / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return 1 / (1 + np.exp(-(colours @ [1.0, -2.0, 0.5] + 1)))


def test_alpha_is_that_of_the_model(checkpoint: Path, photos: list[np.ndarray]) -> None:
    predictor: Any = open_predictor(checkpoint, device="cpu")

    found = alphas(predictor, photos)[1]

    assert predictor.tasks == ("alpha",)
    assert np.ptp(found) > 0.05
    with torch.no_grad():
        raw = predictor.model(predictor.prepare(photos[1])).alphas
    expected = F.interpolate(raw, photos[1].shape[:2], mode="bilinear", antialias=True)[0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_batch_of_all_sizes_gives_what_each_photo_gives_alone(
    checkpoint: Path, photos: list[np.ndarray]
) -> None:
    predictor = open_predictor(checkpoint, device="cpu")

    for photo, found in zip(photos, alphas(predictor, photos), strict=True):
        np.testing.assert_allclose(found, alphas(predictor, [photo])[0], atol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="needs torchvision")
def test_alpha_is_what_sapiens_makes_of_a_photo(
    save_model: Callable[..., Path], photos: list[np.ndarray]
) -> None:
    options = {"image_processor_type": "Sapiens2ImageProcessor", "size": SIZE}
    folder = save_model(sapiens2(), options)

    found = alphas(open_predictor(folder, device="cpu"), photos)

    model = AutoModelForImageMatting.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    for photo, ours in zip(photos, found, strict=True):
        with torch.no_grad():
            outputs = model(**processor(Image.fromarray(photo), return_tensors="pt"))
        theirs = processor.post_process_image_matting(outputs, target_sizes=[photo.shape[:2]])
        np.testing.assert_allclose(ours, theirs[0]["alpha"][0], atol=1e-5)


def test_models_that_need_a_trimap_are_refused(tmp_path: Path, refusal: Callable[..., str]) -> None:
    config = {"model_type": "vitmatte", "architectures": ["VitMatteForImageMatting"]}
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert refusal(tmp_path) == (
        f"cannot load {tmp_path}: vitmatte needs a trimap with every photo; expected a model that "
        "needs none"
    )


@pytest.mark.usefixtures("modules_cache")
def test_code_of_a_checkpoint_runs_only_with_consent(
    tmp_path: Path, refusal: Callable[..., str]
) -> None:
    folder = save_remote(tmp_path / "like")

    assert refusal(folder) == (
        f"cannot load {folder}: it needs the Python code that comes with it; read that code, then "
        "allow it with trust_remote_code"
    )
    assert not (folder / "code_has_run").exists()

    open_predictor(folder, device="cpu", trust_remote_code=True)

    assert (folder / "code_has_run").exists()


@pytest.mark.usefixtures("modules_cache")
def test_a_model_of_transformers_does_without_the_code_beside_it(
    checkpoint: Path, tmp_path: Path
) -> None:
    folder = save_remote(tmp_path / "like")
    config = json.loads((checkpoint / "config.json").read_text())
    config["auto_map"] = {"AutoModelForImageMatting": "like.LikeBiRefNet"}
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("model.safetensors", "preprocessor_config.json"):
        (folder / name).write_bytes((checkpoint / name).read_bytes())

    predictor = open_predictor(folder, device="cpu", trust_remote_code=True)

    assert predictor.describe()["class"] == "Sapiens2ForImageMatting"
    assert not (folder / "code_has_run").exists()


@pytest.mark.usefixtures("modules_cache")
@pytest.mark.parametrize("outputs", ["logits", "[logits[..., ::2, ::2], logits]", "(logits,)"])
def test_logits_of_foreground_become_alpha(outputs: str, tmp_path: Path) -> None:
    photo = np.asarray(make_picture(64, 64))
    folder = save_remote(tmp_path / "like", outputs, image_size=64)

    predictor = open_predictor(folder, device="cpu", trust_remote_code=True)

    assert predictor.family == "LikeBiRefNet"
    assert predictor.tasks == ("alpha",)
    np.testing.assert_allclose(alphas(predictor, [photo])[0], alpha_of_colours(photo), atol=1e-5)


@pytest.mark.usefixtures("modules_cache")
def test_photos_are_stretched_to_the_square_of_the_configuration_and_back(
    tmp_path: Path, photos: list[np.ndarray]
) -> None:
    folder = save_remote(tmp_path / "like", image_size=200)
    predictor: Any = open_predictor(folder, device="cpu", trust_remote_code=True)
    shapes = []
    predictor.model.register_forward_pre_hook(lambda _, args: shapes.append(args[0].shape))

    found = alphas(predictor, photos)

    assert [tuple(shape) for shape in shapes] == [(len(photos), 3, 200, 200)]
    assert predictor.describe()["input_size"] == 200
    for photo, alpha in zip(photos, found, strict=True):
        np.testing.assert_allclose(alpha, alphas(predictor, [photo])[0], atol=1e-5)
        assert np.abs(alpha - alpha_of_colours(photo)).mean() < 0.02


@pytest.mark.usefixtures("modules_cache")
def test_large_photos_are_smoothed_as_they_shrink(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    folder = save_remote(tmp_path / "like", image_size=16)

    alpha = alphas(open_predictor(folder, device="cpu", trust_remote_code=True), [stripes])[0]

    grey = alpha_of_colours(np.full((64, 64, 3), 127.5))
    np.testing.assert_allclose(alpha[:, 8:-8], grey[:, 8:-8], atol=0.01)


@pytest.mark.usefixtures("modules_cache")
def test_the_square_of_birefnet_is_the_default_and_an_image_processor_comes_first(
    tmp_path: Path, photos: list[np.ndarray]
) -> None:
    folder = save_remote(tmp_path / "like")
    plain: Any = open_predictor(folder, device="cpu", trust_remote_code=True)
    processor = {"image_processor_type": "ViTImageProcessor", "size": SIZE}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    processed: Any = open_predictor(folder, device="cpu", trust_remote_code=True)

    assert plain.prepare(photos[0]).shape == (1, 3, 1024, 1024)
    assert plain.describe()["image_processor"] is None
    assert processed.prepare(photos[0]).shape == (1, 3, 32, 24)
    assert processed.describe()["image_processor"].startswith("ViTImageProcessor")
    assert processed.describe()["input_size"] is None
    alphas(processed, photos)


@pytest.mark.usefixtures("modules_cache")
@pytest.mark.parametrize(
    ("outputs", "got"), [("[logits, [logits]]", "list"), ("x", r"\(1, 3, 8, 8\)")]
)
def test_other_outputs_are_refused(outputs: str, got: str, tmp_path: Path) -> None:
    folder = save_remote(tmp_path / "like", outputs, image_size=8)
    predictor = open_predictor(folder, device="cpu", trust_remote_code=True)

    with pytest.raises(ValueError, match=rf"expected logits .* last output of like, got {got};"):
        predictor.predict([np.zeros((8, 8, 3), np.uint8)])


@pytest.mark.usefixtures("modules_cache")
def test_code_of_a_checkpoint_may_predict_depth_if_its_space_is_given(
    tmp_path: Path, photos: list[np.ndarray], refusal: Callable[..., str]
) -> None:
    outputs = "__import__('transformers').utils.ModelOutput({name}=logits[:, 0])"
    processor = {"image_processor_type": "ViTImageProcessor", "size": SIZE}
    for name in ("predicted_depth", "disparity"):
        code = outputs.format(name=name)
        folder = save_remote(tmp_path / name, code, "AutoModelForDepthEstimation")
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    options: dict[str, Any] = {"device": "cpu", "trust_remote_code": True}

    line = refusal(tmp_path / "predicted_depth", **options)
    good = open_predictor(tmp_path / "predicted_depth", depth_space="disparity", **options)
    bad = open_predictor(tmp_path / "disparity", depth_space="disparity", **options)

    assert "nothing says whether LikeBiRefNet predicts depth or disparity" in line
    assert good.predict(photos)[0].depth.shape == photos[0].shape[:2]
    with pytest.raises(ValueError, match="expected predicted_depth from disparity, got disparity"):
        bad.predict(photos)
