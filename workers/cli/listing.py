"""Recordings and memos in lines for people: aligned on a terminal, one sentence each in a file or a pipe."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.audio import Converted, Inspection
from workers.cli.output import shown

LEAST_WIDTH = 60
"""Of a terminal: a narrower one folds the lines itself."""
LEAST_WHY = 36


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
        return cls(name=max(name, 4), why=why if why >= LEAST_WHY else 0, full=full)


class Listing:
    """Rows under each other. heads: titles and widths of the columns between the file and the reason."""

    def __init__(self, names: Sequence[str], heads: Sequence[tuple[str, int]]) -> None:
        self._heads = heads
        self._columns = Columns.for_names(names, sum(width + 2 for _, width in heads))
        self._aligned = sys.stdout.isatty()
        self._begun = False

    def row(self, name: str, cells: Sequence[str], why: str, sentence: str) -> str:
        """The text of one row. sentence: what is said where nobody looks at columns."""
        if not self._aligned:
            return shown(sentence)
        lines = [*([] if self._begun else [self._line("FILE", [head for head, _ in self._heads], "WHY")])]
        self._begun = True
        wide = self._columns.why
        reason = textwrap.wrap(shown(why), wide or self._columns.full - 4)
        lines.append(self._line(_elided(shown(name), self._columns.name), cells, reason[0] if wide and reason else ""))
        indent = self._columns.full - wide if wide else 4
        lines += [f"{'':{indent}}{line}" for line in (reason[1:] if wide else reason)]
        return "\n".join(lines)

    def _line(self, name: str, cells: Sequence[str], why: str) -> str:
        widths = [width for _, width in self._heads]
        middle = "  ".join(
            f"{cell:{_side(head)}{width}}" for cell, (head, _), width in zip(cells, self._heads, widths, strict=True)
        )
        return f"{name:<{self._columns.name}}  {middle}  {why if self._columns.why else ''}".rstrip()


def _side(head: str) -> str:
    return ">" if head in ("LENGTH", "SIZE", "KB/S") else "<"


def _elided(text: str, width: int) -> str:
    """The beginning and the end: names of one folder differ at the end."""
    if len(text) <= width:
        return text
    return f"{text[: width // 3]}…{text[len(text) - (width - width // 3 - 1) :]}"


INSPECTED = (("ACTION", 12), ("LENGTH", 8), ("SIZE", 8), ("SOUND", 24))
CONVERTED = (("ACTION", 12), ("LENGTH", 8), ("SIZE", 8), ("KB/S", 5))


def inspected(row: Inspection) -> list[str]:
    """The cells of one inspected recording, for INSPECTED."""
    return [row.action, length(row.duration_s), size(row.size_bytes), _sound(row)]


def converted(row: Converted) -> list[str]:
    """The cells of one memo, for CONVERTED."""
    return [row.action, length(row.duration_s), size(row.size_bytes), f"{row.bitrate_kbps:.0f}"]


def _sound(row: Inspection) -> str:
    if row.codec is None or row.sample_rate_hz is None:
        return "-"
    channels = {1: "mono", 2: "stereo"}.get(row.channels or 0, f"{row.channels} ch")
    kind = row.container if row.codec in (row.container, "mp3") else f"{row.container}/{row.codec}"
    return _elided(f"{kind} {row.sample_rate_hz / 1000:g}k {channels}", 24)


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


def summary(actions: Iterable[str]) -> str:
    """What became of all of them, in one line."""
    counts = Counter(actions)
    order = ("pass-through", "remux", "transcode", "reject", "failed")
    told = ", ".join(f"{counts[name]} {name}" for name in order if counts[name])
    total = counts.total()
    return f"{total} recording{'s' if total != 1 else ''}: {told}"
