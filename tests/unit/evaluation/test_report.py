import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from evaluation_results import complete_result, make_images, make_result, write_run
from PIL import Image

from david_hf import bundled_checkpoint
from david_hf.evaluation.metrics.depth import depth_metrics
from david_hf.evaluation.metrics.matting import matting_metrics
from david_hf.evaluation.metrics.normals import normal_metrics
from david_hf.evaluation.report.card_metrics import card_metrics, card_text
from david_hf.evaluation.report.contents import (
    all_tables,
    category_tables,
    factor_table,
    paper_tables,
    summary_tables,
)
from david_hf.evaluation.report.factors import slice_by_factors
from david_hf.evaluation.report.metric_names import METRICS, metric_name
from david_hf.evaluation.report.page import page
from david_hf.evaluation.report.plots import histogram, strips
from david_hf.evaluation.report.tables import DASH, MINUS, MISSING, Table, row, write_tables
from david_hf.evaluation.results import EvaluationResult, ImageResult, read_result
from david_hf.hub.card_parts import group_tables, metrics_table, read_metrics
from david_hf.hub.model_card import publication_card

EVIL = "<img src=x onerror=alert(1)> & 100% a_b | $x$ \\end{table} [c](http://d) `e`"
LOADING = {"script", "link", "iframe", "object", "embed", "form", "base", "image"}


class Parsed(HTMLParser):
    """Elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def values(self, attribute: str) -> list[str]:
        return [found[attribute] for _, found in self.elements if attribute in found]


def groups_of(errors: dict[str, Sequence[float]], factor: str = "sex") -> tuple[ImageResult, ...]:
    """Images with a mean angular error each, by group of a factor."""
    return tuple(
        replace(image, id=f"{group}-{image.id}", groups={factor: group})
        for group, values in errors.items()
        for image in make_images([{"normals": {"mean_deg": value}} for value in values])
    )


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in cells] for cells, _ in table.rows]


def tones(table: Table, name: str) -> list[str]:
    (cells,) = [cells for cells, _ in table.rows if cells[0].text == name]
    return [cell.tone for cell in cells[1:]]


@pytest.fixture
def evil_run(tmp_path: Path) -> Path:
    """A run in which all that comes from data is made to break pages."""
    images = groups_of({EVIL: [1.0, 2.0], "b": [3.0, 4.0]}, factor=EVIL)
    images = tuple(
        replace(image, id=EVIL + image.id, category=EVIL[: 3 + i % 2], notes=(EVIL,))
        for i, image in enumerate(images)
    )
    return write_run(tmp_path / "run", make_result("hi4d", images, EVIL, note=EVIL))


def page_of(*folders: Path, min_size: int = 2) -> Parsed:
    return Parsed(page({folder: read_result(folder) for folder in folders}, min_size))


def test_what_comes_from_data_is_text_in_a_page(evil_run: Path) -> None:
    found = page_of(evil_run)

    assert EVIL in found.text
    assert not any("onerror" in attributes for _, attributes in found.elements)
    assert {tag for tag, _ in found.elements}.isdisjoint(LOADING)


def test_a_page_needs_nothing_from_elsewhere(evil_run: Path) -> None:
    found = page_of(evil_run)

    assert found.values("src")
    assert all(source.startswith("data:image/") for source in found.values("src"))
    ids = found.values("id")
    assert len(set(ids)) == len(ids)
    assert {target.removeprefix("#") for target in found.values("href")} <= set(ids)
    assert all(target.startswith("#") for target in found.values("href"))
    references = re.findall(r"url\(#?(.*?)\)", " ".join(str(item) for _, item in found.elements))
    assert references
    assert set(references) <= set(ids)
    (policy,) = found.values("http-equiv")
    assert policy == "Content-Security-Policy"
    assert found.values("content")[2].startswith("default-src 'none'; img-src data:;")


def test_a_page_opens_with_its_contents(evil_run: Path) -> None:
    found = page_of(evil_run)

    names = [tag for tag, _ in found.elements if tag in ("nav", "section", "svg", "table")]
    assert names[0] == "nav"
    assert found.values("href")[:3] == ["#summary", "#paper", "#run-1"]


def test_a_page_says_what_is_incomplete_and_what_was_noted(evil_run: Path) -> None:
    text = page_of(evil_run).text

    assert f"† {EVIL} does not compare to the digit: Hi4D: 4 of 1,195 images." in text
    assert f"{EVIL}: 4 images ({EVIL}{EVIL}-0, {EVIL}{EVIL}-1, {EVIL}b-0, {EVIL}b-1)" in text


def test_a_page_of_two_models_has_both_in_one_table_and_a_part_for_each(tmp_path: Path) -> None:
    first = make_result("hi4d", make_images([{"depth": {"abs_rel": 0.25}}]), "first")
    second = make_result("hi4d", make_images([{"depth": {"abs_rel": 0.5}}]), "second")
    folders = [write_run(tmp_path / result.model, result) for result in (first, second)]

    found = page_of(*folders)

    assert "metric first second AbsRel ↓ 0.2500 0.5000 Mean over images." in found.text
    assert {"run-1", "run-2"} <= set(found.values("id"))
    assert len(found.values("src")) == 2


def test_settings_are_told_by_their_paths(tmp_path: Path) -> None:
    result = make_result("hi4d", make_images([{"depth": {"abs_rel": 0.25}}]), dtype="bfloat16")

    found = page_of(write_run(tmp_path / "run", result))

    assert "model.dtype bfloat16" in found.text
    assert "benchmark.depth.method scale_shift" in found.text


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("../secret.png", r"run: expected pictures inside the folder, got '\.\./secret\.png'"),
        ("gone.png", r"gone\.png: expected the picture of an example .*; copy the whole folder"),
        ("metrics.json", r"metrics\.json: expected the picture of an example"),
    ],
)
def test_an_example_that_is_no_picture_of_the_run_is_refused(
    tmp_path: Path, file: str, message: str
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    result = make_result("hi4d", make_images([{"depth": {"abs_rel": 0.25}}]))
    folder = write_run(tmp_path / "run", result)
    (example,) = read_result(folder).examples
    replace(read_result(folder), examples=(replace(example, file=file),)).write(folder)

    with pytest.raises(ValueError, match=message) as refusal:
        page_of(folder)

    assert "\n" not in str(refusal.value)


def test_large_pictures_are_embedded_smaller(tmp_path: Path) -> None:
    result = make_result("hi4d", make_images([{"depth": {"abs_rel": 0.25}}]))
    folder = write_run(tmp_path / "run", result)
    small = page_of(folder).values("src")
    noise = np.random.default_rng(0).integers(0, 255, (500, 4000, 3), np.uint8)
    Image.fromarray(noise).save(folder / "one.png")

    large = page_of(folder).values("src")

    assert len(small[0]) < len(large[0]) < 0.3 * (folder / "one.png").stat().st_size


def test_a_summary_has_the_mean_over_images_and_that_over_pixels() -> None:
    images = make_images(
        [{"normals": {"mean_deg": 10.0, "under_30": 0.5}}, {"normals": {"mean_deg": 13.0}}]
    )
    result = replace(make_result("hi4d", images), pooled={"normals": {"mean_deg": 11.25}})

    (table,) = summary_tables([result])

    assert table.title == "Hi4D: surface normals"
    assert table.header == ("metric", "nano", "nano, all pixels")
    assert texts(table) == [
        ["mean (°)\N{NO-BREAK SPACE}↓", "11.50", "11.25"],
        ["< 30° (%)\N{NO-BREAK SPACE}↑", "50.0", MISSING],
    ]
    assert table.notes == ("Mean over images. nano: 2 of 1,195 images.",)


def test_categories_come_beside_all_images() -> None:
    images = make_images([{"alpha": {"iou": 0.5}}, {"alpha": {"iou": 0.75}}])
    images = (replace(images[0], category="upper_body"), images[1])

    (table,) = category_tables(make_result("synthetic", images), "nano")

    assert table.header == ("metric", "all", "other", "upper body")
    assert texts(table) == [["IoU\N{NO-BREAK SPACE}↑", "0.6250", "0.7500", "0.5000"]]
    assert category_tables(make_result("synthetic", images[:1]), "nano") == []


def test_a_table_of_the_paper_ends_with_our_row_and_its_differences() -> None:
    metrics = {"depth": {"rmse_m": 0.1, "abs_rel": 0.01}}

    table = paper_tables([complete_result("hi4d", metrics, "david-depth-base")])[0]

    assert table.title == "Table 1 of the paper: Relative depth"
    assert table.spans == (("", 1), ("Hi4D", 2))
    assert table.rows[-2].is_ours
    assert texts(table)[-4:] == [
        ["Ours-Base", "0.085", "0.024"],
        ["Ours-Large", "0.072", "0.019"],
        ["david-depth-base", "0.100", "0.010"],
        ["difference to Ours-Base, the same checkpoint", "+0.015", f"{MINUS}0.014"],
    ]
    assert table.notes == ()


def test_better_is_smaller_for_errors_and_larger_for_shares() -> None:
    normals = {"mean_deg": 10.0, "median_deg": 12.51, "under_11.25": 0.5, "under_30": 0.1}

    table = paper_tables([complete_result("hi4d", {"normals": normals})])[0]

    # The paper has 15.37, 12.51, 45.1 and 89.6.
    assert tones(table, "difference to Ours-Large") == ["better", "", "better", "worse"]


def test_an_incomplete_run_is_marked_in_the_table_of_the_paper() -> None:
    result = make_result("hi4d", make_images([{"depth": {"abs_rel": 0.1}}] * 3))

    table = paper_tables([result])[0]

    assert table.rows[-2].cells[0].text == "nano\N{NO-BREAK SPACE}†"
    assert table.notes == ("† nano does not compare to the digit: Hi4D: 3 of 1,195 images.",)


def test_groups_have_their_sizes_means_and_gap() -> None:
    images = groups_of({"female": [10.0, 12.0, 14.0], "male": [21.0, 23.0], "other": [99.0]})

    (factor,) = slice_by_factors(images, min_size=2)
    table = factor_table(factor, 2)

    assert table.header == ("sex", "images", "mean (°)\N{NO-BREAK SPACE}↓")
    female, male, other, gap = texts(table)
    assert female[:2] == ["female", "3"]
    assert female[2].startswith("12.00 (10.")
    assert male == ["male", "2", f"22.00 (21.00{DASH}23.00)"]
    assert other == ["other", "1", MISSING]
    assert gap[2].startswith("10.00 (")
    assert table.rows[-1].is_ours


def test_pictures_of_people_of_several_groups_are_left_out() -> None:
    images = groups_of({"female": [10.0, 12.0], "male": [20.0, 22.0], "mixed": [90.0, 91.0]})

    (factor,) = slice_by_factors(images, min_size=2)

    assert factor.sizes == {"female": 2, "male": 2}
    assert factor_table(factor, 2).notes == ("Left out: 2 images with people of several groups.",)


def test_groups_that_are_too_small_are_told_by_size_alone() -> None:
    (factor,) = slice_by_factors(groups_of({"female": [1.0, 2.0], "male": [3.0]}), min_size=2)

    table = factor_table(factor, 2)

    assert table.header == ("sex", "images")
    assert texts(table) == [["female", "2"], ["male", "1"]]
    assert table.notes == ("No means: fewer than two groups have 2 images.",)


def test_categories_are_a_factor_and_one_group_is_none() -> None:
    images = groups_of({"female": [1.0, 2.0]})
    images = (replace(images[0], category="face"), replace(images[1], category="full_body"))

    assert [factor.name for factor in slice_by_factors(images)] == ["category"]


def test_every_metric_has_a_name() -> None:
    depth, mask = np.linspace(1, 2, 16).reshape(4, 4), np.ones((4, 4), np.bool_)
    normals = np.ones((4, 4, 3))
    trimap = np.full((4, 4), 128, np.uint8)
    measured = {
        "depth": {**depth_metrics(depth, depth, mask), "boundary_f1": 1.0},
        "normals": normal_metrics(normals, normals, mask),
        "alpha": matting_metrics(depth - 1, depth - 1, trimap),
    }

    names = {f"{task}_{name}" for task, metrics in measured.items() for name in metrics}

    assert names == METRICS.keys()


def test_a_metric_without_a_name_is_called_as_in_the_program() -> None:
    result = make_result("synthetic", make_images([{"depth": {"new_metric": 0.5}}]))

    (table,) = summary_tables([result])

    assert texts(table) == [["new_metric", "0.5000"]]


def test_markdown_keeps_its_cells_whatever_is_in_them() -> None:
    table = Table("a|b", ("name", "x"), (row([EVIL, "1.0"]), row(["ours", "2"], is_ours=True)))

    text = write_tables([table], "markdown")

    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
    assert text.startswith("**a\\|b**\n\n| name | x |\n|---|---:|\n")
    assert r"\<img src=x onerror=alert(1)\> & 100% a\_b \| \$x\$" in text
    assert r"\[c\](http://d)" in text
    assert "| **ours** | **2** |" in text


def test_latex_is_balanced_and_escaped(evil_run: Path) -> None:
    rows = (row([EVIL, MINUS, "1"]), row(["[x] 5 < 6", "*", "°"], is_ours=True))
    table = Table(EVIL, ("a", "b", "c"), rows, (("", 1), ("both", 2)), (EVIL,))

    text = write_tables([table, *all_tables([read_result(evil_run)], 2)], "latex")

    plain = re.sub(r"\\[&%$#_{}]", "", text)
    assert plain.count("{") == plain.count("}")
    assert text.count(r"\begin{table}") == text.count("\n\\end{table}")
    # Nothing is left of what data could have done: no comment, no subscript, no formula.
    _, _, plain = re.sub(r"\$(\\downarrow|\\uparrow|\\delta|-)\$", "", plain).partition("\n")
    assert not re.search("[%_$#]", plain)
    body = re.search(r"\\midrule\n(.*?)\n *\\bottomrule", plain, re.DOTALL)
    assert body is not None
    assert [line.count("&") for line in body[1].splitlines()] == [2, 2]
    assert r"\textbackslash{}end\{table\}" in text
    assert r"\textbf{{[}x] 5 \textless{} 6} & \textbf{{*}} & \textbf{\textdegree{}} \\" in text
    assert r" & \multicolumn{2}{c}{both} \\" in text


def test_html_is_escaped_and_marks_tones() -> None:
    metrics = {"depth": {"rmse_m": 1.0}}

    text = write_tables(paper_tables([complete_result("hi4d", metrics, "<b>x</b>")]), "html")

    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert '<td class="worse">+0.928</td>' in text
    assert '<th colspan="1" scope="colgroup">Hi4D</th>' in text


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a format out of markdown, latex, html, got 'w'"):
        write_tables([], "w")


def test_plots_are_drawings_with_words_in_the_colours_of_the_page() -> None:
    images = groups_of({"a $x$ <b>": [10.0, 12.0], "日本 " + "long" * 9: [20.0, 22.0], "c": [1.0]})
    (factor,) = slice_by_factors(images, min_size=2)

    drawn = strips(factor.slices[0], "by sex")
    bars = histogram([1.0, 2.0, 2.0], metric_name("depth", "abs_rel"))

    for text in (drawn, bars):
        assert "http" not in text
        assert not re.search("#[0-9a-f]{6}", text)
        assert "var(--accent)" in text
    root = ElementTree.fromstring(drawn)
    words = [element.text or "" for element in root.iter("text")]
    assert {"a $x$ <b> (2)", "日本 longlonglonglong… (2)", "c (1)", "mean (°)"} <= set(words)
    # A dot for each image; a bar and a diamond for each group that is large enough.
    assert drawn.count("fill-opacity") == 5
    assert len(re.findall(r"stroke: var\(--ink\); stroke-width: 1\.6", drawn)) == 2
    assert "AbsRel" in bars


def test_plots_of_many_images_show_some_of_them() -> None:
    images = groups_of({"a": np.linspace(1, 5, 2000).tolist(), "b": [2.0]})
    (factor,) = slice_by_factors(images)

    assert strips(factor.slices[0], "by sex").count("fill-opacity") == 301


@pytest.fixture
def sliced() -> EvaluationResult:
    images = groups_of({"female": [10.0, 12.0], "male": [20.00004, 22.0], "mixed": [9.0]})
    pair = [replace(image, category="face") for image in images[:2]]
    return make_result("synthetic", (*pair, *images[2:]))


def test_the_figures_of_a_card_are_means_by_category_and_by_group(
    sliced: EvaluationResult,
) -> None:
    found = card_metrics(sliced, min_size=2)

    assert (found["num_images"], found["david_hf"], found["torch"]) == (5, "0.1.0", "2.13.0")
    assert found["protocol"] == (
        "mean over images; normals on alpha > 0.5; predictions at the size of the image"
    )
    assert found["overall"] == {"normals_mean_deg": 14.6}
    assert found["by_category"] == {
        "": {"num_images": 3, "normals_mean_deg": 17.0},
        "face": {"num_images": 2, "normals_mean_deg": 11.0},
    }
    assert found["by_group"] == {
        "sex": {
            "female": {"num_images": 2, "normals_mean_deg": 11.0},
            "male": {"num_images": 2, "normals_mean_deg": 21.0},
        }
    }
    gap = found["gaps"]["sex"]["normals_mean_deg"]
    assert gap == {"gap": 10.0, "low": 8.0, "high": 12.0}


def test_a_card_reads_and_shows_its_figures(sliced: EvaluationResult, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(card_text(card_metrics(sliced, min_size=2)))

    metrics = read_metrics(path)

    assert metrics_table(metrics).splitlines()[2:] == [
        "| all | 5 | 14.6° |",
        "| other | 3 | 17.0° |",
        "| face | 2 | 11.0° |",
    ]
    assert group_tables(metrics).splitlines()[-5:] == [
        "| sex | number | normals, mean |",
        "|---|---|---|",
        "| female | 2 | 11.0° |",
        "| male | 2 | 21.0° |",
        "| largest less smallest |  | 10.0° (8.0° to 12.0°) |",
    ]


def test_a_card_of_images_without_groups_says_that_nobody_knows(tmp_path: Path) -> None:
    found = card_metrics(make_result("synthetic", make_images([{"alpha": {"iou": 0.5}}])))

    assert "by_group" not in found
    assert group_tables(found) == "How well it treats whom was not measured yet."


def test_groups_that_are_too_small_have_no_figures_in_a_card(sliced: EvaluationResult) -> None:
    found = card_metrics(sliced)

    assert found["by_group"] == {"sex": {"female": {"num_images": 2}, "male": {"num_images": 2}}}
    assert group_tables(found).splitlines()[-4:] == [
        "| sex | number |",
        "|---|---|",
        "| female | 2 |",
        "| male | 2 |",
    ]


def test_another_alignment_is_told_in_a_card(sliced: EvaluationResult) -> None:
    depth = {"method": "scale", "space": "disparity", "estimator": "lad", "group": "sequence"}
    settings = {**sliced.settings, "benchmark": {"depth": depth, "max_pixels": None}}
    measured = make_images([{"depth": {"abs_rel": 0.5}}])

    found = card_metrics(replace(sliced, images=measured, settings=settings))

    assert found["protocol"] == (
        "mean over images; depth after alignment of the scale of one over depth (lad) by "
        "sequence; depth on alpha > 0.5; predictions at the size of the image"
    )


def test_a_card_tells_only_what_was_measured() -> None:
    result = make_result("photomatte85", make_images([{"alpha": {"iou": 0.5}}]))
    model = {**result.settings["model"], "dtype": "bfloat16"}

    found = card_metrics(replace(result, settings={**result.settings, "model": model}))

    assert found["protocol"] == (
        "mean over images; images of more than 2,073,600 pixels scaled down to so many; weights "
        "in bfloat16"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"by_group": []},
        {"by_group": {"sex": {"female": {"normals_mean_deg": 1.0}}}},
        {"by_group": {"sex": {"female": {"num_images": "2"}}}},
        {"gaps": {}},
        {"gaps": {"sex": {"normals_mean_deg": {"gap": 1.0}}}},
    ],
)
def test_broken_groups_of_a_card_are_refused(
    sliced: EvaluationResult, tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(card_text(card_metrics(sliced, min_size=2) | change))

    with pytest.raises(ValueError, match=r"metrics\.json: expected num_images, overall and by_"):
        read_metrics(path)


def test_a_card_that_is_written_for_an_author_shows_the_groups(
    sliced: EvaluationResult, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((bundled_checkpoint() / "config.json").read_bytes())
    found = card_metrics(sliced, min_size=2)
    (tmp_path / "metrics.json").write_text(card_text(found))

    assert group_tables(found) in publication_card(tmp_path, "me/model")


def test_a_card_of_ours_shows_groups_of_people_and_not_of_pictures(
    sliced: EvaluationResult,
) -> None:
    found = card_metrics(sliced, min_size=2)
    found["by_group"] |= {"light": found["by_group"]["sex"], "skin_tone": found["by_group"]["sex"]}
    found["gaps"] |= {"light": found["gaps"]["sex"], "skin_tone": found["gaps"]["sex"]}

    text = group_tables(found)

    assert "| skin tone | number |" in text
    assert "light" not in text
