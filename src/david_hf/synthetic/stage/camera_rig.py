"""Cameras that frame a figure the way photographers do."""

from dataclasses import dataclass

import numpy as np

from david_hf.synthetic.mesh import FloatArray, normalize


@dataclass(frozen=True)
class Camera:
    """A camera without distortion. World: metres, z up.

    Attributes:
        position: Centre of projection (3,).
        right: Unit axis along picture rows (3,).
        up: Unit axis against picture columns (3,).
        forward: Viewing direction (3,).
        fov_y: Vertical field of view, radians.
        height: Picture height, pixels.
        width: Picture width, pixels.
        aperture_m: Diameter of the lens opening, metres; 0 is a pinhole, all sharp.
        focus_m: Distance of what is sharp, metres.
    """

    position: FloatArray
    right: FloatArray
    up: FloatArray
    forward: FloatArray
    fov_y: float
    height: int
    width: int
    aperture_m: float = 0.0
    focus_m: float = 2.0

    @property
    def focal_px(self) -> float:
        """Focal length in pixels, the same along both axes."""
        return self.height / 2 / float(np.tan(self.fov_y / 2))

    def intrinsics(self) -> FloatArray:
        """3x3 matrix; the principal point is the centre of the picture."""
        focal = self.focal_px
        return np.array([[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1.0]])

    def blur_radius_px(self, depth: float) -> float:
        """Radius of the circle of confusion at a depth in metres, pixels; inf is the horizon."""
        apart = abs(1 / depth - 1 / self.focus_m)
        return self.aperture_m / 2 * apart * self.focal_px

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Pixel positions (N, 2) as x, y and z-depth (N,) in metres of world points (N, 3)."""
        relative = np.atleast_2d(points) - self.position
        depth = relative @ self.forward
        plane = np.stack([relative @ self.right, -(relative @ self.up)], 1) / depth[:, None]
        return plane * self.focal_px + [self.width / 2, self.height / 2], depth

    def rays(self) -> FloatArray:
        """Unit viewing directions (H, W, 3) of the pixel centres, in the world."""
        y, x = np.mgrid[0 : self.height, 0 : self.width] + 0.5
        across = ((x - self.width / 2) / self.focal_px)[..., None] * self.right
        down = ((y - self.height / 2) / self.focal_px)[..., None] * self.up
        return normalize(self.forward + across - down)

    def to_camera_frame(self, vectors: FloatArray) -> FloatArray:
        """World vectors (..., 3) in the label frame: x right, y up, z towards the camera."""
        axes = np.stack([self.right, self.up, -self.forward], 1)
        return vectors @ axes


def look_from(direction: FloatArray, roll: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Axes right, up, forward of a camera looking along `-direction`, rolled by radians."""
    forward = normalize(-direction)
    right = normalize(np.cross(forward, [0.0, 0.0, 1.0]))
    up = np.cross(right, forward)
    cos, sin = np.cos(roll), np.sin(roll)
    return right * cos + up * sin, up * cos - right * sin, forward


def direction_from(azimuth: float, elevation: float) -> FloatArray:
    """Unit direction (3,) to a camera at radians around z, 0 in front (-y), and above the level."""
    level = np.cos(elevation)
    return np.array([np.sin(azimuth) * level, -np.cos(azimuth) * level, np.sin(elevation)])


def frame_points(
    points: FloatArray,
    direction: FloatArray,
    fov_y: float,
    size: tuple[int, int],
    margin: float,
    roll: float,
    wish: FloatArray,
    lowest: float = -1.0,
) -> Camera:
    """A camera whose picture just holds `points` (N, 3), times `margin`, off the centre at random.

    Args:
        points: What must be seen, metres.
        direction: From the subject to the camera.
        fov_y: Vertical field of view, radians.
        size: Height and width in pixels.
        margin: 1 fills the picture; below 1 its edges cut the points.
        roll: Of the camera about its axis, radians.
        wish: Place in the picture (2,) in [0, 1] from left to right and from the lowest to the top,
            as far as there is room.
        lowest: Lowest place in the picture the points may be moved to: -1 its foot, 0 its middle.
    """
    height, width = size
    right, up, forward = look_from(direction, roll)
    tan = np.array([np.tan(fov_y / 2) * width / height, np.tan(fov_y / 2)])

    def extent(eye: FloatArray) -> tuple[FloatArray, FloatArray]:
        relative = points - eye
        depth = np.maximum(relative @ forward, 0.05)[:, None]
        seen = relative @ np.stack([right, up], 1) / depth / tan  # the picture spans -1..1
        return seen.min(0), seen.max(0)

    target, distance = points.mean(0), 2.0
    for _ in range(12):  # the centre and the distance depend on each other: alternate
        low, high = extent(target - forward * distance)
        shift = (low + high) / 2 * distance * tan
        target = target + right * shift[0] + up * shift[1]
        distance = max(distance * float((high - low).max()) / 2 * margin, 0.25)
    centred = target - forward * distance
    low, high = extent(centred)
    slack = np.maximum(0, 0.97 - np.maximum(-low, high)) * tan * distance
    low_corner = np.array([-1.0, lowest])
    shift = (low_corner + (1 - low_corner) * wish) * slack
    return Camera(
        centred - right * shift[0] - up * shift[1], right, up, forward, float(fov_y), height, width
    )
