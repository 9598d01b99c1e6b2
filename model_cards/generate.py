"""Write every model card: `python model_cards/generate.py [--check]` (`make cards`).

Cards of the official checkpoints come from checkpoints.yaml, published.yaml and
templates/official.md, those of our own from the checkpoint and its template; speed comes from
benchmarks/speed.json.
With --check nothing is written, and the exit code is 1 if a card is stale.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from david_hf.atomic import write_text
from david_hf.hub.card_parts import (
    CITATION,
    CheckpointFacts,
    maps_table,
    speed_text,
    summary,
    usage,
)
from david_hf.hub.model_card import (
    complete_front_matter,
    render_model_card,
    trained_card,
)
from david_hf.model import DavidConfig

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
# Trained by this repository: where each lies, and its row in speed.json.
TRAINED = {
    "david-nano": (ROOT / "src" / "david_hf" / "checkpoints" / "david-nano", "nano, 3 heads"),
    "david-tiny": (ROOT / "training" / "checkpoints" / "david-tiny", "tiny, 3 heads"),
}
SPEED = ROOT / "benchmarks" / "speed.json"
SIZE_TABLES = ("card_size", "table_1_size")
NOT_PUBLISHED = "not published"
MIB = 2**20

# Failures that the paper shows (section 6) or that follow from its data, by task.
LIMITS = {
    "depth": (
        "Rare scales mislead depth: a hand that holds a baby seems nearer than the baby's face.",
        "Depth has no unit: it is known up to scale and shift.",
    ),
    "normals": ("Prints on clothes and tattoos may be taken for shape.",),
    "alpha": (
        "Which people and which held objects count as foreground can differ from what you expect "
        "(appendix B.2).",
    ),
}
SURFACE_LIMITS = (
    "Extreme lighting makes surfaces inaccurate.",
    "Labels ignore glass: maps show the face behind the lenses of glasses (appendix A.2).",
    "Depth and normals of the background mean nothing: their losses look at people alone.",
)

Table = dict[str, Any]


def main() -> None:
    """Write the cards, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    try:
        texts = cards()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    stale = [path for path, text in texts.items() if not _is_current(path, text)]
    if check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"error: stale: {names}; run `make cards`")
    for path in stale:
        write_text(path, texts[path])
        print(f"wrote {path.relative_to(ROOT)}")  # noqa: T201


def cards() -> dict[Path, str]:
    """Text of every card by its path; one of our own is also the card in its checkpoint.

    Raises:
        ValueError: If a data file or a template is broken.
    """
    published = load_yaml("published.yaml")
    texts = {
        FOLDER / f"{checkpoint['name']}.md": official_card(checkpoint, published)
        for checkpoint in load_yaml("checkpoints.yaml")
    }
    for name, (checkpoint, speed) in TRAINED.items():
        template = (FOLDER / "templates" / f"{name}.md").read_text(encoding="utf-8")
        training = yaml.safe_load((checkpoint / "training_config.yaml").read_text())
        measured = speed_text(SPEED, [speed])
        card = trained_card(checkpoint, template, name, training=training, speed=measured)
        texts |= {FOLDER / f"{name}.md": card, checkpoint / "README.md": card}
    return texts


def load_yaml(name: str) -> Any:
    """Read a data file that lies beside this script."""
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def official_card(checkpoint: dict[str, Any], published: dict[str, Any]) -> str:
    """Card of an official checkpoint.

    Args:
        checkpoint: Its entry in checkpoints.yaml.
        published: Contents of published.yaml.
    """
    name, tasks = checkpoint["name"], checkpoint["tasks"]
    config = DavidConfig.from_size(
        checkpoint["size"], tasks=tasks, architectures=[checkpoint["head_class"]]
    )
    facts = CheckpointFacts.from_config(config)
    values = {
        **{key: fact["value"] for key, fact in published["facts"].items()},
        "name": name,
        "title": checkpoint["title"],
        "lower_summary": summary(tasks)[0].lower() + summary(tasks)[1:],
        "onnx": checkpoint["onnx"],
        "usage": usage(tasks, name),
        "maps_table": maps_table(tasks),
        "input_size": facts.input_size,
        "limits": limits(tasks),
        "published_size": size_table(checkpoint, published),
        "parameters": f"{facts.parameters / 1e6:.2f}",
        "weights_mib": f"{facts.parameters * 4 / MIB:.1f}",
        "speed": speed_text(SPEED, [checkpoint["speed"]]),
        "published_results": "\n\n".join(
            published_table(published["tables"][key], name) for key in checkpoint["published"]
        ),
        "citation": CITATION,
    }
    template = (FOLDER / "templates" / "official.md").read_text(encoding="utf-8")
    card = ModelCard("---\nlicense: mit\n---\n\n" + render_model_card(template, values))
    complete_front_matter(card.data, facts, name)
    card.data["tags"] = [*card.data["tags"], "synthetic-data"]
    return str(card)


def limits(tasks: list[str]) -> str:
    """List of the limits of these tasks."""
    found = [limit for task in tasks for limit in LIMITS[task]]
    if set(tasks) & {"depth", "normals"}:
        found += SURFACE_LIMITS
    return "\n".join(f"- {limit}" for limit in found)


def published_table(table: Table, name: str) -> str:
    """Markdown of one published table: a row for each figure, this checkpoint's column first."""
    models = sorted(table["rows"], key=lambda model: model != name)
    titles = [f"**{model}**" if model == name else model for model in models]
    lines = [
        f"**{table['title']}** ({table['source']}). {table['note']}",
        "",
        "| data set | metric | unit | " + " | ".join(titles) + " |",
        "|---|---|---|" + "---|" * len(models),
    ]
    for index, column in enumerate(table["columns"]):
        figures = [table["rows"][model][index] or NOT_PUBLISHED for model in models]
        cells = [column["dataset"], column["metric"], column["unit"], *figures]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def size_table(checkpoint: dict[str, Any], published: dict[str, Any]) -> str:
    """Markdown of the published sizes of one checkpoint, with the source of each figure."""
    lines = ["| of what | figure | unit | value | source |", "|---|---|---|---|---|"]
    notes = []
    for key in SIZE_TABLES:
        table = published["tables"][key]
        notes.append(table["note"])
        figures = table["rows"][checkpoint["size_row"]]
        for column, figure in zip(table["columns"], figures, strict=True):
            cells = [column["dataset"], column["metric"], column["unit"]]
            cells += [figure or NOT_PUBLISHED, table["source"]]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *notes])


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    main()
