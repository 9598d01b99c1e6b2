"""What is kept from training, so that there is something unseen to measure on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, overload

import yaml

from .sample import HumanSample
from .sources.synthhuman import SynthHuman


@dataclass(frozen=True)
class HeldOut:
    """Names that no training may see.

    Attributes:
        panoramas: File names of panoramas.
        photos: How names of background photos begin.
        hair: Hair styles.
        clothes: Garments.
    """

    panoramas: frozenset[str] = frozenset()
    photos: tuple[str, ...] = ()
    hair: frozenset[str] = frozenset()
    clothes: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path) -> "HeldOut":
        """Read a YAML file with a list for any of the attributes.

        Raises:
            ValueError: If it is no such file.
        """
        try:
            content = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"{path}: expected a YAML file ({error})") from error
        known = [field.name for field in fields(cls)]
        is_lists = isinstance(content, dict) and all(isinstance(v, list) for v in content.values())
        if not is_lists or set(content) - set(known):
            raise ValueError(f"{path}: expected lists of names for any of {', '.join(known)}")
        names = {key: frozenset(map(str, value)) for key, value in content.items()}
        return cls(**{**names, "photos": tuple(sorted(names.get("photos", ())))})  # type: ignore[arg-type]

    def has(self, factors: Mapping[str, Any]) -> bool:
        """Whether a rendered sample shows any of it, to go by its factors."""
        if factors.get("stage", {}).get("light.panorama") in self.panoramas:
            return True
        if self.has_photo(Path(factors.get("photo", ""))):
            return True
        return any(
            person.get("hair.style") in self.hair
            or not self.clothes.isdisjoint(person.get("clothes.worn", ()))
            for person in factors.get("people", ())
        )

    def has_photo(self, path: Path) -> bool:
        """Whether a background photo is one of them."""
        return bool(self.photos) and path.name.startswith(self.photos)


class WithoutHeldOut(Sequence[HumanSample]):
    """The samples of a source that show nothing held out.

    Args:
        source: Rendered samples.
        held_out: What to leave out.

    Raises:
        ValueError: If nothing is left.
    """

    def __init__(self, source: SynthHuman, held_out: HeldOut) -> None:
        self._source = source
        self.positions = [i for i in range(len(source)) if not held_out.has(source.factors(i))]
        if not self.positions:
            raise ValueError(f"{source.root}: all of its {len(source)} samples are held out")

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, position: int) -> HumanSample: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[HumanSample]: ...
    def __getitem__(self, position: int | slice) -> HumanSample | Sequence[HumanSample]:
        """Read and decode one sample, or a list of them."""
        if isinstance(position, slice):
            return [self._source[i] for i in self.positions[position]]
        return self._source[self.positions[position]]
