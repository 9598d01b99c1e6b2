import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from david_hf.synthetic.humans.makehuman import MakeHumanFolder, find_file, read_garment

OBJ = """# a triangle and a quad
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 1
g cloth
f 1/1 2/2 3/1 4/2
"""
MHCLO = """# comment
name hat
obj_file hat.obj
material hat.mhmat
x_scale 0 1 2.0
verts 0
0 1 2 0.5 0.5 0 2.0 0.1 0.2
3
1 2 3 1 0 0 0 0 0
2 2 2 1 0 0
delete_verts
3 - 5 8 10-11
"""


def write_pack(root: Path, material: str = "diffuseTexture hat.png\n") -> Path:
    folder = root / "clothes" / "hat"
    folder.mkdir(parents=True)
    with gzip.open(folder / "hat.obj.gz", "wt") as file:
        file.write(OBJ)
    with gzip.open(folder / "hat.mhclo.gz", "wt") as file:
        file.write(MHCLO)
    (folder / "hat.mhmat").write_text(material)
    Image.new("RGB", (2, 2)).save(folder / "hat.webp")
    return folder / "hat.mhclo.gz"


def test_a_packed_garment_is_read_whole(tmp_path: Path) -> None:
    garment = read_garment(write_pack(tmp_path), tmp_path)

    assert garment.name == "hat"
    assert garment.mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert garment.hides == {3, 4, 5, 8, 10, 11}
    assert garment.texture is not None
    assert garment.texture.name == "hat.webp"
    assert garment.base_index[1].tolist() == [3, 3, 3]
    assert garment.base_weight[1].tolist() == [1, 0, 0]


def test_a_garment_follows_the_size_of_the_body(tmp_path: Path) -> None:
    garment = read_garment(write_pack(tmp_path), tmp_path)
    rest = np.array([[0, 0, 0], [4.0, 0, 0], [0, 0, 1], [5, 5, 5]])

    fitted = garment.fit(rest)

    # Vertices 0 and 1 are 4 apart where the reference has 2: the x offset 2.0 doubles;
    # MakeHuman's y 0.1 is our z and its z 0.2 our -y.
    np.testing.assert_allclose(fitted[0], [2 + 4, -0.2, 0.1])
    np.testing.assert_allclose(fitted[1], [5, 5, 5])


def test_a_material_cannot_reach_outside_of_the_folder(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    root = tmp_path / "pack"

    garment = read_garment(write_pack(root, "diffuseTexture ../../../secret.png\n"), root)

    assert garment.texture is None
    assert find_file(root / "clothes" / ".." / ".." / "secret.png", root) is None


def test_a_binding_that_does_not_fit_its_mesh_is_refused(tmp_path: Path) -> None:
    path = write_pack(tmp_path)
    with gzip.open(path, "wt") as file:
        file.write(MHCLO.replace("2 2 2 1 0 0\n", ""))

    with pytest.raises(ValueError, match=r"binds 3 vertices, but hat\.obj\.gz has 4"):
        read_garment(path, tmp_path)


def test_a_folder_without_garments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a MakeHuman data folder"):
        MakeHumanFolder(tmp_path)


def test_garments_are_found_by_the_beginning_of_their_names(tmp_path: Path) -> None:
    write_pack(tmp_path)

    folder = MakeHumanFolder(tmp_path)

    assert [garment.name for garment in folder.named("ha")] == ["hat"]
    assert folder.named("shoes") == []
