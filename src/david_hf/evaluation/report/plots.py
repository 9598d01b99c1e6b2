"""Plots of a report as SVG to put into HTML: they take the colours of the page, light or dark."""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .factors import Slice, title_of
from .metric_names import MetricName

# Colours that stand for the page's own, which tell light from dark.
_INK, _MUTED, _GRID, _ACCENT = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
_VARIABLES = {_INK: "--ink", _MUTED: "--muted", _GRID: "--grid", _ACCENT: "--accent"}
# Matplotlib has a type of each version's keys.
_STYLE: Any = {
    "font.size": 9,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _MUTED,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _INK,
    "ytick.major.size": 0,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
}
_CLEANING = {
    r'^.*?<svg [^>]*(viewBox="[^"]*")[^>]*>': r'<svg \1 role="img">',
    r"<metadata>.*?</metadata>": "",
    r"<defs> <style.*?</style> </defs>": "",
    r'font-family: [^;"]*': "font-family: inherit",
    r"xlink:href": "href",
    r' id="[a-zA-Z.]+[0-9a-z]*_\d+"': "",  # names of parts, which repeat from plot to plot
    r"> <": "><",
}
_WIDTH_IN = 4.4
_MAX_POINTS = 300  # of a group
_MAX_LABEL = 20  # characters
_JITTER = 0.22  # share of a row's height


def histogram(values: Sequence[float], name: MetricName) -> str:
    """How a metric is distributed over images; a line marks the mean.

    Args:
        values: Of each image.
        name: What the metric is called.

    Returns:
        An `<svg>` element.
    """
    shown = np.array(values) * name.scale
    with _figure(2.0) as (figure, axes):
        edges = np.histogram_bin_edges(shown, bins=min(30, max(5, round(2 * len(shown) ** 0.5))))
        axes.hist(shown, bins=edges, color=_ACCENT, alpha=0.55, rwidth=0.92)
        axes.axvline(shown.mean(), color=_INK, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.set_ylabel("images")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(axis="y")
        _label(axes, name)
        return _svg(figure, f"Histogram of {name.title}")


def strips(one: Slice, title: str) -> str:
    """A metric by group: images as points, means with their intervals.

    Args:
        one: The metric; groups without a mean show points alone.
        title: What the plot shows, for those who do not see it.

    Returns:
        An `<svg>` element.
    """
    groups = sorted(set(one.labels))
    rng = np.random.default_rng(0)
    with _figure(0.7 + 0.34 * len(groups)) as (figure, axes):
        for place, group in enumerate(groups):
            values = (
                np.array(
                    [v for v, label in zip(one.values, one.labels, strict=True) if label == group]
                )
                * one.name.scale
            )
            points = _thinned(values)
            heights = place + rng.uniform(-_JITTER, _JITTER, len(points))
            opacity = float(np.clip(8 / len(points) ** 0.5, 0.3, 0.8))
            axes.plot(points, heights, "o", color=_ACCENT, alpha=opacity, markersize=3.6, mew=0)
            _mark_mean(axes, one, group, place)
        labels = [
            f"{_shortened(title_of(group))} ({one.labels.count(group):,})" for group in groups
        ]
        axes.set_yticks(range(len(groups)), labels, parse_math=False)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.grid(axis="x")
        _label(axes, one.name)
        return _svg(figure, title)


def _mark_mean(axes: Any, one: Slice, group: str, place: int) -> None:
    found = one.statistics or {}
    if f"mean_{group}" not in found:
        return
    low, mean, high = (found[f"{key}_{group}"] * one.name.scale for key in ("low", "mean", "high"))
    axes.plot([low, high], [place, place], color=_INK, linewidth=1.6, solid_capstyle="butt")
    axes.plot([mean], [place], "D", color=_INK, markersize=4.5, mew=0)


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values that show the distribution of many."""
    if len(values) <= _MAX_POINTS:
        return values
    return np.sort(values)[np.linspace(0, len(values) - 1, _MAX_POINTS).round().astype(int)]


def _label(axes: Any, name: MetricName) -> None:
    axes.set_xlabel(f"{name.label} ({name.unit})" if name.unit else name.label)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _shortened(text: str) -> str:
    # What is not printable has no place in XML.
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    return text if len(text) <= _MAX_LABEL else f"{text[: _MAX_LABEL - 1]}…"


@contextmanager
def _figure(height_in: float) -> Iterator[tuple[Figure, Any]]:
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The reader's fonts draw the text, not Matplotlib's.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        yield figure, figure.add_subplot()


def _svg(figure: Figure, title: str) -> str:
    """The figure without what a page has no use for, nor what would leave the plot's own bounds."""
    buffer = io.StringIO()
    # Salted by the title, what plots refer to is named otherwise in each.
    with mpl.rc_context({"svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = re.sub(r"\s*\n\s*", " ", buffer.getvalue())
    for pattern, replacement in _CLEANING.items():
        text = re.sub(pattern, replacement, text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text.strip()
