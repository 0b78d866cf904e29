"""The fuzzer finds what it is there to find, and a short run of it finds nothing."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import RecordingRejected, ToolFailed
from tests.fuzz import case
from tests.fuzz.batch import run
from tests.fuzz.case import forged, try_case
from tests.fuzz.mutate import Lures
from tests.fuzz.seeds import seeds
from tests.fuzz.watch import CANARY, Canaries
from tests.support.recordings import make_wav

LURES = Lures(path="/x/other.wav", url="http://127.0.0.1:1/other.wav")


def test_a_seed_reproduces() -> None:
    """The same seed and number give the same bytes; others do not."""
    made = [("a.wav", random.Random(7).randbytes(3000)), ("b.mp3", b"ID3" + bytes(900))]
    cases = [forged(5, number, made, LURES) for number in range(200)]
    assert cases == [forged(5, number, made, LURES) for number in range(200)]
    assert len({data for _, data, _ in cases}) > 150


def _bad_steps() -> dict[str, object]:
    def raises(*_: object) -> None:
        raise ZeroDivisionError

    def leaves(recording: Path, *_: object) -> None:
        (recording.parent / "left").touch()
        raise ToolFailed(("x",), 1, "")

    def reads(recording: Path, *_: object) -> None:
        (recording.parents[2] / "other.wav").read_bytes()
        raise ToolFailed(("x",), 1, "")

    def leaks(recording: Path, out: Path, *_: object) -> None:
        out.mkdir(exist_ok=True)
        (out / "memo.m4a").write_bytes(CANARY)
        raise ToolFailed(("x",), 1, "")

    def stays(*_: object) -> None:
        running.append(subprocess.Popen(["sleep", "60"]))
        raise ToolFailed(("x",), 1, "")

    def unknown(*_: object) -> None:
        raise RecordingRejected("no-such-code", "x")

    running: list[subprocess.Popen[bytes]] = []
    return {
        "ZeroDivisionError": raises, "left behind": leaves, "another file was opened": reads, "bytes of another": leaks,
        "still running": stays, "not documented": unknown, "running": running,
    }  # fmt: skip


def test_it_sees_what_must_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of finding, by a step that does it."""
    recordings = [("a.wav", make_wav(tmp_path / "a.wav", duration_s=0.3).read_bytes())]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    steps = _bad_steps()
    running = steps.pop("running")
    with Canaries(tmp_path) as canaries:
        for what, step in steps.items():
            monkeypatch.setattr(case, "convert", step)
            found = try_case(1, 1, recordings, canaries, tmp_path / "work").findings
            for left in (tmp_path / "work" / "in").iterdir():
                left.unlink()
            assert any(what in finding for finding in found), (what, found)
            for process in running if isinstance(running, list) else ():
                process.kill()
                process.wait()


@pytest.mark.slow
def test_a_short_run_finds_nothing() -> None:
    """Two hundred forgeries; `make fuzz` runs ten thousand."""
    outcomes = list(run(seed=20261124, cases=200, first=0, jobs=2))
    assert len(outcomes) == 200 and len({outcome.verdict for outcome in outcomes}) > 5
    assert [outcome for outcome in outcomes if outcome.findings] == []


def test_every_kind_of_recording_is_forged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recordings that are made where there is no corpus are sound."""
    monkeypatch.delenv("MEMOLINE_TEST_CORPUS", raising=False)
    assert all(len(data) > 300 for _, data in seeds(tmp_path))
