import json
from pathlib import Path
from typing import Any

import pytest
from figures import write_person
from layouts import photo, save

from david_hf.data.composed import ComposedHumans
from david_hf.data.held_out import HeldOut, WithoutHeldOut
from david_hf.data.sources.synthhuman import GeneratedHumans

HELD_OUT = HeldOut(
    panoramas=frozenset({"dawn.exr"}),
    photos=("park_",),
    hair=frozenset({"lob"}),
    clothes=frozenset({"polo"}),
)


def scene(hair: str = "bob", worn: str = "shirt", panorama: str = "city.exr") -> dict[str, Any]:
    other = {"hair.style": "bob", "clothes.worn": ["socks"]}
    person = {"hair.style": hair, "clothes.worn": ["socks", worn]}
    return {"people": [other, person], "stage": {"light.panorama": panorama}}


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        (scene(), False),
        (scene(hair="lob"), True),
        (scene(worn="polo"), True),
        (scene(panorama="dawn.exr"), True),
        (scene() | {"photo": "park_1.jpg"}, True),
        (scene() | {"photo": "hall.jpg"}, False),
        ({}, False),
        ({"people": [{}], "stage": {}}, False),
    ],
)
def test_one_person_or_the_light_is_enough(factors: dict[str, Any], expected: bool) -> None:
    assert HELD_OUT.has(factors) is expected
    assert not HeldOut().has(factors)


def test_samples_and_photos_that_show_it_are_left_out(tmp_path: Path) -> None:
    people, photos = tmp_path / "people", tmp_path / "photos"
    for index, hair in enumerate(["bob", "lob", "bob", "lob"]):
        write_person(people, index)
        (people / f"factors_{index:07d}.json").write_text(json.dumps(scene(hair)))
    for name in ("park_1", "hall", "park_2"):
        save(photos / f"{name}.png", photo())

    kept = WithoutHeldOut(GeneratedHumans(people, "all"), HELD_OUT)
    composed = ComposedHumans([people], photos, side=32, split="train", held_out=HELD_OUT)

    assert [sample.identifier for sample in kept] == ["0000000", "0000002"]
    assert len(kept[0:1]) == 1
    train = GeneratedHumans(people, "train").indices
    assert len(composed.figures) == sum(index % 2 == 0 for index in train)
    assert len(composed.backgrounds.photos) == 1
    with pytest.raises(ValueError, match="all of its 4 samples are held out"):
        WithoutHeldOut(GeneratedHumans(people, "all"), HeldOut(hair=frozenset({"bob", "lob"})))


def test_the_file_of_this_repository_reads(tmp_path: Path) -> None:
    path = Path(__file__).parents[3] / "training/held_out/names.yaml"

    assert "lob" in HeldOut.read(path).hair
    assert HeldOut.read(path).has_photo(Path("lxqt_fog.jpg"))


@pytest.mark.parametrize("text", ["hair: lob", "colour: [red]", "- lob", "{"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.yaml").write_text(text)

    with pytest.raises(ValueError, match=r"names\.yaml: expected"):
        HeldOut.read(tmp_path / "names.yaml")
