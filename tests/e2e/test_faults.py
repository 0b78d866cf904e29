"""Each fault of a single send, from the recording to the end state, against the real stack and the Linq sandbox."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.embedded import Embedded, Row
from tests.support.recordings import make_wav
from tests.support.waiting import eventually


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A fault and what must come of it. memos: how many the person gets; posts: how many POSTs Linq saw."""

    kind: str
    state: str
    code: str | None = None
    memos: int = 1
    posts: int = 1
    fault: Mapping[str, object] = field(default_factory=dict)


CASES = {
    "answer-lost": Case(kind="answer-lost", state="DELIVERED"),
    "reset-before": Case(kind="reset-before", state="HELD", code="outcome-unknown", memos=0),
    "500-before": Case(kind="error-before", state="HELD", code="outcome-unknown", memos=0, fault={"code": 3001}),
    "500-after": Case(kind="error-after", state="DELIVERED", fault={"code": 3001}),
    "504-after": Case(kind="error-after", state="DELIVERED", fault={"code": 3005}),
    "download-failed": Case(kind="error-before", state="DELIVERED", posts=2, fault={"code": 5002, "count": 1}),
    "unavailable": Case(kind="error-before", state="DELIVERED", posts=2, fault={"code": 4004, "count": 1}),
    "gateway-before": Case(
        kind="gateway-html", state="HELD", code="outcome-unknown", memos=0, fault={"when": "before"}
    ),
    "gateway-after": Case(kind="gateway-html", state="DELIVERED", fault={"when": "after"}),
    "429-short": Case(kind="rate-limited", state="DELIVERED", posts=2, fault={"seconds": 2, "count": 1}),
    "slow": Case(kind="slow", state="DELIVERED", fault={"seconds": 2}),
    "too-slow": Case(kind="slow", state="DELIVERED", fault={"seconds": 10}),
    "no-id": Case(kind="no-id", state="DELIVERED"),
    "webhook-doubled": Case(kind="webhook-doubled", state="DELIVERED"),
    "webhook-reordered": Case(kind="webhook-reordered", state="DELIVERED"),
    "webhook-late": Case(kind="webhook-late", state="DELIVERED", fault={"seconds": 3}),
    "webhook-never": Case(kind="webhook-never", state="DELIVERED"),
    "message-failed": Case(kind="message-failed", state="FAILED", code="not-delivered", fault={"code": 4001}),
    "refused-opted-out": Case(kind="error-before", state="FAILED", code="opted-out", memos=0, fault={"code": 2024}),
}


@pytest.fixture(scope="module")
def sent(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """(job id, chat id) of each case: all are handed in at once, each to a chat of its own."""
    recording = make_wav(tmp_path_factory.mktemp("faults") / "note.wav", duration_s=2)
    jobs = {}
    for name, case in CASES.items():
        chat_id = str(uuid.uuid4())
        embedded.inject(case.kind, chat_id, **case.fault)
        jobs[name] = (_send(embedded, recording, chat_id), chat_id)
    return jobs


def _send(embedded: Embedded, recording: Path, chat_id: str) -> str:
    ran = embedded.run("send", str(recording), "--chat", chat_id)
    assert ran.status == 0, ran
    return str(ran.row["job_id"])


@pytest.mark.parametrize("name", CASES)
def test_a_fault_ends_in_one_memo_or_a_true_state(
    embedded: Embedded, sent: dict[str, tuple[str, str]], name: str
) -> None:
    """The end state, its code, the number of POSTs and of memos are what they must be."""
    case, (job_id, chat_id) = CASES[name], sent[name]
    row = embedded.ended(job_id)
    assert (row["state"], row["code"] if case.code else None) == (case.state, case.code), row
    assert embedded.posts(chat_id) == case.posts
    assert len(embedded.memos(chat_id)) == case.memos


def test_a_list_that_lags_is_looked_at_twice(embedded: Embedded, tmp_path: Path) -> None:
    """The answer is lost and the list does not show the memo at the first look: found at the second."""
    chat_id = str(uuid.uuid4())
    embedded.inject("answer-lost", chat_id)
    embedded.inject("lagging-list", chat_id, seconds=2.2)
    embedded.inject("webhook-never", chat_id)
    row = embedded.ended(_send(embedded, make_wav(tmp_path / "a.wav"), chat_id))
    assert row["state"] == "DELIVERED"
    assert (embedded.posts(chat_id), len(embedded.memos(chat_id))) == (1, 1)


def test_a_renamed_file_is_never_sent_again(embedded: Embedded, tmp_path: Path) -> None:
    """The list shows another file name, so the memo cannot be found: a person decides, nothing is sent twice."""
    chat_id = str(uuid.uuid4())
    for kind in ("answer-lost", "renamed-file", "webhook-never"):
        embedded.inject(kind, chat_id)
    job_id = _send(embedded, make_wav(tmp_path / "a.wav"), chat_id)
    row = embedded.ended(job_id)
    assert (row["state"], row["code"], embedded.posts(chat_id)) == ("HELD", "outcome-unknown", 1)
    message_id = embedded.memos(chat_id)[0]["id"]
    resolved = embedded.run("resolve", job_id, "--sent", message_id, "--why", "seen in the chat")
    assert resolved.status == 0, resolved
    assert embedded.ended(job_id)["state"] == "DELIVERED"


def test_a_long_429_waits_in_the_ledger(embedded: Embedded, tmp_path: Path) -> None:
    """A hundred seconds to wait: the job is HOSTED with its reason, no worker sleeps, and another chat is served."""
    chat_id, other = str(uuid.uuid4()), str(uuid.uuid4())
    embedded.inject("rate-limited", chat_id, seconds=100)
    job_id = _send(embedded, make_wav(tmp_path / "a.wav"), chat_id)

    def limited() -> Row | None:
        row = embedded.show(job_id)
        return row if row["code"] == "rate-limited" else None

    assert eventually(limited, "the job waits", deadline_s=30)["state"] == "HOSTED"
    assert embedded.ended(_send(embedded, make_wav(tmp_path / "b.wav"), other))["state"] == "DELIVERED"
    assert embedded.posts(chat_id) == 1
    assert embedded.run("cancel", job_id).row["state"] == "CANCELLED"
