"""What a command prints, for people and for programs."""

from __future__ import annotations

import json
import sys

import pytest

from pipeline.errors import Misuse
from workers.cli.output import Output

ODD = "e\x1b[31mX\u202egpj.ogg"


def test_names_steer_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes, directions and line breaks in what came in are shown, not obeyed; our own line breaks stay."""
    out = Output(as_json=False)
    out.row({}, f"head\n{ODD}")
    out.tabs({"source": f"{ODD}\tand\nmore", "code": None}, ("source", "code"))
    out.error(Misuse("x", "It is wrong."), path=ODD)
    said = capsys.readouterr()
    assert said.out.count("\n") == 3 and said.out.count("\t") == 1
    assert "\x1b" not in said.out + said.err and "\u202e" not in said.out + said.err
    assert r"e\x1b[31mX" in said.out and r"e\x1b[31mX" in said.err


@pytest.mark.parametrize("terminal", [True, False])
def test_a_table_is_aligned_for_people_and_whole_for_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    """Widths fit what comes; with tabs nothing is folded."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    rows = [{"name": "a", "state": "running", "url": None}, {"name": "longer", "state": "x", "url": "http://u"}]
    Output(as_json=False).table(rows, ("name", "state", "url"))
    told = capsys.readouterr().out.splitlines()
    aligned = ["NAME    STATE    URL", "a       running  -", "longer  x        http://u"]
    assert told == (aligned if terminal else ["a\trunning\t-", "longer\tx\thttp://u"])


def test_a_name_that_is_no_utf8_survives_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As an escape, by which a program finds the file again."""
    name = b"caf\xe9.ogg".decode("utf-8", "surrogateescape")
    Output(as_json=True).row({"path": name, "reason": "é"}, "")
    line = capsys.readouterr().out
    assert line.isascii()
    assert json.loads(line)["path"] == name
    Output(as_json=True).row({"path": "é"}, "")
    assert capsys.readouterr().out == '{"path":"é"}\n'
