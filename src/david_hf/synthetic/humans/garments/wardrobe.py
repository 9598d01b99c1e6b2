"""What an outfit is made with: the body, the draws, its fabrics, and the parts made so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.humans.fabrics import Fabric, colour_of, plain, weave_fabric
from david_hf.synthetic.mesh import FloatArray, Mesh
from david_hf.synthetic.scene import Part, Surface

from .cutting import Sheet
from .fitting import Fit
from .parts import cloth_part, worn
from .shells import Pattern, Shell, sew

METAL = Surface("plain", 0.3, 0.5, metallic=1.0)
PLASTIC = Surface("plain", 0.4, 0.5)
LEATHER = Surface("plain", 0.42, 0.5, bump_scale=250.0, bump_height=0.0003)
RUBBER = Surface("plain", 0.8, 0.3)


@dataclass
class Wardrobe:
    """State while one person is dressed.

    Attributes:
        draws: Of the section "clothes".
        fit: The body with its layers.
        texture_size: Side of textures, pixels.
        parts: Everything made so far.
        names: What is worn.
    """

    draws: Draws
    fit: Fit
    texture_size: int
    parts: list[Part] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @property
    def rng(self) -> np.random.Generator:
        """Source of fine jitter."""
        return self.draws.rng

    @property
    def steps(self) -> int:
        """Subdivisions of cloth on the trunk: finer where the camera is near."""
        return 2 if self.draws.drawn.get("close_up") == "true" else 1

    def between(self, low: float, high: float) -> float:
        """A uniform number."""
        return float(self.rng.uniform(low, high))

    def fabric(self, garment: str, material: str, pattern: str = "") -> Fabric:
        """A fabric with the tones and the pattern drawn for a garment: "top", "bottom", ..."""
        first = colour_of(self.draws(f"{garment}.tone"), self.rng)
        second = colour_of(self.draws(f"{garment}.second_tone"), self.rng)
        pattern = pattern or self.draws(f"{garment}.pattern")
        return weave_fabric(self.rng, material, pattern, first, second, min(self.texture_size, 512))

    def second(self, garment: str, material: str, pattern: str = "plain") -> Fabric:
        """A fabric for trimmings in the second tone of a garment."""
        first = colour_of(self.draws(f"{garment}.second_tone"), self.rng)
        return weave_fabric(self.rng, material, pattern, first, first * 0.6, 256)

    def coloured(self, tone: str, surface: Surface) -> Fabric:
        """Plain matter of a tone."""
        return plain(colour_of(tone, self.rng), surface)

    def sew(self, name: str, pattern: Pattern, beneath: Sequence[Pattern] = ()) -> Shell:
        """Cut a garment and note its name."""
        self.names.append(name)
        return sew(self.fit, self.rng, pattern, beneath)

    def add(self, name: str, sheet: Sheet, fabric: Fabric, legs: bool = False) -> None:
        """Add a sheet of cloth, unless nothing is left of it."""
        if len(sheet.faces):
            self.parts.append(cloth_part(self.fit, name, sheet, fabric, legs))

    def put(self, name: str, mesh: Mesh, fabric: Fabric) -> None:
        """Add a mesh."""
        self.parts.append(worn(name, mesh, fabric))


def seam_of(fabric: Fabric) -> Fabric:
    """The same fabric, darker: seams and stitched lines."""
    pixels = (fabric.texture * 0.62).astype(np.uint8)
    return Fabric(pixels, fabric.surface)


def ribs_of(fabric: Fabric, rng: np.random.Generator, shade: float = 1.0) -> Fabric:
    """A knitted rib in the mean colour of a fabric."""
    colour: FloatArray = fabric.texture.reshape(-1, 3).mean(0) / 255 * shade
    return weave_fabric(rng, "knit", "ribs", colour, colour * 0.45, 256)
