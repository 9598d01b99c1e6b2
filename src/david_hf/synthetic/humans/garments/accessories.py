"""Glasses, masks, jewellery, watches."""

import numpy as np

from david_hf.synthetic.mesh import FloatArray, Mesh, join, normalize

from .fitting import Fit
from .grids import disc, envelope, grid, tube
from .head import Head

SHAPES = {
    # half width, half height (metres), exponent of the superellipse, droop of the outer corner
    "round": (0.024, 0.023, 2.0, 0.0),
    "rectangular": (0.028, 0.018, 5.0, 0.0),
    "aviator": (0.029, 0.025, 2.6, 0.006),
    "wayfarer": (0.027, 0.021, 3.4, -0.003),
    "cat": (0.027, 0.019, 2.8, -0.006),
}


def glasses(head: Head, shape: str, thickness: float) -> tuple[Mesh, Mesh]:
    """Frame and lenses, posed.

    Args:
        head: The head that wears them.
        shape: One of `SHAPES`.
        thickness: Radius of the rims, metres.
    """
    half_width, half_height, exponent, droop = SHAPES[shape]
    size = 0.93 * float(np.clip(head.scale, 0.8, 1.15))
    eye_x, eye_z = abs(head.eyes[0, 0]), head.eyes[0, 2]
    # Lashes, brows and the bridge of the nose must stay behind the lenses.
    front = (
        min(
            head.front(0.0, eye_z - 0.002, 0.008) + 0.006,
            head.front(eye_x, eye_z, 0.022) - 0.006,
        )
        - 0.003
    )
    centre_x = max(eye_x, half_width * size + 0.0085 * size)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    x = half_width * size * np.sign(cos) * np.abs(cos) ** (2 / exponent)
    z = half_height * size * np.sign(sin) * np.abs(sin) ** (2 / exponent)
    z = z - droop * np.clip(x / half_width, -0.3, 1) - 0.002
    frame, lenses = [], []
    for sign in (1, -1):
        rim = np.stack([sign * (centre_x + x), _curved(front, centre_x + x), eye_z + z], 1)
        frame.append(tube(rim, thickness, True, 8))
        shares = np.array([0.01, 0.5, 0.97])[:, None, None]
        middle = rim.mean(0)
        disc_points = middle + shares * (rim - middle) + (1 - shares**2) * [0, -0.0015, 0]
        lenses.append(grid(disc_points[:, ::-sign], True))
    inner = centre_x - half_width * size
    bow = np.linspace(-1, 1, 9)
    bridge = np.stack(
        [bow * inner, front - 0.002 * (1 - bow**2), eye_z + 0.006 - 0.004 * bow**2], 1
    )
    frame.append(tube(bridge, thickness * 1.1))
    frame += [
        _temple(head, sign, centre_x + half_width * size, front, eye_z, thickness)
        for sign in (1, -1)
    ]
    return _on_head(head, join(frame)), _on_head(head, join(lenses))


def _curved(front: float, x: FloatArray) -> FloatArray:
    """The lenses wrap a little round the face."""
    return front + 1.6 * np.clip(x, 0, None) ** 2


def _temple(
    head: Head, sign: int, outer: float, front: float, eye_z: float, thickness: float
) -> Mesh:
    ear, z = head.ear, eye_z + 0.007
    y0 = float(_curved(front, np.array(outer)))
    middle = 0.5 * (y0 + ear[1])
    root = float(max(head.side(ear[1] - 0.02, z + 0.012, 0.012) + 0.003, 0.06 * head.scale))
    wide = max(outer, head.side(middle, z, 0.012) + 0.004)
    path = np.array(
        [
            [outer, y0, z],
            [max(outer + 0.002, wide - 0.003), y0 + 0.012, z],
            [wide, middle, z + 0.001],
            [root, ear[1] - 0.022, z + 0.004],
            [root, ear[1] - 0.004, z + 0.002],
            [root - 0.002, ear[1] + 0.012, z - 0.014],
            [root - 0.004, ear[1] + 0.018, z - 0.03],
        ]
    )
    fine = np.stack(
        [np.interp(np.linspace(0, 6, 25), np.arange(7), path[:, k]) for k in range(3)], 1
    )
    return tube(fine * [sign, 1, 1], thickness)


def _on_head(head: Head, mesh: Mesh) -> Mesh:
    return Mesh(head.posed(mesh.vertices), mesh.faces, mesh.uv, mesh.uv_faces)


def face_mask(head: Head) -> tuple[Mesh, Mesh]:
    """A pleated medical mask and its straps, posed."""
    nose_z = head.eyes[0, 2] - 0.028 * head.scale
    low, chin_y = head.chin[2] - 0.006, head.chin[1]
    middle = np.array([0.0, chin_y + 0.075 * head.scale, 0.5 * (nose_z + low)])
    rows, columns = 22, 30
    up = np.linspace(nose_z, low, rows)[:, None]
    across = np.linspace(-1, 1, columns)[None] * 1.15
    tall = (up - middle[2]) * (1 - 0.35 * np.abs(across))
    directions = normalize(
        np.stack(
            np.broadcast_arrays(np.sin(across), -np.cos(across), tall / (0.075 * head.scale)), 2
        )
    )
    radius = envelope(head.points - middle, directions, 11.0, 1.2)
    pleat = 0.0012 * np.sin(np.linspace(0, 1, rows) * 3 * 2 * np.pi)[:, None]
    centre_bulge = 0.004 * np.exp(-((across / 0.5) ** 2))
    points = middle + directions * (radius + 0.003 + pleat + centre_bulge)[..., None]
    cloth = grid(np.concatenate([points, points[::-1] - 0.002 * directions[::-1], points[:1]]))
    straps = []
    for column, sign in ((-1, 1), (0, -1)):
        for row in (1, -2):
            start, ear = points[row, column], head.ear * [sign, 1, 1]
            lift = 0.018 if row == 1 else -0.02
            end = ear + np.array([-0.012 * sign, 0.006, lift])
            path = start + np.linspace(0, 1, 12)[:, None] * (end - start)
            path[:, 0] += sign * 0.006 * np.sin(np.linspace(0, np.pi, 12))
            straps.append(tube(path, 0.0015, sides=6))
    return _on_head(head, cloth), _on_head(head, join(straps))


def earrings(head: Head, radius: float, hoop: bool) -> Mesh:
    """Studs or hoops at both ear lobes, posed."""
    near = np.linalg.norm((head.points - head.ear)[:, 1:], axis=1) < 0.045 * head.scale
    points = head.points[near & (head.points[:, 0] > 0.8 * head.ear[0])]
    lobe = points[points[:, 2].argmin()]
    made = []
    for sign in (1, -1):
        place = (lobe + np.array([0.001, -0.001, 0.003])) * [sign, 1, 1]
        if hoop:
            turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            ring = np.stack([0 * turn, np.sin(turn), np.cos(turn) - 1], 1) * radius
            made.append(tube(place + ring, 0.0012, True, 6))
        else:
            made.append(disc(place, np.array([sign, -0.5, 0.0]), 0.25 * radius, 0.003))
    return _on_head(head, join(made))


def necklace(fit: Fit, drop: float, radius: float) -> Mesh:
    """A chain round the neck that hangs `drop` metres in front, posed."""
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    front = (0.5 + 0.5 * np.cos(turn)) ** 2
    neck = fit.joint("neck01")
    guess = np.stack(
        [
            0.075 * np.sin(turn) * fit.size,
            neck[1] - 0.08 * np.cos(turn) * fit.size - 0.03 * front,
            neck[2] + 0.01 - 0.035 * np.cos(turn) - drop * front,
        ],
        1,
    )
    index = fit.model.surface_vertices
    rest = fit.rest[index]
    near = (np.abs(rest[:, 2] - neck[2]) < 0.3) & (fit.arm_weight[index] < 0.2)
    distance = np.linalg.norm(guess[:, None] - rest[near][None], axis=2)
    closest = index[near][distance.argmin(1)]
    path = fit.outer[closest] + 0.003 * fit.body.normals[closest]
    for _ in range(8):
        path = 0.5 * path + 0.25 * (np.roll(path, 1, 0) + np.roll(path, -1, 0))
        path = path + 0.0006 * fit.body.normals[closest]
    return tube(path, radius, True, 6)


def wristband(fit: Fit, side: str, width: float, gap: float) -> tuple[Mesh, FloatArray, FloatArray]:
    """A band round the wrist; returns it with the posed point and normal of a dial."""
    wrist, elbow = fit.joint(f"wrist.{side}"), fit.joint(f"lowerarm01.{side}")
    axis = normalize(wrist - elbow)
    centre = wrist - 0.028 * axis * fit.size
    up = normalize(np.cross(axis, [0.0, 1.0, 0.0]))
    across = np.cross(axis, up)
    index = fit.model.surface_vertices
    offset = fit.rest[index] - centre
    near = (np.abs(offset @ axis) < 0.016) & (np.linalg.norm(offset, axis=1) < 0.07)
    angle = np.arctan2(offset[near] @ across, offset[near] @ up)
    reach = np.hypot(offset[near] @ across, offset[near] @ up)
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    apart = np.angle(np.exp(1j * (angle[None] - turn[:, None])))
    weight = np.exp(-((apart / 0.35) ** 2)) + 1e-9
    radius = (weight * reach).sum(1) / weight.sum(1) + gap
    ring = np.cos(turn)[:, None] * up + np.sin(turn)[:, None] * across
    profile = [(-1.0, 0.0), (-1, 0.003), (1, 0.003), (1, 0.0), (-1.0, 0.0)]
    rows = [centre + 0.5 * width * s * axis + (radius + h)[:, None] * ring for s, h in profile]
    rest = np.stack(rows)
    posed = fit.carried(rest.reshape(-1, 3), f"lowerarm02.{side}").reshape(rest.shape)
    sign = 1 if up[2] > 0 else -1
    column = 0 if sign > 0 else 14
    middle = posed[1:3, column].mean(0)
    hub = posed[1:3].mean((0, 1))
    return grid(posed[::-1], True, (1.0, 0.2)), middle, normalize(middle - hub)


def watch(fit: Fit, side: str) -> tuple[Mesh, Mesh]:
    """Strap and dial of a watch, posed."""
    strap, place, normal = wristband(fit, side, 0.02, 0.002)
    return strap, disc(place, normal, 0.019, 0.006)
