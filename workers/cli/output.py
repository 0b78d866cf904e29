"""What a command says: with --json one compact object a line on stdout, else lines for people; progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import MemolineError


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """Where a command writes. as_json: for programs."""

    as_json: bool

    def row(self, fields: Mapping[str, object], text: str) -> None:
        """One result."""
        line = json.dumps(fields, separators=(",", ":"), ensure_ascii=False, default=str) if self.as_json else text
        print(line, flush=True)

    def table(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
        """Many results; on a terminal a table, in a file one line each with tabs, so that nothing wraps."""
        if self.as_json:
            for fields in rows:
                self.row(fields, "")
        elif not sys.stdout.isatty():
            for fields in rows:
                print("\t".join(_cell(fields.get(name)) for name in columns))
        else:
            _rich_table(rows, columns)

    def say(self, text: str) -> None:
        """Progress, or a remark."""
        print(text, file=sys.stderr, flush=True)

    def error(self, error: MemolineError, **more: object) -> None:
        """What went wrong: the code and one sentence."""
        if self.as_json:
            self.row({"error": error.as_json() | more}, "")
        else:
            print(f"memoline: {error.message} [{error.code}]", file=sys.stderr, flush=True)


def _cell(value: object) -> str:
    text = "-" if value is None else str(value)
    return text.replace("\t", " ").replace("\n", " ")


def _rich_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, overflow="fold")
    for fields in rows:
        table.add_row(*(Text(_cell(fields.get(name))) for name in columns))
    Console().print(table)
