"""The materials things in one place share."""

from functools import cached_property

from .finishes import (
    WOODS,
    Finish,
    Rng,
    cloth,
    colour_of,
    leaf,
    leather,
    metal,
    painted,
    wood,
)


class Style:
    """Materials drawn when first asked for, then kept: few textures, and a room of one taste.

    Args:
        rng: Source of randomness, also of the shapes made in this style.
        palette: Colours of cloth and paint, one of `finishes.PALETTES`.
    """

    def __init__(self, rng: Rng, palette: str = "warm") -> None:
        self.rng = rng
        self.palette = palette

    def any_colour(self) -> Finish:
        """One of a dozen paints of all palettes, glossy or matt."""
        return self._paints[int(self.rng.integers(len(self._paints)))]

    @cached_property
    def _paints(self) -> list[Finish]:
        palettes = ("vivid", "vivid", "white", "dark", "warm", "cool", "grey", self.palette)
        names = self.rng.choice(palettes, 12)
        return [
            painted(colour_of(self.rng, str(name)), float(self.rng.uniform(0.2, 0.7)))
            for name in names
        ]

    def pick(self, *names: str) -> str:
        """One of the names."""
        return str(self.rng.choice(names))

    @cached_property
    def wood(self) -> Finish:
        """Of most furniture."""
        return wood(self.rng, str(self.rng.choice(list(WOODS))))

    @cached_property
    def other_wood(self) -> Finish:
        """Of the rest, or paint."""
        if self.rng.random() < 0.4:
            return painted(colour_of(self.rng, self.pick("white", "grey", "cool")), 0.4)
        return wood(self.rng, str(self.rng.choice(list(WOODS))))

    @cached_property
    def cloth(self) -> Finish:
        """Of upholstery."""
        if self.rng.random() < 0.2:
            return leather(self.rng, colour_of(self.rng, self.pick("dark", "warm", "grey")))
        return cloth(self.rng, colour_of(self.rng, self.pick(self.palette, "grey", "dark")))

    @cached_property
    def accent(self) -> Finish:
        """Of cushions and curtains."""
        return cloth(self.rng, colour_of(self.rng, self.pick(self.palette, "vivid", "white")))

    @cached_property
    def metal(self) -> Finish:
        """Of legs, handles and taps."""
        if self.rng.random() < 0.4:
            return self.dark
        return metal(self.rng)

    @cached_property
    def dark(self) -> Finish:
        """Black plastic or lacquer."""
        return painted((0.05, 0.05, 0.055), 0.4)

    @cached_property
    def white(self) -> Finish:
        """White paint, china, paper."""
        return painted((0.86, 0.85, 0.83), 0.45)

    @cached_property
    def leaf(self) -> Finish:
        """Of plants."""
        return leaf(self.rng)

    @cached_property
    def earth(self) -> Finish:
        """Of flower pots and earthenware."""
        return painted(colour_of(self.rng, self.pick("warm", "white", "dark")) * 0.8, 0.7)
