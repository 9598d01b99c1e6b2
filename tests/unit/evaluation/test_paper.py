from dataclasses import replace

import pytest
from evaluation_results import complete_result, make_images, make_result

from david_hf.evaluation.benchmarks.registry import benchmarks, find_benchmark
from david_hf.evaluation.paper import (
    Comparison,
    OurRow,
    by_model,
    comparisons,
    paper_tables,
    remarks,
)
from david_hf.evaluation.results import EvaluationResult

TABLES = {table.number: table for table in paper_tables()}
DEPTH_BENCHMARKS = ("goliath-face", "goliath-upper-body", "goliath-full-body", "hi4d")


def depth_results(values: list[float], model: str = "nano") -> list[EvaluationResult]:
    """RMSE and AbsRel as table 1 prints them, of the subsets in its order."""
    return [
        complete_result(
            benchmark,
            {"depth": {"rmse_m": rmse if benchmark == "hi4d" else rmse / 10, "abs_rel": abs_rel}},
            model,
        )
        for benchmark, rmse, abs_rel in zip(
            DEPTH_BENCHMARKS, values[:8:2], values[1:8:2], strict=True
        )
    ]


def table(number: str, results: list[EvaluationResult]) -> Comparison:
    return next(found for found in comparisons(results) if found.number == number)


def our_row(number: str, result: EvaluationResult) -> OurRow:
    (row,) = table(number, [result]).ours
    return row


def values_of(comparison: Comparison) -> dict[tuple[str, str], float | None]:
    """What the first model of ours has, by column."""
    return {
        (column.benchmark, column.metric): value
        for column, value in zip(comparison.columns, comparison.ours[0].values, strict=True)
    }


def test_values_keep_the_digits_that_are_printed() -> None:
    assert TABLES["1"].rows["Ours-Large"][0] == "0.140"
    assert TABLES["3"].rows["P3M-Net"][1] == "0.007"
    assert TABLES["2"].rows["PIFuHD"][0] is None
    assert [column.digits for column in TABLES["3"].columns] == [2, 4, 2, 2, 2]


def test_columns_are_made_of_known_benchmarks() -> None:
    parts = {part for found in TABLES.values() for column in found.columns for part in column.parts}

    assert parts <= benchmarks().keys()


@pytest.mark.parametrize(
    ("model", "tables"),
    [
        ("nano", ""),
        ("david-depth-base", "1 4b 4c 4d"),
        ("david-depth-large", "1 4a 4c 4d"),
        ("david-normal-base", "2 4d"),
        ("david-normal-large", "2 4d 5"),
        ("david-foreground-base", "4d"),
        ("david-foreground-large", "3 4d 6"),
        ("david-large", "4d"),
    ],
)
def test_official_checkpoints_are_compared_with_their_own_rows(model: str, tables: str) -> None:
    names = {column.metric for found in TABLES.values() for column in found.columns}
    metrics = {"any": dict.fromkeys({"rmse_m", *names}, 1.0)}
    results = [make_result(name, make_images([metrics]), model) for name in benchmarks()]

    found = comparisons(results)

    assert [comparison.number for comparison in found] == list(TABLES)
    rows = {comparison.number: comparison.ours[0] for comparison in found}
    assert [number for number, row in rows.items() if row.is_same_checkpoint] == tables.split()
    assert all(row.reference in TABLES[number].rows for number, row in rows.items())


@pytest.mark.parametrize("method", TABLES["1"].rows)
def test_the_average_of_table_1_follows_from_its_columns(method: str) -> None:
    printed = [float(value or "nan") for value in TABLES["1"].rows[method]]

    values = values_of(table("1", depth_results(printed)))

    # Half a digit for the rounding of the columns, and half for that of the average.
    assert values["depth-average", "rmse_mixed"] == pytest.approx(printed[8], abs=0.001)
    assert values["depth-average", "abs_rel"] == pytest.approx(printed[9], abs=0.001)


def test_the_average_needs_every_part() -> None:
    results = depth_results([0.1] * 8)

    columns = [column.benchmark for column in table("1", results[1:]).columns]

    assert "depth-average" not in columns
    assert columns.count("hi4d") == 2
    assert "goliath-face" not in columns


def test_the_mean_of_goliath_is_plain() -> None:
    results = depth_results([1.0, 0.1, 2.0, 0.2, 6.0, 0.6, 9.0, 0.9])

    values = values_of(table("4a", results))

    assert values["goliath-mean", "rmse_dm"] == pytest.approx(3.0)
    assert values["goliath-mean", "abs_rel"] == pytest.approx(0.3)


def test_units_are_those_of_the_paper() -> None:
    metrics = {"depth": {"rmse_m": 0.02, "delta1": 0.5}, "normals": {"under_30": 0.25}}

    goliath = comparisons([complete_result("goliath-face", metrics)])
    thuman = comparisons([complete_result("thuman-face", metrics)])

    assert values_of(goliath[0]) == {("goliath-face", "rmse_dm"): pytest.approx(0.2)}
    assert values_of(goliath[1]) == {("goliath-face", "under_30"): pytest.approx(25)}
    assert values_of(thuman[0])["thuman-face", "rmse_m"] == pytest.approx(0.02)
    assert values_of(thuman[0])["thuman-face", "delta1"] == pytest.approx(0.5)


def test_a_table_has_only_columns_and_rows_that_we_measured_something_in() -> None:
    found = table("2", [complete_result("goliath-face", {"normals": {"mean_deg": 20.0}})])

    assert [column[:2] for column in found.columns] == [("goliath-face", "mean_deg")]
    # PIFuHD and its like were measured on Hi4D alone.
    assert found.paper == {
        "Sapiens-0.3B": ("18.86",),
        "Sapiens-2B": ("16.04",),
        "Ours-Base": ("17.33",),
        "Ours-Large": ("17.15",),
    }


@pytest.mark.parametrize(
    ("model", "reference", "is_same", "difference"),
    [
        ("david-depth-base", "Ours-Base", True, 0.015),
        ("someone/david-depth-large", "Ours-Large", True, 0.028),
        ("depth-model-vitb16_384.onnx", "Ours-Base", True, 0.015),
        ("david-normal-base", "Ours-Large", False, 0.028),
        ("nano", "Ours-Large", False, 0.028),
    ],
)
def test_differences_are_to_the_row_of_the_checkpoint_or_to_the_best(
    model: str, reference: str, is_same: bool, difference: float
) -> None:
    row = our_row("1", complete_result("hi4d", {"depth": {"rmse_m": 0.1}}, model))

    assert (row.reference, row.is_same_checkpoint) == (reference, is_same)
    assert row.differences == (pytest.approx(difference),)


def test_there_is_no_difference_where_one_side_is_missing() -> None:
    ours = complete_result("hi4d", {"depth": {"rmse_m": 0.1}}, "one")
    theirs = complete_result("hi4d", {"depth": {"abs_rel": 0.1}}, "other")

    rows = table("1", [ours, theirs]).ours

    assert [row.values for row in rows] == [(pytest.approx(0.1), None), (None, pytest.approx(0.1))]
    assert rows[0].differences == (pytest.approx(0.028), None)


def test_a_complete_run_by_the_protocol_is_comparable() -> None:
    row = our_row("1", complete_result("hi4d", {"depth": {"rmse_m": 0.1}}))

    assert row.is_comparable
    assert row.remarks == ()


def test_an_incomplete_run_is_not_comparable_nor_is_a_mean_that_it_is_part_of() -> None:
    face, upper, full, _ = depth_results([0.1] * 8)
    full = replace(full, images=full.images[:7])

    row = our_row("1", full)
    mean = table("4a", [face, upper, full]).ours[0]

    assert row.remarks == mean.remarks == ("Goliath, full bodies: 7 of 768 images",)
    assert not row.is_comparable


def test_what_the_paper_does_not_share_is_a_remark() -> None:
    row = our_row("3", complete_result("photomatte85", {"alpha": {"sad": 5.0}}))

    assert row.remarks == (f"PhotoMatte85: {find_benchmark('photomatte85').note}",)


def test_another_protocol_is_a_remark() -> None:
    result = complete_result("hi4d", {"depth": {"rmse_m": 0.1}})
    changed = find_benchmark("hi4d").with_protocol({"method": "median", "group": "sequence"})
    settings = {**result.settings, "benchmark": changed.settings()}

    found = remarks(replace(result, settings=settings))

    assert found == ["Hi4D: another protocol: depth.group = sequence, depth.method = median"]


def test_images_without_a_task_are_a_remark() -> None:
    both = {"depth": {"rmse_m": 0.1}, "normals": {"mean_deg": 9.0}}
    images = make_images([both] * 1194 + [{"depth": {"rmse_m": 0.1}}])

    assert remarks(make_result("hi4d", images)) == [
        "Hi4D: normals measured on 1,194 of 1,195 images"
    ]


def test_results_on_data_that_the_paper_does_not_have_are_in_no_table() -> None:
    result = make_result("synthetic", make_images([{"depth": {"rmse_m": 0.1}}]))

    assert comparisons([result]) == []
    assert remarks(result) == []
    assert comparisons([]) == []


def test_results_of_one_model_make_one_row() -> None:
    (row,) = table("1", depth_results([0.1] * 8)).ours

    assert len(row.values) == 10
    assert None not in row.values


def test_models_of_one_name_are_told_apart_and_devices_are_not() -> None:
    face = complete_result("goliath-face", {"depth": {"rmse_m": 1.0}}, weights="a")
    hi4d = complete_result("hi4d", {"depth": {"rmse_m": 1.0}}, weights="a", device="cuda")
    other = complete_result("hi4d", {"depth": {"rmse_m": 2.0}}, weights="b")

    assert by_model([face, hi4d, other, hi4d]) == {
        "nano": {"goliath-face": face, "hi4d": hi4d},
        "nano (2)": {"hi4d": other},
        "nano (3)": {"hi4d": hi4d},
    }


def test_a_model_labelled_by_number_keeps_the_row_of_its_checkpoint() -> None:
    result = complete_result("hi4d", {"depth": {"rmse_m": 0.1}}, "david-depth-base")

    rows = table("1", [result, result]).ours

    assert [row.model for row in rows] == ["david-depth-base", "david-depth-base (2)"]
    assert {row.reference for row in rows} == {"Ours-Base"}
