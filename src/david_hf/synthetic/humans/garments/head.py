"""The head as a hatter sees it: landmarks and the envelope that headwear lies on."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from david_hf.synthetic.mesh import FloatArray, IntArray

from .fitting import Fit
from .grids import envelope


class Head:
    """Landmarks of the unposed head, metres.

    Args:
        fit: The body.

    Attributes:
        fit: The body.
        index: Base vertices (N,) of the skin of the head.
        points: (N, 3) their rest positions.
        eyes: (2, 3) centres of the eyeballs, left first.
        centre: (3,) middle of the skull.
        scale: Size over that of an average adult's head.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.index: IntArray = fit.model.vertices_of(
            [b for b in fit.model.bones if b in ("head", "neck03")]
        )
        self.points = fit.rest[self.index]
        self.eyes = np.stack([fit.joint("eye.L"), fit.joint("eye.R")])
        above = self.points[self.points[:, 2] > self.eyes[0, 2]]
        low, high = above.min(0), above.max(0)
        self.scale = float((high[1] - low[1]) / 0.20)
        self.centre = np.array([0.0, 0.5 * (low[1] + high[1]), self.eyes[0, 2] + 0.015])

    @cached_property
    def ear(self) -> FloatArray:
        """Rest position (3,) of the outermost point of the left ear."""
        near = np.abs(self.points[:, 2] - self.eyes[0, 2]) < 0.05 * self.scale
        points = self.points[near]
        return points[points[:, 0].argmax()]

    @cached_property
    def chin(self) -> FloatArray:
        """Rest position (3,) of the chin's foremost low point."""
        front = self.points[(np.abs(self.points[:, 0]) < 0.01)]
        front = front[(front[:, 2] < self.eyes[0, 2] - 0.08 * self.scale)]
        return front[(front[:, 1] + 0.4 * front[:, 2]).argmin()]

    def front(self, x: float, z: float, reach: float) -> float:
        """Foremost rest y of the face within `reach` metres of x and z."""
        near = np.hypot(self.points[:, 0] - x, self.points[:, 2] - z) < reach
        return float(self.points[near, 1].min()) if near.any() else float(self.eyes[0, 1])

    def side(self, y: float, z: float, reach: float) -> float:
        """Outermost rest x of the left side within `reach` metres of y and z."""
        near = np.hypot(self.points[:, 1] - y, self.points[:, 2] - z) < reach
        return float(self.points[near, 0].max()) if near.any() else 0.075 * self.scale

    def directions(self, polar: FloatArray, columns: int, pole: str = "up") -> FloatArray:
        """Unit directions (R, C, 3) at polar angles (R,) or (R, C); column 0 is in front, or below.

        Args:
            polar: Angles from the pole, radians.
            columns: Points once around, to the left.
            pole: "up", "back" or "front".
        """
        turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)
        angle = np.broadcast_to(polar if polar.ndim == 2 else polar[:, None], (len(polar), columns))
        ring = np.sin(angle)
        first, second, third = ring * np.sin(turn), ring * np.cos(turn), np.cos(angle)
        if pole == "up":
            return np.stack([first, -second, third], 2)
        if pole == "back":
            return np.stack([first, third, -second], 2)
        return np.stack([-first, -third, -second], 2)

    def dome(
        self,
        polar: FloatArray,
        columns: int = 56,
        pole: str = "up",
        points: FloatArray | None = None,
        spread_deg: float = 9.0,
    ) -> tuple[FloatArray, FloatArray]:
        """Directions (R, C, 3) from the centre and the radius (R, C) of the head along them."""
        directions = self.directions(polar, columns, pole)
        hull = self.points if points is None else points
        radius = envelope(hull - self.centre, directions, spread_deg, 1.0)
        return directions, radius

    def brim_angle(self, front: float, back: float, columns: int = 56) -> FloatArray:
        """Polar angles (C,) where a tilted plane meets the head; heights above the eyes, metres."""
        turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)
        share = 0.5 + 0.5 * np.cos(turn)
        height = (share * front + (1 - share) * back) * self.scale
        rise = self.eyes[0, 2] + height - self.centre[2]
        reach = np.where(share > 0.5, 0.095, 0.1) * self.scale
        return np.asarray(np.arctan2(reach, rise))

    def posed(self, points: FloatArray) -> FloatArray:
        """Rest points (..., 3) carried with the head."""
        return self.fit.carried(points.reshape(-1, 3), "head").reshape(points.shape)

    def bare_scalp(self, covered: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(19158,) true but on the head's vertices (N,) that are `covered`."""
        free = np.ones(len(self.fit.rest), bool)
        free[self.index[covered]] = False
        return free
