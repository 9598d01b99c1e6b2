"""A ball for a head, to grow hair on without a body model."""

import numpy as np

from david_hf.synthetic.humans.bodies import Landmarks
from david_hf.synthetic.humans.hair.growth import HeadFrame
from david_hf.synthetic.mesh import vertex_normals

RADIUS = 0.1
MARKS = Landmarks(np.zeros(3), mouth=-0.06, chin=-0.1)


def ball_head() -> HeadFrame:
    """A ball centred at the origin, face to -y."""
    steps = 24
    polar, turn = np.meshgrid(
        np.linspace(0.05, np.pi - 0.05, steps), np.linspace(0, 2 * np.pi, 2 * steps, endpoint=False)
    )
    unit = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], -1)
    vertices = RADIUS * unit.reshape(-1, 3)
    index = np.arange(len(vertices)).reshape(2 * steps, steps)
    following = np.roll(index, -1, 0)
    a, b, c, d = index[:, :-1], following[:, :-1], following[:, 1:], index[:, 1:]
    faces = np.concatenate(
        [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)]
    )
    normals = vertex_normals(vertices, faces)
    # The base mesh has helpers around the head that belong to no surface.
    helpers = 1.15 * vertices[::3]
    vertices = np.concatenate([vertices, helpers])
    normals = np.concatenate([normals, np.zeros_like(helpers)])
    return HeadFrame(
        skin=vertices,
        outer=vertices,
        normals=normals,
        faces=faces,
        on_head=np.ones(len(vertices), bool),
        eyes=np.array([[0.03, -0.09, 0.0], [-0.03, -0.09, 0.0]]),
        down=np.array([0, 0, -1.0]),
    )
