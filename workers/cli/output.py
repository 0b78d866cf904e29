"""What a command says: with --json one compact object a line on stdout, else lines for people; progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import MemolineError


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """Where a command writes. as_json: for programs."""

    as_json: bool

    def row(self, fields: Mapping[str, object], text: str) -> None:
        """One result."""
        print(_compact(fields) if self.as_json else "\n".join(map(shown, text.split("\n"))), flush=True)

    @property
    def aligned(self) -> bool:
        """Whether rows are looked at by a person; otherwise lines are better whole than folded."""
        return not self.as_json and sys.stdout.isatty()

    def tabs(self, fields: Mapping[str, object], names: Iterable[str]) -> None:
        """One result where nobody looks: some of its fields, with tabs between them."""
        if self.as_json:
            self.row(fields, "")
        else:
            print("\t".join("-" if fields[name] is None else shown(str(fields[name])) for name in names), flush=True)

    def table(self, rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> None:
        """Many results, of which a person sees some fields; the last one takes the width that is left."""
        if not self.aligned:
            for fields in rows:
                self.tabs(fields, names)
            return
        from workers.cli.listing import Listing

        first, *middle, last = names
        texts = [{name: "-" if fields[name] is None else str(fields[name]) for name in names} for fields in rows]
        heads = [(name.upper(), max(map(len, [name, *(text[name] for text in texts)]))) for name in middle]
        listing = Listing(first.upper(), [text[first] for text in texts], heads, last.upper())
        for text in texts:
            self.row({}, listing.row(text[first], [text[name] for name in middle], text[last], ""))

    def say(self, text: str) -> None:
        """Progress, or a remark."""
        print(shown(text), file=sys.stderr, flush=True)

    def error(self, error: MemolineError, **more: object) -> None:
        """What went wrong: the code and one sentence. more: facts, among them the `path` of one file of several."""
        if self.as_json:
            self.row({"error": error.as_json() | more}, "")
            return
        path = str(more.get("path", ""))
        which = "" if path in error.message else f"{path}: "
        print(shown(f"memoline: {which}{error.message} [{error.code}]"), file=sys.stderr, flush=True)


def _compact(fields: Mapping[str, object]) -> str:
    """JSON in one line; in ASCII where a file's name is no UTF-8, so that its bytes survive as escapes."""
    line = json.dumps(fields, separators=(",", ":"), ensure_ascii=False, default=str)
    if line.isascii() or line.encode("utf-8", "replace").decode() == line:
        return line
    return json.dumps(fields, separators=(",", ":"), default=str)


def shown(text: str) -> str:
    """A text in one line that steers no terminal: names of files and objects come from anybody."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode()
