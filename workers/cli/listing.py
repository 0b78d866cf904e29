"""Rows for people: aligned on a terminal and folded to its width, one sentence each in a file or a pipe."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from workers.cli.output import shown

LEAST_WIDTH = 60
"""Of a terminal: a narrower one folds the lines itself."""
LEAST_WHY = 36
_RIGHT = ("LENGTH", "SIZE", "KB/S", "PID")


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths, by the names that will come and the terminal that there is. name: of the file; why: of the reason, 0
    where it gets lines of its own."""

    name: int
    why: int
    full: int

    @classmethod
    def for_names(cls, names: Sequence[str], others: int) -> Columns:
        """others: what the other columns take together."""
        full = max(shutil.get_terminal_size().columns, LEAST_WIDTH)
        name = min(max((len(shown(name)) for name in names), default=4), max(full - others - LEAST_WHY - 2, 20))
        why = full - name - others - 2
        return cls(name=name, why=why if why >= LEAST_WHY else 0, full=full)


class Listing:
    """Rows under each other: names, cells of fixed width, and a last one that takes the rest.

    first, last: titles of the first and the last column; heads: titles and widths of those between them."""

    def __init__(self, first: str, names: Sequence[str], heads: Sequence[tuple[str, int]], last: str) -> None:
        self._first, self._heads, self._last = first, heads, last
        self._columns = Columns.for_names([first, *names], sum(width + 2 for _, width in heads))
        self._aligned = sys.stdout.isatty()
        self._begun = False

    def row(self, name: str, cells: Sequence[str], rest: str, sentence: str) -> str:
        """The text of one row. rest: the last cell, folded where it is long; sentence: what is said where nobody looks
        at columns."""
        if not self._aligned:
            return sentence
        lines = [] if self._begun else [self._line(self._first, [head for head, _ in self._heads], self._last)]
        self._begun = True
        wide = self._columns.why
        folded = textwrap.wrap(shown(rest), wide or self._columns.full - 4)
        start = elided(shown(name), self._columns.name)
        lines.append(self._line(start, cells, folded[0] if wide and folded else ""))
        indent = self._columns.full - wide if wide else 4
        lines += [f"{'':{indent}}{line}" for line in (folded[1:] if wide else folded)]
        return "\n".join(lines)

    def _line(self, name: str, cells: Sequence[str], why: str) -> str:
        widths = [width for _, width in self._heads]
        middle = "  ".join(
            f"{cell:{_side(head)}{width}}" for cell, (head, _), width in zip(cells, self._heads, widths, strict=True)
        )
        return f"{name:<{self._columns.name}}  {middle}  {why if self._columns.why else ''}".rstrip()


def _side(head: str) -> str:
    return ">" if head in _RIGHT else "<"


def elided(text: str, width: int) -> str:
    """The beginning and the end: names of one folder differ at the end."""
    if len(text) <= width:
        return text
    return f"{text[: width // 3]}…{text[len(text) - (width - width // 3 - 1) :]}"


def folded(line: str, indent: int) -> str:
    """A line that fits the terminal, its further lines indented; in a file or a pipe as it is."""
    if not sys.stdout.isatty():
        return line
    full = max(shutil.get_terminal_size().columns, LEAST_WIDTH)
    # Spaces within stay: they align.
    lines = textwrap.wrap(shown(line), full, subsequent_indent=" " * indent, break_on_hyphens=False)
    return "\n".join(lines) if len(line) > full else line


def length(seconds: float | None) -> str:
    """0:03, 52:10, 1:02:03; under ten seconds with tenths."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"0:{seconds:04.1f}"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(size_bytes: int) -> str:
    """Three digits in units of 1000: 812 B, 96 kB, 9.61 MB, 262 MB."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    number, unit = size_bytes / 1000, "kB"
    for larger in ("MB", "GB"):
        if number >= 999.5:
            number, unit = number / 1000, larger
    digits = 0 if unit == "kB" or number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f} {unit}"
