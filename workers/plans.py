"""Plans of backfills: JSON lines, one a row, between a line that says for what they hold and one that sums them up."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TextIO

from pipeline.errors import JobFailed, Misuse
from pipeline.recordings import AudioSettings
from workers.manifest import BadRow, Planned, Row

FORM = 1
_LONGEST_LINE = 1_000_000
_OF_NO_WEIGHT = ("ffmpeg",)
"""Settings that make no other memo."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What would happen with one row. status, job_id, code, message, duplicate_of: as in a report of a run. action and
    those behind it: what the audio step would do; None where there is nothing to do. content: what tells the recording
    from another one in its place."""

    line: int
    recording: str
    status: str
    job_id: str | None = None
    code: str | None = None
    message: str | None = None
    duplicate_of: int | None = None
    chat_id: str | None = None
    key: str | None = None
    overflow: str | None = None
    not_before: float = 0.0
    time_zone: str | None = None
    action: str | None = None
    reason: str | None = None
    duration_s: float | None = None
    size_bytes: int | None = None
    memo_bytes: int | None = None
    bitrate_kbps: float | None = None
    keep_s: float | None = None
    parts: int | None = None
    content: str | None = None


class PlanFile:
    """Writes a plan, which has its name only once it is whole. Raises JobFailed (`plan-unwritable`)."""

    def __init__(self, path: Path, source: str, audio: AudioSettings) -> None:
        self._path, self._part = path, path.with_name(f".{path.name}.{os.getpid()}")
        self._head = {"memoline_plan": FORM, "source": source, "audio": _audio(audio)}
        self._file: TextIO | None = None

    def __enter__(self) -> PlanFile:
        try:
            self._file = self._part.open("x", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from None
        self._write(self._head)
        return self

    def row(self, outlook: Outlook) -> None:
        """Add a row."""
        said = {name: value for name, value in asdict(outlook).items() if value not in (None, "", 0.0)}
        self._write({"line": outlook.line, "recording": outlook.recording} | said)

    def end(self, summary: Mapping[str, object]) -> None:
        """The last line; the plan is on disk then, and has its name."""
        self._write({"summary": summary})
        assert self._file is not None  # noqa: S101 (within the block)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.replace(self._path)
        except OSError as error:
            raise self._unwritable(error) from None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            if self._file:
                self._file.close()
            self._part.unlink(missing_ok=True)

    def _write(self, fields: Mapping[str, object]) -> None:
        assert self._file is not None  # noqa: S101 (within the block)
        try:
            self._file.write(json.dumps(fields, separators=(",", ":")) + "\n")
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> JobFailed:
        return JobFailed("plan-unwritable", f"{self._path} cannot be written ({error.strerror}).", path=str(self._path))


def read_plan(path_text: str, audio: AudioSettings) -> Iterator[Row | BadRow]:
    """The rows of a plan, as they were shown: what was not possible then is not tried. audio: the settings of now.

    Raises Misuse (`no-such-file`, `unreadable`, `bad-plan`, `plan-outdated` where it was made with other settings)."""
    path = Path(path_text).absolute()
    try:
        with path.open(encoding="utf-8") as file:
            _check_head(path, _fields(path, file.readline(_LONGEST_LINE)), audio)
            _check_end(path)
            while fields := _fields(path, file.readline(_LONGEST_LINE)):
                if "summary" in fields:
                    return
                yield _row(path, fields)
    except FileNotFoundError:
        raise Misuse("no-such-file", f"There is no plan {path}.", path=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Misuse("unreadable", f"{path} cannot be read: {error}.", path=str(path)) from None


def _row(path: Path, fields: Mapping[str, object]) -> Row | BadRow:
    try:
        known = Outlook(**fields)  # type: ignore[arg-type]
        if known.status == "reported":
            code, message = str(known.code), str(known.message)
            return BadRow(line=known.line, recording=known.recording, code=code, message=message)
        return Row(
            line=known.line,
            recording=known.recording,
            chat_id=known.chat_id,
            key=known.key,
            overflow=known.overflow,
            not_before=known.not_before,
            time_zone=known.time_zone,
            planned=Planned(size_bytes=known.size_bytes or 0, content=known.content or ""),
        )
    except TypeError:
        raise _bad(path) from None


def _fields(path: Path, line: str) -> dict[str, object]:
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or not fields:
        raise _bad(path)
    return fields


def _check_head(path: Path, head: Mapping[str, object], audio: AudioSettings) -> None:
    if head.get("memoline_plan") != FORM:
        raise _bad(path)
    planned, now = head.get("audio"), _audio(audio)
    if planned != now and isinstance(planned, dict):
        name = next((name for name in now if planned.get(name) != now[name]), "a setting")
        text = f"{path} was made with {name} {planned.get(name)}, and now it is {now.get(name)}: make a new plan."
        raise Misuse("plan-outdated", text, path=str(path), setting=name)


def _check_end(path: Path) -> None:
    """A copy that breaks off is no plan: nothing of it is run."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, _LONGEST_LINE), os.SEEK_END)
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    if not last.startswith(b'{"summary":') or not last.endswith(b"}"):
        raise Misuse("bad-plan", f"{path} breaks off: make the plan again.", path=str(path))


def _audio(audio: AudioSettings) -> dict[str, object]:
    """The settings as they come back from JSON."""
    kept = {name: value for name, value in asdict(audio).items() if name not in _OF_NO_WEIGHT}
    back: dict[str, object] = json.loads(json.dumps(kept))
    return back


def _bad(path: Path) -> Misuse:
    text = f"{path} is no plan: `memoline backfill SOURCE --dry-run --save-plan FILE` makes one."
    return Misuse("bad-plan", text, path=str(path))
