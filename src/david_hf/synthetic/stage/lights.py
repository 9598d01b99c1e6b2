"""Light that no thing in view sheds: panoramas, and lamps as photographers place them."""

import numpy as np

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import FloatArray, normalize
from david_hf.synthetic.scene import Lamp, Light

from .camera_rig import Camera

XYZ_TO_LINEAR_SRGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)  # IEC 61966-2-1


def colour_of_temperature(kelvin: float) -> tuple[float, float, float]:
    """Linear sRGB of a black body, brightest channel 1.

    The chromaticity is the cubic approximation of the Planckian locus of Kang et al., Journal of
    the Korean Physical Society 41 (2002).

    Args:
        kelvin: Temperature; held to 1667 .. 25000, where the approximation is valid.
    """
    t = 1000 / float(np.clip(kelvin, 1667, 25000))
    if t > 0.25:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if t > 1000 / 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif t > 0.25:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    rgb = np.maximum(XYZ_TO_LINEAR_SRGB @ np.array([x / y, 1.0, (1 - x - y) / y]), 0.0)
    red, green, blue = rgb / rgb.max()
    return float(red), float(green), float(blue)


def lamp_towards(
    target: FloatArray,
    direction: FloatArray,
    distance: float,
    size: float,
    irradiance: float,
    kelvin: float,
) -> Lamp:
    """A lamp that shines at a point from a unit direction (3,).

    Args:
        target: What it lights, metres (3,).
        direction: From the target to the lamp.
        distance: Metres.
        size: Edge, metres.
        irradiance: At the target; 1 develops white paper to about white. The power follows.
        kelvin: Colour temperature.
    """
    position = np.asarray(target, float) + normalize(np.asarray(direction, float)) * distance
    # A square emits its watts over its cosine lobe: the irradiance ahead is P / (pi d^2).
    power = irradiance * np.pi**2 * max(distance**2, size**2 / 4)
    aim = normalize(np.asarray(target, float) - position)
    return Lamp(position, aim, size, float(power), colour_of_temperature(kelvin))


def _about(axis: FloatArray, azimuth_deg: float, elevation_deg: float) -> FloatArray:
    """A level direction (3,) turned about z, then raised."""
    azimuth = np.arctan2(axis[1], axis[0]) + np.deg2rad(azimuth_deg)
    elevation = np.deg2rad(elevation_deg)
    level = np.cos(elevation)
    return np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])


def sample_light(
    draws: Draws, panoramas: list[str], face: FloatArray, facing: FloatArray, camera: Camera
) -> Light:
    """Light out of doors or before a photo: a panorama and up to three lamps.

    Args:
        draws: Of section "stage"; the factors are `light.*`.
        panoramas: Names of HDRI files, at least one.
        face: World position (3,) of the face, metres.
        facing: Unit direction (3,) the face looks in.
        camera: Lamps keep off the line between it and the face.

    Raises:
        ValueError: If there are no panoramas.
    """
    if not panoramas:
        raise ValueError("expected at least one panorama")
    name = draws.put("light.panorama", str(draws.rng.choice(sorted(panoramas))))
    lamps = {
        "panorama": lambda: [],
        "key": lambda: [_key(draws, face, facing, camera)],
        "key_rim": lambda: [_key(draws, face, facing, camera), _rim(draws, face, camera)],
        "three": lambda: [
            _key(draws, face, facing, camera),
            _rim(draws, face, camera),
            _fill(draws, face, camera),
        ],
        "rim": lambda: [_rim(draws, face, camera)],
        "night": lambda: [_key(draws, face, facing, camera)],
    }[draws("light.setup")]()
    return Light(name, draws("light.rotation_deg"), draws("light.gain"), tuple(lamps))


def _towards_camera(face: FloatArray, camera: Camera) -> FloatArray:
    away = np.asarray(camera.position - face, float) * [1, 1, 0]
    return normalize(away) if np.linalg.norm(away) > 1e-3 else np.array([0.0, -1.0, 0.0])


def _key(draws: Draws, face: FloatArray, facing: FloatArray, camera: Camera) -> Lamp:
    """From the side of the camera, between what the face looks at and the camera."""
    front = normalize(_towards_camera(face, camera) + 0.7 * np.asarray(facing) * [1, 1, 0])
    side = 1.0 if draws.rng.random() < 0.5 else -1.0
    direction = _about(front, side * draws("light.key_angle_deg"), draws("light.key_height_deg"))
    return lamp_towards(
        face,
        direction,
        draws("light.key_distance"),
        draws("light.key_size"),
        draws("light.key_power"),
        draws("light.key_kelvin"),
    )


def _rim(draws: Draws, face: FloatArray, camera: Camera) -> Lamp:
    """From behind, to one side, out of the picture."""
    side = 1.0 if draws.rng.random() < 0.5 else -1.0
    angle, height = side * draws.rng.uniform(115, 160), draws.rng.uniform(15, 50)
    direction = _about(_towards_camera(face, camera), angle, height)
    kelvin = draws.rng.uniform(2500, 9000)
    return lamp_towards(
        face, direction, 2.0, draws.rng.uniform(0.2, 1.0), draws("light.rim_power"), kelvin
    )


def _fill(draws: Draws, face: FloatArray, camera: Camera) -> Lamp:
    """A large weak lamp beside the camera."""
    direction = _about(_towards_camera(face, camera), draws.rng.uniform(-40, 40), 10.0)
    return lamp_towards(face, direction, 2.5, 2.0, draws("light.fill_power"), 6000.0)
