"""The cards in model_cards/ are current, complete, and keep published and measured apart."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from model_cards import generate

from david_hf import bundled_checkpoint
from david_hf.hub.model_card import publication_card

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "model_cards"
PUBLISHED: dict[str, Any] = generate.load_yaml("published.yaml")
CHECKPOINTS: list[dict[str, Any]] = generate.load_yaml("checkpoints.yaml")
SPEED: dict[str, Any] = json.loads((ROOT / "benchmarks" / "speed.json").read_text())
OFFICIAL = [checkpoint["name"] for checkpoint in CHECKPOINTS]
TRAINED = {name: checkpoint for name, (checkpoint, _) in generate.TRAINED.items()}
NAMES = [*OFFICIAL, *TRAINED]
SECTIONS = [
    "Intended use",
    "Limits",
    "Training data and licence",
    "Bias and fairness",
    "Speed and size",
    "Results",
    "Licence",
    "Citation",
]
# Images per data set in table 1 (paper, section 4.2; two cameras are missing from the faces).
IMAGES = {"Goliath face": 736, "Goliath upper body": 768, "Goliath full body": 768, "Hi4D": 1195}


def read(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text()


def sections(text: str, level: int = 2) -> dict[str, str]:
    """Text below each heading of a level, by the heading."""
    parts = re.split(rf"^{'#' * level} (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def tables(text: str) -> list[list[list[str]]]:
    """Cells of every Markdown table: the header row, then the rows."""
    blocks = re.findall(r"(?:^\|.*\n)+", text + "\n", flags=re.MULTILINE)
    found = []
    for block in blocks:
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()]
        found.append([rows[0], *rows[2:]])
    return found


def part(name: str, section: str, kind: str) -> str:
    """What a card says under a section, published or measured; empty if it says nothing."""
    return sections(sections(read(name))[section], level=3).get(kind, "")


def published_row(key: str, model: str) -> dict[tuple[str, str], str]:
    """Figures of one model in one published table, by data set and metric."""
    table = PUBLISHED["tables"][key]
    columns = [(column["dataset"], column["metric"]) for column in table["columns"]]
    return dict(zip(columns, table["rows"][model], strict=True))


def test_there_is_a_card_for_every_checkpoint_and_no_other() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == sorted(NAMES)
    assert len(NAMES) == 9


def test_every_card_is_current() -> None:
    texts = generate.cards()

    stale = [path.name for path, text in texts.items() if path.read_text() != text]
    assert len(texts) == len(NAMES) + len(TRAINED)
    assert not stale, "run `make cards`"


@pytest.mark.parametrize("name", TRAINED)
def test_a_checkpoint_of_our_own_has_the_same_card(name: str) -> None:
    assert (TRAINED[name] / "README.md").read_text() == read(name)


@pytest.mark.parametrize("name", TRAINED)
def test_publishing_a_checkpoint_of_our_own_leaves_its_card_as_it_is(name: str) -> None:
    assert publication_card(TRAINED[name], f"someone/{name}") == read(name)


def test_the_card_of_the_package_is_that_of_david_nano() -> None:
    assert TRAINED["david-nano"].samefile(bundled_checkpoint())


def test_check_names_the_stale_card_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "card.md"
    card.write_text("old")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "cards", lambda: {card: "new"})
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])

    with pytest.raises(SystemExit, match=r"error: stale: card\.md; run `make cards`"):
        generate.main()

    assert card.read_text() == "old"


@pytest.mark.parametrize("name", NAMES)
def test_front_matter_is_what_the_hub_reads(name: str) -> None:
    data = ModelCard.load(FOLDER / f"{name}.md").data

    assert data.license == "mit"
    assert data.library_name == "transformers"
    assert data.pipeline_tag == {
        "normal": "image-to-image",
        "foreground": "image-segmentation",
    }.get(name.split("-")[1], "depth-estimation")
    assert {"david", "human", "synthetic-data"} <= set(data.tags)
    assert len(set(data.tags)) == len(data.tags)
    # SynthHuman and the rendered people have no id on the Hub, and nothing was fine-tuned.
    assert data.datasets is None
    assert data.base_model is None


@pytest.mark.parametrize("name", NAMES)
def test_only_what_was_measured_here_is_in_the_model_index(name: str) -> None:
    results = ModelCard.load(FOLDER / f"{name}.md").data.eval_results

    if name in TRAINED:
        measured = json.loads((TRAINED[name] / "metrics.json").read_text())["overall"]
        assert {result.metric_type: result.metric_value for result in results} == measured
    else:
        assert results is None


@pytest.mark.parametrize("name", NAMES)
def test_every_section_is_there_and_says_something(name: str) -> None:
    found = sections(read(name))

    assert list(found) == SECTIONS
    assert all(len(text.strip()) > 20 for text in found.values())
    assert "$" not in read(name)


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_card_says_whose_the_weights_are(name: str) -> None:
    text = " ".join(read(name).split())

    assert "**The weights are Microsoft's**, published under the MIT licence" in text
    assert "converted by `david_hf` from that ONNX file" in text
    assert "CDLA-Permissive-2.0 at https://github.com/microsoft/DAViD" in text


@pytest.mark.parametrize("checkpoint", CHECKPOINTS, ids=OFFICIAL)
def test_every_figure_under_published_is_in_the_data_file(checkpoint: dict[str, Any]) -> None:
    found = tables(part(checkpoint["name"], "Results", "Published"))

    assert len(found) == len(checkpoint["published"])
    for key, (header, *rows) in zip(checkpoint["published"], found, strict=True):
        models = [title.strip("*") for title in header[3:]]
        assert sorted(models) == sorted(PUBLISHED["tables"][key]["rows"])
        for column, model in enumerate(models, start=3):
            shown = {(row[0], row[1]): row[column] for row in rows}
            known = published_row(key, model)
            assert shown == {place: known[place] or "not published" for place in known}


@pytest.mark.parametrize("checkpoint", CHECKPOINTS, ids=OFFICIAL)
def test_every_size_under_published_is_in_the_data_file(checkpoint: dict[str, Any]) -> None:
    ((_, *rows),) = tables(part(checkpoint["name"], "Speed and size", "Published"))

    for of_what, figure, _, value, source in rows:
        keys = [key for key in generate.SIZE_TABLES if PUBLISHED["tables"][key]["source"] == source]
        known = published_row(keys[0], checkpoint["size_row"])[of_what, figure]
        assert value == (known or "not published")


@pytest.mark.parametrize("name", NAMES)
def test_a_measured_table_holds_nothing_but_what_was_measured(name: str) -> None:
    ((header, *rows),) = tables(part(name, "Speed and size", "Measured by david_hf"))

    assert header[2:4] == ["time / DPT-Large", "memory / DPT-Large"]
    peer = SPEED["models"]["DPT-Large"]
    for network, _, time, memory, seconds, peak in rows:
        measured = SPEED["models"][network]
        assert float(time) == pytest.approx(measured["seconds"] / peer["seconds"], abs=0.006)
        assert float(memory) == pytest.approx(
            measured["peak_memory_mib"] / peer["peak_memory_mib"], abs=0.006
        )
        assert float(seconds) == pytest.approx(measured["seconds"], abs=0.006)
        assert peak == f"{measured['peak_memory_mib']} MiB"
    results = tables(part(name, "Results", "Measured by david_hf"))
    assert len(results) == (1 if name in TRAINED else 0)


@pytest.mark.parametrize("name", TRAINED)
def test_the_card_of_a_checkpoint_of_our_own_shows_no_published_figure(name: str) -> None:
    assert not part(name, "Results", "Published")
    assert not part(name, "Speed and size", "Published")


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_timed_network_has_the_size_that_the_card_counts(name: str) -> None:
    checkpoint = CHECKPOINTS[OFFICIAL.index(name)]
    measured = part(name, "Speed and size", "Measured by david_hf")
    counted = re.search(r"([\d.]+) million parameters", measured)

    assert counted is not None
    # Heads of normals are three channels wide: a hundred parameters more.
    timed = SPEED["models"][checkpoint["speed"]]["parameters"] / 1e6
    assert float(counted[1]) == pytest.approx(timed, abs=0.011)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", read(name))

    assert links
    relative = [link for link in links if not link.startswith("https://")]
    assert not [link for link in relative if not (FOLDER / link).exists()]


@pytest.mark.parametrize("model", PUBLISHED["tables"]["table_1"]["rows"])
def test_the_average_of_table_1_follows_from_its_columns(model: str) -> None:
    figures = {place: float(value) for place, value in published_row("table_1", model).items()}

    for metric in ("RMSE", "AbsRel"):
        weighted = sum(figures[dataset, metric] * count for dataset, count in IMAGES.items())
        average = figures["average over images", metric]
        assert weighted / sum(IMAGES.values()) == pytest.approx(average, abs=0.0011)


@pytest.mark.parametrize("size", ["Base", "Large"])
def test_table_4_follows_from_the_other_tables(size: str) -> None:
    figures = {
        place: float(value)
        for place, value in published_row("table_4", f"three single-task {size}").items()
    }
    depth = published_row("table_1", f"david-depth-{size.lower()}")
    normals = published_row("table_2", f"david-normal-{size.lower()}")
    foreground = published_row("card_foreground", f"david-foreground-{size.lower()}")
    subsets = [dataset for dataset in IMAGES if dataset != "Hi4D"]

    def mean(row: dict[tuple[str, str], str], metric: str) -> float:
        return sum(float(row[subset, metric]) for subset in subsets) / len(subsets)

    # As near as the rounding of both tables lets them be.
    assert mean(depth, "RMSE") == pytest.approx(figures["Goliath", "depth RMSE"], abs=0.0011)
    assert mean(depth, "AbsRel") == pytest.approx(figures["Goliath", "depth AbsRel"], abs=0.0011)
    assert mean(normals, "mean angle") == pytest.approx(figures["Goliath", "mean angle"], abs=0.011)
    assert mean(normals, "within 30°") == pytest.approx(figures["Goliath", "within 30°"], abs=0.056)
    for place in [("PPM-100", "SAD"), ("PhotoMatte85", "SAD"), ("PhotoMatte85", "MSE")]:
        assert float(foreground[place]) == figures[place]


def test_the_official_card_and_the_paper_agree_on_the_large_foreground() -> None:
    in_card = published_row("card_foreground", "david-foreground-large")
    in_paper = {
        **published_row("table_3", "david-foreground-large"),
        **published_row("table_6", "david-foreground-large"),
    }

    assert {place: in_paper[place] for place in in_card} == in_card
