from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from scan_layouts import ball, obj_text, ply_bytes

from david_hf.data.meshes import PinholeCamera, read_mesh, render_mesh

HEIGHT, WIDTH = 48, 36
INTRINSICS = np.array([[60.0, 0, 17.0], [0, 64.0, 25.0], [0, 0, 1]])
AHEAD = PinholeCamera(INTRINSICS, np.eye(3), np.zeros(3), HEIGHT, WIDTH)
TRIANGLE = np.array([[0, 1, 2]])


def pixels(camera: PinholeCamera) -> np.ndarray:
    """Positions (H, W, 2) of the pixel centres, the first at (0, 0)."""
    y, x = np.mgrid[0 : camera.height, 0 : camera.width]
    return np.stack([x, y], -1).astype(float)


def rays(camera: PinholeCamera) -> np.ndarray:
    """Directions (H, W, 3) with Z = 1 of a camera without distortion."""
    fx, fy = camera.intrinsics[[0, 1], [0, 1]]
    across, down = np.moveaxis(pixels(camera) - camera.intrinsics[:2, 2], -1, 0)
    return np.stack([across / fx, down / fy, np.ones_like(across)], -1)


def sphere(centre: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=radius)
    return np.asarray(mesh.vertices) + centre, np.asarray(mesh.faces)


def meet_sphere(
    directions: np.ndarray, centre: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether it is met (> 0), z-depth (H, W), and normals (H, W, 3) in OpenCV's frame."""
    square = (directions**2).sum(-1)
    middle = directions @ centre
    gap = middle**2 - square * (centre @ centre - radius**2)
    depth = (middle - np.sqrt(np.maximum(gap, 0))) / square
    return gap, depth, (directions * depth[..., None] - centre) / radius


def wall(normal: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """A large square at `distance` along Z, perpendicular to `normal`."""
    across = np.cross(normal, [0, 1.0, 0])
    across /= np.linalg.norm(across)
    along = np.cross(normal, across)
    corners = [(-9, -9), (9, -9), (9, 9), (-9, 9)]
    vertices = np.array([[0, 0, distance] + a * across + b * along for a, b in corners])
    return vertices, np.array([[0, 1, 2], [0, 2, 3]])


def test_a_sphere_has_the_depth_and_normals_of_its_closed_form() -> None:
    centre, radius = np.array([0.05, -0.1, 2.0]), 0.4
    gap, depth, normals = meet_sphere(rays(AHEAD), centre, radius)

    render = render_mesh(*sphere(centre, radius), AHEAD)

    inside = gap > 0.004  # not within a pixel of the outline
    np.testing.assert_array_equal(render.mask[np.abs(gap) > 0.004], gap[np.abs(gap) > 0.004] > 0)
    np.testing.assert_allclose(render.depth_m[inside], depth[inside], atol=2e-3)
    np.testing.assert_allclose(render.normals[inside], normals[inside] * [1, -1, -1], atol=0.01)
    assert render.depth_m[~render.mask].max() == 0
    assert np.abs(render.normals[~render.mask]).max() == 0
    assert render.depth_m.dtype == render.normals.dtype == render.alpha.dtype == np.float32


def test_depth_is_along_the_axis_and_x_is_right_and_y_is_up() -> None:
    wide = replace(AHEAD, intrinsics=np.array([[15.0, 0, 17.0], [0, 15.0, 25.0], [0, 0, 1]]))

    flat = render_mesh(*wall(np.array([0, 0, -1.0]), 2.0), wide)
    ball_ahead = render_mesh(*sphere(np.array([0, 0, 2.0]), 0.5), AHEAD)

    np.testing.assert_allclose(flat.depth_m, 2, atol=1e-5)
    np.testing.assert_allclose(flat.normals, np.tile([0, 0, 1.0], (HEIGHT, WIDTH, 1)), atol=1e-6)
    assert ball_ahead.normals[25, 29, 0] > 0.5 > -0.5 > ball_ahead.normals[25, 5, 0]
    assert ball_ahead.normals[12, 17, 1] > 0.5 > -0.5 > ball_ahead.normals[38, 17, 1]


def test_a_tilted_plane_is_exact_to_single_precision() -> None:
    normal = np.array([0.3, -0.2, -0.9])
    normal /= np.linalg.norm(normal)
    directions = rays(AHEAD)

    render = render_mesh(*wall(normal, 3.0), AHEAD)

    assert render.mask.all()
    expected = 3 * normal[2] / (directions @ normal)
    np.testing.assert_allclose(render.depth_m, expected, rtol=2e-6)
    np.testing.assert_allclose(render.normals[0, 0], normal * [1, -1, -1], atol=1e-6)


def test_the_camera_turns_and_shifts_the_world() -> None:
    rotation = cv2.Rodrigues(np.array([0.4, -0.7, 0.2]))[0]
    camera = replace(AHEAD, rotation=rotation, translation=np.array([0.3, -0.2, 1.5]))
    centre = np.array([0.1, -0.05, 2.2])
    in_world = rotation.T @ (centre - camera.translation)

    moved = render_mesh(*sphere(in_world, 0.4), camera)
    still = render_mesh(*sphere(centre, 0.4), AHEAD)

    same = moved.mask & still.mask
    assert same.sum() > 0.97 * still.mask.sum()
    np.testing.assert_allclose(moved.depth_m[same], still.depth_m[same], atol=5e-3)
    assert np.median(np.abs(moved.normals - still.normals)[same]) < 1e-3


@pytest.mark.parametrize("centre_px", [(17.0, 25.0), (3.0, 40.0), (-8.0, 12.5)])
def test_the_first_pixels_centre_is_zero_in_the_camera_and_a_half_in_samples(
    centre_px: tuple[float, float],
) -> None:
    intrinsics = INTRINSICS.copy()
    intrinsics[:2, 2] = centre_px
    camera = replace(AHEAD, intrinsics=intrinsics)
    point = np.array([(12 - centre_px[0]) / 60, (20 - centre_px[1]) / 64, 1]) * 2

    render = render_mesh(*sphere(point, 0.01), camera)  # a third of a pixel

    assert np.argwhere(render.mask).tolist() == [[20, 12]]
    seen_at = camera.sample_intrinsics() @ point / point[2]
    np.testing.assert_allclose(seen_at[:2], [12.5, 20.5])


@pytest.mark.parametrize(
    "distortion", [(-0.3, 0.12, 0.002, -0.001, -0.02), (0.15, -0.05, -0.003, 0.004, 0.01)]
)
def test_rays_follow_the_lens_model_of_opencv(distortion: tuple[float, ...]) -> None:
    camera = replace(AHEAD, distortion=np.array(distortion))

    directions = camera.directions(pixels(camera).reshape(-1, 2))

    seen, _ = cv2.projectPoints(
        directions, np.zeros(3), np.zeros(3), INTRINSICS, np.array(distortion)
    )
    np.testing.assert_allclose(seen.reshape(HEIGHT, WIDTH, 2), pixels(camera), atol=1e-6)


def test_a_distorted_picture_has_the_depth_along_the_bent_rays() -> None:
    distortion = np.array([-0.3, 0.12, 0.002, -0.001, -0.02])
    camera = replace(AHEAD, distortion=distortion)
    normal = np.array([0.6, 0, -0.8])
    directions = camera.directions(pixels(camera).reshape(-1, 2)).reshape(HEIGHT, WIDTH, 3)

    bent = render_mesh(*wall(normal, 3.0), camera)
    straight = render_mesh(*wall(normal, 3.0), AHEAD)

    np.testing.assert_allclose(bent.depth_m, 3 * -0.8 / (directions @ normal), rtol=1e-5)
    assert np.abs(bent.depth_m - straight.depth_m).max() > 0.01


def test_what_is_behind_the_camera_is_not_seen() -> None:
    around = np.array([[-5, 3, -2.0], [5, 3, -2], [0, -8, -2]])

    assert not render_mesh(around, TRIANGLE, AHEAD).mask.any()
    assert not render_mesh(*sphere(np.array([0, 0, -2.0]), 0.5), AHEAD).mask.any()


def test_the_inside_of_an_open_mesh_faces_the_camera() -> None:
    vertices, faces = sphere(np.array([0.0, 0, 2.0]), 0.5)
    far_half = faces[(vertices[faces][..., 2] > 2).all(1)]

    inside = render_mesh(vertices, far_half, AHEAD)
    turned = render_mesh(vertices, far_half[:, ::-1], AHEAD)

    assert inside.mask.any()
    assert inside.normals[inside.mask][:, 2].min() > 0
    assert inside.normals[25, 29, 0] < -0.4  # hollow: its right side looks left
    np.testing.assert_allclose(inside.normals, turned.normals, atol=1e-6)


def test_flat_normals_are_those_of_the_triangles() -> None:
    vertices = np.array([[-1.0, -1, 2], [1, -1, 2], [1, 1, 2.5], [-1, 1, 2.5]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])

    flat = render_mesh(vertices, faces, AHEAD, smooth=False)

    expected = np.array([0, -0.5, 2]) / np.hypot(0.5, 2)  # its foot is farther: it looks down
    np.testing.assert_allclose(flat.normals[flat.mask][0], expected, atol=1e-6)


def test_smooth_normals_run_over_an_edge_and_flat_ones_jump() -> None:
    tent = np.array(
        [[-1.0, -1, 2.5], [-1, 1, 2.5], [0, -1, 2], [0, 1, 2], [1, -1, 2.5], [1, 1, 2.5]]
    )
    faces = np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4], [3, 5, 4]])[:, ::-1]

    smooth = render_mesh(tent, faces, AHEAD).normals[25, :, 0]
    flat = render_mesh(tent, faces, AHEAD, smooth=False).normals[25, :, 0]

    assert np.abs(np.diff(smooth[5:30])).max() < 0.1
    assert np.abs(np.diff(flat[5:30])).max() > 0.8


@pytest.mark.parametrize("supersample", [3, 5])
def test_alpha_is_the_covered_share_of_a_pixel(supersample: int) -> None:
    edge = 12.23  # pixels from the first centre: pixel 12 reaches from 11.5 to 12.5
    right = (edge - 17) / 60 * 2
    half = np.array([[-9.0, -9, 2], [right, -9, 2], [right, 9, 2], [-9, 9, 2]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])

    alpha = render_mesh(half, faces, AHEAD, supersample=supersample).alpha

    np.testing.assert_array_equal(alpha[:, :12], 1)
    np.testing.assert_array_equal(alpha[:, 13:], 0)
    columns = (np.arange(supersample) + 0.5) / supersample
    np.testing.assert_allclose(alpha[:, 12], (columns < 0.73).mean(), atol=1e-6)


def test_without_supersampling_alpha_is_the_mask() -> None:
    render = render_mesh(*sphere(np.array([0, 0, 2.0]), 0.4), AHEAD, supersample=1)

    np.testing.assert_array_equal(render.alpha, render.mask)


def test_alpha_of_a_disc_has_its_area() -> None:
    centre, radius = np.array([0.0, 0, 2.0]), 0.4
    apparent = np.tan(np.arcsin(radius / 2))  # of the outline, at depth 1

    render = render_mesh(*sphere(centre, radius), AHEAD, supersample=5)

    assert render.alpha.sum() == pytest.approx(np.pi * apparent**2 * 60 * 64, rel=2e-3)
    mixed = (render.alpha > 0) & (render.alpha < 1)
    assert mixed.sum() > 60


def test_many_rays_are_cast_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = sphere(np.array([0.05, -0.1, 2.0]), 0.4)
    whole = render_mesh(*mesh, AHEAD)

    monkeypatch.setattr("david_hf.data.meshes.RAYS_AT_ONCE", 100)
    parts = render_mesh(*mesh, AHEAD)

    for name in ("depth_m", "normals", "mask", "alpha"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_a_resized_camera_sees_the_same_with_other_pixels() -> None:
    half = AHEAD.resized(HEIGHT // 2, WIDTH // 2)

    # The corner of the picture, half a pixel before the first centre, looks the same way.
    corner = np.array([[-0.5, -0.5], [35.5, 47.5]])
    np.testing.assert_allclose(
        half.directions((corner + 0.5) / 2 - 0.5), AHEAD.directions(corner), atol=1e-12
    )
    assert (half.height, half.width) == (24, 18)


def test_a_matrix_that_is_no_rotation_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a rotation matrix"):
        replace(AHEAD, rotation=np.diag([1.0, 1.0, -1.0]))
    with pytest.raises(ValueError, match=r"expected translation of shape \(3,\), got \(1, 3\)"):
        replace(AHEAD, translation=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="expected 5 distortion coefficients"):
        replace(AHEAD, distortion=np.zeros(4))


@pytest.mark.parametrize("file_type", ["obj", "ply"])
def test_mesh_files_give_metres_and_seams_are_closed(file_type: str) -> None:
    vertices, faces, uv = ball((0.1, 0.2, 2.0), (0.5, 0.5, 0.5))
    content = obj_text(vertices, faces, uv).encode()
    if file_type == "ply":
        content = ply_bytes(vertices, faces)

    mesh = read_mesh(content, file_type, metres_per_unit=0.001)

    assert len(mesh.vertices) < len(vertices)
    found = mesh.vertices[mesh.faces].reshape(-1, 9)
    expected = (vertices / 1000)[faces].reshape(-1, 9)
    np.testing.assert_allclose(np.sort(found, 0), np.sort(expected, 0), atol=1e-8)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight


def test_texture_coordinates_stay_with_their_corners() -> None:
    vertices, faces, uv = ball((0, 0, 0), (1, 1, 1))

    mesh = read_mesh(obj_text(vertices, faces, uv).encode(), "obj")

    assert mesh.uv is not None
    assert mesh.uv_faces is not None
    corners = np.concatenate([mesh.vertices[mesh.faces], mesh.uv[mesh.uv_faces]], -1)
    expected = np.concatenate([vertices[faces], uv[faces]], -1)

    def ordered(rows: np.ndarray) -> np.ndarray:
        return np.unique(rows.reshape(-1, 15).round(6) + 0.0, axis=0)

    np.testing.assert_allclose(ordered(corners), ordered(expected), atol=1e-5)


def test_a_mesh_of_many_materials_is_one_mesh() -> None:
    text = obj_text(*ball((0, 0, 2), (1, 1, 1)))
    lines = text.splitlines()
    lines[-200:-200] = ["o second", "g part", "s 1", "usemtl other"]

    mesh = read_mesh("\n".join(lines).encode(), "obj")

    assert len(mesh.faces) == text.count("\nf ")


def test_no_other_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside.mtl").write_text("newmtl material0\nmap_Kd secret.png\n")
    folder = tmp_path / "scan"
    folder.mkdir()
    vertices, faces, uv = ball((0, 0, 2), (1, 1, 1))
    content = obj_text(vertices, faces, uv, "../outside.mtl").encode()
    ply = ply_bytes(vertices, faces).replace(
        b"\nelement vertex", b"\ncomment TextureFile ../secret.png\nelement vertex", 1
    )
    monkeypatch.chdir(folder)
    opened: list[str] = []

    def refuse(path: object, *_: object, **__: object) -> None:
        opened.append(str(path))
        raise OSError("no file may be opened")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("PIL.Image.open", refuse)
    meshes = [read_mesh(content, "obj"), read_mesh(ply, "ply")]

    assert [len(mesh.faces) for mesh in meshes] == [len(faces)] * 2
    assert opened == []


@pytest.mark.parametrize(
    ("content", "file_type"),
    [
        (b"", "obj"),
        (b"v 0 0\nv 1 x 0\nf 1 2 3\n", "obj"),
        (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "obj"),
        (b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "obj"),
        (b"v 0 0 0\nv 1 nan 0\nv 0 1 0\nf 1 2 3\n", "obj"),
        (b"\xff\xd8\xff\xe0 not a mesh", "obj"),
        (b"", "ply"),
        (b"ply\nformat binary_little_endian 1.0\n", "ply"),
        (ply_bytes(np.zeros((3, 3)), TRIANGLE)[:-4], "ply"),
        (ply_bytes(np.zeros((3, 3)), np.array([[0, 1, 7]])), "ply"),
        (ply_bytes(np.zeros((3, 3)), np.zeros((0, 3), np.int64)), "ply"),
        (b"\x89PNG not a mesh", "ply"),
    ],
)
def test_a_damaged_mesh_is_an_error_of_one_line(content: bytes, file_type: str) -> None:
    with pytest.raises(ValueError, match=r"file|faces|vertices|triangles") as caught:
        read_mesh(content, file_type)

    assert len(str(caught.value).splitlines()) == 1


def test_faces_without_vertices_are_refused() -> None:
    with pytest.raises(ValueError, match="faces name vertices 0 to 2, there are 2"):
        render_mesh(np.zeros((2, 3)), TRIANGLE, AHEAD)


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from david_hf.data import meshes

    monkeypatch.setattr(meshes, "find_spec", lambda name: None if name == "embreex" else object())

    with pytest.raises(ValueError, match=r"needs embreex, not installed.*'david-hf\[data\]'"):
        meshes.require_packages("embreex", "trimesh")
