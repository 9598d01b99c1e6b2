import sys
from pathlib import Path

import average_checkpoints
import pytest
import torch
from factories import tiny_config, tiny_model
from safetensors.torch import load_file

from david_hf.model import DavidForDensePrediction


def write(folder: Path, value: float, encoder_type: str = "vit") -> Path:
    model = tiny_model(DavidForDensePrediction, tiny_config(encoder_type))
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, value)
    model.save_pretrained(folder)
    (folder / "metrics.json").write_text("{}")
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["average_checkpoints.py", *words])
    average_checkpoints.main()


def test_weights_are_averaged_and_the_rest_is_that_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = write(tmp_path / "one", 1.0), write(tmp_path / "two", 5.0)

    run(monkeypatch, str(tmp_path / "new"), f"{one}=3", f"{two}=1")

    loaded = DavidForDensePrediction.from_pretrained(tmp_path / "new")
    assert all(bool((parameter == 2.0).all()) for parameter in loaded.parameters())
    before = load_file(two / "model.safetensors")
    after = load_file(tmp_path / "new" / "model.safetensors")
    assert {n: t.dtype for n, t in after.items()} == {n: t.dtype for n, t in before.items()}
    assert not (tmp_path / "new" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["new"], "expected a new folder and two or more"),
        (["new", "one=1", "two=much"], "expected FOLDER=WEIGHT, got two=much"),
        (["new", "one=1", "two=0"], "expected positive weights"),
        (["new", "one=1", "two=1", "one=3"], "expected each folder once"),
        (["new", "one=1", "damaged=1"], "damaged/model.safetensors: "),
        (["new", "one=1", "other=1"], "its tensors are not those"),
        (["new", "one=1", "nothing=1"], "No such file"),
        (["one", "one=1", "two=1"], "exists already"),
    ],
)
def test_bad_input_ends_in_one_line_and_leaves_nothing(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("one"), 1.0)
    write(Path("two"), 1.0)
    write(Path("other"), 1.0, "mobilenet_v2")
    (write(Path("damaged"), 1.0) / "model.safetensors").write_bytes(b"too short")

    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, *words)

    assert not Path("new").exists()
