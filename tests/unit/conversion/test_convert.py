"""ONNX files of many variants of the derived network, converted and compared."""

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from derived_network import DerivedNetwork, Variant, build, expected_config
from factories import random_images, tiny_vit_config
from onnx_exports import export_onnx
from onnx_mutations import MUTATIONS, mutate

from david_hf import DavidImageProcessor, DavidPredictor
from david_hf.conversion import ConversionError, convert, convert_onnx
from david_hf.conversion.export_graph import ExportedNetwork
from david_hf.conversion.survey import GraphMap
from david_hf.model import (
    DavidConfig,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
)

RELU = "relu"
BASE = Variant()
PLACEMENTS: dict[str, dict[str, Any]] = {
    "A": {},
    "B": {"resizer": ((3, RELU),), "unit": ((1, RELU), (1, RELU))},
    "C": {"resizer": ((3, RELU), (1, RELU), (1, RELU)), "projection": ()},
    "D": {"projection": (), "unit": ((1, RELU), (1, RELU))},
    "E": {"resizer": ((3, RELU),), "projection": (), "unit": ((1, RELU),) * 3},
    "lateral": {"resizer": ((3, RELU),), "lateral": ((1, "none"),)},
    "two lateral": {
        "resizer": ((3, RELU),),
        "lateral": ((1, RELU), (1, "none")),
        "projection": (),
    },
    "two projections": {"resizer": ((3, RELU),), "projection": ((1, RELU), (1, "none"))},
    "active projection": {"projection": ((1, RELU),)},
    "wide projection": {"projection": ((3, "gelu"),)},
    "projection first": {"projection_first": True},
    "wide projection first": {"projection_first": True, "projection": ((3, RELU),)},
}
ACTIVATIONS = ["gelu", "gelu_tanh", "silu", "elu", "hardswish", "softplus", "leaky"]
QUESTIONS: dict[str, list[dict[str, Any]]] = {
    "placement": list(PLACEMENTS.values()),
    "activations": [
        {},
        *(
            {
                "resizer": ((3, act), (1, act)),
                "unit": ((1, act),),
                "unit_activation": act,
                "mlp_activation": act,
                "head": (act, act),
            }
            for act in ACTIVATIONS
        ),
        {"readout_activation": "silu"},
        {"head": ("none", RELU)},
        {"head": ("gelu", RELU), "head_resize_first": True},
    ],
    "norm": [{}, {"batch_norm": True}],
    "attention": [
        {"qkv": qkv}
        for qkv in ("timm", "split", "interleaved", "sdpa", "roots", "pairs", "flat", "mha")
    ],
    "readout": [{}, {"cls_first": True}],
    "bias": [{}, {"qkv_bias": False}],
    "heads": [{}, {"heads": 1}, {"heads": 4}],
    "concat": [{}, {"swapped_concat": True}],
    "alpha": [{}, {"alpha_end": "clip"}, {"alpha_end": "none"}],
    "depth": [{"depth_end": end} for end in ("none", RELU, "sigmoid", "softplus", "negate_relu")],
    "normals": [
        {},
        {"normals_end": "tanh"},
        {"unit_normals": "normalize"},
        {"unit_normals": "norm", "normals_end": "tanh"},
        {"unit_normals": "rsqrt"},
    ],
    "corners": [
        {},
        {"align_fusion": False},
        {"align_head": False},
        {"align_skip": False},
        {"align_input": True},
        {"align_fusion": False, "align_head": False, "align_skip": False},
        {"scale_factors": True},
    ],
    "input": [{}, {"input_mode": "bicubic"}],
    "colours": [
        {"colours": colours}
        for colours in ("none", "both", "encoder", "resizer", "affine", "reversed")
    ],
    "mlp": [{}, {"mlp_ratio": 2}],
    "positions": [{}, {"positions": "pieces"}],
    "hooks": [{}, {"depth": 6, "hooks": (0, 2, 3, 5)}],
    "tasks": [{}, {"tasks": ("alpha", "normals")}, {"tasks": ("depth", "alpha")}],
}
EACH = {
    f"{question} {number}": BASE if not answer else dataclasses.replace(BASE, **answer)
    for question, answers in QUESTIONS.items()
    for number, answer in enumerate(answers)
}


def sizes(variant: Variant) -> tuple[int, int]:
    return variant.input_size, variant.input_size


def expected_maps(network: DerivedNetwork, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """What users should get: depth larger = nearer, unit normals, alpha in [0, 1]."""
    with torch.no_grad():
        raw = dict(zip(network.v.tasks, network(image), strict=True))
    if "depth" in raw and len(raw) > 1:
        raw["depth"] = -raw["depth"]
    if "normals" in raw:
        raw["normals"] = torch.nn.functional.normalize(raw["normals"], dim=1)
    if "alpha" in raw:
        raw["alpha"] = raw["alpha"].clamp(0, 1)
    return raw


def assert_checkpoint_computes(folder: Path, network: DerivedNetwork, image: torch.Tensor) -> None:
    predictor = DavidPredictor.from_pretrained(folder, device="cpu")
    with torch.no_grad():
        outputs = predictor.model(image)
    names = {"depth": "predicted_depth", "normals": "normals", "alpha": "alphas"}
    for task, expected in expected_maps(network, image).items():
        torch.testing.assert_close(outputs[names[task]], expected, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("variant", EACH.values(), ids=EACH)
def test_each_answer_to_an_open_question_is_read_out_of_the_graph(
    variant: Variant, tmp_path: Path, generator: torch.Generator
) -> None:
    network = build(variant)
    path = export_onnx(network, tmp_path / "model.onnx", sizes(variant))

    done = convert_onnx(path, tmp_path / "checkpoint")

    inferred = {name: getattr(done.config, name) for name in expected_config(variant)}
    assert inferred == expected_config(variant)
    assert all(difference.is_small for difference in done.differences)
    assert_checkpoint_computes(tmp_path / "checkpoint", network, random_images(generator, 48, 48))


@pytest.mark.parametrize("opset", [11, 12, 13, 14, 15, 16, 18, 19, 20])
def test_every_opset_of_the_legacy_exporter_is_read(opset: int, tmp_path: Path) -> None:
    variant = dataclasses.replace(BASE, unit_normals="normalize")
    path = export_onnx(build(variant), tmp_path / "model.onnx", sizes(variant), opset=opset)

    assert convert_onnx(path, tmp_path / "checkpoint").config.tasks == ["depth", "normals", "alpha"]


@pytest.mark.parametrize(
    ("opset", "answers"),
    [
        (18, {"batch_norm": True}),
        (19, {"qkv": "sdpa", "colours": "both"}),
        (20, {"unit_normals": "norm", "head": ("silu", "gelu")}),
    ],
)
def test_the_dynamo_exporter_is_read(opset: int, answers: dict[str, Any], tmp_path: Path) -> None:
    variant = dataclasses.replace(BASE, **answers)
    path = tmp_path / "model.onnx"
    export_onnx(build(variant), path, sizes(variant), exporter="dynamo", opset=opset)

    done = convert_onnx(path, tmp_path / "checkpoint")

    inferred = {name: getattr(done.config, name) for name in expected_config(variant)}
    assert inferred == expected_config(variant)


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_what_tools_do_to_a_file_changes_nothing(
    name: str, batch_norm: bool, tmp_path: Path
) -> None:
    variant = dataclasses.replace(BASE, batch_norm=batch_norm, colours="affine")
    path = tmp_path / "model.onnx"
    options: dict[str, Any] = {}
    if batch_norm:
        # Batch norms stay in the graph.
        mode = torch.onnx.TrainingMode.PRESERVE
        options = {"do_constant_folding": False, "training": mode}
    export_onnx(build(variant), path, sizes(variant), **options)
    mutate(path, [name])

    done = convert_onnx(path, tmp_path / "checkpoint")

    inferred = {name: getattr(done.config, name) for name in expected_config(variant)}
    assert inferred == expected_config(variant)


def random_variant(seed: int) -> Variant:
    """Answer every question at random."""
    rng = random.Random(seed)
    answers: dict[str, Any] = {}
    for options in QUESTIONS.values():
        # What an earlier answer has fixed stays.
        answers = {**rng.choice(options), **answers}
    return dataclasses.replace(BASE, **answers)


def check_random_file(seed: int, folder: Path) -> None:
    rng = random.Random(seed)
    variant = random_variant(seed)
    network = build(variant, seed)
    path = export_onnx(
        network,
        folder / "model.onnx",
        sizes(variant),
        opset=rng.randrange({"sdpa": 14, "mha": 14, "flat": 13}.get(variant.qkv, 11), 21),
        do_constant_folding=rng.random() < 0.7,
    )
    # Half-precision weights are other weights.
    names = [name for name in MUTATIONS if name != "half-precision weights"]
    mutate(path, rng.sample(names, rng.randrange(len(names))), seed)

    done = convert_onnx(path, folder / "checkpoint", tasks=variant.tasks)

    inferred = {name: getattr(done.config, name) for name in expected_config(variant)}
    assert inferred == expected_config(variant), variant
    image = random_images(torch.Generator().manual_seed(seed), 48, 48)
    assert_checkpoint_computes(folder / "checkpoint", network, image)


@pytest.mark.parametrize("seed", range(16))
def test_random_variants_are_read(seed: int, tmp_path: Path) -> None:
    check_random_file(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16, 200))
def test_many_random_variants_are_read(seed: int, tmp_path: Path) -> None:
    check_random_file(seed, tmp_path)


@pytest.mark.parametrize(
    ("task", "model_class"),
    [
        ("depth", DavidForDepthEstimation),
        ("normals", DavidForNormalEstimation),
        ("alpha", DavidForImageMatting),
    ],
)
def test_a_file_of_one_task_becomes_that_tasks_model(
    task: str, model_class: type, tmp_path: Path, generator: torch.Generator
) -> None:
    network = build(dataclasses.replace(BASE, tasks=(task,)))
    path = export_onnx(network, tmp_path / "model.onnx", (48, 48))

    done = convert_onnx(path, tmp_path / "checkpoint")

    assert done.config.architectures == [model_class.__name__]
    assert_checkpoint_computes(tmp_path / "checkpoint", network, random_images(generator, 48, 48))


def test_a_lone_map_of_one_channel_needs_to_be_named(tmp_path: Path) -> None:
    network = build(dataclasses.replace(BASE, tasks=("alpha",), alpha_end="none"))
    path = export_onnx(network, tmp_path / "model.onnx", (48, 48))

    with pytest.raises(ConversionError, match="could be depth or alpha; say which, --tasks depth"):
        convert_onnx(path, tmp_path / "checkpoint")

    assert convert_onnx(path, tmp_path / "a", tasks=["alpha"]).config.tasks == ["alpha"]
    as_depth = convert_onnx(path, tmp_path / "d", tasks=["depth"], depth_is_inverse=False).config
    assert (as_depth.tasks, as_depth.depth_is_inverse) == (["depth"], False)


def test_weights_arrive_bit_for_bit(tmp_path: Path) -> None:
    network = build(BASE)
    path = export_onnx(network, tmp_path / "model.onnx", (48, 48))

    convert_onnx(path, tmp_path / "checkpoint")

    state = DavidForDensePrediction.from_pretrained(tmp_path / "checkpoint").state_dict()
    theirs = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert len(state) == len(theirs)
    pairs = {
        "model.encoder.embeddings.position_embeddings": network.positions,
        "model.encoder.layers.2.attention.qkv.weight": network.blocks[2].attention.qkv[0].weight,
        "model.encoder.layers.3.mlp_in.bias": network.blocks[3].mlp[0].bias,
        "model.decoder.levels.1.skip_unit.convolution2.weight": network.skips[1].two.weight,
        "model.decoder.levels.3.merge.0.convolution.weight": network.units[3][0].weight,
        "normal_head.predict.weight": network.heads["normals"][2].weight,
    }
    for name, expected in pairs.items():
        assert torch.equal(state[name], expected), name


@pytest.mark.parametrize("keep_io_types", [True, False])
def test_a_file_that_computes_in_half_precision_is_compared_in_single(
    keep_io_types: bool, tmp_path: Path
) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    path = export_onnx(build(BASE), tmp_path / "model.onnx", (48, 48))
    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=keep_io_types), path)

    done = convert_onnx(path, tmp_path / "checkpoint")

    assert done.in_half_precision
    assert done.config.hidden_act == "gelu"
    report = json.loads((tmp_path / "checkpoint" / "conversion.json").read_text())
    assert report["computes_in_half_precision"]


def test_weights_in_files_beside_the_model_are_read(tmp_path: Path) -> None:
    path = export_onnx(build(BASE), tmp_path / "model.onnx", (48, 48))
    onnx.save(
        onnx.load(path),
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=False,
        size_threshold=0,
    )
    assert len(list(tmp_path.iterdir())) > 50

    assert convert_onnx(path, tmp_path / "checkpoint").config.hidden_size == 16


def test_free_height_and_width_become_the_official_ones(tmp_path: Path) -> None:
    axes = {"input": {0: "b", 2: "h", 3: "w"}}
    path = export_onnx(build(BASE), tmp_path / "model.onnx", (48, 48), dynamic_axes=axes)

    convert_onnx(path, tmp_path / "checkpoint")

    processor = DavidImageProcessor.from_pretrained(tmp_path / "checkpoint")
    assert dict(processor.size) == {"height": 512, "width": 512}
    assert processor.channel_order == "bgr"


def test_the_report_says_what_was_read_and_measured(tmp_path: Path) -> None:
    path = export_onnx(build(BASE), tmp_path / "official.onnx", (48, 48))

    convert_onnx(path, tmp_path / "checkpoint")

    report = json.loads((tmp_path / "checkpoint" / "conversion.json").read_text())
    assert report["source"] == "official.onnx"
    assert report["size"] == path.stat().st_size
    assert len(report["sha256"]) == 64
    assert report["inferred"]["out_indices"] == [0, 1, 2, 3]
    measured = {(d["output"], d["image"]) for d in report["differences"]}
    images = ("noise, seed 0", "astronaut.jpg")
    assert measured == {(t, i) for t in ("depth", "normals", "alpha") for i in images}
    assert all(0 <= d["max_abs_difference"] < 1e-4 for d in report["differences"])


# --- our own networks, exported and read back ----------------------------------------------------


@pytest.mark.parametrize(("exporter", "opset"), [("legacy", 17), ("legacy", 14), ("dynamo", 18)])
@pytest.mark.parametrize("is_fused", [False, True])
def test_networks_of_this_package_come_back(
    exporter: str, opset: int, is_fused: bool, tmp_path: Path, generator: torch.Generator
) -> None:
    config = tiny_vit_config(image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.4])
    model = DavidForDensePrediction(config).eval()
    image = random_images(generator, 48, 48)
    with torch.no_grad():
        expected = model(image)
    if is_fused:
        model.fuse()
    network = ExportedNetwork(model, config.tasks).eval()
    path = export_onnx(network, tmp_path / "model.onnx", (48, 48), exporter, opset)

    convert_onnx(path, tmp_path / "back", depth_is_inverse=True)

    back = DavidForDensePrediction.from_pretrained(tmp_path / "back")
    with torch.no_grad():
        outputs = back(image)
    for name in ("predicted_depth", "normals", "alphas"):
        torch.testing.assert_close(outputs[name], expected[name], atol=1e-5, rtol=1e-4)
    assert back.config.projection_kernels == ([] if is_fused else [1])
    assert back.config.image_mean == [0.5, 0.4, 0.3]


# --- refusals ------------------------------------------------------------------------------------


def tamper_with(field: str, value: Any) -> Callable[[GraphMap], None]:
    return lambda mapped: mapped.config.update({field: value})


def disturb(key: str) -> Callable[[GraphMap], None]:
    def change(mapped: GraphMap) -> None:
        mapped.state[key] = mapped.state[key] * np.float32(3) + np.float32(0.1)

    return change


@pytest.mark.parametrize(
    ("mistake", "stage"),
    [
        (tamper_with("resize_align_corners", True), "patches"),
        (disturb("model.encoder.embeddings.cls_token"), "tokens"),
        (disturb("model.encoder.layers.2.mlp_norm.weight"), "transformer block 2"),
        (tamper_with("readout_act", "silu"), "encoder map 0"),
        (disturb("model.resizer.levels.1.1.convolution.weight"), "resizer level 1"),
        (tamper_with("skip_align_corners", False), "decoder level 2"),
        (disturb("model.decoder.levels.0.projection.0.convolution.bias"), "decoder level 0"),
        (disturb("normal_head.reduce.convolution.weight"), "normals head, first convolution"),
        (tamper_with("head_align_corners", False), "depth head, last convolution"),
        (tamper_with("alpha_activation", "none"), "the outputs alone"),
    ],
)
def test_a_wrong_inference_is_refused_with_the_stage_where_it_shows(
    mistake: Callable[[GraphMap], None],
    stage: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = export_onnx(build(BASE), tmp_path / "model.onnx", (48, 48))
    read_graph = convert.read_graph

    def read_wrongly(*args: Any) -> GraphMap:
        mapped = read_graph(*args)
        mistake(mapped)
        return mapped

    monkeypatch.setattr(convert, "read_graph", read_wrongly)

    with pytest.raises(ConversionError, match=f"the first stage that differs is {stage}"):
        convert_onnx(path, tmp_path / "checkpoint")

    assert [item.name for item in tmp_path.iterdir()] == ["model.onnx"]


def test_weights_that_do_not_fit_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export_onnx(build(BASE), tmp_path / "model.onnx", (48, 48))
    read_graph = convert.read_graph

    def read_wrongly(*args: Any) -> GraphMap:
        mapped = read_graph(*args)
        del mapped.state["depth_head.predict.weight"]
        mapped.state["depth_head.surplus"] = np.zeros(3, np.float32)
        mapped.state["alpha_head.predict.bias"] = np.zeros(7, np.float32)
        mapped.unused.append("conv somewhere (8, 8, 1, 1)")
        return mapped

    monkeypatch.setattr(convert, "read_graph", read_wrongly)

    with pytest.raises(ConversionError) as caught:
        convert_onnx(path, tmp_path / "checkpoint")

    reason, missing, left, shapes, inferred = str(caught.value).splitlines()
    assert reason.endswith("its weights do not fit the network that was inferred")
    assert "missing keys: depth_head.predict.weight" in missing
    assert "left over: depth_head.surplus, conv somewhere (8, 8, 1, 1)" in left
    assert "alpha_head.predict.bias: (7,) in the file, (1,) in the network" in shapes
    assert json.loads(inferred.removeprefix("inferred: "))["hidden_size"] == 16


def test_an_occupied_folder_is_left_alone(tmp_path: Path) -> None:
    path = export_onnx(build(BASE), tmp_path / "model.onnx", (48, 48))
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "mine").write_text("keep")

    with pytest.raises(ConversionError, match=r"checkpoint: exists already"):
        convert_onnx(path, tmp_path / "checkpoint")

    assert [item.name for item in (tmp_path / "checkpoint").iterdir()] == ["mine"]


def test_an_export_without_optimisation_and_one_with_give_the_same(tmp_path: Path) -> None:
    path = export_onnx(build(BASE), tmp_path / "model.onnx", (48, 48))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    plain = convert_onnx(path, tmp_path / "plain").config
    optimised = convert_onnx(tmp_path / "optimised.onnx", tmp_path / "optimised").config

    assert plain.to_dict() == optimised.to_dict()
    assert isinstance(plain, DavidConfig)
