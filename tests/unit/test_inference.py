"""Photos in, map files out, with tiny checkpoints of random weights."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from photos import make_picture, save_checkpoint
from PIL import Image

from david_hf import inference, predictor
from david_hf.inference import (
    DavidPredictor,
    ImageResult,
    InputError,
    ModelLoadError,
    find_images,
    load_image,
    output_names,
    predict_folder,
)
from david_hf.map_files import depth_to_uint16, normals_to_uint16
from david_hf.model import DavidForDensePrediction, DavidForImageMatting, DavidModel
from david_hf.visualization import depth_range

KINDS = [
    *["alpha.png", "cutout.png", "depth.npy", "depth.png", "depth_color.png"],
    *["normals.png", "normals_color.png", "overview.png"],
]
GOOD = ["cmyk", "good", "large", "palette", "pixel", "sixteen_bits", "turned"]


@pytest.fixture(scope="module")
def dense(dense_checkpoint: Path) -> DavidPredictor:
    return DavidPredictor.from_pretrained(dense_checkpoint, device="cpu")


def test_predictions_are_the_models_maps_at_the_size_of_the_photo(dense: DavidPredictor) -> None:
    picture = make_picture(33, 50)

    prediction = dense.predict(picture)

    with torch.inference_mode():
        outputs = dense.model(**dense.processor(picture, return_tensors="pt"))
    depth = dense.processor.post_process_depth_estimation(outputs, [(33, 50)])
    normals = dense.processor.post_process_normal_estimation(outputs, [(33, 50)])
    alphas = dense.processor.post_process_image_matting(outputs, [(33, 50)])
    np.testing.assert_array_equal(prediction.depth, depth[0]["predicted_depth"])
    np.testing.assert_array_equal(prediction.normals, normals[0]["normals"])
    np.testing.assert_array_equal(prediction.alpha, alphas[0]["alphas"])


def test_pictures_arrays_and_tensors_predict_alike(dense: DavidPredictor) -> None:
    picture = make_picture(33, 50)
    array = np.array(picture)

    depths = [
        dense.predict(image, ["depth"]).depth
        for image in (picture, array, torch.from_numpy(array).movedim(-1, 0))
    ]

    np.testing.assert_array_equal(depths[0], depths[1])
    np.testing.assert_array_equal(depths[0], depths[2])


def test_kernels_are_channels_last_on_a_cpu(dense_checkpoint: Path) -> None:
    predicting = DavidPredictor.from_pretrained(dense_checkpoint, device="cpu")
    assert isinstance(predicting.model, torch.nn.Module)
    kernels = [m.weight for m in predicting.model.modules() if isinstance(m, torch.nn.Conv2d)]

    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_maps_that_are_not_finite_are_refused(dense_checkpoint: Path) -> None:
    predictor = DavidPredictor.from_pretrained(dense_checkpoint, "cpu")
    with torch.no_grad():
        next(predictor.model.parameters()).fill_(torch.nan)  # type: ignore[union-attr]

    with pytest.raises(RuntimeError, match="the model gave NaN or infinity for depth"):
        predictor.predict(np.zeros((20, 30, 3), np.uint8))


def test_only_the_tasks_asked_for_are_made(dense: DavidPredictor) -> None:
    prediction = dense.predict(make_picture(9, 8), ["alpha"])

    assert prediction.depth is None
    assert prediction.normals is None
    assert prediction.alpha is not None
    assert dense.check_tasks(["alpha", "depth"]) == ("depth", "alpha")


def test_a_single_task_checkpoint_predicts_its_task(depth_checkpoint: Path) -> None:
    single = DavidPredictor.from_pretrained(depth_checkpoint)

    prediction = single.predict(make_picture(9, 8))

    assert single.tasks == ("depth",)
    assert prediction.depth is not None
    assert prediction.depth.shape == (9, 8)
    assert prediction.alpha is None
    with pytest.raises(ModelLoadError, match="the model predicts depth, not normals, alpha"):
        single.predict(make_picture(9, 8), ["normals", "alpha"])
    with pytest.raises(ModelLoadError, match="the model predicts depth, not nothing"):
        single.predict(make_picture(9, 8), [])


def test_a_matting_checkpoint_predicts_alpha(tmp_path: Path) -> None:
    matting = DavidPredictor.from_pretrained(save_checkpoint(DavidForImageMatting, tmp_path))

    alpha = matting.predict(make_picture(9, 8)).alpha

    assert alpha is not None
    assert alpha.min() >= 0.0
    assert alpha.max() <= 1.0


def test_a_half_precision_checkpoint_predicts_float32(
    dense_checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(dense_checkpoint, tmp_path, dirs_exist_ok=True)
    model = DavidForDensePrediction.from_pretrained(dense_checkpoint, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)

    prediction = DavidPredictor.from_pretrained(tmp_path).predict(make_picture(9, 8))

    assert prediction.depth is not None
    assert prediction.depth.dtype == np.float32


def test_the_checkpoint_of_the_package_is_the_default(
    dense_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = predictor.bundled_checkpoint()
    assert bundled.parts[-3:] == ("david_hf", "checkpoints", "david-nano")

    monkeypatch.setattr(predictor, "bundled_checkpoint", lambda: dense_checkpoint)

    assert DavidPredictor.from_pretrained().tasks == ("depth", "normals", "alpha")


def reason_not_loaded(model: str | Path, device: str | None = None) -> str:
    with pytest.raises(ModelLoadError) as caught:
        DavidPredictor.from_pretrained(model, device)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_models_that_are_not_there_are_named_in_one_line(tmp_path: Path) -> None:
    for model in (tmp_path / "nowhere", "./nowhere", "nowhere", "a/b/c"):
        assert reason_not_loaded(model) == f"cannot load {model}: no such folder"
    assert reason_not_loaded(tmp_path) == f"cannot load {tmp_path}: the folder has no config.json"
    assert reason_not_loaded("nobody/nothing").startswith("cannot load nobody/nothing: ")


def test_broken_checkpoints_are_named_in_one_line(dense_checkpoint: Path, tmp_path: Path) -> None:
    for name in ("no_weights", "no_processor", "no_head", "cut", "half"):
        shutil.copytree(dense_checkpoint, tmp_path / name)
    (tmp_path / "no_weights" / "model.safetensors").unlink()
    (tmp_path / "no_processor" / "preprocessor_config.json").unlink()
    save_checkpoint(DavidModel, tmp_path / "no_head")
    weights = (tmp_path / "cut" / "model.safetensors").read_bytes()
    (tmp_path / "cut" / "model.safetensors").write_bytes(weights[:1000])
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    config["architectures"] = ["DavidForDensePrediction"]
    save_checkpoint(DavidForImageMatting, tmp_path / "half")
    (tmp_path / "half" / "config.json").write_text(json.dumps(config))

    assert "no_weights" in reason_not_loaded(tmp_path / "no_weights")
    assert "preprocessor_config.json" in reason_not_loaded(tmp_path / "no_processor")
    assert "it has no task head" in reason_not_loaded(tmp_path / "no_head")
    assert reason_not_loaded(tmp_path / "cut").startswith(f"cannot load {tmp_path / 'cut'}: ")
    assert reason_not_loaded(tmp_path / "half").endswith("weights are missing from it")


def test_devices_that_are_not_there_are_named_in_one_line(dense_checkpoint: Path) -> None:
    assert reason_not_loaded(dense_checkpoint, "toaster").startswith("cannot run on toaster: ")


def test_a_folder_gives_every_file_for_each_good_photo_and_a_reason_for_each_bad_one(
    photo_folder: Path, dense_checkpoint: Path, tmp_path: Path
) -> None:
    seen: list[ImageResult] = []

    report = predict_folder(
        photo_folder, tmp_path / "maps" / "deep", dense_checkpoint, on_result=seen.append
    )

    expected = sorted(f"{name}_{kind}" for name in GOOD for kind in KINDS)
    assert sorted(path.name for path in report.written) == expected
    assert sorted(path.name for path in (tmp_path / "maps" / "deep").iterdir()) == expected
    assert [result.source.name for result in report.failed] == ["text.jpg", "truncated.jpg"]
    assert "not an image" in str(report.failed[0].error)
    assert "truncated.jpg: image file is truncated" in str(report.failed[1].error)
    assert tuple(seen) == report.results


def test_files_hold_the_maps_in_the_documented_coding(
    dense: DavidPredictor, dense_checkpoint: Path, photo_folder: Path, tmp_path: Path
) -> None:
    predict_folder(photo_folder / "good.jpg", tmp_path, dense_checkpoint)

    def read(kind: str) -> np.ndarray:
        pixels = cv2.imread(str(tmp_path / f"good_{kind}.png"), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        return pixels

    photo = np.asarray(Image.open(photo_folder / "good.jpg"))
    prediction = dense.predict(Image.open(photo_folder / "good.jpg"))
    depth, normals, alpha = prediction.depth, prediction.normals, prediction.alpha
    assert depth is not None
    assert normals is not None
    assert alpha is not None
    np.testing.assert_array_equal(np.load(tmp_path / "good_depth.npy"), depth)

    depth_png = read("depth")
    assert depth_png.dtype == np.uint16
    assert (depth_png.min(), depth_png.max()) == (0, 65535)
    far, near = depth_range(depth, alpha)
    unit = ((depth - far) / (near - far)).clip(0, 1)
    np.testing.assert_allclose(depth_png / 65535, unit, atol=1e-4)

    normals_png = read("normals")
    assert normals_png.dtype == np.uint16
    restored = normals_png[..., ::-1] / 32767.5 - 1  # OpenCV reads blue first
    np.testing.assert_allclose(restored, normals.transpose(1, 2, 0), atol=1e-4)

    np.testing.assert_allclose(read("alpha") / 255, alpha, atol=0.51 / 255)
    cutout = read("cutout")
    np.testing.assert_array_equal(cutout[..., 2::-1], photo)
    np.testing.assert_array_equal(cutout[..., 3], read("alpha"))
    assert read("depth_color").shape == read("normals_color").shape == (60, 40, 3)


def test_maps_of_a_turned_photo_are_upright(
    photo_folder: Path, dense_checkpoint: Path, tmp_path: Path
) -> None:
    with Image.open(photo_folder / "turned.jpeg") as stored:
        assert stored.size == (60, 40)

    predict_folder(photo_folder / "turned.jpeg", tmp_path, dense_checkpoint)

    cutout = np.asarray(load_image(tmp_path / "turned_cutout.png")).astype(float)
    assert np.load(tmp_path / "turned_depth.npy").shape == (60, 40)
    difference = np.abs(cutout - np.asarray(make_picture(60, 40)).astype(float))
    assert difference.mean() < 4


def test_awkward_photos_predict_what_their_plain_twins_do(
    photo_folder: Path, dense: DavidPredictor
) -> None:
    """A wrong reading, a white-out of 16 bits for example, would move depth by its whole range."""
    picture = make_picture(60, 40)
    grey = picture.convert("L").convert("RGB")
    palette = picture.quantize(16).convert("RGB")
    twins = {"sixteen_bits.png": grey, "palette.png": palette, "cmyk.jpg": picture}

    for name, twin in twins.items():
        depth, expected = (
            dense.predict(image, ["depth"]).depth
            for image in (load_image(photo_folder / name), twin)
        )
        assert depth is not None
        assert expected is not None
        assert np.abs(depth - expected).max() < 0.1 * np.ptp(expected)


def test_tasks_decide_which_files_are_written(
    photo_folder: Path, dense_checkpoint: Path, depth_checkpoint: Path, tmp_path: Path
) -> None:
    photo = photo_folder / "good.jpg"

    chosen = predict_folder(photo, tmp_path / "chosen", dense_checkpoint, ["normals"])
    single = predict_folder(photo, tmp_path / "single", depth_checkpoint)

    assert sorted(path.name for path in chosen.written) == [
        *["good_normals.png", "good_normals_color.png", "good_overview.png"]
    ]
    assert sorted(path.name for path in single.written) == [
        *["good_depth.npy", "good_depth.png", "good_depth_color.png", "good_overview.png"]
    ]


def test_photos_of_the_same_name_do_not_overwrite_each_other(
    dense_checkpoint: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    make_picture(10, 8).save(photos / "a.jpg")
    make_picture(6, 9).save(photos / "a.png")

    report = predict_folder(photos, tmp_path / "maps", dense_checkpoint, ["depth"])

    assert len(set(report.written)) == len(report.written) == 8
    assert np.load(tmp_path / "maps" / "a_jpg_depth.npy").shape == (10, 8)
    assert np.load(tmp_path / "maps" / "a_png_depth.npy").shape == (6, 9)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.jpg", "b.jpg"], ["a", "b"]),
        (["a.JPG", "a.jpg"], ["a_JPG", "a_jpg_"]),
        (["A.jpg", "a.png"], ["A_jpg", "a_png"]),
        (["a.jpg", "a.png", "a_jpg.png"], ["a_jpg", "a_png", "a_jpg_"]),
        (["a.b.jpg", "a.jpg"], ["a.b", "a"]),
    ],
)
def test_output_names_are_unique(files: list[str], names: list[str]) -> None:
    assert output_names([Path(file) for file in files]) == names


def test_only_the_image_files_of_a_folder_are_taken_in_order(tmp_path: Path) -> None:
    wanted = ["a.TIFF", "b.JPG", "c.jpeg", "d.png", "e.webp", "f.bmp", "g.tif"]
    for name in [*wanted, "notes.txt", ".hidden.png", "clip.mp4"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner.png").touch()

    assert [path.name for path in find_images(tmp_path)] == wanted
    assert find_images(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_inputs_and_outputs_that_cannot_be_are_named(
    photo_folder: Path, dense_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        predict_folder(tmp_path / "nowhere", tmp_path / "maps", dense_checkpoint)
    with pytest.raises(InputError, match="empty: no image in this folder"):
        predict_folder(tmp_path / "empty", tmp_path / "maps", dense_checkpoint)
    with pytest.raises(InputError, match="maps would mix with the photos"):
        predict_folder(photo_folder, photo_folder / ".." / "photos", dense_checkpoint)
    with pytest.raises(InputError, match=r"file: cannot write there \(File exists\)"):
        predict_folder(photo_folder, tmp_path / "file", dense_checkpoint)
    assert not (tmp_path / "maps").exists()


def test_a_full_disk_is_a_reason_and_leaves_no_half_files(
    photo_folder: Path, dense_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)

    report = predict_folder(photo_folder / "good.jpg", tmp_path / "maps", dense_checkpoint)

    assert report.written == []
    assert "No space left on device" in str(report.failed[0].error)
    assert list((tmp_path / "maps").iterdir()) == []


def test_flat_depth_becomes_black() -> None:
    assert depth_to_uint16(np.full((2, 2), 3.0, np.float32)).tolist() == [[0, 0], [0, 0]]


def test_normals_span_16_bits() -> None:
    normals = np.array([[-1.0], [0.0], [1.0]], np.float32)[..., None]

    assert normals_to_uint16(normals).tolist() == [[[0, 32768, 65535]]]


@pytest.mark.slow
def test_a_photo_of_60_megapixels_needs_less_than_4_gigabytes(
    dense_checkpoint: Path, tmp_path: Path
) -> None:
    make_picture(633, 949).resize((9490, 6330)).save(tmp_path / "large.jpg")
    script = (
        "import resource, sys, torch; from pathlib import Path;"
        "from david_hf.inference import predict_folder; torch.set_num_threads(1);"
        "report = predict_folder(*map(Path, sys.argv[1:4]));"
        "print(len(report.written), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    arguments = [tmp_path / "large.jpg", tmp_path / "maps", dense_checkpoint]

    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )

    written, peak = map(int, result.stdout.split())
    peak_bytes = peak if sys.platform == "darwin" else peak * 1024
    assert written == len(KINDS)
    assert peak_bytes < 4e9
    assert np.load(tmp_path / "maps" / "large_depth.npy", mmap_mode="r").shape == (6330, 9490)
    assert inference.load_image(tmp_path / "maps" / "large_cutout.png").size == (9490, 6330)


def test_the_16_bit_depth_spends_its_range_on_the_foreground() -> None:
    depth, alpha = np.tile(np.arange(10.0, dtype=np.float32), (4, 1)), np.zeros((4, 10), np.float32)
    depth[:, 0], alpha[:, 4:7] = -1000, 1

    levels = depth_to_uint16(depth, alpha)[0]

    assert levels[:4].max() == 0
    assert levels[5] == pytest.approx(65535 / 2, rel=0.02)
    assert levels[7:].min() == 65535
