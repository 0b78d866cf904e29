"""What Linq reported, pauses, and the few values of an install."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline.ledger.ledger import SqlLedger
from pipeline.messages import Chat, Pause, StatusReport
from pipeline.model import State
from pipeline.sending.webhooks import parse
from tests.contract.ledger.conftest import SetClock
from tests.support.ledger import CHAT, OTHER_CHAT, a_memo, add, bring

REPORT = StatusReport(status="delivered", message_id="m-1", event_id="e-1", chat_id=CHAT, occurred_at=5.5)


def test_a_report_is_kept_once(ledger: SqlLedger) -> None:
    """A duplicate event is known; what a poll found has no event and is always news."""
    assert ledger.keep_report(REPORT)
    assert not ledger.keep_report(replace(REPORT, status="failed"))
    polled = replace(REPORT, event_id=None)
    assert ledger.keep_report(polled)
    assert ledger.keep_report(polled)


def test_a_group_of_reports_is_kept_in_one_commit(ledger: SqlLedger) -> None:
    """The answer says for each whether it is new, also within the group."""
    group = [REPORT, replace(REPORT, event_id="e-2"), REPORT]
    assert ledger.keep_reports(group) == (True, True, False)


def test_reports_wait_until_they_were_applied(ledger: SqlLedger, clock: SetClock) -> None:
    """In the order in which they came, also within a group; an event that comes again does not wait again."""
    group = [replace(REPORT, event_id=name) for name in ("z", "a", "m")]
    ledger.keep_reports(group)
    clock.time += 1
    ledger.keep_report(later := replace(REPORT, event_id="b"))
    assert ledger.waiting_reports(10) == (*group, later)
    assert ledger.waiting_reports(2) == tuple(group[:2])
    ledger.applied({"z": "job-a", "m": None})
    assert not ledger.keep_report(group[0])
    assert ledger.waiting_reports(10) == (group[1], later)
    ledger.applied({})
    assert ledger.last_report_at() == clock.time


def test_what_the_parser_lets_through_can_be_kept(ledger: SqlLedger) -> None:
    """The longest ids, in letters of four bytes each, that are random enough not to be compressed in an index."""
    odd = ["".join(chr(0x20000 + (n * 7919 + i * i * 104729) % 40_000) for i in range(255)) for n in range(6)]
    data = {"id": odd[0], "chat_id": odd[1], "parts": [{"filename": odd[2]}], "reason": "\x00\ud800", "code": odd[3]}
    envelope = {"event_type": "message.failed", "event_id": odd[4], "trace_id": odd[5], "data": data}
    report = parse(json.dumps(envelope).encode())
    assert report is not None
    assert (report.message_id, report.file_names) == (odd[0], (odd[2],))
    assert ledger.keep_report(report)
    assert ledger.waiting_reports(1) == (report,)


def test_a_group_costs_one_commit_or_none(ledger: SqlLedger) -> None:
    """What is done together is seen together; an error undoes all of it."""
    with ledger.together():
        ledger.keep_report(REPORT)
        ledger.stand("chat:x", "wrote", 1)
        assert ledger.waiting_count() == 1
    assert ledger.standing("chat:x") == "wrote"
    with pytest.raises(KeyError), ledger.together():
        ledger.applied({"e-1": None})
        raise KeyError
    assert ledger.waiting_count() == 1


def test_reports_are_forgotten_in_time(ledger: SqlLedger, clock: SetClock) -> None:
    """Old ones, and the oldest of too many that fit no job; never one that still waits."""
    for number in range(6):
        clock.time = 1_000 + number
        ledger.keep_report(replace(REPORT, event_id=f"e-{number}"))
    ledger.applied({"e-1": "job-a", "e-2": None, "e-3": None, "e-4": None, "e-5": "job-a"})
    assert ledger.forget_reports(before=1_002, most_orphans=10) == 1  # e-1; e-0 waits
    assert ledger.forget_reports(before=0, most_orphans=2) == 1  # e-2
    assert ledger.forget_reports(before=0, most_orphans=2) == 0
    ledger.applied({"e-0": None})
    assert ledger.forget_reports(before=5_000, most_orphans=10) == 4
    assert sum(ledger.report_counts().values()) == 0


def test_older_news_never_replaces_newer(ledger: SqlLedger) -> None:
    """Events come in any order; of a chat or a line the last thing said counts."""
    assert ledger.standing("chat:x") is None
    ledger.stand("chat:x", "opted-out", 50)
    ledger.stand("chat:x", "wrote", 40)
    assert ledger.standing("chat:x") == "opted-out"
    ledger.stand("chat:x", "wrote", 60)
    ledger.stand("line:x", "line-flagged", 1)
    assert (ledger.standing("chat:x"), ledger.standing("line:x")) == ("wrote", "line-flagged")


def test_a_report_may_come_before_its_job_knows_the_message(ledger: SqlLedger, clock: SetClock) -> None:
    """Reports without a job are kept, and found by message id in the order in which they came."""
    late = replace(REPORT, event_id="a-later-name-that-sorts-first", status="read", file_names=("x.m4a", "y"))
    ledger.keep_report(REPORT)
    clock.time += 1
    ledger.keep_report(late)
    job = bring(ledger, add(ledger), State.SENDING)
    assert ledger.reports_for(job) == ()
    assert ledger.find_message(REPORT) is None
    sent = ledger.move(job, State.SENT, by="test", message_id="m-1")
    assert ledger.reports_for(sent) == (REPORT, late)
    assert ledger.find_message(REPORT) == sent


def test_a_report_fits_by_trace_or_by_file_and_chat(ledger: SqlLedger) -> None:
    """A job whose answer was lost knows no message id: the trace, or its own file name in its own chat, tells."""
    job = bring(ledger, add(ledger), State.UNCONFIRMED, trace_id="t-1")
    by_trace = StatusReport(status="sent", message_id="m", trace_id="t-1", event_id="e-1")
    by_file = StatusReport(status="sent", message_id="m", chat_id=CHAT, file_names=("job-a.m4a",), event_id="e-2")
    elsewhere = replace(by_file, chat_id=OTHER_CHAT, event_id="e-3")
    for report in (by_trace, by_file, elsewhere):
        ledger.keep_report(report)
    assert ledger.find_message(by_trace) == job
    assert ledger.find_message(by_file) == job
    assert ledger.find_message(elsewhere) is None
    assert ledger.reports_for(job) == (by_trace, by_file)


def test_a_job_known_by_another_message_is_not_meant(ledger: SqlLedger) -> None:
    """A shared trace does not hand one message's fate to another."""
    job = bring(ledger, add(ledger), State.SENT, message_id="m-1", trace_id="t-1")
    other = StatusReport(status="failed", message_id="m-2", trace_id="t-1", chat_id=CHAT, event_id="e-1")
    ledger.keep_report(other)
    assert ledger.find_message(other) is None
    assert ledger.reports_for(job) == ()


def test_a_report_without_any_sign_fits_no_job(ledger: SqlLedger) -> None:
    """Jobs and reports that both know nothing do not match each other."""
    job = add(ledger)
    ledger.keep_report(StatusReport(status="sent", message_id=None, event_id="e-1"))
    assert ledger.find_message(StatusReport(status="sent", message_id=None)) is None
    assert ledger.reports_for(job) == ()


def test_the_longest_pause_holds(ledger: SqlLedger, clock: SetClock) -> None:
    """A pause can be lengthened, never shortened by another refusal."""
    ledger.pause("chat:x", 50.5, "429")
    clock.time += 1
    ledger.pause("chat:x", 40, "other")
    assert ledger.chat("x").pauses == (Pause(scope="chat:x", until=50.5, why="429", since=1_000),)
    ledger.pause("chat:x", 90, "other")
    assert ledger.chat("x").pauses == (Pause(scope="chat:x", until=90, why="other", since=1_000),)
    assert ledger.lift("chat:x") and not ledger.lift("chat:x")


def test_a_chat_waits_for_itself_its_line_and_everybody(ledger: SqlLedger) -> None:
    """And for no other chat or line; which line it is on has to be known."""
    for scope in ("linq", "all", "line:+1", "line:+2", "chat:x", "chat:y"):
        ledger.pause(scope, 50, "429")
    assert {pause.scope for pause in ledger.chat("x").pauses} == {"linq", "all", "chat:x"}
    ledger.note_chat("x", line="+1")
    assert {pause.scope for pause in ledger.chat("x").pauses} == {"linq", "all", "chat:x", "line:+1"}
    assert [pause.until for pause in ledger.pauses(49)] == [50] * 6
    assert ledger.pauses(50) == ()


def test_one_of_all_who_see_it_may_probe(ledger: SqlLedger) -> None:
    """The second one finds the pause lengthened."""
    ledger.pause("linq", 50, "down")
    (seen,) = ledger.chat("x").pauses
    assert [ledger.probe(seen, 110), ledger.probe(seen, 110)] == [True, False]
    assert ledger.chat("y").pauses[0].until == 110


def test_marks_count_whom_something_happened_to_lately(ledger: SqlLedger, clock: SetClock) -> None:
    """The same one counts once, and nobody after the time."""
    assert [ledger.mark("429", who, 1_060) for who in ("x", "x", "y")] == [1, 1, 2]
    assert ledger.mark("500", "x", 1_060) == 1
    clock.time = 1_060
    assert ledger.mark("429", "z", 1_120) == 1


def test_what_is_known_of_a_chat_grows(ledger: SqlLedger, clock: SetClock) -> None:
    """Each thing that is learnt leaves the others as they are; what was heard never goes back."""
    assert ledger.chat("x") == Chat(chat_id="x")
    ledger.note_chat("x", line="+1", heard_at=20)
    ledger.note_chat("x", heard_at=10)
    ledger.opt_out("x", at=1_000)
    assert ledger.chat("x") == Chat(chat_id="x", line="+1", heard_at=20, opted_out_at=1_000)


def test_what_waits_in_a_chat(ledger: SqlLedger) -> None:
    """Nothing of another chat, nothing that may be on its way, the oldest first, and no more than asked for."""
    waits, flies, also = add(ledger), add(ledger, "b"), add(ledger, "d")
    add(ledger, "c", chat_id=OTHER_CHAT)
    hosted = ledger.move(ledger.move(flies, State.PREPARING, by="t"), State.HOSTED, by="t", hosted=a_memo())
    ledger.move(hosted, State.SENDING, by="t", send_attempts=1)
    assert [job.job_id for job in ledger.waiting(CHAT, 10)] == [waits.job_id, also.job_id]
    assert [job.job_id for job in ledger.waiting(CHAT, 1)] == [waits.job_id]


def test_one_caller_in_a_while_may_ask_about_a_chat(ledger: SqlLedger, clock: SetClock) -> None:
    """And nobody about one of which nothing is known."""
    assert not ledger.may_ask("x", every_s=60)
    ledger.opt_out("x", at=clock.time)
    assert [ledger.may_ask("x", every_s=60) for _ in range(2)] == [True, False]
    clock.time += 60
    assert ledger.may_ask("x", every_s=60)


def test_the_secret_stays(ledger: SqlLedger, url: str, clock: SetClock) -> None:
    """32 bytes, made once; another process reads the same."""
    secret = ledger.install_secret()
    assert len(secret) == 32
    other = SqlLedger(url, clock)
    assert other.install_secret() == secret
    other.close()


@pytest.mark.parametrize("name", ["matching-off", "secret"])
def test_flags_are_kept(ledger: SqlLedger, name: str) -> None:
    """A flag is what was set last, and never touches the secret."""
    secret = ledger.install_secret()
    assert ledger.flag(name) is None
    ledger.set_flag(name, "1")
    ledger.set_flag(name, "2")
    assert ledger.flag(name) == "2"
    assert ledger.install_secret() == secret
