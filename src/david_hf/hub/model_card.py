"""Model cards from templates: every figure comes from a file, none is typed."""

import hashlib
import logging
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import yaml
from huggingface_hub import CardData, ModelCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from .card_parts import (
    CITATION,
    MEASURED,
    CheckpointFacts,
    card_tags,
    eval_results,
    group_tables,
    maps_table,
    metrics_table,
    pipeline_tag,
    read_facts,
    read_json,
    read_metrics,
    summary,
    usage,
)

__all__ = [
    "complete_front_matter",
    "publication_card",
    "render_model_card",
    "trained_card",
    "unpublished_card",
]

logger = logging.getLogger(__name__)

# Ends a text that nobody has edited yet; the digest is that of what comes before.
_STAMP = "<!-- Written by david_hf, which writes it anew until somebody edits it: {} -->"


def publication_card(checkpoint: Path, name: str) -> str:
    """Make the README.md under which a checkpoint is published.

    A README.md in the folder keeps its text and its front matter; what the front matter lacks is
    added. Measured figures in it are those of metrics.json. Without a README.md, or with one that
    is front matter alone, or with one of `unpublished_card`, the text comes from a template, which
    says what its author must add.
    The same checkpoint always gives the same card, and the card of a card is itself.

    Args:
        checkpoint: Folder with a config.json and, if there are any, README.md, metrics.json and
            training_config.yaml.
        name: Hub id under which it is published, or a bare name.

    Returns:
        The card: front matter and Markdown.

    Raises:
        ValueError: If the folder holds no DAViD checkpoint, or its metrics.json or the front matter
            of its README.md cannot be read.
    """
    card = _complete_card(checkpoint, name)
    if not card.data.get("license"):
        logger.warning(
            "%s: the card names no licence; add `license: ...` to the front matter of README.md",
            name,
        )
    return str(card)


def unpublished_card(checkpoint: Path, name: str) -> str:
    """Make the README.md that a training leaves in a checkpoint.

    Args:
        checkpoint: See `publication_card`, which takes this card for none until somebody edits it.
        name: Of the run.

    Raises:
        ValueError: See `publication_card`.
    """
    card = _complete_card(checkpoint, name)
    text = card.text.strip()
    card.text = f"\n{text}\n\n{_STAMP.format(_digest(text))}\n"
    return str(card)


def _complete_card(checkpoint: Path, name: str) -> ModelCard:
    facts = read_facts(checkpoint)
    card = _read_card(checkpoint / "README.md")
    text, _, last = card.text.strip().rpartition("\n")
    if last == _STAMP.format(_digest(text.strip())):
        card.text = ""
        card.data.pop("model_name")
    if not card.text.strip():
        has_configuration = (checkpoint / "training_config.yaml").is_file()
        licence = card.data.get("license", "")
        named = ", ".join(licence) if isinstance(licence, list) else str(licence)
        card.text = "\n" + _default_text(facts, name, named, has_configuration)
    complete_front_matter(card.data, facts, name)
    return card


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def complete_front_matter(data: CardData, facts: CheckpointFacts, name: str) -> None:
    """Add what the front matter of a card lacks, and the measured figures.

    Args:
        data: The front matter, changed in place; only figures that were measured anew are replaced.
        facts: What the checkpoint says about itself.
        name: Hub id or bare name of the checkpoint.
    """
    found = {
        "library_name": "transformers",
        "pipeline_tag": pipeline_tag(facts.tasks),
        "tags": card_tags(facts.tasks),
        "base_model": _base_model(facts.trained_from, name),
    }
    for key, value in found.items():
        if data.get(key) is None:
            data[key] = value
    if facts.metrics is not None:
        given = data.get("eval_results", [])
        others = [result for result in given if result.dataset_type != MEASURED]
        data["model_name"] = data.get("model_name") or _bare(name)
        data["eval_results"] = others + eval_results(facts.metrics)


def render_model_card(template: str, values: dict[str, Any]) -> str:
    """Fill the `$names` of a template.

    Raises:
        ValueError: If the template names something that `values` lacks.
    """
    try:
        return Template(template).substitute(values)
    except KeyError as error:
        raise ValueError(
            f"the template asks for ${error.args[0]}, known are {sorted(values)}"
        ) from error


def trained_card(
    checkpoint: Path, template: str, name: str, *, training: Mapping[str, Any], speed: str
) -> str:
    """Fill the card template of a checkpoint that this repository trained.

    Args:
        checkpoint: Folder with config.json, metrics.json and the training_data.json that
            training/write_card.py writes.
        template: The card with `$names` in it; its front matter is completed as for publishing.
        name: Name of the checkpoint.
        training: The numbers of its training, as training_config.yaml has them.
        speed: Markdown that `$speed` stands for.

    Raises:
        ValueError: If a file is missing or broken, or the template asks for something unknown.
    """
    facts = read_facts(checkpoint)
    metrics = read_metrics(checkpoint / "metrics.json")
    values = {
        **training,
        "sides": ", then ".join(str(side) for _, side in training["sides"]),
        **_training_data(checkpoint / "training_data.json"),
        "name": name,
        "summary": summary(facts.tasks),
        "maps_table": maps_table(facts.tasks),
        "parameters": f"{facts.parameters / 1e6:.2f}",
        "input_size": facts.input_size,
        "metrics_table": metrics_table(metrics),
        "group_tables": group_tables(metrics),
        "protocol": metrics.get("protocol", "unknown"),
        "torch": metrics.get("torch", "unknown"),
        "num_images": metrics["num_images"],
        "speed": speed,
        "citation": CITATION,
    }
    card = ModelCard(render_model_card(template, values))
    complete_front_matter(card.data, facts, name)
    return str(card)


def _read_card(path: Path) -> ModelCard:
    """Read a card; a file without front matter, or none at all, gets the shortest there is."""
    text = ""
    try:
        if path.is_file():
            text = path.read_text(encoding="utf-8-sig")
        if not REGEX_YAML_BLOCK.search(text):
            text = "---\nlibrary_name: transformers\n---\n" + (f"\n{text}" if text else "")
        return ModelCard(text)
    except (TypeError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: cannot read its front matter: {reason}; repair the lines between the two ---"
        ) from error


def _training_data(path: Path) -> dict[str, Any]:
    """Read what a card says about the pictures of a training."""
    data = read_json(path)
    try:
        categories, (first, last) = dict(data["categories"]), data["seed_range"]
        return {
            "num_figures": sum(categories.values()),
            "categories": ", ".join(
                f"{count} {name.replace('_', ' ')}" for name, count in categories.items()
            ),
            "num_held_out_indices": data["num_held_out_indices"],
            "seed_range": f"{first} to {last}",
            "num_backgrounds": data["num_backgrounds"],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: lacks an entry ({error}); training/write_card.py writes it"
        ) from error


def _default_text(facts: CheckpointFacts, name: str, licence: str, has_configuration: bool) -> str:
    """Fill the template for a checkpoint whose author wrote no card."""
    template = files("david_hf.hub").joinpath("card_template.md").read_text(encoding="utf-8")
    remote_code = "\nWithout the package: no import, but `trust_remote_code=True`.\n"
    return render_model_card(
        template,
        {
            "title": _bare(name),
            "summary": summary(facts.tasks),
            "usage": usage(facts.tasks, name),
            "remote_code": remote_code if facts.carries_code else "",
            "maps_table": maps_table(facts.tasks),
            "parameters": f"{facts.parameters / 1e6:.2f}",
            "encoder": facts.encoder,
            "input_size": facts.input_size,
            "training": "The numbers of its training are in `training_config.yaml`.\n"
            if has_configuration
            else "",
            "results": _results(facts.metrics),
            "limits": "- Depth has no unit: it is known up to scale and shift.\n"
            if "depth" in facts.tasks
            else "",
            "licence": licence
            or "Unknown: say which, here and as `license: ...` in the front matter of README.md.",
            "citation": CITATION,
        },
    )


def _results(metrics: dict[str, Any] | None) -> str:
    if metrics is None:
        return "Not measured: `david report --card` writes metrics.json."
    known = [f"{key}: {metrics[key]}" for key in ("protocol", "torch") if key in metrics]
    text = (
        f"Measured on {metrics['num_images']} images. Say which they are, and whether training saw "
        f"them.\n\n{metrics_table(metrics)}\n\n{'; '.join(known)}"
    ).rstrip()
    return f"{text}\n\n{group_tables(metrics)}" if metrics.get("by_group") else text


def _base_model(trained_from: str, name: str) -> str | None:
    """Tell a Hub id from a folder; a checkpoint is not its own base."""
    is_id = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", trained_from) is not None
    if not is_id or trained_from == name or Path(trained_from).exists():
        return None
    return trained_from


def _bare(name: str) -> str:
    return name.rsplit("/", 1)[-1]
