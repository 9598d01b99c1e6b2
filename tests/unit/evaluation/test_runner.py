import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_layouts import write_benchmark, write_people
from layouts import matte, photo, plain_depth, plain_normals, save
from scan_layouts import write_hi4d
from unit.evaluation.stand_in_model import StandInModel

from david_hf.evaluation.benchmarks.registry import Benchmark, benchmarks, find_benchmark
from david_hf.evaluation.metrics.depth import align_group, depth_metrics
from david_hf.evaluation.metrics.matting import matting_metrics
from david_hf.evaluation.metrics.normals import NormalPool
from david_hf.evaluation.results import EvaluationResult, read_result
from david_hf.evaluation.runner import RunOptions, evaluate

QUICK = RunOptions(num_workers=0, examples=False)
FOLDER = find_benchmark("folder")


def measured(
    root: Path,
    output: Path,
    benchmark: Benchmark = FOLDER,
    options: RunOptions = QUICK,
    model: StandInModel | None = None,
) -> EvaluationResult:
    result = evaluate(benchmark, root, model or StandInModel(), output, options)
    assert result is not None
    return result


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Six rendered people."""
    root = tmp_path / "people"
    root.mkdir()
    write_people(root)
    return root


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """One labelled picture of a plain folder."""
    root = tmp_path / "plain"
    save(root / "images" / "anna.png", photo())
    save(root / "alphas" / "anna.png", matte())
    for folder, values in (("depths", plain_depth()), ("normals", plain_normals())):
        (root / folder).mkdir()
        np.save(root / folder / "anna.npy", values)
    return root


def test_depth_and_normals_are_judged_inside_the_mask_and_alpha_everywhere(
    plain: Path, tmp_path: Path
) -> None:
    image = measured(plain, tmp_path / "out").images[0]

    mask = (matte() == 255) & (plain_depth() > 0)
    assert image.num_pixels == mask.sum()
    # The plane is flat: whatever is predicted, the fit finds it.
    assert image.metrics["depth"]["rmse_m"] == pytest.approx(0, abs=1e-6)
    # arccos of 0.8: normals that look up a little against those that face the camera.
    assert image.metrics["normals"]["mean_deg"] == pytest.approx(np.degrees(np.arccos(0.8)))
    alpha = matte().astype(np.float32) / np.float32(255)
    assert image.metrics["alpha"] == matting_metrics(np.ones_like(alpha), alpha)


def test_what_is_written_reads_back_the_same(people: Path, tmp_path: Path) -> None:
    result = measured(people, tmp_path / "out", find_benchmark("synthetic"))

    assert read_result(tmp_path / "out") == result
    assert read_result(tmp_path / "out" / "metrics.json") == result


def test_the_summary_is_the_mean_over_images_and_pixels_are_pooled(
    people: Path, tmp_path: Path
) -> None:
    benchmark = find_benchmark("synthetic")
    result = measured(people, tmp_path / "out", benchmark)

    errors = [image.metrics["normals"]["mean_deg"] for image in result.images]
    assert len(errors) == 6
    assert result.summary["normals"]["mean_deg"] == pytest.approx(np.mean(errors), rel=1e-12)
    pool, model = NormalPool(), StandInModel()
    for sample in benchmark.open(people):
        assert sample.normals is not None
        maps = model.predict([(sample.image * 255 + 0.5).astype(np.uint8)])[0]
        assert maps.normals is not None
        pool.add(maps.normals, sample.normals, sample.foreground)
    wanted = pool.metrics()
    found = result.pooled["normals"]
    assert found.pop("median_deg") == pytest.approx(wanted.pop("median_deg"), abs=0.01)
    assert found == pytest.approx(wanted, rel=1e-12)


def test_rendered_people_say_their_groups(people: Path, tmp_path: Path) -> None:
    result = measured(people, tmp_path / "out", find_benchmark("synthetic"))

    assert set(result.by_category()) == {"face", "full_body", "upper_body"}
    for image in result.images:
        factors = json.loads((people / f"factors_{image.id}.json").read_text())
        if len(factors["people"]) == 1:
            assert image.groups["sex"] == factors["people"][0]["person.sex"]


def test_groups_of_a_table_are_added_even_to_a_finished_run(people: Path, tmp_path: Path) -> None:
    benchmark = find_benchmark("synthetic")
    first = measured(people, tmp_path / "out", benchmark).images[0].id
    options = replace(QUICK, groups={first: {"studio": "north"}})

    images = measured(people, tmp_path / "out", benchmark, options).images

    assert [image.groups.get("studio") for image in images] == ["north", *[None] * 5]
    with pytest.raises(ValueError, match="expected groups of images such as"):
        measured(people, tmp_path / "out", benchmark, replace(QUICK, groups={"x": {"a": "b"}}))


def test_a_run_goes_on_where_it_stopped(people: Path, tmp_path: Path) -> None:
    benchmark, output = find_benchmark("synthetic"), tmp_path / "out"
    unbroken = measured(people, tmp_path / "unbroken", benchmark)
    measured(people, output, benchmark, replace(QUICK, limit=3))
    journal = output / "parts" / "images-0.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    # As a kill leaves it: the last line was cut off.
    journal.write_bytes(b"".join(lines[:2]) + lines[2][:100])
    model = StandInModel()

    result = measured(people, output, benchmark, QUICK, model)

    assert result == unbroken
    assert sum(model.batches) == 4
    assert journal.read_bytes().endswith(b"\n")


def test_a_finished_run_predicts_nothing_again(people: Path, tmp_path: Path) -> None:
    benchmark = find_benchmark("synthetic")
    first = measured(people, tmp_path / "out", benchmark)
    model = StandInModel()

    assert measured(people, tmp_path / "out", benchmark, QUICK, model) == first
    assert model.batches == []


def test_results_of_something_else_are_not_mixed_in(people: Path, tmp_path: Path) -> None:
    benchmark = find_benchmark("synthetic")
    measured(people, tmp_path / "out", benchmark)

    with pytest.raises(ValueError, match=r"model\.sha256: a before, b now"):
        measured(people, tmp_path / "out", benchmark, QUICK, StandInModel(digest="b"))
    with pytest.raises(ValueError, match=r"benchmark\.depth\.method: scale_shift before, none now"):
        measured(people, tmp_path / "out", benchmark.with_protocol({"method": "none"}))
    with pytest.raises(ValueError, match="got one with other files"):
        measured(people, people, benchmark)


@pytest.mark.parametrize("change", ["picture", "order"])
def test_data_that_was_changed_since_is_not_mixed_in(
    change: str, plain: Path, tmp_path: Path
) -> None:
    for name in ("ben", "carl"):
        save(plain / "images" / f"{name}.png", photo(len(name)))
        save(plain / "alphas" / f"{name}.png", matte())
    measured(plain, tmp_path / "out", options=replace(QUICK, limit=2))
    if change == "picture":
        save(plain / "alphas" / "carl.png", matte() * 0)
    else:
        for folder in ("images", "alphas"):
            (plain / folder / "ben.png").rename(plain / folder / "dora.png")

    with pytest.raises(ValueError, match="expected the data that was measured before, but"):
        measured(plain, tmp_path / "out")


def test_a_fit_that_turns_nothing_gets_depth_the_right_way_round(
    plain: Path, tmp_path: Path
) -> None:
    class Nearness(StandInModel):
        depth_space = "disparity"

        def _maps(self, photo: Any) -> Any:
            return replace(super()._maps(photo), depth=(1 / slope).astype(np.float32))

    slope = np.linspace(1, 2, plain_depth().size).reshape(plain_depth().shape)
    np.save(plain / "depths" / "anna.npy", slope)
    benchmark = FOLDER.with_protocol({"space": "depth", "estimator": "median_mad"})

    result = measured(plain, tmp_path / "out", benchmark, model=Nearness())

    assert result.summary["depth"]["rank"] == pytest.approx(1)


def test_frames_of_a_plain_folder_differ_in_their_numbers(plain: Path, tmp_path: Path) -> None:
    source = FOLDER.open(plain)
    source.stems = ["walk_001", "walk_002", "run1", "anna"]  # type: ignore[attr-defined]

    assert [source.sequence(i) for i in range(4)] == ["walk_", "walk_", "run", "anna"]


def test_a_data_set_without_sequences_has_no_alignment_by_them(
    people: Path, tmp_path: Path
) -> None:
    benchmark = find_benchmark("synthetic").with_protocol({"group": "sequence"})

    with pytest.raises(ValueError, match="generated tells no sequences apart"):
        measured(people, tmp_path / "out", benchmark)


def test_pictures_without_depth_and_normals_are_not_said_to_show_nobody(
    plain: Path, tmp_path: Path
) -> None:
    for folder in ("depths", "normals"):
        (plain / folder / "anna.npy").unlink()
        (plain / folder).rmdir()

    result = measured(plain, tmp_path / "out")

    assert result.images[0].notes == ()


def test_a_batch_holds_photos_of_any_size(people: Path, tmp_path: Path) -> None:
    model = StandInModel()
    options = replace(QUICK, batch_size=4, num_workers=1)

    result = measured(people, tmp_path / "out", find_benchmark("synthetic"), options, model)

    assert model.batches == [4, 2]
    assert len(result.images) == 6


def test_a_limit_is_spread_over_the_data_set_and_marks_the_result(
    people: Path, tmp_path: Path
) -> None:
    benchmark = replace(find_benchmark("synthetic"), count=6)
    whole = measured(people, tmp_path / "whole", benchmark)
    part = measured(people, tmp_path / "part", benchmark, replace(QUICK, limit=3))

    assert whole.is_complete
    assert not part.is_complete
    assert [image.id for image in part.images] == [whole.images[i].id for i in (0, 2, 5)]


def test_a_damaged_sample_ends_the_run_in_one_line_that_names_it(
    people: Path, tmp_path: Path
) -> None:
    next(people.glob("depth_*.exr")).write_bytes(b"nonsense")
    options = replace(QUICK, num_workers=1)

    with pytest.raises(ValueError, match=r"sample 09\d+: depth: ") as caught:
        measured(people, tmp_path / "out", find_benchmark("synthetic"), options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_a_prediction_that_is_not_finite_names_the_image(plain: Path, tmp_path: Path) -> None:
    class Broken(StandInModel):
        def _maps(self, photo: Any) -> Any:
            maps = super()._maps(photo)
            return replace(maps, depth=maps.depth * np.nan)

    with pytest.raises(ValueError, match="anna: expected a finite prediction"):
        measured(plain, tmp_path / "out", model=Broken())


def test_a_model_without_a_task_of_the_benchmark_is_refused(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"predicts depth or normals, .* stand-in predicts alpha"):
        measured(
            plain, tmp_path / "out", replace(FOLDER, tasks=("depth", "normals")),
            model=StandInModel(("alpha",)),
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_an_image_with_nobody_is_noted_and_left_out_of_means(plain: Path, tmp_path: Path) -> None:
    save(plain / "images" / "ben.png", photo(1))
    save(plain / "alphas" / "ben.png", matte() * 0)
    for folder, values in (("depths", plain_depth()), ("normals", plain_normals())):
        np.save(plain / folder / "ben.npy", values)

    result = measured(plain, tmp_path / "out")

    anna, ben = result.images
    assert ben.notes == ("nobody inside the mask: depth and normals not measured",)
    assert set(ben.metrics) == {"alpha"}
    assert result.summary["normals"] == anna.metrics["normals"]


def test_normals_that_look_away_are_refused_in_labels_and_noted_in_predictions(
    plain: Path, tmp_path: Path
) -> None:
    class Flipped(StandInModel):
        def _maps(self, photo: Any) -> Any:
            maps = super()._maps(photo)
            return replace(maps, normals=-maps.normals)

    result = measured(plain, tmp_path / "out", model=Flipped())
    assert "look away" in result.images[0].notes[0]

    np.save(plain / "normals" / "anna.npy", -plain_normals())
    with pytest.raises(ValueError, match="the channel order or the frame differs"):
        measured(plain, tmp_path / "other")


@pytest.mark.parametrize(("group", "shared"), [("sequence", [0, 0, 2]), ("dataset", [0, 0, 0])])
def test_images_of_a_group_share_one_alignment(
    tmp_path: Path, group: str, shared: list[int]
) -> None:
    root, model = tmp_path / "hi4d", StandInModel()
    write_hi4d(root, action="hug")
    write_hi4d(root, action="talk", frames=(7,))
    for number, path in enumerate(sorted(root.rglob("images/4/*.jpg"))):
        save(path, photo(number))  # so that each picture would be aligned in its own way
    benchmark = find_benchmark("hi4d").with_protocol({"group": group})

    result = measured(root, tmp_path / "out", benchmark, QUICK, model)

    rows = []
    for sample in benchmark.open(root):
        depth = model.predict([(sample.image * 255 + 0.5).astype(np.uint8)])[0].depth
        assert depth is not None
        assert sample.depth_m is not None
        rows.append((depth, sample.depth_m, sample.foreground))
    groups = [[row for row, of in zip(rows, shared, strict=True) if of == name] for name in (0, 2)]
    aligned = [depth for members in groups if members for depth in align_group(members)]
    for row, depth, image in zip(rows, aligned, result.images, strict=True):
        wanted = depth_metrics(depth, row[1], row[2], method="none")
        assert image.metrics["depth"]["rmse_m"] == pytest.approx(wanted["rmse_m"], rel=1e-9)
    alone = measured(root, tmp_path / "alone", find_benchmark("hi4d"))
    assert alone.summary["depth"]["rmse_m"] < result.summary["depth"]["rmse_m"]


def test_large_pictures_are_scaled_down_with_their_labels(plain: Path, tmp_path: Path) -> None:
    benchmark = FOLDER.with_protocol({}, max_pixels=16 * 12)

    image = measured(plain, tmp_path / "out", benchmark).images[0]

    assert image.num_pixels == pytest.approx(
        ((matte() == 255) & (plain_depth() > 0)).sum() / 4, 0.2
    )
    assert image.metrics["normals"]["mean_deg"] == pytest.approx(
        np.degrees(np.arccos(0.8)), rel=1e-5
    )


def test_mattes_that_were_scaled_down_keep_their_opaque_inside(tmp_path: Path) -> None:
    root = tmp_path / "ppm"
    save(root / "image" / "a.png", photo(0, 601, 451))
    save(root / "matte" / "a.png", np.pad(np.full((401, 251), 255, np.uint8), 100))
    benchmark = find_benchmark("ppm-100").with_protocol({}, max_pixels=300 * 225)

    metrics = measured(root, tmp_path / "out", benchmark).images[0].metrics["alpha"]

    # Alpha 1 is predicted: it is wrong outside alone, and the inside is not all unknown.
    assert metrics["sad_fg"] == pytest.approx(0, abs=1e-3)
    unknown = metrics["sad_t"] / metrics["mad_t"] * 1000
    assert 0.2 < unknown / (300 * 225) < 0.5


def test_another_folder_or_damaged_settings_do_not_mix(people: Path, tmp_path: Path) -> None:
    benchmark = find_benchmark("synthetic")
    measured(people, tmp_path / "out", benchmark, replace(QUICK, limit=2))
    people.rename(tmp_path / "moved")

    with pytest.raises(ValueError, match=r"data\.root"):
        measured(tmp_path / "moved", tmp_path / "out", benchmark)
    (tmp_path / "out" / "settings.json").write_text("{")
    with pytest.raises(ValueError, match=r"settings\.json: damaged"):
        measured(tmp_path / "moved", tmp_path / "out", benchmark)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "plain" / "images" / "a.png", photo())

    with pytest.raises(ValueError, match="expected labels of depth or normals or alpha"):
        measured(tmp_path / "plain", tmp_path / "out")


def test_a_benchmark_keeps_its_split(tmp_path: Path) -> None:
    write_benchmark("p3m-500-np", tmp_path / "p3m")
    options = replace(QUICK, data_options={"split": "train"})

    with pytest.raises(ValueError, match="expected no option split: it is P3M-500-NP"):
        measured(tmp_path / "p3m", tmp_path / "out", find_benchmark("p3m-500-np"), options)


def test_trimaps_are_those_of_the_data_set_or_made(tmp_path: Path) -> None:
    root = tmp_path / "p3m"
    write_benchmark("p3m-500-np", root)
    benchmark = find_benchmark("p3m-500-np")
    with_trimap = measured(root, tmp_path / "out", benchmark)
    assert all(image.notes == () for image in with_trimap.images)
    # Alpha 100 / 255 where it is unknown, and 1 predicted.
    unknown = int((matte() == 100).sum())
    assert with_trimap.images[0].metrics["alpha"]["sad_t"] == pytest.approx(
        unknown * 155 / 255 / 1000, rel=1e-6
    )

    for path in root.rglob("trimap/*.png"):
        path.unlink()
    without = measured(root, tmp_path / "other", benchmark)
    assert all(image.notes == ("trimap made of alpha",) for image in without.images)


def test_pictures_of_best_median_and_worst_are_made(people: Path, tmp_path: Path) -> None:
    result = measured(
        people, tmp_path / "out", find_benchmark("synthetic"), replace(QUICK, examples=True)
    )

    kinds = {(example.task, example.rank) for example in result.examples}
    assert len(kinds) == 9
    for example in result.examples:
        assert (tmp_path / "out" / example.file).is_file()
        values = [image.metrics[example.task][example.metric] for image in result.images]
        of_image = next(i.metrics for i in result.images if i.id == example.id)
        wanted = {"best": min, "worst": max, "median": lambda v: sorted(v)[3]}[example.rank]
        assert of_image[example.task][example.metric] == wanted(values)


def test_every_benchmark_says_what_it_measures_and_where_it_is_reported() -> None:
    paper = {name for name, benchmark in benchmarks().items() if benchmark.count}

    assert paper == {
        "goliath-face", "goliath-upper-body", "goliath-full-body", "hi4d", "photomatte85",
        "ppm-100", "p3m-500-np", "p3m-500-p", "thuman-face", "thuman-upper-body",
        "thuman-full-body",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        ({"method": "affine"}, "got 'affine' with 'lstsq'"),
        ({"space": "log"}, "in 'log'"),
        ({"method": "median", "estimator": "lad"}, "got 'median' with 'lad'"),
        ({"group": "frame"}, "expected a group out of image, sequence, dataset, got 'frame'"),
    ],
)
def test_protocols_that_make_no_sense_are_refused(depth: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FOLDER.with_protocol(depth)
