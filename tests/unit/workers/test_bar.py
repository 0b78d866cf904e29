"""Bars: what is drawn on a terminal, and that nothing is drawn elsewhere."""

from __future__ import annotations

import io
import re
import sys

import pytest

from workers.cli.bar import Bar

NAMES = ["a.ogg", "b\x1b[31m.ogg", "c" * 100 + ".ogg"]


class Terminal(io.StringIO):
    """Standard error as a person sees it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal on which everything is drawn at once."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("workers.cli.bar.PATIENCE_S", 0.0)
    monkeypatch.setattr("workers.cli.bar.REDRAW_S", 0.0)
    return Terminal()


def drawn(terminal: Terminal) -> list[tuple[str, int]]:
    """Name and percentage of each bar, in the order drawn, since the last time."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    terminal.seek(0)
    terminal.truncate()
    return [(name, int(share)) for name, share in re.findall(r"(\S+) +[━╸╺]+ +(\d+)%", text)]


def test_shares_are_drawn_by_weight(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole counts by size; one that is done goes; names steer no terminal, and long ones are cut."""
    monkeypatch.setattr(sys, "stderr", terminal)  # pytest puts its own there before each test
    bar = Bar(NAMES, [1.0, 1.0, 2.0], whole="converted")
    bar.share(0, 0.5)
    assert drawn(terminal) == [("converted", 12), ("a.ogg", 50)]
    bar.done(0)
    bar.share(1, 0.5)
    assert drawn(terminal) == [("converted", 38), (r"b\x1b[31m.ogg", 50)]
    bar.done(1)
    bar.share(2, 0.75)
    whole, last = drawn(terminal)
    assert whole == ("converted", 88)
    assert last[0].startswith("…c") and last[0].endswith(".ogg") and len(last[0]) == 32
    bar.close()


def test_lines_that_stay_are_not_overwritten(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bars go before a line is printed, and are drawn anew below it."""
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = Bar(NAMES, [1.0, 1.0, 1.0], whole="inspected")
    bar.share(0, 0.5)
    with bar.away():
        terminal.write("LINE\n")
    before, after = terminal.getvalue().split("LINE\n")
    assert "\x1b[2K" in before and after == ""
    bar.share(0, 0.6)
    again = terminal.getvalue().split("LINE\n")[1]
    assert "a.ogg" in again
    assert not re.search(r"\x1b\[\d*A", again), "nothing above is touched"
    bar.close()


def test_nothing_is_drawn_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is rich read for it."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    bar = Bar(NAMES, [1.0, 1.0, 1.0], whole="converted")
    bar.share(0, 0.5)
    bar.done(0)
    bar.close()
    assert sys.stderr.getvalue() == ""  # type: ignore[union-attr]
