"""Opening models for the evaluation: what tells one from another, and what is refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import GLPNForDepthEstimation
from unit.evaluation.tiny_models import glpn

from david_hf.evaluation.predictors import checkpoint as checkpoints
from david_hf.evaluation.predictors.opening import open_predictor

DIGEST = "weights_sha256"


PROCESSOR = {"image_processor_type": "GLPNImageProcessor"}


@pytest.fixture(scope="module")
def checkpoint(save_model: Callable[..., Path]) -> Path:
    return save_model(glpn(), PROCESSOR)


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def digest_of(folder: Path) -> str:
    return str(open_predictor(folder, device="cpu").describe()[DIGEST])


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_model_is_described_by_what_was_loaded(checkpoint: Path) -> None:
    predictor = open_predictor(checkpoint, device="cpu")

    facts = predictor.describe()

    assert (predictor.family, predictor.name) == ("glpn", checkpoint.name)
    assert facts.pop("image_processor").startswith("GLPNImageProcessor")
    assert facts == {
        "family": "glpn",
        "class": "GLPNForDepthEstimation",
        "revision": None,
        DIGEST: sha256((checkpoint / "model.safetensors").read_bytes()),
        "parameters": glpn().num_parameters(),
        "dtype": "float32",
        "device": "cpu",
        "depth_space": "depth",
    }
    assert json.loads(json.dumps(facts)) == facts


def test_other_weights_have_another_digest(copy: Path) -> None:
    before = digest_of(copy)
    weights = load_file(copy / "model.safetensors")
    next(values for name, values in weights.items() if name.startswith("head")).add_(1e-3)
    save_file(weights, copy / "model.safetensors", {"format": "pt"})

    assert digest_of(copy) != before


def test_the_digest_of_several_files_is_that_of_their_names_and_digests(
    checkpoint: Path, tmp_path: Path
) -> None:
    model = GLPNForDepthEstimation.from_pretrained(checkpoint)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    shutil.copy(checkpoint / "preprocessor_config.json", tmp_path)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    lines = [f"{shard.name} {sha256(shard.read_bytes())}\n" for shard in shards]

    assert digest_of(tmp_path) == sha256("".join(lines).encode())


def test_a_missing_file_of_several_is_named(
    checkpoint: Path, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    model = GLPNForDepthEstimation.from_pretrained(checkpoint)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    shard = min(tmp_path.glob("model-*.safetensors"))
    shard.unlink()

    assert refusal(tmp_path) == f"cannot load {tmp_path}: {shard.name} missing from it"


def test_weights_are_hashed_once(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def sha256_of(path: Path) -> str:
        hashed.append(path)
        return "digest"

    monkeypatch.setattr(checkpoints, "sha256_of", sha256_of)
    predictor = open_predictor(checkpoint, device="cpu")

    assert [predictor.describe()[DIGEST] for _ in range(3)] == ["digest"] * 3
    assert hashed == [checkpoint / "model.safetensors"]


def test_a_model_of_the_hub_is_found_in_the_cache(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: list[np.ndarray]
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--somebody--tiny"
    shutil.copytree(checkpoint, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    predictor = open_predictor("somebody/tiny", device="cpu")

    assert predictor.name == "somebody/tiny"
    assert predictor.describe()["revision"] == commit
    assert predictor.describe()[DIGEST] == digest_of(checkpoint)
    local = open_predictor(checkpoint, device="cpu")
    np.testing.assert_array_equal(
        predictor.predict(photos)[0].depth, local.predict(photos)[0].depth
    )


def test_weights_in_a_pickle_are_refused(copy: Path, refusal: Callable[..., str]) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()

    assert refusal(copy) == (
        f"cannot load {copy}: expected weights in the format safetensors, found none; save it "
        "again with save_pretrained, or check the connection to the Hub"
    )


def test_what_is_no_checkpoint_is_named(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert refusal(tmp_path / "nowhere") == f"cannot load {tmp_path}/nowhere: no such folder"
    assert refusal("./nowhere") == "cannot load ./nowhere: no such folder"
    assert refusal(tmp_path) == f"cannot load {tmp_path}: the folder has no config.json"
    assert refusal("nobody/nothing").startswith("cannot load nobody/nothing: ")
    for content in ("{", "[]"):
        (tmp_path / "config.json").write_text(content)
        assert refusal(tmp_path).startswith(f"cannot read {tmp_path}/config.json: ")


def test_models_of_other_tasks_are_refused(tmp_path: Path, refusal: Callable[..., str]) -> None:
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert refusal(tmp_path) == (
        f"cannot load {tmp_path}: expected a model for AutoModelForDepthEstimation, "
        "AutoModelForNormalEstimation, AutoModelForImageMatting, AutoModelForImageSegmentation, "
        "got ViTForImageClassification of the type vit"
    )


def test_broken_weights_and_missing_devices_are_named(
    copy: Path, refusal: Callable[..., str]
) -> None:
    assert refusal(copy, device="toaster").startswith("cannot run on toaster: ")
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[:1000])

    assert refusal(copy).startswith(f"cannot load {copy}: ")


def test_a_missing_image_processor_is_named(copy: Path, refusal: Callable[..., str]) -> None:
    (copy / "preprocessor_config.json").unlink()

    assert "preprocessor_config.json" in refusal(copy)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"depth_space": "metres"}, "expected depth_space out of depth, disparity, got metres"),
        (
            {"normals_convention": "blender_world"},
            "expected normals_convention out of opengl, opencv, got blender_world",
        ),
        (
            {"dtype": torch.int8},
            "expected dtype out of float32, float16, bfloat16, got int8",
        ),
    ],
)
def test_options_with_other_values_are_refused(
    options: dict[str, Any], line: str, checkpoint: Path, refusal: Callable[..., str]
) -> None:
    assert refusal(checkpoint, **options) == line


def test_options_for_other_models_are_refused(
    checkpoint: Path, refusal: Callable[..., str]
) -> None:
    assert refusal(checkpoint, normals_convention="opencv") == (
        f"expected no normals_convention for {checkpoint.name}, which predicts depth; leave it out"
    )
