"""Distributions of everything that is sampled, from YAML, and draws from them.

The package's own distributions lie in `distributions/*.yaml`; a user's file replaces any of them by
name. A name is a path such as `person.age`, its distribution one of

    0.3, true, text                        always that
    {uniform: [low, high]}                 also {loguniform: ...}
    {integer: [low, high]}                 both included
    {normal: [mean, sd, low, high]}        cut at low and high
    {beta: [a, b, low, high]}              stretched to low..high
    {chance: 0.4}                          true or false
    {choice: {name: weight, ...}}          one name
    {shares: {name: concentration, ...}}   Dirichlet: non-negative numbers that sum to 1
    {mixture: [[weight, distribution], ...]}
    {by: factor, of: {value: distribution, ...}}   depends on another; `other` fits the rest
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

Tree = dict[str, Any]
NUM_ARGUMENTS = {"uniform": 2, "loguniform": 2, "integer": 2, "normal": 4, "beta": 4, "chance": 1}
STRUCTURES = ("choice", "shares", "mixture", "by")


def load_distributions(path: Path | None = None) -> Tree:
    """The package's distributions, with those of a user's YAML file in their place.

    Args:
        path: YAML file that holds any part of the tree, or None.

    Raises:
        ValueError: If the file is no YAML, names a factor or an outcome that does not exist, or
            holds something that is no distribution.
    """
    tree: Tree = {}
    for file in sorted(
        resources.files(__package__).joinpath("distributions").iterdir(), key=lambda f: f.name
    ):
        if file.name.endswith(".yaml"):
            tree |= yaml.safe_load(file.read_text("utf-8"))
    if path is not None:
        try:
            given = yaml.safe_load(path.read_text("utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: expected YAML: {' '.join(str(error).split())}") from error
        _replace(tree, given, str(path), ())
    for name, distribution in _leaves(tree, ()):
        _check(distribution, name)
    return tree


def _is_distribution(node: Any) -> bool:
    return not isinstance(node, dict) or any(key in node for key in (*NUM_ARGUMENTS, *STRUCTURES))


def _replace(tree: Tree, given: Any, source: str, above: tuple[str, ...]) -> None:
    if not isinstance(given, dict):
        raise ValueError(f"{source}: expected names with distributions, got {given!r}")
    for name, value in given.items():
        path = (*above, str(name))
        if name not in tree:
            raise ValueError(
                f"{source}: no factor is called {'.'.join(path)}; here are {', '.join(tree)}"
            )
        if _is_distribution(tree[name]):
            if not _is_distribution(value):
                raise ValueError(f"{'.'.join(path)}: expected a distribution, got {value}")
            _check(value, ".".join(path))
            known, unknown = _names(tree[name]), _names(value) - _names(tree[name])
            if unknown:
                raise ValueError(
                    f"{'.'.join(path)}: expected {', '.join(sorted(known)) or 'no names'}, got "
                    f"{', '.join(sorted(unknown))}"
                )
            tree[name] = value
        else:
            _replace(tree[name], value, source, path)


def _names(distribution: Any) -> set[str]:
    """Names that a distribution may give. Those of the package's own are all there are."""
    if not isinstance(distribution, dict):
        return {distribution} if isinstance(distribution, str) else set()
    kind = next(iter(distribution))
    if kind in ("choice", "shares"):
        return {name for name in distribution[kind] if isinstance(name, str)}
    if kind == "mixture":
        return set().union(*(_names(part) for _, part in distribution[kind]))
    return set().union(*map(_names, distribution["of"].values())) if "of" in distribution else set()


def _leaves(tree: Tree, above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, node in tree.items():
        path = (*above, str(name))
        if _is_distribution(node):
            yield ".".join(path), node
        else:
            yield from _leaves(node, path)


def _check(distribution: Any, name: str) -> None:
    """Refuse what cannot be drawn from, before any night's work begins."""
    if isinstance(distribution, bool | int | float | str):
        return
    kind = _kind(distribution, name)
    value = distribution[kind]
    if kind in NUM_ARGUMENTS:
        _check_numbers(kind, value, name)
    elif kind in ("choice", "shares"):
        _check_weights(value.values() if isinstance(value, dict) else [], f"{name}: {kind}", value)
    elif kind == "mixture":
        pairs = value if isinstance(value, list) else []
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise ValueError(f"{name}: mixture takes [weight, distribution] pairs, got {value}")
        _check_weights([pair[0] for pair in pairs], f"{name}: {kind}", value)
        for _, part in pairs:
            _check(part, name)
    else:
        cases = distribution.get("of")
        if not isinstance(cases, dict) or not cases:
            raise ValueError(f"{name}: by takes cases under `of`, got {distribution}")
        for case, part in cases.items():
            _check(part, f"{name} of {case}")


def _kind(distribution: Any, name: str) -> str:
    keys = list(distribution) if isinstance(distribution, dict) else []
    kinds = [key for key in keys if key in (*NUM_ARGUMENTS, *STRUCTURES)]
    if not kinds or set(keys) - {kinds[0], "of"}:
        raise ValueError(f"{name}: expected a distribution, got {distribution}")
    return str(kinds[0])


def _check_weights(weights: Iterable[Any], name: str, value: Any) -> None:
    numbers = list(weights)
    if not numbers or not all(isinstance(n, int | float) and n >= 0 for n in numbers):
        raise ValueError(f"{name} takes names with weights >= 0, got {value}")
    if sum(numbers) <= 0:
        raise ValueError(f"{name} needs a weight above 0, got {value}")


def _as_key(value: Any) -> str:
    """A drawn value as the key of a case: YAML reads `true` and `2` as such, not as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_numbers(kind: str, value: Any, name: str) -> None:
    numbers = [value] if kind == "chance" else value
    if not isinstance(numbers, list) or len(numbers) != NUM_ARGUMENTS[kind]:
        raise ValueError(f"{name}: {kind} takes {NUM_ARGUMENTS[kind]} numbers, got {value}")
    if not all(isinstance(number, int | float) for number in numbers):
        raise ValueError(f"{name}: {kind} takes numbers, got {value}")
    if kind == "chance" and not 0 <= numbers[0] <= 1:
        raise ValueError(f"{name}: a chance lies in 0..1, got {value}")
    if kind != "chance" and numbers[-2] > numbers[-1]:
        raise ValueError(f"{name}: low is above high: {value}")
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{name}: {kind} takes finite numbers, got {value}")
    positive = {"loguniform": numbers[:1], "beta": numbers[:2]}.get(kind, [])
    if any(number <= 0 for number in positive) or (kind == "normal" and numbers[1] < 0):
        raise ValueError(f"{name}: {kind} cannot be drawn with {value}")


class Draws:
    """Draws factors of one person or one scene and keeps them.

    Args:
        rng: Source of randomness.
        tree: Distributions.
        section: Top of the tree to draw from: "person", "scene", ...

    Attributes:
        drawn: Every factor drawn so far, by name.
    """

    def __init__(self, rng: np.random.Generator, tree: Tree, section: str) -> None:
        self.rng = rng
        self._section = tree[section]
        self.drawn: dict[str, Any] = {}

    def __call__(self, name: str) -> Any:
        """Draw the factor `name`, a path within the section; once drawn it stays as it is.

        Raises:
            KeyError: If there is no such factor, or no case of what it depends on.
        """
        if name not in self.drawn:
            node: Any = self._section
            for key in name.split("."):
                node = node[key]
            self.drawn[name] = self._draw(node)
        return self.drawn[name]

    def has(self, name: str) -> bool:
        """Whether the section has a factor or a group of factors of that name."""
        node: Any = self._section
        for key in name.split("."):
            if not isinstance(node, Mapping) or key not in node:
                return False
            node = node[key]
        return True

    def put(self, name: str, value: Any) -> Any:
        """Keep a factor that something else decided."""
        self.drawn[name] = value
        return value

    def drop(self, group: str) -> None:
        """Forget the factors of a group: nothing was made of them."""
        self.drawn = {
            name: value for name, value in self.drawn.items() if not name.startswith(f"{group}.")
        }

    def _draw(self, node: Any) -> Any:
        if not isinstance(node, Mapping):
            return node
        if "by" in node:
            cases = {_as_key(key): case for key, case in node["of"].items()}
            given = _as_key(self(node["by"]))
            if given not in cases and "other" not in cases:
                raise KeyError(f"{node['by']} is {given}, of which no case is among {list(cases)}")
            return self._draw(cases[given] if given in cases else cases["other"])
        if "mixture" in node:
            weights = np.array([weight for weight, _ in node["mixture"]], float)
            index = self.rng.choice(len(weights), p=weights / weights.sum())
            return self._draw(node["mixture"][index][1])
        if "choice" in node:
            weights = np.array(list(node["choice"].values()), float)
            index = self.rng.choice(len(weights), p=weights / weights.sum())
            return list(node["choice"])[index]
        if "shares" in node:
            shares = self.rng.dirichlet(list(node["shares"].values()))
            return {key: float(part) for key, part in zip(node["shares"], shares, strict=True)}
        return self._draw_number(node)

    def _draw_number(self, node: Mapping[str, Any]) -> float | int | bool:
        (kind, values), rng = next(iter(node.items())), self.rng
        if kind == "chance":
            return bool(rng.random() < values)
        if kind == "uniform":
            return float(rng.uniform(*values))
        if kind == "loguniform":
            return float(math.exp(rng.uniform(math.log(values[0]), math.log(values[1]))))
        if kind == "integer":
            return int(rng.integers(values[0], values[1] + 1))
        if kind == "normal":
            mean, deviation, low, high = values
            return float(np.clip(rng.normal(mean, deviation), low, high))
        first, second, low, high = values
        return float(low + (high - low) * rng.beta(first, second))
