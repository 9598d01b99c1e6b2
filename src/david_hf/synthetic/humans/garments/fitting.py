"""The body as a tailor sees it: measures, coordinates along trunk and limbs, layers worn so far."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from david_hf.synthetic.humans.bodies import NUM_BASE_VERTICES, BodyModel, PosedBody
from david_hf.synthetic.mesh import FloatArray, IntArray, normalize, vertex_normals

from .cutting import Sheet, subdivide

ARM_BONES = ("upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")
NO_CLOTH = ("head", "finger", "toe", "eye", "metacarpal", "oculi", "oris", "tongue", "temporalis")


@dataclass(frozen=True)
class Weave:
    """A part of the base mesh, subdivided.

    Attributes:
        matrix: Sparse (N, 19158): fine vertices from base vertices.
        faces: (F, 3) indices of fine vertices.
    """

    matrix: sparse.csr_matrix
    faces: IntArray


@lru_cache(maxsize=8)
def weave(model: BodyModel, part: str, steps: int) -> Weave:
    """The skin that clothes can cover ("body") or another part of the base mesh, subdivided."""
    faces = model.parts[part].faces
    if part == "body":
        bare = np.zeros(NUM_BASE_VERTICES, bool)
        for name in NO_CLOTH:
            bare |= np.char.startswith(model.bone_of, name)
        faces = faces[~bare[faces].all(1)]
    used, compact = np.unique(faces, return_inverse=True)
    faces = compact.reshape(-1, 3)
    ones = np.ones(len(used))
    matrix = sparse.csr_matrix((ones, (np.arange(len(used)), used)), (len(used), NUM_BASE_VERTICES))
    for _ in range(steps):
        step, faces = subdivide(faces, matrix.shape[0])
        matrix = step @ matrix
    return Weave(matrix, faces)


@dataclass
class Fit:
    """One posed body with its layers of clothes.

    Attributes:
        model: The body model.
        body: The posed body.
        outer: (19158, 3) posed position of the outermost layer over every base vertex.
        covered: (19158,) whether any cloth lies over the skin.
        hides: (19158,) whether the skin is covered and need not be drawn.
    """

    model: BodyModel
    body: PosedBody
    outer: FloatArray = field(init=False)
    covered: NDArray[np.bool_] = field(init=False)
    hides: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        # Cloth spans small bumps of the skin: it is fitted to a body without them.
        self.outer = self.posed(self.dummy)
        self.covered = np.zeros(len(self.outer), bool)
        self.hides = np.zeros(len(self.outer), bool)

    def joint(self, bone: str) -> FloatArray:
        """Rest position (3,) of a joint."""
        return self.body.rest.joints[self.model.bone(bone)]

    @property
    def rest(self) -> FloatArray:
        """Rest vertices (19158, 3)."""
        return self.body.rest.vertices

    @cached_property
    def on_skin(self) -> NDArray[np.bool_]:
        """(19158,) whether a base vertex belongs to the skin, not to a helper mesh."""
        mask = np.zeros(len(self.rest), bool)
        mask[self.model.surface_vertices] = True
        return mask

    @cached_property
    def rest_normals(self) -> FloatArray:
        """Unit normals (19158, 3) at rest."""
        return vertex_normals(self.rest, self.model.surface.faces)

    @cached_property
    def height(self) -> dict[str, float]:
        """Rest heights of waist, hip, crotch, knee, ankle, chest, shoulder and neck, metres."""
        levels = {
            "waist": self.joint("spine04")[2],
            "hip": self.joint("upperleg01.L")[2],
            "crotch": 0.4 * self.joint("upperleg01.L")[2] + 0.6 * self.joint("upperleg02.L")[2],
            "knee": self.joint("lowerleg01.L")[2],
            "ankle": self.joint("foot.L")[2],
            "chest": self.joint("spine02")[2],
            "shoulder": self.joint("shoulder01.L")[2],
            "neck": self.joint("neck01")[2],
        }
        return {name: float(value) for name, value in levels.items()}

    @cached_property
    def size(self) -> float:
        """Length of the trunk over that of an average adult's."""
        return (self.height["neck"] - self.height["hip"]) / 0.52

    @cached_property
    def blended(self) -> FloatArray:
        """Skinning transform (19158, 12) of every base vertex."""
        flat = self.body.transforms[:, :3].reshape(len(self.body.transforms), 12)
        return self.model.skin_weights.astype(np.float64) @ flat

    @property
    def trim(self) -> float:
        """Size of collars, hoods and pockets over those of an average adult."""
        return float(np.clip(self.size, 0.6, 1.1))

    def outside(self, points: FloatArray, gap: float) -> FloatArray:
        """Posed points (N, 3) pushed at least `gap` metres out of the layers worn so far."""
        own = self.model.surface_vertices
        own = own[(self.rest[own, 2] > self.height["chest"]) & (self.arm_weight[own] < 0.5)]
        normals = vertex_normals(self.outer, self.model.surface.faces)
        index = own[cKDTree(self.outer[own]).query(points, k=3)[1]]
        offset = points[:, None] - self.outer[index]
        height = (offset * normals[index]).sum(2).mean(1)
        outwards = normalize(normals[index].mean(1))
        return np.asarray(points + outwards * np.clip(gap - height, 0, 0.04)[:, None])

    def posed(self, points: FloatArray, index: IntArray | None = None) -> FloatArray:
        """Rest positions of base vertices (all, or those of `index`) carried to the pose."""
        rows = self.blended if index is None else self.blended[index]
        matrix = rows.reshape(-1, 3, 4)
        return np.einsum("vab,vb->va", matrix[:, :, :3], points) + matrix[:, :, 3]

    def carried(self, points: FloatArray, bone: str | None = None) -> FloatArray:
        """Free rest points (N, 3) posed with a bone, or with the skin that lies nearest."""
        if bone is not None:
            matrix = self.body.transforms[self.model.bone(bone)]
            return points @ matrix[:3, :3].T + matrix[:3, 3]
        distance, near = self._skin_tree.query(points, k=6)
        weight = 1 / (distance + 0.01) ** 2
        rows = np.einsum("nk,nkc->nc", weight, self.blended[self.model.surface_vertices][near])
        matrix = (rows / weight.sum(1, keepdims=True)).reshape(-1, 3, 4)
        return np.einsum("vab,vb->va", matrix[:, :, :3], points) + matrix[:, :, 3]

    @cached_property
    def _skin_tree(self) -> cKDTree:
        return cKDTree(self.rest[self.model.surface_vertices])

    @cached_property
    def arm_weight(self) -> FloatArray:
        """Share (19158,) of the skin weight that arms and hands have."""
        names = [
            bone
            for bone in self.model.bones
            if bone.startswith((*ARM_BONES, "finger", "metacarpal"))
        ]
        return np.asarray(self.model.weight_of(names), float)

    @cached_property
    def arm(self) -> FloatArray:
        """Metres (19158,) along the sleeve from the shoulder joint; -0.1 on the trunk."""
        along = np.full(len(self.rest), -0.1)
        for side, sign in (("L", 1), ("R", -1)):
            own = (self.arm_weight > 0.01) & (self.rest[:, 0] * sign > 0)
            shoulder, elbow = self.joint(f"upperarm01.{side}"), self.joint(f"lowerarm01.{side}")
            wrist, points = self.joint(f"wrist.{side}"), self.rest[own]
            upper, lower = elbow - shoulder, wrist - elbow
            first = (points - shoulder) @ normalize(upper)
            second = np.linalg.norm(upper) + (points - elbow) @ normalize(lower)
            middle = self.joint(f"lowerarm01.{side}")
            past = (points - middle) @ normalize(normalize(upper) + normalize(lower))
            share = np.clip(0.5 + past / 0.08, 0, 1)
            length = (1 - share) * first + share * second
            weight = self.arm_weight[own]
            along[own] = weight * length + (1 - weight) * -0.1
        return along

    @cached_property
    def arm_length(self) -> float:
        """Metres along the sleeve from shoulder joint to wrist."""
        points = [self.joint(f"{name}.L") for name in ("upperarm01", "lowerarm01", "wrist")]
        return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())

    @cached_property
    def elbow(self) -> float:
        """Metres along the sleeve from shoulder joint to elbow."""
        return float(np.linalg.norm(self.joint("lowerarm01.L") - self.joint("upperarm01.L")))

    def above_neck(self, rest: FloatArray) -> FloatArray:
        """Metres (N,) above the tilted plane in which a round neckline lies."""
        origin = self.joint("neck01")
        return rest[:, 2] - origin[2] - 0.5 * (rest[:, 1] - origin[1]) + 0.004

    @cached_property
    def front(self) -> float:
        """Rest y that parts front from back at the trunk."""
        return float(self.joint("neck01")[1])

    @cached_property
    def hang(self) -> FloatArray:
        """Metres (19158,) that cloth hanging from chest, belly and back stands off the trunk."""
        return drape(self.rest, (self.arm_weight < 0.3) & self._trunk, self.joint("spine02"), 0.08)

    @cached_property
    def _trunk(self) -> NDArray[np.bool_]:
        low, high = self.height["crotch"] - 0.12, self.height["neck"] - 0.02
        return self.on_skin & (self.rest[:, 2] > low) & (self.rest[:, 2] < high)

    @cached_property
    def leg_hang(self) -> FloatArray:
        """Metres (19158,) that straight trousers stand off the legs."""
        total = np.zeros(len(self.rest))
        for side, sign in (("L", 1), ("R", -1)):
            low, high = self.joint(f"foot.{side}"), self.joint(f"upperleg02.{side}")
            own = self.on_skin & (self.rest[:, 0] * sign > 0) & (self.rest[:, 2] < high[2])
            own &= (self.rest[:, 2] > low[2] - 0.03) & (self.arm_weight < 0.1)
            share = (self.rest[:, 2] - low[2]) / (high[2] - low[2])
            centre = low + share[:, None] * (high - low)
            fade = np.clip((high[2] - self.rest[:, 2]) / 0.12, 0, 1)
            total += drape(self.rest, own, centre, 0.03) * fade
        return total

    @cached_property
    def dummy_normals(self) -> FloatArray:
        """Unit normals (19158, 3) of `dummy`."""
        return vertex_normals(self.dummy, self.model.surface.faces)

    @property
    def outer_rest(self) -> FloatArray:
        """Rest vertices (N, 3) of trunk and arms, pushed out to where clothes lie."""
        own = self.model.surface_vertices
        own = own[self.rest[own, 2] > self.height["chest"]]
        return np.asarray(self.rest[own] + 0.014 * self.rest_normals[own])

    @cached_property
    def dummy(self) -> FloatArray:
        """Rest vertices (19158, 3) of a body without small bumps, of the same girth."""
        points, mean = self.rest, self.model.neighbour_mean
        for _ in range(20):
            for share in (0.6, -0.61):  # Taubin's pair of steps does not shrink
                points = points + share * (mean @ points - points)
        return np.where(self._clothed[:, None], points, self.rest)

    @cached_property
    def _clothed(self) -> NDArray[np.bool_]:
        clothed = self.on_skin.copy()
        for name in NO_CLOTH:
            clothed &= ~np.char.startswith(self.model.bone_of, name)
        return clothed

    def sheet(
        self, shell: FloatArray, rest_shell: FloatArray, part: str = "body", steps: int = 1
    ) -> Sheet:
        """Posed and rest base vertices (19158, 3) as a fine sheet over a part of the body."""
        fine = weave(self.model, part, steps)
        points = fine.matrix @ np.column_stack([shell, rest_shell, self.arm])
        normals = vertex_normals(points[:, :3], fine.faces)
        return Sheet(points[:, :3], normals, points[:, 3:6], points[:, 6], fine.faces)


def drape(points: FloatArray, own: NDArray[np.bool_], axis: FloatArray, slope: float) -> FloatArray:
    """How far cloth that hangs from the widest places above stands off each point.

    Args:
        points: (N, 3) rest positions, z up.
        own: (N,) whether a point belongs to the limb or trunk.
        axis: (3,) or (N, 3) points of the upright axis.
        slope: How much the radius shrinks per metre of fall.

    Returns:
        Metres (N,) of radial distance, 0 for points outside of `own`.
    """
    around = np.broadcast_to(axis, points.shape)
    offset = (points - around)[own]
    radius = np.hypot(offset[:, 0], offset[:, 1])
    bins, cell = 40, 0.02
    place = (np.arctan2(offset[:, 0], -offset[:, 1]) / (2 * np.pi)) % 1 * bins
    depth = (points[own, 2].max() - points[own, 2]) / cell
    angle, row = place.astype(int) % bins, depth.astype(int)
    grid = np.zeros((row.max() + 1, bins))
    np.maximum.at(grid, (row, angle), radius)
    hung = grid.copy()
    for k in range(1, len(hung)):
        side = np.maximum(np.roll(hung[k - 1], 1), np.roll(hung[k - 1], -1)) - 0.01
        fallen = np.maximum(hung[k - 1], side) - slope * cell
        hung[k] = np.maximum(grid[k], fallen)
    hung = gaussian_filter(hung, (2.0, 1.2), mode=("nearest", "wrap"))
    result = np.zeros(len(points))
    # Only columns wrap: rows are kept within the grid.
    inside = np.clip(depth - 0.5, 0, len(hung) - 1)
    reach = map_coordinates(hung, [inside, place - 0.5], order=1, mode="grid-wrap")
    result[own] = np.clip(reach - radius, 0, 0.12)
    return result
