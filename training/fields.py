"""Values out of YAML, checked against the types of a dataclass's fields."""

import dataclasses
import math
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def check_types(instance: Any, owner: str = "") -> None:
    """Check the fields that are numbers, text or yes and no.

    YAML takes 1e-4 for text and 100.0 for no whole number: both become what the field is.

    Args:
        instance: Of a dataclass, frozen or not; its fields are set.
        owner: What a message begins with.

    Raises:
        ValueError: If a value is of another type, or a number that is not finite.
    """
    for item in dataclasses.fields(instance):
        kinds = get_args(item.type) if isinstance(item.type, UnionType) else (item.type,)
        wanted = [kind for kind in kinds if kind in _NAMES]
        value = getattr(instance, item.name)
        if not wanted or (value is None and NoneType in kinds):
            continue
        if any(get_origin(kind) is not None for kind in kinds):
            continue
        found = next((v for kind in wanted if (v := _read(value, kind)) is not None), None)
        if found is None:
            expected = " or ".join(_NAMES[kind] for kind in wanted)
            raise ValueError(f"{owner}{item.name}: expected {expected}, got {value!r}")
        object.__setattr__(instance, item.name, found)


def _read(value: Any, kind: Any) -> Any:
    """The value as this type, or None."""
    if kind in (bool, str):
        return value if isinstance(value, kind) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number) or (kind is int and number != int(number)):
        return None
    return value if isinstance(value, int) and kind is int else kind(number)
