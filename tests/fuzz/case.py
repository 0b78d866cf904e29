"""One forged recording through the audio step, and everything that must hold afterwards."""

from __future__ import annotations

import hashlib
import random
import re
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pipeline.audio import convert, inspect
from pipeline.errors import MemolineError, RecordingRejected
from pipeline.recordings import AudioSettings
from tests.fuzz.mutate import Lures, mutate
from tests.fuzz.watch import CANARY, Canaries

DOCS = Path(__file__).parents[2] / "docs" / "audio.md"
HANGS_S = 100
OWN_CPU_S = 3.0
OWN_MEMORY_BYTES = 80_000_000
OWN_MORE_BYTES = 30_000_000
"""What a case may add to a process that has seen thousands of them before."""
CHILD_MEMORY_BYTES = 600_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a case. verdict: an action, or the code of an error. findings: what must not be."""

    number: int
    verdict: str
    forgers: tuple[str, ...]
    findings: tuple[str, ...]
    seconds: float
    data: bytes = b""


@cache
def documented_codes() -> frozenset[str]:
    """The reject codes in the docs, and those of our own failures."""
    refused = re.findall(r"^\| `([a-z-]+)` \|", DOCS.read_text(), re.MULTILINE)
    return frozenset(refused) | {"tool-failed", "proof-failed"}


def forged(seed: int, number: int, seeds: Sequence[tuple[str, bytes]], lures: Lures) -> tuple[str, bytes, list[str]]:
    """(file name, bytes, forgers) of a case: the same for the same seed, number and recordings."""
    rng = random.Random(f"{seed}:{number}")
    name, data = rng.choice(seeds)
    others = [other for _, other in rng.choices(seeds, k=4)]
    made, names = mutate(data, others, rng, lures)
    return (
        rng.choice((name, name, "memo.m4a", "x.m3u8", "-i.wav", "%03d.wav", "concat:a|b.mp3", "data:,x.aac")),
        made,
        names,
    )


def settings_of(seed: int, number: int) -> AudioSettings:
    """Mostly the usual settings, at times a low limit, so that the fitting and cutting is met too."""
    rng = random.Random(f"settings:{seed}:{number}")
    if rng.random() < 0.8:
        return AudioSettings()
    return replace(
        AudioSettings(),
        max_bytes=rng.choice((3_000, 10_000, 50_000)),
        overflow=rng.choice(("compress", "cut", "split", "reject")),
    )


def try_case(seed: int, number: int, seeds: Sequence[tuple[str, bytes]], canaries: Canaries, work: Path) -> Outcome:
    """Make the recording, inspect and convert it, and look at everything that must hold."""
    name, data, forgers = forged(seed, number, seeds, Lures(path=str(canaries.path), url=canaries.url))
    settings, started, cpu_s = settings_of(seed, number), time.monotonic(), time.process_time()
    recording, out = work / "in" / name, work / "out"
    recording.parent.mkdir(parents=True, exist_ok=True)
    recording.write_bytes(data)
    _forget_peak()
    own_bytes = _peak_bytes()
    child_peak = _most_of_a_child()
    verdict, findings = "", list[str]()
    try:
        with _alarm(HANGS_S):
            looked = inspect(recording, settings)
            verdict = _converted(recording, out, settings, looked.action, looked.code, findings)
    except Exception:
        verdict = "exception"
        findings.append(traceback.format_exc(limit=-6))
    findings += _left_behind(work, recording, data, settings)
    findings += canaries.touched()
    if (took_s := time.process_time() - cpu_s) > OWN_CPU_S:
        findings.append(f"{took_s:.1f} s of computing in our own process")
    if (peak := _peak_bytes()) > max(OWN_MEMORY_BYTES, own_bytes + OWN_MORE_BYTES):
        findings.append(f"{peak:,} bytes in our own process")
    if (peak := _most_of_a_child()) > max(CHILD_MEMORY_BYTES, child_peak):
        findings.append(f"{peak:,} bytes in a child")
    return Outcome(
        number=number, verdict=verdict, forgers=tuple(forgers), findings=tuple(findings),
        seconds=time.monotonic() - started, data=data if findings else b"",
    )  # fmt: skip


def _converted(recording: Path, out: Path, settings: AudioSettings, action: str, code: str, findings: list[str]) -> str:
    if action == "reject" and code not in documented_codes():
        findings.append(f"inspect's code {code} is not documented")
    try:
        made = convert(recording, out, settings)
    except MemolineError as error:
        if error.code not in documented_codes():
            findings.append(f"the code {error.code} is not documented: {error.message}")
        if (
            isinstance(error, RecordingRejected)
            and action != "reject"
            and error.code not in ("too-long", "too-costly", "no-sound")
        ):
            findings.append(f"inspect said {action}, convert refused it as {error.code}")
        return error.code
    if action == "reject":
        findings.append(f"inspect refused it as {code}, convert made a memo")
    findings += [
        f"{memo.size_bytes} bytes are said, the limit is {settings.max_bytes}"
        for memo in made.parts or (made,)
        if memo.path is None
        or memo.size_bytes != Path(memo.path).stat().st_size
        or memo.size_bytes >= settings.max_bytes
    ]
    return made.action


def _left_behind(work: Path, recording: Path, data: bytes, settings: AudioSettings) -> list[str]:
    """What is wrong with the files afterwards; all but the recording's folder is removed."""
    found = []
    if hashlib.sha256(recording.read_bytes()).digest() != hashlib.sha256(data).digest():
        found.append("the recording was changed")
    recording.unlink()
    for path in (work / "out").iterdir() if (work / "out").exists() else ():
        if path.name.startswith(".") or not path.is_file():
            found.append(f"left in the folder: {path.name}")
            continue
        if CANARY in path.read_bytes():
            found.append("a memo holds bytes of another file")
        path.unlink()
    left = [path.name for folder in (work / "in", Path(tempfile.gettempdir())) for path in folder.iterdir()]
    if left:
        found.append(f"left behind: {left}")
    if running := _children():
        found.append(f"still running: {running}")
    return found


def _children() -> list[str]:
    """The processes that this one's threads have started. A thread may end while it is looked at."""
    found: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            found += (task / "children").read_text().split()
    return found


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError(f"it hangs: not at its end after {seconds} s")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _most_of_a_child() -> int:
    """The most memory that any child so far has taken."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    """The most memory of this process since its peak was forgotten."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]
