"""Tables of a report, and how they are written: Markdown, LaTeX, HTML. All text is escaped."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
MISSING = DASH
Tone = Literal["", "better", "worse"]

_LATEX = str.maketrans(
    {
        **{sign: rf"\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        # At the start of a row, the end of the row before would take them for its options.
        "[": "{[}",
        "*": "{*}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "↓": r"$\downarrow$",
        "↑": r"$\uparrow$",
        MINUS: "$-$",
        DASH: "--",
        "°": r"\textdegree{}",
        "δ": r"$\delta$",
        "²": r"\textsuperscript{2}",
        "³": r"\textsuperscript{3}",
        "\N{NO-BREAK SPACE}": "~",
        "\n": " ",
    }
)


class Cell(NamedTuple):
    """Text, and whether it tells of something better or worse."""

    text: str
    tone: Tone = ""


class Row(NamedTuple):
    """A row, and whether it is ours."""

    cells: tuple[Cell, ...]
    is_ours: bool = False


@dataclass(frozen=True)
class Table:
    """A table; its first column holds names, the others numbers.

    Attributes:
        title: What it shows.
        header: Text above each column.
        rows: As wide as the header.
        spans: Text above neighbouring columns, and their number; as wide as the header, or empty.
        notes: Sentences below it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    spans: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()


def row(cells: Iterable[str | Cell], is_ours: bool = False) -> Row:
    """A row of texts and cells."""
    found = tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells)
    return Row(found, is_ours)


def write_tables(tables: Sequence[Table], form: str) -> str:
    """Write tables one below the other.

    Args:
        tables: What to write.
        form: "markdown", "latex" (it needs the package booktabs) or "html".

    Raises:
        ValueError: If the form is another one.
    """
    if form not in FORMS:
        raise ValueError(f"expected a format out of {', '.join(FORMS)}, got {form!r}")
    return FORMS[form](tables)


def markdown(tables: Sequence[Table]) -> str:
    """Tables of GitHub's Markdown."""
    return "\n\n".join(_markdown(table) for table in tables) + "\n"


def latex(tables: Sequence[Table]) -> str:
    """LaTeX with the rules of booktabs."""
    head = r"% \usepackage[utf8]{inputenc} \usepackage{booktabs, textcomp}" + "\n\n"
    return head + "\n\n".join(_latex(table) for table in tables) + "\n"


def html(tables: Sequence[Table]) -> str:
    """HTML without a style."""
    from .render import render

    return render("tables.html", tables=tables)


FORMS: dict[str, Callable[[Sequence[Table]], str]] = {
    "markdown": markdown,
    "latex": latex,
    "html": html,
}


def _markdown(table: Table) -> str:
    groups = [text for text, width in table.spans for _ in range(width)]
    header = [
        _bold(" ".join(filter(None, texts))) if table.spans else _escape_markdown(texts[-1])
        for texts in zip(groups or table.header, table.header, strict=True)
    ]
    lines = [f"**{_escape_markdown(table.title)}**", "", _line(header)]
    lines.append("|---|" + "---:|" * (len(header) - 1))
    for cells, is_ours in table.rows:
        texts = [_bold(cell.text) if is_ours else _escape_markdown(cell.text) for cell in cells]
        lines.append(_line(texts))
    for note in table.notes:
        lines += ["", _escape_markdown(note)]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _bold(text: str) -> str:
    return f"**{_escape_markdown(text)}**" if text else ""


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|#$~])", r"\\\1", " ".join(text.split()))


def _latex(table: Table) -> str:
    lines = [r"\begin{table}", r"  \centering", rf"  \caption{{{_escape_latex(table.title)}}}"]
    lines += [rf"  \begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}", r"    \toprule"]
    if table.spans:
        above = [
            rf"\multicolumn{{{width}}}{{c}}{{{_escape_latex(text)}}}" for text, width in table.spans
        ]
        lines.append(_latex_line(above))
    lines += [_latex_line(map(_escape_latex, table.header)), r"    \midrule"]
    for cells, is_ours in table.rows:
        texts = [_escape_latex(cell.text) for cell in cells]
        lines.append(_latex_line(rf"\textbf{{{text}}}" if is_ours else text for text in texts))
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    lines += [rf"  \par {_escape_latex(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"])


def _latex_line(cells: Iterable[str]) -> str:
    return "    " + " & ".join(cells) + r" \\"


def _escape_latex(text: str) -> str:
    return text.translate(_LATEX)
