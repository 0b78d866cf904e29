"""failed, retry, cancel, pauses and --hold, as a person meets them; no stack runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.ledger.ledger import SqlLedger
from pipeline.model import State
from pipeline.settings import load_settings
from pipeline.settling import MATCHING_OFF
from tests.support.embedded import Ran
from tests.support.ledger import CHAT, OTHER_CHAT, a_memo, a_request, add, bring
from tests.support.recordings import make_wav
from workers.cli.guard import run as run_in_process
from workers.wiring import open_ledger

Run = Callable[..., Ran]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqlLedger:
    """The ledger of a home where nothing runs."""
    monkeypatch.setenv("MEMOLINE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return open_ledger(load_settings())


@pytest.fixture
def run(ledger: SqlLedger, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def run_command(*arguments: str) -> Ran:
        status = run_in_process([*arguments, "--json"])
        said = capsys.readouterr()
        rows = [json.loads(line) for line in said.out.splitlines()]
        return Ran(status=status, rows=rows, stdout=said.out, stderr=said.err)

    return run_command


def failing(ledger: SqlLedger, name: str, code: str, **more: str) -> str:
    """A job that FAILED with a code."""
    job = bring(ledger, add(ledger, name, chat_id=more.pop("chat_id", CHAT)), State.HOSTED, hosted=a_memo(name))
    ledger.move(job, State.FAILED, by="test", code=code, message=f"It was {code}.", **more)
    return job.job_id


def test_what_failed_is_grouped_by_its_reason(ledger: SqlLedger, run: Run) -> None:
    """With a count, what one of them says, and the command that can be given; what Linq took is not offered."""
    for name in "abc":
        failing(ledger, name, "cdn-unreachable")
    failing(ledger, "d", "not-delivered", message_id="m-1")
    failing(ledger, "f", "resolved-given-up")
    wish = a_request("e", chat_id=None)
    ledger.add(wish, job_id="job-e", state=State.HELD, code="no-chat", message="Which chat?", by="test")
    rows = {row["code"]: row for row in run("failed").rows}
    assert (rows["cdn-unreachable"]["jobs"], rows["cdn-unreachable"]["never_taken"]) == (3, 3)
    assert rows["cdn-unreachable"]["do"] == "memoline retry --code cdn-unreachable --all"
    assert rows["not-delivered"]["do"].startswith("nothing")
    assert rows["resolved-given-up"]["never_taken"] == 0
    assert rows["resolved-given-up"]["do"].startswith("memoline resolve JOB --resend, if it did not arrive")
    assert rows["no-chat"]["do"] == "memoline assign JOB --chat ID"


def test_all_of_a_reason_are_tried_again(ledger: SqlLedger, run: Run) -> None:
    """Those of the code, and of the chat where one is named; what Linq took is refused by name, the others go."""
    here, there = failing(ledger, "a", "cdn-unreachable"), failing(ledger, "b", "cdn-unreachable", chat_id=OTHER_CHAT)
    other, taken = failing(ledger, "c", "too-old"), failing(ledger, "d", "cdn-unreachable", message_id="m-1")
    assert run("retry", "--code", "cdn-unreachable", "--all", "--chat", OTHER_CHAT).status == 0
    ran = run("retry", "--code", "cdn-unreachable", "--all", "--overflow", "cut")
    assert (ran.status, [row.get("error", {}).get("code") for row in ran.rows]) == (1, [None, "not-retryable"])
    states = [ledger.get(job_id).state for job_id in (here, there, other, taken)]
    assert states == [State.RECEIVED, State.RECEIVED, State.FAILED, State.FAILED]
    assert (ledger.get(here).overflow, ledger.get(there).overflow) == ("cut", None)


def test_what_was_given_up_is_sent_again_by_name_only(ledger: SqlLedger, run: Run) -> None:
    """Linq may have taken it: not with all others, but as a decision about this one."""
    job_id = failing(ledger, "a", "resolved-given-up")
    ran = run("retry", "--code", "resolved-given-up", "--all")
    assert (ran.status, ran.row["error"]["code"]) == (1, "not-retryable")
    assert f"memoline resolve {job_id} --resend" in ran.row["error"]["message"]
    assert run("resolve", job_id, "--resend").row["state"] == "RECEIVED"


@pytest.mark.parametrize(
    "arguments", [["retry"], ["retry", "--all"], ["retry", "job", "--all", "--code", "x"], ["retry", "--code", "x"]]
)
def test_a_bulk_retry_names_its_reason(run: Run, arguments: list[str]) -> None:
    """Nothing is tried again by a slip."""
    ran = run(*arguments)
    assert (ran.status, ran.row["error"]["code"]) == (2, "usage")


def test_a_hold_can_be_cancelled_until_it_is_over(ledger: SqlLedger, run: Run, tmp_path: Path) -> None:
    """It is registered at once, and says how to undo it."""
    note = make_wav(tmp_path / "note.wav", duration_s=1)
    ran = run("send", str(note), "--chat", CHAT, "--hold", "600")
    job = ledger.get(ran.row["job_id"])
    assert 590 < job.not_before - time.time() <= 600
    assert f"memoline cancel {job.job_id}" in ran.stderr
    assert run("cancel", job.job_id).row["state"] == "CANCELLED"


def test_a_cancel_that_comes_too_late_says_so(ledger: SqlLedger, run: Run) -> None:
    """SENDING: it may be on its way."""
    hosted = bring(ledger, add(ledger), State.HOSTED, hosted=a_memo())
    ledger.move(hosted, State.SENDING, by="test", send_attempts=1)
    ran = run("cancel", hosted.job_id)
    assert (ran.status, ran.row["error"]["code"]) == (1, "too-late")


def test_pauses_are_shown_and_lifted(ledger: SqlLedger, run: Run) -> None:
    """Also the flag that Linq renames files; what is not there is no success."""
    ledger.pause("line:+1", time.time() + 900, "line-not-eligible")
    ledger.set_flag(MATCHING_OFF, "job x: memo.m4a")
    assert [(row["scope"], row["why"]) for row in run("pauses").rows] == [
        ("line:+1", "line-not-eligible"),
        ("matching", "job x: memo.m4a"),
    ]
    for scope in ("line:+1", "matching"):
        assert run("pauses", "--lift", scope).status == 0
    assert run("pauses").rows == []
    assert run("pauses", "--lift", "linq").row["error"]["code"] == "no-such-pause"
