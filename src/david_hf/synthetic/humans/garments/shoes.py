"""Shoes: the envelope of the foot, an opening at the ankle, and a sole with a flat bottom."""

import numpy as np

from david_hf.synthetic.mesh import FloatArray, Mesh, join, normalize, vertex_normals

from .cutting import Sheet
from .fitting import Fit
from .grids import envelope, grid, tube


class Last:
    """The shape of one foot, blown up to a shoe.

    Args:
        fit: The body.
        side: "L" or "R".
        gap: Thickness of the upper, metres.

    Attributes:
        points: (R, C, 3) rest points from the top down; columns go once around.
        ground: Rest height of the bottom of the foot.
    """

    def __init__(self, fit: Fit, side: str, gap: float) -> None:
        self.fit, self.side = fit, side
        bones = [b for b in fit.model.bones if b.startswith(("foot", "toe")) and b.endswith(side)]
        foot = fit.rest[fit.model.vertices_of(bones)]
        ankle = fit.joint(f"foot.{side}")
        shin = fit.rest[fit.model.vertices_of([f"lowerleg02.{side}"])]
        shin = shin[shin[:, 2] < ankle[2] + 0.05]
        low, high = foot.min(0), foot.max(0)
        self.ground = float(low[2])
        self.ankle = ankle
        self.size = float(high[1] - low[1]) / 0.25
        centre = np.array(
            [0.5 * (low[0] + high[0]), 0.42 * low[1] + 0.58 * high[1], self.ground + 0.028]
        )
        scale = np.array([high[0] - low[0], high[1] - low[1], 0.16 * fit.size]) / 2
        polar = np.linspace(0.03, np.pi - 0.03, 40)[:, None]
        turn = np.linspace(0, 2 * np.pi, 56, endpoint=False)
        directions = np.stack(
            np.broadcast_arrays(
                np.sin(polar) * np.sin(turn), -np.sin(polar) * np.cos(turn), np.cos(polar)
            ),
            2,
        )
        hull = np.concatenate([foot, shin])
        radius = envelope((hull - centre) / scale, directions, 13.0, 1.3)
        points = centre + directions * radius[..., None] * scale
        outward = normalize(directions / scale)
        self.points = points + gap * outward
        self.points[..., 2] = np.maximum(self.points[..., 2], self.ground - 0.001)

    def posed(self, points: FloatArray) -> FloatArray:
        """Rest points (..., 3) carried with the skin of the foot."""
        return self.fit.carried(points.reshape(-1, 3)).reshape(points.shape)

    def upper(self, collar: float, throat: float) -> Sheet:
        """The upper: up to `collar` metres above the ankle, closed from `throat` before it on."""
        mesh = grid(self.points, True)
        rest = mesh.vertices
        posed = self.posed(rest)
        top = self.ankle[2] + collar * self.size + 0.3 * (rest[:, 1] - self.ankle[1])
        # The instep is closed in front of the throat; the two rules meet in a rounded corner.
        behind, before = top - rest[:, 2], self.ankle[1] - throat * self.size - rest[:, 1]
        below = np.where(rest[:, 2] < self.ankle[2] + 0.02, before, -1.0)
        level = np.maximum(behind, below) + 0.25 * np.maximum(0, 0.02 - np.abs(behind - below))
        arm = np.full(len(rest), -0.1)
        return Sheet(posed, vertex_normals(posed, mesh.faces), rest, arm, mesh.faces).cut(level)

    def outline(self, spread: float) -> FloatArray:
        """Rest xy (C, 2) of the footprint, `spread` metres wider."""
        low = self.points[..., 2] < self.ground + 0.03
        centre = self.points[-1, :, :2].mean(0)
        offset = self.points[..., :2] - centre
        reach = np.where(low, np.linalg.norm(offset, axis=2), 0)
        best = reach.argmax(0)
        columns = np.arange(reach.shape[1])
        edge = offset[best, columns]
        for _ in range(2):
            edge = 0.5 * edge + 0.25 * (np.roll(edge, 1, 0) + np.roll(edge, -1, 0))
        return np.asarray(
            centre + edge * (1 + (spread + 0.002) / np.linalg.norm(edge, axis=1, keepdims=True))
        )

    def sole(self, height: float, wall: float, heel: float, spread: float) -> Mesh:
        """The sole: `height` metres below the foot, `wall` above its bottom, `heel` more behind."""
        edge, ground = self.outline(spread), self.ground
        behind = np.clip((edge[:, 1] - self.ankle[1] + 0.05) / 0.02, 0, 1)
        centre = edge.mean(0)
        rows = []
        for share, z in (
            (0.9, wall),
            (1.0, wall),
            (1.0, -0.3 * height),
            (0.99, -height),
            (0.5, -height),
            (0.0, -height),
        ):
            xy = centre + share * (edge - centre)
            down = heel * behind if z < 0 else 0 * behind
            rows.append(np.column_stack([xy, ground + z - down * (z <= -height)]))
        return grid(self.posed(np.stack(rows)), True, (2.0, 0.2))

    def laces(self, count: int, throat: float) -> Mesh:
        """Cords across the instep in front of the throat."""
        points = self.points.reshape(-1, 3)
        points = points[points[:, 2] < self.ankle[2] + 0.01]
        start = self.ankle[1] - (throat + 0.018) * self.size
        made = []
        for y in start - np.arange(count) * 0.016 * self.size:
            near = points[np.abs(points[:, 1] - y) < 0.015]
            middle = near[near[:, 2].argmax(), 0]
            x = middle + np.linspace(-1, 1, 9) * 0.02 * self.size
            distance = np.hypot(x[:, None] - near[:, 0], y - near[:, 1])
            weight = np.exp(-((distance / 0.009) ** 2)) * (near[:, 2] > self.ground + 0.03) + 1e-9
            z = (weight * near[:, 2]).sum(1) / weight.sum(1) + 0.002
            made.append(tube(self.posed(np.column_stack([x, np.full(9, y), z])), 0.0018, sides=6))
        return join(made)
