"""Draw scenes: people, what they sit on and hold, the camera, and what is around them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .factors import Draws, Tree
from .humans.bodies import BodyModel
from .humans.makehuman import MakeHumanFolder
from .humans.person import Person, Studio, make_person
from .humans.poses import grip_frame
from .humans.skin import SkinModel
from .mesh import FloatArray
from .scene import Light, Part, Scene
from .stage.camera_rig import Camera, direction_from, frame_points
from .stage.furniture import seat, table
from .stage.grounds import ground
from .stage.lights import sample_light
from .stage.props import occluder, prop
from .stage.rooms import build_room
from .stage.supports import step_below, wall_behind

CATEGORIES = ("face", "upper_body", "full_body")
DETAIL = {"face": 1.0, "upper_body": 0.6, "full_body": 0.35}  # share of the hair strands
SENSOR = 0.024  # metres, height of a full-frame sensor
LOWEST_CAMERA = 0.15  # metres above the floor
DARK = ("lamp", "screen", "dim", "spot")


def make_sampler(
    lights: list[str],
    size: tuple[int, int],
    tree: Tree,
    num_strands: int = 30_000,
    texture_size: int = 1024,
    makehuman_dir: Path | None = None,
    anny_cache_dir: Path | None = None,
    has_photos: bool = True,
) -> "SceneSampler":
    """A sampler with a body model of its own, which takes ten seconds to load.

    Args:
        lights: Names of the panoramas.
        size: Height and width of the pictures, pixels.
        tree: Distributions, from `load_distributions`.
        num_strands: Hair strands of a full head.
        texture_size: Side of textures, pixels.
        makehuman_dir: MakeHuman data folder, or None.
        anny_cache_dir: Where anny keeps its blend shapes.
        has_photos: Whether there are photos to stand before.
    """
    model = BodyModel(anny_cache_dir)
    assets = MakeHumanFolder(makehuman_dir) if makehuman_dir else None
    studio = Studio(model, SkinModel(model), assets, tree, num_strands, texture_size)
    return SceneSampler(studio, lights, size, has_photos)


@dataclass(frozen=True)
class SceneSampler:
    """Draws scenes: three numbers give one scene, whatever was drawn before.

    Attributes:
        studio: What people are made with.
        lights: Names of the panoramas.
        size: Height and width of the pictures, pixels.
        has_photos: Whether there are photos to stand before.
    """

    studio: Studio
    lights: list[str]
    size: tuple[int, int]
    has_photos: bool = True

    def sample(self, seed: int, index: int, attempt: int = 0) -> Scene:
        """The scene of a seed, an index and an attempt.

        Args:
            seed: Of the whole set.
            index: Of the sample; its remainder by three is the category.
            attempt: Counts the scenes that were drawn for this sample and rejected.
        """
        numbers = [seed, index, attempt]
        draws = self._draws(numbers, "scene")
        category = draws.put("category", CATEGORIES[index % 3])
        if draws("backdrop") == "photo" and not self.has_photos:
            draws.put("backdrop", draws("backdrop_without_photos"))
        people = self._people(draws, numbers, category)
        camera = self._camera(draws, people, category)
        people = people[:1] + [other for other in people[1:] if _is_clear(other, people[0], camera)]
        stage = self._draws(numbers, "stage")
        parts = [part for person in people for part in person.parts]
        things = self._things(stage, people)
        if draws("occluder"):
            in_front = _occluder(stage, people[0], camera)
            things += in_front
            if not draws.put("occluder", bool(in_front)):
                stage.drop("occluder")
        draws.put("occluded", any(_is_seen(thing, camera) for thing in things))
        light, more, is_dark = self._surroundings(draws, stage, people, camera, things)
        first, before_photo = people[0], draws("backdrop") == "photo"
        return Scene(
            seed=int(np.random.default_rng([*numbers, 9]).integers(2**31)),
            camera=camera,
            parts=parts + things + more,
            strands=[group for person in people for group in person.strands],
            light=light,
            faces=[person.face for person in people],
            backdrop=draws("backdrop"),
            ground=before_photo and _sees_floor(camera, first),
            factors={
                **draws.drawn,
                "night": is_dark,
                "stage": stage.drawn,
                "people": [person.factors for person in people],
            },
        )

    def _draws(self, numbers: list[int], section: str) -> Draws:
        child = {"scene": 0, "stage": 1}[section]
        return Draws(np.random.default_rng([*numbers, child]), self.studio.tree, section)

    def _people(self, draws: Draws, numbers: list[int], category: str) -> list[Person]:
        """The first person at the origin, the others beside and behind."""
        count = int(draws("people"))
        detail = DETAIL[category] / count**0.5
        people: list[Person] = []
        for number in range(count):
            person = make_person(self.studio, [*numbers, 2, number], category, detail)
            people.append(_beside(draws.rng, person, people))
        return people

    def _camera(self, draws: Draws, people: list[Person], category: str) -> Camera:
        """Frame the head, the upper body or the whole body."""
        first, rng = people[0], draws.rng
        points = {"face": [first.head], "upper_body": [first.head, first.chest]}.get(
            category, [first.head, first.body]
        )
        if len(people) > 1 and draws("group_framing"):
            whole = category == "full_body"
            points += [other.body if whole else other.head for other in people[1:]]
        facing = first.face.facing
        azimuth = np.arctan2(facing[0], -facing[1]) + np.deg2rad(draws("camera.azimuth_deg"))
        wish, elevation = rng.random(2), draws("camera.elevation_deg")
        while True:
            camera = frame_points(
                np.concatenate(points),
                direction_from(azimuth, np.deg2rad(elevation)),
                np.deg2rad(draws("camera.fov_deg")),
                self.size,
                draws("camera.margin"),
                np.deg2rad(draws("camera.roll_deg")),
                wish,
                # Who frames a head or a chest does not leave it at the picture's foot.
                lowest=-1.0 if category == "full_body" else -0.25,
            )
            if camera.position[2] > LOWEST_CAMERA or elevation > 60:
                break
            elevation += 3
        draws.put("camera.elevation_deg", elevation)
        focus = float((first.face.position - camera.position) @ camera.forward)
        stop = draws("camera.f_number")
        focal = SENSOR / 2 / np.tan(camera.fov_y / 2)
        return replace(camera, focus_m=max(focus, 0.1), aperture_m=focal / stop if stop else 0.0)

    def _things(self, stage: Draws, people: list[Person]) -> list[Part]:
        """What people sit on, lean on and hold."""
        made: list[Part] = []
        for person in people:
            pose, own = person.pose, []
            if pose.contact is not None:
                at = pose.contact + person.shift
                floor = np.array([at[0], at[1], 0.0])
                if pose.support == "seat":
                    own += [p.moved(np.eye(3), floor) for p in seat(stage, float(at[2]))]
                elif pose.support == "table":
                    own += [p.moved(np.eye(3), floor) for p in table(stage, float(at[2]))]
                elif pose.support == "wall":
                    own += wall_behind(stage, at)
                elif pose.support == "feet":
                    own += step_below(stage, pose.contact)  # the sole is as thick as the shift
            for side, kind in pose.holds.items():
                axes, origin = grip_frame(self.studio.model, pose.body, side)
                own += [
                    part.moved(axes, origin + person.shift)
                    for part in prop(stage, kind, down=axes.T @ [0, 0, -1.0])
                ]
            made += [part.moved(*person.placed) for part in own]
        return made

    def _surroundings(
        self, draws: Draws, stage: Draws, people: list[Person], camera: Camera, things: list[Part]
    ) -> tuple[Light, list[Part], bool]:
        """The light, a room or the ground if there is one, and whether it is dark."""
        if draws("backdrop") == "room":
            circles = [(*person.placed[1][:2], person.radius) for person in people]
            room = build_room(stage, circles, camera, standing=things)
            light = Light(self.lights[0], gain=0.0, lamps=tuple(room.lamps))  # walls close the view
            return light, list(room.parts), stage("room.light") in DARK
        face = people[0].face
        light = sample_light(stage, self.lights, face.position, face.facing, camera)
        below = []
        if draws("backdrop") == "panorama" and _sees_floor(camera, people[0]):
            below = ground(stage.rng, draws("ground"))
        return light, below, stage("light.setup") == "night"


def _beside(rng: np.random.Generator, person: Person, others: list[Person]) -> Person:
    """Put a person to a free place beside those who are there, turned roughly as they are."""
    if not others:
        return person
    first = others[0].radius
    for _ in range(20):
        away = (first + person.radius) * rng.uniform(0.75, 1.6)
        angle = rng.uniform(-0.25, 0.6) * np.pi / 2  # behind is positive
        side = rng.choice([-1.0, 1.0])
        place = np.array([side * away * np.cos(angle), away * np.sin(angle), 0.0])
        if all(_apart(place, person, other) for other in others):
            break
    return person.moved(float(-side * rng.normal(0.3, 0.4)), place)


def _apart(place: FloatArray, person: Person, other: Person) -> bool:
    distance = float(np.linalg.norm(place - other.placed[1]))
    return distance > 0.7 * (person.radius + other.radius)


def _is_clear(other: Person, first: Person, camera: Camera) -> bool:
    """Whether a companion neither stands in the lens nor hides the first person."""
    depth = float((other.head.mean(0) - camera.position) @ camera.forward)
    own = float((first.head.mean(0) - camera.position) @ camera.forward)
    apart = np.linalg.norm((other.placed[1] - camera.position)[:2])
    return depth > 0.75 * own and float(apart) > other.radius + 0.3


def _occluder(stage: Draws, person: Person, camera: Camera) -> list[Part]:
    """Something on the floor between the camera and a person."""
    towards = camera.position - person.body.mean(0)
    distance = float(np.linalg.norm(towards[:2]))
    direction = towards[:2] / max(distance, 1e-6)
    away = min(person.radius + stage.rng.uniform(0.25, 0.6), 0.75 * distance)
    yaw = np.arctan2(direction[0], -direction[1])
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    place = np.array([*(person.body.mean(0)[:2] + direction * away), 0.0])
    parts = [part.moved(turn, place) for part in occluder(stage)]
    # It may hide a body, not a face: seen from the camera it ends below the chest.
    top = np.array([*place[:2], max(part.mesh.vertices[:, 2].max() for part in parts)])
    chest = np.array([*person.chest[:, :2].mean(0), np.percentile(person.chest[:, 2], 40)])
    (seen_top, seen_chest), depth = camera.project(np.stack([top, chest]))
    return parts if depth.min() > 0.2 and seen_top[1] > seen_chest[1] else []


def _is_seen(part: Part, camera: Camera) -> bool:
    """Whether a thing may reach into the picture, to go by the box around it."""
    at, depth = camera.project(part.mesh.vertices)
    if depth.min() <= 0.05:  # beside the lens
        return True
    low, high = at.min(0), at.max(0)
    return bool((high > 0).all() and low[0] < camera.width and low[1] < camera.height)


def _sees_floor(camera: Camera, person: Person) -> bool:
    """Whether the floor beneath a person is in the picture."""
    feet = person.body[person.body[:, 2] < person.body[:, 2].min() + 0.05].mean(0)
    (at,), (depth,) = camera.project(feet)
    return bool(depth > 0 and -20 < at[0] < camera.width + 20 and at[1] < camera.height + 10)
