"""Read a MakeHuman data folder: Wavefront obj, mhclo bindings, mhmat materials, textures.

Files may be plain, as MakeHuman installs them, or packed: text gzipped (`x.obj.gz`), pictures as
WebP. The base mesh is hm08 with 19,158 vertices. MakeHuman is y up; this package is z up, facing
-y: (x, y, z) -> (x, -z, y).
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from david_hf.synthetic.mesh import FloatArray, IntArray, Mesh


@dataclass
class Garment:
    """A mesh bound to the base mesh: clothes, shoes, hats.

    Attributes:
        name: File stem of the mhclo.
        mesh: Its own mesh; the vertices are replaced when it is fitted.
        base_index: (N, 3) base vertices each vertex hangs on.
        base_weight: (N, 3) barycentric weights.
        offset: (N, 3) offset in MakeHuman axes, before scaling.
        scale_by: Per MakeHuman axis: two base vertices and their reference distance.
        hides: Base vertices that lie beneath it.
        texture: Diffuse picture, if it has one.
    """

    name: str
    mesh: Mesh
    base_index: IntArray
    base_weight: FloatArray
    offset: FloatArray
    scale_by: list[tuple[int, int, float] | None]
    hides: set[int] = field(default_factory=set)
    texture: Path | None = None

    def fit(self, rest: FloatArray) -> FloatArray:
        """Rest vertices (N, 3) on a body whose rest vertices are `rest` (19158, 3)."""
        scale = np.ones(3)
        for axis, measure in enumerate(self.scale_by):
            if measure is not None:
                first, second, length = measure
                ours = (0, 2, 1)[axis]
                scale[axis] = abs(rest[first, ours] - rest[second, ours]) / length
        x, y, z = (self.offset * scale).T
        on_body = (rest[self.base_index] * self.base_weight[..., None]).sum(1)
        return on_body + np.stack([x, -z, y], 1)


def find_file(path: Path, root: Path) -> Path | None:
    """The file at `path` or its packed twin (gz, webp, png), if one lies inside `root`."""
    candidates = (
        path,
        path.with_name(path.name + ".gz"),
        path.with_suffix(".webp"),
        path.with_suffix(".png"),
    )
    for candidate in candidates:
        # A material may name "../../anything": nothing outside the user's folder is opened.
        if candidate.is_file() and candidate.resolve().is_relative_to(root.resolve()):
            return candidate
    return None


def read_lines(path: Path) -> Iterator[list[str]]:
    """Words of each line of a plain or gzipped text file, without comments."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", errors="ignore") as file:
        for line in file:
            words = line.split()
            if words and not words[0].startswith("#"):
                yield words


def read_obj(path: Path) -> tuple[Mesh, np.ndarray]:
    """A Wavefront mesh in triangles, and the group name of each triangle (F,)."""
    vertices, uv, faces, uv_faces, groups = [], [], [], [], []
    group = ""
    for words in read_lines(path):
        if words[0] == "v":
            vertices.append([float(x) for x in words[1:4]])
        elif words[0] == "vt":
            uv.append([float(x) for x in words[1:3]])
        elif words[0] == "g":
            group = words[1] if len(words) > 1 else ""
        elif words[0] == "f":
            corners = [(word + "//").split("/") for word in words[1:]]
            position = [int(corner[0]) - 1 for corner in corners]
            texture = [int(corner[1]) - 1 if corner[1] else 0 for corner in corners]
            for k in range(1, len(position) - 1):
                faces.append([position[0], position[k], position[k + 1]])
                uv_faces.append([texture[0], texture[k], texture[k + 1]])
                groups.append(group)
    mesh = Mesh(
        np.array(vertices, np.float64),
        np.array(faces, np.int64),
        np.array(uv or [[0.0, 0.0]]),
        np.array(uv_faces, np.int64),
    )
    return mesh, np.array(groups)


def read_garment(path: Path, root: Path) -> Garment:
    """Read an mhclo file with its mesh and the texture its material names.

    Raises:
        ValueError: If the mesh is missing or the binding does not fit it.
    """
    rows: list[list[float]] = []
    hides: set[int] = set()
    scale_by: list[tuple[int, int, float] | None] = [None] * 3
    obj_path = texture = None
    mode = ""
    for words in read_lines(path):
        key = words[0]
        if key in ("verts", "delete_verts", "weights"):
            mode = key
        elif key in ("x_scale", "y_scale", "z_scale"):
            scale_by["xyz".index(key[0])] = (int(words[1]), int(words[2]), float(words[3]))
        elif key == "obj_file":
            obj_path = find_file(path.parent / words[1], root)
        elif key == "material":
            texture = _diffuse_texture(find_file(path.parent / words[1], root), root)
        elif mode == "verts" and key.isdigit():
            rows.append(_binding(words))
        elif mode == "delete_verts" and key[0].isdigit():
            hides |= _vertex_ranges(words)
    if obj_path is None:
        raise ValueError(f"{path}: the mesh it names (obj_file) was not found inside {root}")
    mesh, _ = read_obj(obj_path)
    if len(mesh.vertices) != len(rows):
        raise ValueError(
            f"{path}: binds {len(rows)} vertices, but {obj_path.name} has {len(mesh.vertices)}"
        )
    table = np.array(rows)
    name = path.name.split(".")[0]
    return Garment(
        name, mesh, table[:, :3].astype(int), table[:, 3:6], table[:, 6:9], scale_by, hides,
        texture,
    )  # fmt: skip


def _binding(words: list[str]) -> list[float]:
    """One row i j k w1 w2 w3 d1 d2 d3; a line of one number binds to that vertex alone."""
    if len(words) < 6:
        return [float(words[0])] * 3 + [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    if len(words) < 9:
        return [float(x) for x in words[:6]] + [0.0] * 3
    return [float(x) for x in words[:9]]


def _vertex_ranges(words: list[str]) -> set[int]:
    """Vertices of a line such as `3 - 7 12 20-22`."""
    tokens = " ".join(words).replace("-", " - ").split()
    found: set[int] = set()
    position = 0
    while position < len(tokens):
        is_range = position + 2 < len(tokens) and tokens[position + 1] == "-"
        last = position + 2 if is_range else position
        found.update(range(int(tokens[position]), int(tokens[last]) + 1))
        position = last + 1
    return found


def _diffuse_texture(material: Path | None, root: Path) -> Path | None:
    if material is None:
        return None
    for words in read_lines(material):
        if words[0] == "diffuseTexture" and len(words) > 1:
            return find_file(material.parent / words[1], root)
    return None


class MakeHumanFolder:
    """The garments and skins of one MakeHuman data folder.

    Args:
        root: The folder `data` of a MakeHuman installation.

    Raises:
        ValueError: If the folder does not exist or holds no clothes.
    """

    def __init__(self, root: Path) -> None:
        paths = sorted(root.glob("clothes/*/*.mhclo*"))
        if not paths:
            raise ValueError(
                f"{root}: expected a MakeHuman data folder (clothes/*/*.mhclo ...), found none; "
                "give the folder `data` of a MakeHuman installation, or leave the option out"
            )
        self.clothes = [read_garment(path, root) for path in paths]
        pictures = {".webp", ".png"}
        self.skins = sorted(p for p in root.glob("skins/*/*diffuse*") if p.suffix in pictures)

    def named(self, prefix: str) -> list[Garment]:
        """All clothes whose name begins with `prefix`, sorted by name."""
        found = (garment for garment in self.clothes if garment.name.startswith(prefix))
        return sorted(found, key=lambda garment: garment.name)
