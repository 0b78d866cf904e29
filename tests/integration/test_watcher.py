"""The bucket door on real S3 and SQS: every object one job, whatever becomes of its events."""

from __future__ import annotations

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from pipeline.errors import KeyReused, PartUnreachable
from pipeline.model import Job, State
from pipeline.settings import Settings
from tests.support.inbox import Inbox, make_inbox
from tests.support.waiting import eventually
from workers.dead_letters import count_dead_letters, dead_letters
from workers.doors import submit, submit_object
from workers.sweeper import tidy_once
from workers.watcher import watch_for_ever
from workers.wishes import Wish

CHAT = "5e0d0000-0000-4000-8000-000000000001"
OTHER = "5e0d0000-0000-4000-8000-000000000002"


@pytest.fixture
def inbox(s3_stack: Settings, tmp_path: Path) -> Inbox:
    """A bucket that reports what is dropped."""
    return make_inbox(s3_stack, tmp_path / "home")


@pytest.fixture
def quiet(s3_stack: Settings, tmp_path: Path) -> Inbox:
    """A bucket whose events never come, unless a test sends them."""
    return make_inbox(s3_stack, tmp_path / "home", events=False)


def listed(inbox: Inbox) -> int:
    """Let a watcher that begins now list the inbox. Returns how many objects it looked at closely."""
    return inbox.watcher().take_listing(older_than_s=0, now=inbox.desk.parts.clock.now()).looked_at


def copies(inbox: Inbox) -> list[str]:
    """Keys of our own copies in the inbox."""
    return [item.key for item in inbox.desk.s3.list(inbox.bucket, "uploads/")]


def drained(inbox: Inbox) -> bool:
    """Take messages until none is left, also those that come back."""
    inbox.watcher().take_messages(wait_s=1)
    return inbox.waiting() == 0


def test_what_is_dropped_becomes_a_job(inbox: Inbox) -> None:
    """The chat from the key, odd characters and all; the message goes once the job is there."""
    key = f"{CHAT}/some where/no+te é%2F€.ogg"
    inbox.drop(key)
    eventually(lambda: drained(inbox), "the queue is empty")
    (job,) = inbox.jobs()
    assert (job.state, job.chat_id, job.source) == (State.RECEIVED, CHAT, f"s3://{inbox.bucket}/{key}")
    assert job.recording.size_bytes == 5
    assert job.recording.name == "no+te é%2F€.ogg"


def test_metadata_and_notes_are_honoured(inbox: Inbox) -> None:
    """Chat, key and overflow from metadata or from a note put before the recording; the note is no recording."""
    inbox.drop("a.ogg", chat_id=CHAT, idempotency_key="k-1", overflow="reject")
    inbox.drop("b.ogg.json", json.dumps({"chat_id": OTHER, "key": "k-2", "overflow": "cut"}).encode())
    inbox.drop("b.ogg", b"other")
    eventually(lambda: drained(inbox), "the queue is empty")
    by_name = {job.recording.name: job for job in inbox.jobs()}
    assert by_name.keys() == {"a.ogg", "b.ogg"}
    assert [(job.chat_id, job.key, job.overflow) for job in (by_name["a.ogg"], by_name["b.ogg"])] == [
        (CHAT, "k-1", "reject"),
        (OTHER, "k-2", "cut"),
    ]


def test_an_object_without_a_chat_is_held(inbox: Inbox) -> None:
    """Never dropped: HELD with `no-chat`, and with the reason where its options cannot be understood."""
    inbox.drop("nobody.ogg")
    inbox.drop(f"{CHAT}/odd.ogg", b"odd", overflow="squeeze")
    eventually(lambda: drained(inbox), "the queue is empty")
    by_name = {job.recording.name: job for job in inbox.jobs()}
    assert [(job.state, job.code) for job in by_name.values()] == [(State.HELD, "no-chat")] * 2
    assert "squeeze" in (by_name["odd.ogg"].message or "")


def test_a_key_that_is_taken_holds_the_object(inbox: Inbox) -> None:
    """Its metadata names the key of another recording: it waits for a person, who reads why."""
    inbox.drop(f"{CHAT}/a.ogg", b"one", idempotency_key="k")
    eventually(lambda: drained(inbox), "the queue is empty")
    inbox.drop(f"{CHAT}/b.ogg", b"two", idempotency_key="k")
    eventually(lambda: drained(inbox), "the queue is empty")
    held = next(job for job in inbox.jobs() if job.recording.name == "b.ogg")
    assert (held.state, held.code, held.key) == (State.HELD, "no-chat", None)
    assert "'k'" in (held.message or "")


def test_the_same_bytes_under_the_same_key_twice_are_one_job(inbox: Inbox) -> None:
    """A producer that repeats its upload under another name means the same memo."""
    for name in ("a.ogg", "a-again.ogg"):
        inbox.drop(f"{CHAT}/{name}", b"same", idempotency_key="k")
        eventually(lambda: drained(inbox), "the queue is empty")
    assert len(inbox.jobs()) == 1


def test_nothing_of_ours_is_taken(inbox: Inbox) -> None:
    """Uploads, results, folders and notes are no recordings; a removal is no news."""
    for key in ("uploads/x", "result/x.json", f"{CHAT}/a.ogg.memoline.json", f"{CHAT}/", "x.ogg.json"):
        inbox.drop(key)
    inbox.drop("gone.ogg")
    inbox.s3.delete_object(Bucket=inbox.bucket, Key="gone.ogg")
    eventually(lambda: drained(inbox), "the queue is empty")
    inbox.watcher().take_listing(older_than_s=0, now=inbox.desk.parts.clock.now())
    assert inbox.jobs() == ()


def test_lost_doubled_and_shuffled_events_make_no_difference(quiet: Inbox) -> None:
    """Twelve objects, some events twice, some never, one unknown: twelve jobs."""
    keys = [f"{CHAT}/{number:02}.ogg" for number in range(12)]
    for key in keys:
        quiet.drop(key, key.encode())
    quiet.tell_of(*reversed(keys[:6]))
    quiet.tell_of(keys[3], keys[0], "never-there.ogg")
    eventually(lambda: drained(quiet), "the queue is empty")
    assert len(quiet.jobs()) == 6
    watcher = quiet.watcher()
    assert watcher.take_listing(older_than_s=0, now=quiet.desk.parts.clock.now()).looked_at == 6
    assert sorted(job.source for job in quiet.jobs()) == [f"s3://{quiet.bucket}/{key}" for key in keys]
    assert watcher.take_listing(older_than_s=0, now=quiet.desk.parts.clock.now()).looked_at == 0
    assert quiet.watcher().take_listing(older_than_s=0, now=quiet.desk.parts.clock.now()).looked_at == 0


def test_a_batch_is_taken_in_the_order_in_which_it_was_put(quiet: Inbox) -> None:
    """By LastModified, then key, whatever the order of the events. S3 counts in seconds, so keys decide here."""
    keys = [f"{CHAT}/{name}.ogg" for name in ("c", "a", "b")]
    for key in keys:
        quiet.drop(key, key.encode())
    for key in keys:
        quiet.tell_of(key)
    heads = {key: quiet.s3.head_object(Bucket=quiet.bucket, Key=key)["LastModified"] for key in keys}
    eventually(lambda: drained(quiet), "the queue is empty")
    expected = sorted(keys, key=lambda key: (heads[key], key))
    assert [job.source.split("/", 3)[-1] for job in quiet.jobs()] == expected


def test_a_listing_leaves_young_objects_to_their_event(quiet: Inbox) -> None:
    """But for the first listing, which takes all."""
    quiet.drop("a.ogg")
    now = quiet.desk.parts.clock.now()
    assert quiet.watcher().take_listing(older_than_s=30, now=now).looked_at == 0
    assert quiet.watcher().take_listing(older_than_s=30, now=now + 60).looked_at == 1


def test_what_is_overwritten_is_another_job(quiet: Inbox, tmp_path: Path) -> None:
    """New content under an old name is its own recording; the same content again is not. Without versions each job has
    the copy that was made for it, which goes with the job's need."""
    for body in (b"one", b"two", b"two"):
        quiet.drop(f"{CHAT}/a.ogg", body)
        listed(quiet)
    first, second = quiet.jobs()
    for job, body in ((first, b"one"), (second, b"two")):
        quiet.desk.parts.store.fetch(job.recording, tmp_path / "recording")
        assert (tmp_path / "recording").read_bytes() == body
        assert job.source == f"s3://{quiet.bucket}/{CHAT}/a.ogg"
    assert len(copies(quiet)) == 2
    quiet.desk.parts.store.discard(first.recording)
    assert copies(quiet) == [second.recording.uri.split("/", 3)[-1]]


def test_a_copy_that_nobody_needs_is_removed(quiet: Inbox) -> None:
    """Its watcher died between the copy and the commit: a day later the sweeper removes it, and only that one."""
    quiet.drop(f"{CHAT}/a.ogg")
    listed(quiet)
    quiet.drop("uploads/orphan")
    tomorrow = quiet.desk.parts.clock.now() + 86_401
    tidy_once(quiet.settings, quiet.desk.parts.ledger, now=tomorrow)  # type: ignore[arg-type]
    assert [f"s3://{quiet.bucket}/{key}" for key in copies(quiet)] == [quiet.jobs()[0].recording.uri]


def test_on_a_versioned_bucket_the_version_counts(s3_stack: Settings, tmp_path: Path) -> None:
    """Event and listing find the same version: one job a version."""
    inbox = make_inbox(s3_stack, tmp_path / "home", versioned=True)
    for body in (b"one", b"two"):
        inbox.drop(f"{CHAT}/a.ogg", body)
        eventually(lambda: drained(inbox), "the queue is empty")
        inbox.watcher().take_listing(older_than_s=0, now=inbox.desk.parts.clock.now())
    assert len(inbox.jobs()) == 2
    assert not any((job.recording.version or "").startswith("etag:") for job in inbox.jobs())


def test_each_version_that_an_event_names_is_a_recording(s3_stack: Settings, tmp_path: Path) -> None:
    """Overwritten before anybody looked: two jobs, in the order in which they were put, and no third by an event or a
    listing that names no version."""
    inbox = make_inbox(s3_stack, tmp_path / "home", versioned=True)
    for body in (b"one", b"two"):
        inbox.drop(f"{CHAT}/a.ogg", body)
    inbox.tell_of(f"{CHAT}/a.ogg")
    eventually(lambda: drained(inbox), "the queue is empty")
    listed(inbox)
    sizes = [inbox.s3.get_object(**where(job))["Body"].read() for job in inbox.jobs()]
    assert sizes == [b"one", b"two"]


def where(job: Job) -> dict[str, str]:
    """A job's recording, as boto3 names it."""
    bucket, _, key = job.recording.uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key, "VersionId": str(job.recording.version)}


def test_what_was_removed_is_not_sent(s3_stack: Settings, tmp_path: Path) -> None:
    """Whoever removes an object before it is registered does not want it sent, though its version is still there."""
    inbox = make_inbox(s3_stack, tmp_path / "home", versioned=True)
    inbox.drop(f"{CHAT}/a.ogg")
    inbox.s3.delete_object(Bucket=inbox.bucket, Key=f"{CHAT}/a.ogg")
    eventually(lambda: drained(inbox), "the queue is empty")
    listed(inbox)
    assert inbox.jobs() == ()


@pytest.mark.parametrize("versioned", [False, True])
def test_a_listing_looks_at_what_is_new_alone(s3_stack: Settings, tmp_path: Path, versioned: bool) -> None:
    """Also one by a watcher that has just begun: the ledger remembers. What is gone is forgotten, what is ours is not
    even read."""
    inbox = make_inbox(s3_stack, tmp_path / "home", versioned=versioned, events=False)
    for number in range(5):
        inbox.drop(f"{CHAT}/{number}.ogg", str(number).encode())
    for ours in ("done/old.ogg", "result/x", "uploads/x"):
        inbox.drop(ours)
    inbox.drop("zz.ogg")
    assert [listed(inbox), listed(inbox)] == [6, 0]
    inbox.drop(f"{CHAT}/3.ogg", b"new")
    inbox.s3.delete_object(Bucket=inbox.bucket, Key="zz.ogg")
    assert [listed(inbox), listed(inbox)] == [1, 0]
    inbox.drop("zz.ogg", b"again")
    assert [listed(inbox), listed(inbox)] == [1, 0]
    assert len(inbox.jobs()) == 8


def test_a_listing_that_begins_with_ours_goes_on(quiet: Inbox) -> None:
    """Nothing before `done/`, something between ours and behind them."""
    for key in ("done/a.ogg", "e.ogg", "result/a", "s.ogg", "uploads/a", "v.ogg"):
        quiet.drop(key, key.encode())
    assert [listed(quiet), listed(quiet)] == [3, 0]
    assert [job.recording.name for job in quiet.jobs()] == ["e.ogg", "s.ogg", "v.ogg"]


def test_a_key_that_clients_bend_is_never_asked_for(quiet: Inbox) -> None:
    """`x/../b.ogg` would be read as `b.ogg`: it gets no job, and stops no other."""
    quiet.drop("b.ogg")
    quiet.tell_of("x/../b.ogg")
    quiet.tell_of("b.ogg")
    eventually(lambda: drained(quiet) or len(quiet.jobs()) == 1, "the other is registered")
    assert [job.source for job in quiet.jobs()] == [f"s3://{quiet.bucket}/b.ogg"]
    assert quiet.waiting() == 1


@pytest.mark.parametrize("late", [b'{"chat_id": "%s", "overflow": "cut", "not_before": "2030-01-01T00:00:00Z"}'])
def test_a_note_that_comes_late_mends_what_waits_for_a_chat(inbox: Inbox, late: bytes) -> None:
    """Put after the recording, or corrected: it is taken up as long as the job waits for a person."""
    inbox.drop("a.ogg.json", b"{not json")
    inbox.drop("a.ogg")
    inbox.drop(f"{CHAT}/b.ogg")
    eventually(lambda: drained(inbox), "the queue is empty")
    held = next(job for job in inbox.jobs() if job.recording.name == "a.ogg")
    assert (held.state, held.code) == (State.HELD, "no-chat")
    assert (held.message or "").startswith("bad-side-car: ")
    for name in ("a.ogg", f"{CHAT}/b.ogg", "never-there.ogg"):
        inbox.drop(f"{name}.json", late.replace(b"%s", OTHER.encode()))
    eventually(lambda: drained(inbox), "the queue is empty")
    mended, other = (next(job for job in inbox.jobs() if job.recording.name == name) for name in ("a.ogg", "b.ogg"))
    assert (mended.state, mended.chat_id, mended.overflow) == (State.RECEIVED, OTHER, "cut")
    assert mended.not_before == 1_893_456_000
    assert (other.chat_id, other.overflow) == (CHAT, None)
    assert listed(inbox) == 3  # the notes, whose event is not remembered
    assert (listed(inbox), len(inbox.jobs())) == (0, 2)


ODD = f"{CHAT}/a b+c%2F é%/€ ?#&=.ogg"


@pytest.mark.parametrize("how", ["s3", "sns", "sns-raw", "eventbridge"])
def test_every_envelope_names_an_odd_key(quiet: Inbox, how: str) -> None:
    """S3 encodes the key, through SNS too; EventBridge does not."""
    quiet.drop(ODD)
    record = {"bucket": {"name": quiet.bucket}, "object": {"key": quote_plus(ODD, safe="/")}}
    event = {"Records": [{"eventName": "ObjectCreated:CompleteMultipartUpload", "s3": record}] * 3}
    if how == "sns":
        event = {"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": json.dumps(event)}  # type: ignore[dict-item]
    if how == "eventbridge":
        detail = {"bucket": {"name": quiet.bucket}, "object": {"key": ODD}}
        event = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}  # type: ignore[dict-item]
    quiet.tell(json.dumps(event))
    eventually(lambda: drained(quiet), "the queue is empty")
    assert [job.source for job in quiet.jobs()] == [f"s3://{quiet.bucket}/{ODD}"]


def test_what_nobody_understands_is_moved_aside_and_counted(quiet: Inbox) -> None:
    """After five tries, by the queue itself."""
    watcher, ledger = quiet.watcher(), quiet.desk.parts.ledger
    quiet.tell("hello")
    assert count_dead_letters(quiet.desk.settings, ledger) == dead_letters(ledger) == 0

    def counted() -> bool:
        watcher.take_messages(wait_s=1)
        return count_dead_letters(quiet.desk.settings, ledger) == 1

    eventually(counted, "it lies in the dead-letter queue")
    assert (dead_letters(ledger), quiet.waiting()) == (1, 0)


def test_what_is_no_event_stays_in_the_queue(quiet: Inbox) -> None:
    """So that the queue moves it aside after its last try; good messages beside it are done."""
    quiet.drop(f"{CHAT}/a.ogg")
    quiet.tell("hello")
    quiet.tell_of(f"{CHAT}/a.ogg")
    eventually(lambda: drained(quiet) or quiet.waiting() == 1, "the good message is done")
    eventually(lambda: len(quiet.jobs()) == 1 and quiet.waiting() == 1, "only the bad one is left")


def test_a_message_goes_only_after_its_job_is_there(quiet: Inbox) -> None:
    """The ledger is away: the message stays, and is done when the ledger is back."""
    quiet.drop(f"{CHAT}/a.ogg")
    quiet.tell_of(f"{CHAT}/a.ogg")
    broken = replace(quiet, desk=replace(quiet.desk, parts=replace(quiet.desk.parts, ledger=Away())))  # type: ignore[arg-type]
    with pytest.raises(PartUnreachable):
        for _ in range(20):
            broken.watcher().take_messages(wait_s=1)
    assert quiet.waiting() == 1
    eventually(lambda: drained(quiet), "the queue is empty")
    assert len(quiet.jobs()) == 1


class Away:
    """A ledger that does not answer."""

    def __getattr__(self, name: str) -> object:
        raise PartUnreachable("ledger-unreachable", "The ledger is away.")


def test_another_door_adopts_the_watchers_job(quiet: Inbox) -> None:
    """One object is one job: a second door gives it its chat and its key, and is refused for another chat."""
    quiet.drop("a.ogg")
    quiet.watcher().take_listing(older_than_s=0, now=quiet.desk.parts.clock.now())
    (held,) = quiet.jobs()
    uri = f"s3://{quiet.bucket}/a.ogg"
    adopted = submit_object(quiet.desk, uri, Wish(chat_id=CHAT, key="k"))
    assert (adopted.job_id, adopted.state, adopted.chat_id, adopted.key) == (held.job_id, State.RECEIVED, CHAT, "k")
    assert submit_object(quiet.desk, uri, Wish(chat_id=CHAT, key="k")).job_id == held.job_id
    assert submit_object(quiet.desk, uri, Wish(chat_id=CHAT)).job_id == held.job_id
    for wish in (Wish(chat_id=OTHER), Wish(chat_id=CHAT, key="k-2"), Wish(chat_id=CHAT, overflow="cut")):
        with pytest.raises(KeyReused):
            submit_object(quiet.desk, uri, wish)
    quiet.watcher().take_listing(older_than_s=0, now=quiet.desk.parts.clock.now())
    assert len(quiet.jobs()) == 1


def test_an_adopted_key_stands_for_nothing_else(quiet: Inbox, tmp_path: Path) -> None:
    """The key of an adopted object is refused for a file, and one of a file for an object."""
    quiet.drop("a.ogg")
    quiet.watcher().take_listing(older_than_s=0, now=quiet.desk.parts.clock.now())
    uri, file = f"s3://{quiet.bucket}/a.ogg", tmp_path / "f.ogg"
    file.write_bytes(b"file")
    submit(quiet.desk, file, Wish(chat_id=CHAT, key="of-file"))
    with pytest.raises(KeyReused):
        submit_object(quiet.desk, uri, Wish(chat_id=CHAT, key="of-file"))
    assert next(job for job in quiet.jobs() if job.source == uri).state is State.HELD
    submit_object(quiet.desk, uri, Wish(chat_id=CHAT, key="of-object"))
    with pytest.raises(KeyReused):
        submit(quiet.desk, file, Wish(chat_id=CHAT, key="of-object"))
    assert len(list((quiet.settings.home / "spool").iterdir())) == 1


def test_two_doors_at_once_make_one_job(quiet: Inbox) -> None:
    """The watcher, and four requests with and without a key, at the same moment."""
    for number in range(5):
        key = f"{CHAT}/{number}.ogg"
        quiet.drop(key, key.encode())
        wishes = [None, Wish(chat_id=CHAT), Wish(chat_id=CHAT, key=key), Wish(chat_id=CHAT, key=key), None]
        barrier = threading.Barrier(len(wishes))
        with ThreadPoolExecutor(len(wishes)) as pool:
            list(pool.map(partial(hand_in, quiet, f"s3://{quiet.bucket}/{key}", barrier), wishes))
        assert len(quiet.jobs()) == number + 1


def hand_in(inbox: Inbox, uri: str, barrier: threading.Barrier, wish: Wish | None) -> None:
    """By a request with this wish, or by the watcher where there is none; all begin together."""
    barrier.wait()
    if wish is None:
        inbox.watcher().take_listing(older_than_s=0, now=inbox.desk.parts.clock.now())
    else:
        submit_object(inbox.desk, uri, wish)


def test_watching_goes_on_through_an_outage(inbox: Inbox, s3_stack: Settings) -> None:
    """With S3 out of reach at the start it logs and waits; `stopped` ends it soon, also while it waits."""
    nowhere = {"s3_endpoint_url": "http://127.0.0.1:9", "sqs_endpoint_url": "http://127.0.0.1:9"}
    ready, stopped = threading.Event(), threading.Event()
    settings = inbox.settings.model_copy(update=nowhere)
    thread = threading.Thread(target=watch_for_ever, args=(settings, stopped, ready), daemon=True)
    thread.start()
    assert ready.wait(20)
    stopped.set()
    eventually(lambda: not thread.is_alive(), "it ends")
    ready, stopped = threading.Event(), threading.Event()
    thread = threading.Thread(target=watch_for_ever, args=(inbox.settings, stopped, ready), daemon=True)
    thread.start()
    name = f"{CHAT}/{uuid.uuid4().hex}.ogg"
    assert ready.wait(20)
    inbox.drop(name)
    eventually(lambda: [job for job in inbox.jobs() if job.source.endswith(name)], "it is registered")
    stopped.set()
    eventually(lambda: not thread.is_alive(), "it ends")
