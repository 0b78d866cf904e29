"""The program door: durable on return, whatever else is down."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import KeyReused, MemolineError, Misuse
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import State
from pipeline.settings import load_settings
from workers import Wanted, aenqueue, enqueue, enqueue_many
from workers.clock import SteadyClock

CHAT = "5e0d0000-0000-4000-8000-000000000001"


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording, and a home of this test."""
    monkeypatch.setenv("MEMOLINE_HOME", str(tmp_path / "home"))
    path = tmp_path / "a.ogg"
    path.write_bytes(b"sound")
    return path


def test_a_job_is_durable_when_enqueue_returns(recording: Path) -> None:
    """Another connection sees it, and the caller's file is not needed any more."""
    when = datetime(2030, 1, 1, tzinfo=UTC)
    job = enqueue(recording, CHAT, overflow="cut", not_before=when)
    recording.unlink()
    found = SqlLedger(load_settings().ledger_url, SteadyClock()).get(job.job_id)
    assert (found.state, found.overflow, found.not_before) == (State.RECEIVED, "cut", when.timestamp())
    assert Path(found.recording.uri.removeprefix("file://")).read_bytes() == b"sound"


def test_a_key_makes_one_job(recording: Path) -> None:
    """Same key and input: the same job and one copy. Other input: KeyReused. Without a key every call is its own."""
    first = enqueue(recording, CHAT, key="k")
    assert enqueue(str(recording), CHAT.upper(), key="k").job_id == first.job_id
    recording.write_bytes(b"other")
    with pytest.raises(KeyReused):
        enqueue(recording, CHAT, key="k")
    assert len(list((load_settings().home / "spool").iterdir())) == 1
    assert enqueue(recording, CHAT).job_id != enqueue(recording, CHAT).job_id


def test_many_are_registered_in_order_and_a_wrong_one_keeps_no_other_out(recording: Path) -> None:
    """Each gets its job or its error, over several commits; repeated, they are the same jobs, and no copy is left."""
    taken = enqueue(recording, CHAT, key="taken")
    other = recording.with_name("b.ogg")
    other.write_bytes(b"other")
    wanted: list[Wanted] = [{"recording": recording, "chat_id": CHAT, "key": f"k{number}"} for number in range(450)]
    wanted[7] = {"recording": recording.with_name("none.ogg"), "chat_id": CHAT}
    wanted[8] = {"recording": other, "chat_id": CHAT, "key": "taken"}
    wanted[9] = {"recording": recording, "chat_id": CHAT, "key": "k0", "overflow": "cut"}
    wanted[10] = {"recording": recording, "chat_id": "bob"}
    wanted[11] = {"recording": recording, "chat_id": CHAT, "kye": "typo"}  # type: ignore[typeddict-unknown-key]
    wanted[12] = {"recording": recording, "chat_id": CHAT, "key": 42}  # type: ignore[typeddict-item]
    wanted[13] = {"recording": recording, "chat_id": CHAT, "overflow": ["cut"]}  # type: ignore[typeddict-item]
    wanted[14] = {"recording": recording, "chat_id": CHAT, "not_before": []}  # type: ignore[typeddict-item]
    results = enqueue_many(iter(wanted))
    codes = [result.code for result in results[7:15]]
    assert codes[:5] == ["no-such-file", "key-reused", "key-reused", "bad-chat-id", "unknown-field"]
    assert codes[5:] == ["bad-key", "bad-overflow", "bad-not-before"]
    ledger = SqlLedger(load_settings().ledger_url, SteadyClock())
    jobs = [result for result in results if not isinstance(result, MemolineError)]
    assert list(ledger.jobs()) == [taken, *jobs]
    assert ledger.history(jobs[-1].job_id)[0].to_state is State.RECEIVED
    assert [job.job_id for job in enqueue_many(wanted[:7]) if not isinstance(job, MemolineError)] == [
        job.job_id for job in jobs[:7]
    ]
    assert len(list((load_settings().home / "spool").iterdir())) == len(jobs) + 1


def test_an_event_loop_goes_on_meanwhile(recording: Path) -> None:
    """Several at once, each its own job."""

    async def three() -> set[str]:
        jobs = await asyncio.gather(*(aenqueue(recording, CHAT, key=f"k{number % 3}") for number in range(9)))
        return {job.job_id for job in jobs}

    assert len(asyncio.run(three())) == 3


@pytest.mark.parametrize("frozen", [False, True], ids=["nobody listens", "nobody answers"])
def test_redis_may_be_down(recording: Path, monkeypatch: pytest.MonkeyPatch, frozen: bool) -> None:
    """The job is registered all the same, and the caller does not wait long."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if not frozen:
            listener.close()
        monkeypatch.setenv("MEMOLINE_BROKER_URL", f"redis://127.0.0.1:{port}/0")
        began_s = time.monotonic()
        job = enqueue(recording, CHAT)
        assert time.monotonic() - began_s < 10
    assert SqlLedger(load_settings().ledger_url, SteadyClock()).get(job.job_id).state is State.RECEIVED


@pytest.mark.parametrize(
    ("path", "chat_id", "options", "code"),
    [
        ("none.ogg", CHAT, {}, "no-such-file"),
        (".", CHAT, {}, "is-a-directory"),
        ("https://example.com/a.ogg", CHAT, {}, "bad-recording"),
        ("s3://elsewhere/a.ogg", CHAT, {}, "bucket-not-allowed"),
        ("a.ogg", "bob", {}, "bad-chat-id"),
        ("a.ogg", CHAT, {"key": ""}, "bad-key"),
        ("a.ogg", CHAT, {"overflow": "squeeze"}, "bad-overflow"),
        ("a.ogg", CHAT, {"not_before": "soon"}, "bad-not-before"),
    ],
)
def test_bad_input_is_misuse(recording: Path, path: str, chat_id: str, options: dict[str, str], code: str) -> None:
    """By its stable code, and nothing is left behind."""
    with pytest.raises(Misuse) as caught:
        enqueue(path, chat_id, **options)  # type: ignore[arg-type]
    assert caught.value.code == code
    spool = load_settings().home / "spool"
    assert not spool.exists() or not list(spool.iterdir())


def test_a_bad_setting_is_one_sentence(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are read at each call."""
    monkeypatch.setenv("MEMOLINE_OVERFLOW", "squeeze")
    with pytest.raises(Misuse) as caught:
        enqueue(recording, CHAT)
    assert caught.value.code == "bad-setting"


def test_an_unwritable_home_is_one_sentence(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home is a file."""
    monkeypatch.setenv("MEMOLINE_HOME", str(recording))
    with pytest.raises(MemolineError) as caught:
        enqueue(recording, CHAT)
    assert caught.value.code == "home-unusable"


def test_a_forked_child_may_enqueue_too(recording: Path) -> None:
    """It opens its own connections: both jobs are there."""
    first = enqueue(recording, CHAT)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            enqueue(recording, CHAT, key="of-the-child")
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ledger = SqlLedger(load_settings().ledger_url, SteadyClock())
    assert [job.key for job in ledger.jobs()] == [None, "of-the-child"]
    assert ledger.get(first.job_id)


def test_importing_enqueue_loads_nothing(tmp_path: Path) -> None:
    """A program that may never send pays nothing; a submodule of that name cannot hide the function."""
    code = (
        "import sys; from workers import enqueue; assert callable(enqueue); "
        "heavy = {'celery', 'boto3', 'botocore', 'sqlalchemy', 'fastapi', 'pydantic'} & set(sys.modules); "
        "assert not heavy, heavy; import workers.from_python; from workers import enqueue; assert callable(enqueue)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
