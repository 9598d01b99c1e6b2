"""Brows and lashes as strands, placed on the neutral face."""

import numpy as np

from david_hf.synthetic.humans.bodies import BodyModel, PosedBody
from david_hf.synthetic.humans.surface_points import bind, face_frame
from david_hf.synthetic.mesh import FloatArray, normalize

POINTS = 6
BROW_LENGTH, LASH_LENGTH = 0.0085, 0.009  # metres
BROW_COUNT = 420  # per eye
# Vertices of hm08 along the lids of the left eye, from the nose to the temple.
UPPER_LID = (
    14763,
    14766,
    14762,
    14761,
    14760,
    14743,
    14742,
    14744,
    14745,
    14746,
    14747,
    14748,
    14749,
)
LOWER_LID = (14765, 14759, 14793, 14758, 14757, 14756, 14755, 14754, 14753, 14752, 14792, 14751)
LEFT_TO_RIGHT = 125


def brow_strands(
    rng: np.random.Generator, model: BodyModel, body: PosedBody, thickness: float, arch: float
) -> FloatArray:
    """Strands (N, POINTS, 3) of both brows, world metres.

    Args:
        rng: Source of randomness.
        model: The body model.
        body: The posed body.
        thickness: Height of the brows and number of their hairs, 1 is ordinary.
        arch: 0 is straight, 1 is strongly arched.
    """
    both = []
    for side, eye in zip((1.0, -1.0), model.neutral_eyes, strict=True):
        count = int(BROW_COUNT * thickness)
        along, across = rng.random(count), rng.uniform(-0.5, 0.5, count)
        along = along**0.9
        width = 0.0085 * thickness * np.interp(along, [0, 0.15, 0.55, 1], [0.7, 1, 0.85, 0.2])
        height = 0.0135 + arch * 0.005 * np.sin(np.pi * along**1.3) - 0.003 * along
        x = 0.0125 + along * 0.044
        wanted = np.stack(
            [side * x, np.full(count, eye[1] - 0.02), eye[2] + height + across * width], 1
        )
        bound = bind(wanted, model.neutral.vertices, model.face_faces)
        roots, normals = bound.of(body.vertices), normalize(bound.of(body.normals))
        up = body.transforms[model.bone("head")][:3, :3] @ [0, 0, 1.0]
        outward = body.transforms[model.bone("head")][:3, :3] @ [side, 0.35, 0]
        tangent, _ = face_frame(np.tile(outward, (count, 1)), normals)
        rise = np.interp(along, [0, 0.3, 1], [0.9, 0.25, -0.25]) - across * 0.5
        direction = normalize(tangent + up * rise[:, None] + 0.12 * rng.normal(size=(count, 3)))
        length = (
            BROW_LENGTH
            * rng.uniform(0.6, 1.1, count)
            * np.interp(along, [0, 0.2, 1], [0.7, 1, 0.8])
        )
        both.append(_bent(roots, direction, normals * 0.35, length))
    return np.concatenate(both)


def lash_strands(
    rng: np.random.Generator, model: BodyModel, body: PosedBody, length: float
) -> FloatArray:
    """Strands (N, POINTS, 3) of upper and lower lashes, world metres.

    Args:
        rng: Source of randomness.
        model: The body model.
        body: The posed body.
        length: 1 is ordinary.
    """
    head = body.transforms[model.bone("head")]
    rows = []
    for eye, offset in zip(model.neutral_eyes, (0, LEFT_TO_RIGHT), strict=True):
        sign = np.sign(eye[0])
        for lid, count, size, rise in ((UPPER_LID, 90, 1.0, 0.45), (LOWER_LID, 40, 0.5, -0.5)):
            line = body.vertices[np.array(lid) + offset]
            at = rng.random(count) * (len(lid) - 1)
            low, share = at.astype(int), (at % 1)[:, None]
            roots = line[low] * (1 - share) + line[low + 1] * share
            # They fan out: towards the nose at its side, towards the temple at the other.
            fan = (at / (len(lid) - 1) - 0.35) * 0.9
            wanted = np.stack([sign * fan, np.full(count, -1.0), np.full(count, rise)], 1)
            direction = wanted @ head[:3, :3].T + 0.1 * rng.normal(size=(count, 3))
            bend = np.tile(head[:3, :3] @ [0, 0, 0.8 * rise], (count, 1))
            grown = LASH_LENGTH * length * size * rng.uniform(0.7, 1.1, count)
            rows.append(_bent(roots, normalize(direction), bend, grown))
    return np.concatenate(rows)


def _bent(
    roots: FloatArray, direction: FloatArray, bend: FloatArray, length: FloatArray
) -> FloatArray:
    """Parabolas (N, POINTS, 3) from the roots along `direction`, bent towards `bend`."""
    along = np.linspace(0, 1, POINTS)[None, :, None]
    offset = direction[:, None] * along + bend[:, None] * along * (1 - 0.5 * along)
    return roots[:, None] + offset * length[:, None, None]
