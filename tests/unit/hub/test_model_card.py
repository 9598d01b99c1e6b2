import ast
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from factories import tiny_model
from huggingface_hub import ModelCard
from transformers.pipelines import PIPELINE_REGISTRY

from david_hf import (
    DavidConfig,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidModel,
)
from david_hf.atomic import write_text
from david_hf.hub.card_parts import (
    METRICS,
    CheckpointFacts,
    eval_results,
    metrics_table,
    speed_table,
    speed_text,
    usage,
)
from david_hf.hub.model_card import publication_card, render_model_card, unpublished_card
from david_hf.model import DavidPreTrainedModel

ROW = {name: 0.25 for name, metric in METRICS.items() if metric.shown}
METRICS_FILE = {
    "num_images": 3,
    "torch": "2.13.0",
    "protocol": "mean over images",
    "overall": ROW,
    "by_category": {"full_body": {"num_images": 3, **ROW}},
}
README = """---
language: en
license: apache-2.0
tags:
- mine
---

# My model

Words of its author.
"""


def save_config(
    folder: Path, model_class: type[DavidPreTrainedModel] = DavidForDensePrediction, **others: Any
) -> Path:
    """Write the config.json of a tiny model, as save_pretrained does, and more entries."""
    model = tiny_model(model_class)
    model.config.architectures = [model_class.__name__]
    (folder / "config.json").write_text(json.dumps({**model.config.to_dict(), **others}))
    return folder


def publish_again(folder: Path, name: str = "me/model") -> str:
    """Card of a checkpoint whose README.md is the card that was published before."""
    write_text(folder / "README.md", publication_card(folder, name))
    return publication_card(folder, name)


def figures(card: str) -> dict[str, float]:
    """Metrics of a card's model-index."""
    return {result.metric_type: result.metric_value for result in ModelCard(card).data.eval_results}


def test_a_card_that_nobody_edited_is_written_anew(tmp_path: Path) -> None:
    fresh = publication_card(save_config(tmp_path), "me/model")

    card = unpublished_card(tmp_path, "run")
    write_text(tmp_path / "README.md", card)
    write_text(tmp_path / "metrics.json", json.dumps(METRICS_FILE))
    assert "# run" in card
    assert "Not measured" in card
    published = publication_card(tmp_path, "me/model")

    assert "Measured on 3 images" in published
    assert ModelCard(published).data.model_name == "model"
    (tmp_path / "metrics.json").unlink()
    assert publication_card(tmp_path, "me/model") == fresh


def test_a_card_that_somebody_edited_is_kept(tmp_path: Path) -> None:
    card = unpublished_card(save_config(tmp_path), "run")
    write_text(tmp_path / "README.md", card.replace("# run", "# My run"))

    assert "# My run" in publication_card(tmp_path, "me/model")


def test_the_table_has_a_row_for_all_and_one_per_category() -> None:
    lines = metrics_table(METRICS_FILE).splitlines()

    assert len(lines) == 4
    assert lines[2].startswith("| all | 3 | 0.250 |")
    assert lines[3].startswith("| full body | 3 |")
    assert "| 25% |" in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_the_table_of_a_single_task_has_only_its_columns() -> None:
    lines = metrics_table({"num_images": 2, "overall": {"alpha_iou": 0.5}}).splitlines()

    assert lines == ["| images | number | alpha IoU |", "|---|---|---|", "| all | 2 | 0.500 |"]


def test_the_speed_table_starts_with_ratios_to_the_peer() -> None:
    ours = {"input_size": 256, "seconds": 0.5, "peak_memory_mib": 300}
    peer = {"input_size": 384, "seconds": 2.0, "peak_memory_mib": 1200}

    table = speed_table({"peers": ["DPT"], "models": {"nano": ours, "DPT": peer}}, ["nano"])

    assert "| time / DPT | memory / DPT |" in table
    assert table.splitlines()[2] == "| nano | 256 x 256 | 0.25 | 0.25 | 0.50 | 300 MiB |"


def test_speed_comes_with_its_device_or_is_said_to_be_missing(tmp_path: Path) -> None:
    row = {"input_size": 8, "seconds": 1.0, "peak_memory_mib": 2, "all_seconds": [1.0, 3.0]}
    device = {"cpu": "Abacus", "threads": 2, "torch": "2.13.0", "dtype": "float32"}
    report = {"device": device, "peers": ["DPT"], "models": {"nano": row, "DPT": row}}
    (tmp_path / "speed.json").write_text(json.dumps(report))

    text = speed_text(tmp_path / "speed.json", ["nano"])

    assert "fastest of 2 passes, float32, 2 threads of a CPU (Abacus), torch 2.13.0" in text
    assert text.endswith(speed_table(report, ["nano", "DPT"]))
    assert speed_text(tmp_path / "speed.json", ["huge"]).startswith("Not timed")


def test_an_unknown_name_in_the_template_is_refused() -> None:
    with pytest.raises(ValueError, match=r"asks for \$seed, known are \['name'\]"):
        render_model_card("$name $seed", {"name": "nano"})


def test_parameters_are_those_of_the_model_itself() -> None:
    model = tiny_model(DavidForDensePrediction)
    model.config.architectures = ["DavidForDensePrediction"]

    facts = CheckpointFacts.from_config(model.config)

    assert facts.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert facts.tasks == ("depth", "normals", "alpha")


def test_the_published_sizes_have_the_derived_numbers_of_parameters() -> None:
    base = DavidConfig.from_size("base", architectures=["DavidForDepthEstimation"])
    large = DavidConfig.from_size("large", architectures=["DavidForDensePrediction"])

    # Derived from the sizes of the published ONNX files.
    assert CheckpointFacts.from_config(base).parameters == 112_262_273
    assert CheckpointFacts.from_config(large).parameters == 345_078_149


@pytest.mark.parametrize(
    ("model_class", "pipeline_tag", "tag", "keys"),
    [
        (DavidForDensePrediction, "depth-estimation", "image-matting", 3),
        (DavidForDepthEstimation, "depth-estimation", "depth-estimation", 1),
        (DavidForNormalEstimation, "image-to-image", "normal-estimation", 1),
        (DavidForImageMatting, "image-segmentation", "image-matting", 1),
    ],
)
def test_front_matter_and_maps_follow_from_the_heads(
    tmp_path: Path,
    model_class: type[DavidPreTrainedModel],
    pipeline_tag: str,
    tag: str,
    keys: int,
) -> None:
    card = ModelCard(publication_card(save_config(tmp_path, model_class), "me/model"))

    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == pipeline_tag
    assert tag in card.data.tags
    assert len(re.findall(r"^\| .*`(?:predicted_depth|normals|alphas)`", card.text, re.M)) == keys
    assert ("no unit" in card.text) == (tag == "depth-estimation" or keys == 3)


@pytest.mark.parametrize("tasks", [["depth"], ["normals"], ["alpha"], ["depth", "alpha"]])
def test_the_example_is_python_and_names_a_pipeline(tasks: list[str]) -> None:
    code = usage(tasks, "me/model")
    found = re.search(r'pipeline\("([a-z-]+)", model="me/model"\)', code)

    ast.parse(code)
    assert found is not None
    assert found[1] in PIPELINE_REGISTRY.get_supported_tasks()


def test_a_readme_keeps_its_text_and_its_entries(tmp_path: Path) -> None:
    (save_config(tmp_path) / "README.md").write_text(README)

    text = publication_card(tmp_path, "me/model")
    card = ModelCard(text)

    assert text.endswith("---\n\n# My model\n\nWords of its author.\n")
    assert (card.data.language, card.data.license, card.data.tags) == ("en", "apache-2.0", ["mine"])
    assert card.data.pipeline_tag == "depth-estimation"


def test_a_readme_without_front_matter_gets_one_above_its_text(tmp_path: Path) -> None:
    (save_config(tmp_path) / "README.md").write_text("# Mine\n\n---\nText after a rule.\n")

    text = publication_card(tmp_path, "me/model")

    assert text.endswith("---\n\n# Mine\n\n---\nText after a rule.\n")
    assert ModelCard(text).data.library_name == "transformers"


def test_front_matter_alone_is_followed_by_the_default_text(tmp_path: Path) -> None:
    (save_config(tmp_path) / "README.md").write_text("---\nlicense: mit\n---\n")

    card = ModelCard(publication_card(tmp_path, "me/model"))

    assert card.text.startswith("\n# model\n")
    assert "## Licence\n\nmit\n" in card.text


@pytest.mark.parametrize("readme", [None, README, "# Mine\n", "---\nlicense: mit\n---\n"])
def test_the_card_of_a_card_is_itself(tmp_path: Path, readme: str | None) -> None:
    save_config(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS_FILE))
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)
    first = publication_card(tmp_path, "me/model")

    assert publish_again(tmp_path) == first


def test_measured_figures_come_from_metrics_json(tmp_path: Path) -> None:
    save_config(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS_FILE))

    text = publication_card(tmp_path, "me/model")
    card = ModelCard(text)

    assert card.data.model_name == "model"
    assert figures(text) == ROW
    assert {result.task_type for result in card.data.eval_results} == {
        "depth-estimation",
        "image-segmentation",
        "image-to-image",
    }
    assert metrics_table(METRICS_FILE) in card.text


def test_figures_measured_again_replace_the_old_and_leave_others(tmp_path: Path) -> None:
    save_config(tmp_path)
    foreign = (
        "model-index:\n- name: theirs\n  results:\n  - task:\n      type: depth-estimation\n"
        "    dataset:\n      name: Hi4D\n      type: hi4d\n    metrics:\n"
        "    - type: rmse\n      value: 0.5\n"
    )
    (tmp_path / "README.md").write_text(f"---\nlicense: mit\n{foreign}---\n\n# Mine\n")
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS_FILE))
    write_text(tmp_path / "README.md", publication_card(tmp_path, "me/model"))
    again = {"num_images": 7, "overall": {"depth_rmse_m": 0.125}}
    (tmp_path / "metrics.json").write_text(json.dumps(again))

    text = publication_card(tmp_path, "me/model")

    assert figures(text) == {"rmse": 0.5, "depth_rmse_m": 0.125}
    assert ModelCard(text).data.model_name == "theirs"


def test_figures_that_are_no_numbers_stay_out() -> None:
    overall = {"depth_rmse_m": float("nan"), "alpha_iou": 0.5, "seconds": 3.0}

    results = eval_results({"num_images": 1, "overall": overall})

    assert [result.metric_type for result in results] == ["alpha_iou"]


def test_a_missing_licence_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="david_hf"):
        text = publication_card(save_config(tmp_path), "me/model")

    assert "license" not in ModelCard(text).data.to_dict()
    assert "Unknown: say which, here and as `license: ...`" in text
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("me/model: the card names no licence; add `license: ...` to")


def test_a_licence_that_is_given_is_kept_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (save_config(tmp_path) / "README.md").write_text(README)

    publication_card(tmp_path, "me/model")

    assert not caplog.records


@pytest.mark.parametrize(
    ("trained_from", "base_model"),
    [
        ("someone/david-nano", "someone/david-nano"),
        ("me/model", None),
        ("/data/runs/nano", None),
        ("./nano", None),
        ("david-nano", None),
        ("", None),
    ],
)
def test_only_a_hub_id_of_another_model_is_a_base_model(
    tmp_path: Path, trained_from: str, base_model: str | None
) -> None:
    save_config(tmp_path, _name_or_path=trained_from)

    assert ModelCard(publication_card(tmp_path, "me/model")).data.base_model == base_model


def test_a_folder_that_looks_like_a_hub_id_is_no_base_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "nano").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    save_config(tmp_path, _name_or_path="runs/nano")

    assert ModelCard(publication_card(tmp_path, "me/model")).data.base_model is None


def test_a_checkpoint_that_brings_its_code_says_how_to_run_it(tmp_path: Path) -> None:
    without = publication_card(save_config(tmp_path), "me/model")
    with_code = publication_card(save_config(tmp_path, auto_map={"AutoModel": "x.Y"}), "me/model")

    assert "trust_remote_code" not in without
    assert "`trust_remote_code=True`" in with_code


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, r"config\.json: missing; expected a folder"),
        ("config.json", "{", r"config\.json: expected JSON, got .*; write it again"),
        ("config.json", "[]", r"config\.json: expected a JSON object, got list"),
        ("config.json", '{"model_type": "dpt"}', r"expected model_type 'david', got 'dpt'"),
        ("config.json", '{"model_type": "david", "tasks": ["x"]}', r"config\.json: .*tasks"),
        ("config.json", '{"model_type": "david"}', r"expected architectures out of .*, got None"),
        ("metrics.json", "{}", r"metrics\.json: expected num_images, overall and by_category"),
        ("metrics.json", '{"num_images": 1, "overall": {"a": "b"}}', r"metrics\.json: expected"),
        ("README.md", "---\na: [\n---\n", r"README\.md: cannot read its front matter: .*; repair"),
        ("README.md", "---\n- a\n---\n", r"README\.md: .*should be a dict; repair"),
        ("README.md", "---\nmodel-index: 1\n---\n", r"README\.md: cannot read its front matter"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    save_config(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    if content is not None:
        (tmp_path / name).write_text(content)

    with pytest.raises(ValueError, match=message) as refusal:
        publication_card(tmp_path, "me/model")

    assert "\n" not in str(refusal.value)


def test_a_checkpoint_without_a_head_is_refused(tmp_path: Path) -> None:
    save_config(tmp_path, DavidModel)

    with pytest.raises(ValueError, match=r"config\.json: .*got \['DavidModel'\]; save it from"):
        publication_card(tmp_path, "me/model")
