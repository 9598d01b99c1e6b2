"""What is sewn onto tops: collars, hoods, ribs, plackets, buttons, pockets, lapels, ties."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from david_hf.synthetic.mesh import FloatArray, Mesh, join, normalize

from .cutting import Sheet
from .fitting import Fit
from .folds import noise
from .grids import disc, grid, thick
from .shells import Shell, front_width

NUM_COLUMNS = 48


class Neck:
    """The neck as a tube about a leaning axis: where collars, hoods and scarves lie.

    Args:
        fit: The body.
        start: Angle from the front where it begins and ends, or None for once around.
    """

    def __init__(self, fit: Fit, start: float | None = None) -> None:
        self.fit = fit
        self.origin = fit.joint("neck01") - np.array([0, 0, 0.004])
        self.up = normalize(np.array([0, -0.447, 0.894]))
        self.back = np.cross(self.up, [1.0, 0, 0])
        self.levels = np.linspace(-0.06, 0.08, 8) * fit.size
        if start is None:
            self.angles = np.linspace(0, 2 * np.pi, NUM_COLUMNS, endpoint=False)
        else:
            self.angles = np.linspace(start, 2 * np.pi - start, NUM_COLUMNS)
        self._radius = self._measure(closed=start is None)

    def _measure(self, closed: bool) -> FloatArray:
        """Radius (levels, columns) of the skin."""
        on_skin = self.fit.model.surface_vertices
        offset = self.fit.dummy[on_skin] - self.origin
        height = offset @ self.up
        near = (np.abs(height) < 0.12) & (self.fit.arm_weight[on_skin] < 0.3)
        offset, height = offset[near], height[near]
        angle = np.arctan2(offset[:, 0], -(offset @ self.back))
        radius = np.hypot(offset[:, 0], offset @ self.back)
        apart = np.angle(np.exp(1j * (angle[None] - self.angles[:, None])))
        rows = []
        for middle in self.levels:
            weight = np.exp(-((apart / 0.2) ** 2) - ((height - middle) / 0.010) ** 2)
            weight = weight * (radius < 0.16) + 1e-12
            rows.append((weight * radius).sum(1) / weight.sum(1))
        smooth = np.array(rows)
        return np.asarray(gaussian_filter1d(smooth, 1.2, 1, mode="wrap" if closed else "nearest"))

    def points(self, height: FloatArray, gap: FloatArray) -> FloatArray:
        """Rest points (R, C, 3) at heights and distances from the skin (R, C), metres."""
        level = np.clip((height - self.levels[0]) / (self.levels[1] - self.levels[0]), 0, 6.999)
        low = level.astype(int)
        column = np.arange(height.shape[1])
        share = level - low
        radius = (1 - share) * self._radius[low, column] + share * self._radius[low + 1, column]
        reach = (radius + gap)[..., None]
        direction = np.sin(self.angles)[:, None] * [1.0, 0, 0]
        direction = direction - np.cos(self.angles)[:, None] * self.back
        return np.asarray(self.origin + height[..., None] * self.up + reach * direction)

    def band(self, profile: FloatArray, gather: float = 0.0) -> FloatArray:
        """Rest points (R, C, 3) of a band whose profile is (R, 2): height and gap.

        Args:
            profile: From the inner lower edge over the top to the outer lower edge.
            gather: Extra length of the outer edge towards the two ends, metres: collar points.
        """
        from_front = np.minimum(self.angles, 2 * np.pi - self.angles)
        ends = np.exp(-(((from_front - from_front.min()) / 0.35) ** 2))
        outer = np.clip((np.arange(len(profile)) / (len(profile) - 1) - 0.5) * 2, 0, 1)
        tips = gather * outer[:, None] * ends
        gap = np.broadcast_to(profile[:, 1:] + 0.25 * tips, tips.shape)
        return self.points(profile[:, :1] - tips, gap)


def folded_collar(
    fit: Fit, stand: float, fall: float, gap: float, start: float, tips: float
) -> Mesh:
    """A collar that stands up from the neckline and folds over.

    Args:
        fit: The body.
        stand: Height of the stand, metres.
        fall: Length of the part that falls over it.
        gap: Distance of the stand from the neck.
        start: Angle from the front where it begins.
        tips: Extra length of its two points.
    """
    top = stand
    profile = np.array(
        [
            (-0.012, gap + 0.002),
            (0.4 * top, gap),
            (0.85 * top, gap),
            (top, gap + 0.002),
            (top + 0.001, gap + 0.006),
            (top - 0.2 * fall, gap + 0.010),
            (top - 0.5 * fall, gap + 0.014),
            (top - 0.8 * fall, gap + 0.017),
            (top - fall, gap + 0.019),
        ]
    )
    size = fit.trim
    rest = Neck(fit, start).band(profile * size, tips * size)
    posed = fit.carried(rest.reshape(-1, 3)).reshape(rest.shape)
    for row, lift in zip(range(5, 9), (0.004, 0.005, 0.006, 0.007), strict=True):
        posed[row] = fit.outside(posed[row], lift)
    return _solid(posed, 0.0022)


def standing_collar(fit: Fit, height: float, gap: float, start: float) -> Mesh:
    """A band that stands round the neck: turtleneck (start 0), zip jacket, mandarin collar."""
    rows = np.linspace(0, 1, 7)
    bulge = 0.004 * np.sin(np.pi * rows)
    profile = np.stack([-0.015 + rows * (height + 0.015), gap + bulge], 1)
    rest = Neck(fit, start).band(profile[::-1] * fit.trim)
    return _carried_band(fit, rest, 0.004)


def _carried_band(fit: Fit, rest: FloatArray, thickness: float) -> Mesh:
    shape = rest.shape
    posed = fit.carried(rest.reshape(-1, 3)).reshape(shape)
    return _solid(posed, thickness)


def _solid(points: FloatArray, thickness: float) -> Mesh:
    """A band (R, C, 3) as a closed body whose two ends are closed as well."""
    loop = thick(points, thickness)
    ends = [np.broadcast_to(loop[:, [k]].mean(0), (len(loop), 1, 3)) for k in (0, -1)]
    rows = np.concatenate([ends[0], loop, ends[1]], 1)
    return grid(rows, tile=(1.2, 0.3))


def hood_down(fit: Fit, rng: np.random.Generator, size: float) -> Mesh:
    """A hood that lies on the back: a fold of cloth round the neck, thick behind; size ~1."""
    neck = Neck(fit, 0.45)
    behind = (0.5 - 0.5 * np.cos(neck.angles)) ** 1.4
    turn = np.linspace(0, 2 * np.pi, 19)[:, None]
    size = size * fit.trim
    wide = size * (0.011 + 0.042 * behind)
    tall = size * (0.018 + 0.034 * behind)
    fold = 1 + 0.25 * np.cos(3 * turn + 1.0) * behind
    gap = 0.008 + wide * (1 + np.cos(turn) * fold)
    height = 0.012 - 0.028 * behind + tall * np.sin(turn) * fold
    rest = neck.points(height, gap)
    ripples = noise(rest.reshape(-1, 3), rng, np.array([0.09, 0.09, 0.06])).reshape(height.shape)
    rest = neck.points(height + 0.003 * ripples, gap + 0.004 * ripples * (0.3 + behind))
    posed = fit.carried(rest.reshape(-1, 3)).reshape(rest.shape)
    ends = [np.broadcast_to(posed[:, [k]].mean(0), (len(posed), 1, 3)) for k in (0, -1)]
    return grid(np.concatenate([ends[0], posed, ends[1]], 1)[::-1], tile=(1.5, 0.5))


def scarf(fit: Fit, rng: np.random.Generator) -> Mesh:
    """A scarf wound round the neck."""
    neck = Neck(fit)
    turn = np.linspace(0, 2 * np.pi, 25)[:, None]
    angle = neck.angles[None]
    slip = 0.012 * np.cos(angle + rng.uniform(0, 6))
    body = 1 + 0.22 * np.cos(3 * turn + 2 * np.sin(angle) + rng.uniform(0, 6))
    gap = 0.010 + 0.017 * (1 + np.cos(turn) * body) + 0.008 * np.cos(angle)
    height = 0.012 + slip + 0.032 * np.sin(turn) * body
    rest = neck.points(height, gap)
    posed = fit.carried(rest.reshape(-1, 3)).reshape(rest.shape)
    return grid(posed[::-1], True, tile=(2.0, 0.5))


def buttons(shell: Shell, heights: FloatArray, x: float, radius: float, rise: float) -> Mesh:
    """Round buttons on the front at rest heights (N,), metres."""
    made = []
    for z in heights:
        point, normal = shell.nearest(x, float(z))
        made.append(disc(point + rise * normal, normal, radius, 0.0022))
    return join(made)


def rectangle(shell: Shell, x: tuple[float, float], z: tuple[float, float]) -> FloatArray:
    """Level (N,) of a rectangle on the front of the trunk, rest metres."""
    rest = shell.sheet.rest
    level = np.minimum(
        np.minimum(rest[:, 0] - x[0], x[1] - rest[:, 0]),
        np.minimum(rest[:, 2] - z[0], z[1] - rest[:, 2]),
    )
    front = (rest[:, 1] < -0.01) & (shell.sheet.arm < -0.05)
    return np.where(front, level, -0.1)


def ring(shell: Shell, along: FloatArray, low: float, high: float) -> FloatArray:
    """Level (N,) of a band round the body or a limb between two values of a coordinate."""
    return np.minimum(along - low, high - along)


def lapels(fit: Fit, shell: Shell, width: float) -> Sheet:
    """The turned-back fronts of a blazer, from the neck to where it closes."""
    pattern, rest = shell.pattern, shell.sheet.rest
    z, x = rest[:, 2], np.abs(rest[:, 0])
    inner = front_width(pattern, z)
    top = fit.height["shoulder"] + 0.02
    rise = np.clip((z - pattern.lapel) / (top - pattern.lapel), 0, 1)
    notch = pattern.lapel + 0.72 * (top - pattern.lapel)
    outer = inner + width * np.sqrt(np.clip(rise * 1.6, 0, 1))
    # The notch is a step between lapel and collar.
    outer = np.where(z > notch + 0.012, inner + 0.62 * width, outer)
    gap = (
        np.abs(z - notch - 0.5 * (x - inner))
        - 0.0025
        + 0.2 * np.clip(inner + 0.55 * width - x, 0, None)
    )
    level = np.minimum.reduce([outer - x, z - pattern.lapel - 0.004, gap, x - inner + 0.004])
    level = np.where((rest[:, 1] < fit.front + 0.01) & (shell.sheet.arm < -0.05), level, -0.1)
    return shell.patch(level, 0.005, 0.004)


def tie(fit: Fit, shell: Shell, end: float, width: float) -> Mesh:
    """A necktie from the collar down to rest height `end`, half as wide as 2 `width`."""
    top = fit.joint("neck01")[2] - 0.052 * fit.size
    rows = np.concatenate([[0, 0.012, 0.03, 0.042], np.linspace(0.05, top - end, 24)])
    half = np.concatenate(
        [
            [0.020, 0.021, 0.014, 0.011],
            np.linspace(0.013, width, 21),
            width * np.array([0.8, 0.4, 0.02]),
        ]
    )
    lift = np.concatenate([[0.014, 0.019, 0.017, 0.012], np.full(24, 0.010)])
    points = []
    for depth, reach, rise in zip(rows, half, lift, strict=True):
        centre, normal = shell.nearest(0.0, top - depth)
        across = normalize(np.cross([0.0, 0.0, 1.0], normal))
        steps = np.linspace(-1, 1, 7)[:, None]
        bulge = rise - 0.004 * steps**2
        points.append(centre - across * reach * steps * -1 + normal * bulge)
    smooth = np.array(points)
    for _ in range(2):
        smooth[1:-1] = 0.5 * smooth[1:-1] + 0.25 * (smooth[2:] + smooth[:-2])
    return _solid(smooth, 0.003)
