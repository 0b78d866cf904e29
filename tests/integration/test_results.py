"""What the inbox is told: results for other systems, finished recordings tagged or moved; nothing lost, no job made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import erasing
from pipeline.errors import Misuse, PartUnreachable
from pipeline.model import Hosted, Job, State
from pipeline.settings import Settings
from tests.support.inbox import Inbox, make_inbox
from tests.support.waiting import eventually
from workers.doors import submit
from workers.inbox_place import InboxPlace
from workers.results import result_place
from workers.teller import Teller
from workers.wiring import open_news_book, open_store
from workers.wishes import Wish

CHAT = "5e0d0000-0000-4000-8000-000000000001"
KEY = f"{CHAT}/some where/no+te é%2F€.ogg"
MEMO = Hosted(
    object_key="m/1.m4a", file_name="1.m4a", url="https://cdn.example/m/1.m4a", mime_type="audio/mp4", size_bytes=9,
    duration_s=3.0, bitrate_kbps=64.0, sha256="0" * 64, action="transcode",
)  # fmt: skip


def inbox_with(stack: Settings, home: Path, *, versioned: bool = False, events: bool = False, **settings: str) -> Inbox:
    """An inbox with other settings."""
    made = make_inbox(stack, home, versioned=versioned, events=events)
    return made.with_settings(**settings)


def teller_of(inbox: Inbox) -> Teller:
    """A teller that begins now."""
    place = InboxPlace(inbox.settings, inbox.desk.s3)
    return Teller(inbox.desk.parts, open_news_book(inbox.settings, f"s3://{inbox.bucket}", place.name_of), place)


def listed(inbox: Inbox) -> tuple[Job, ...]:
    """All jobs, after a listing."""
    inbox.watcher().take_listing(older_than_s=0, now=inbox.desk.parts.clock.now())
    return inbox.jobs()


def move(inbox: Inbox, job: Job, *states: State, **changes: Any) -> Job:
    """Move a job through states, as the workers do."""
    for state in states:
        job = inbox.desk.parts.ledger.move(job, state, by="test", **(changes if state is states[-1] else {}))
    return job


def sent(inbox: Inbox, job: Job) -> Job:
    """Take a job all the way to SENT."""
    hosted = move(inbox, move(inbox, job, State.PREPARING), State.HOSTED, hosted=MEMO)
    return move(inbox, move(inbox, hosted, State.SENDING, send_attempts=1), State.SENT, message_id="m-1")


def result(inbox: Inbox, job: Job) -> dict[str, Any]:
    """The result object of a job."""
    place = result_place(inbox.settings, job)
    assert place is not None
    return dict(json.loads(inbox.desk.s3.read(*place) or b"null") or {})


@pytest.mark.parametrize("results", ["result/", "beside", "for/others/"])
def test_a_result_follows_its_job(s3_stack: Settings, tmp_path: Path, results: str) -> None:
    """Written where it is looked for, kept up to date, and never taken for a recording."""
    inbox = inbox_with(s3_stack, tmp_path / "home", events=True, results=results)
    teller = teller_of(inbox)
    inbox.drop(KEY)
    (job,) = listed(inbox)
    teller.round()
    place = result_place(inbox.settings, job)
    assert place == (
        (inbox.bucket, f"{KEY}.memoline.json")
        if results == "beside"
        else (inbox.settings.bucket, f"{results}{KEY}.memoline.json")
    )
    assert (result(inbox, job)["state"], result(inbox, job)["url"]) == ("RECEIVED", None)
    job = sent(inbox, job)
    teller.round()
    told = result(inbox, job)
    assert (told["state"], told["job_id"], told["message_id"], told["url"]) == ("SENT", job.job_id, "m-1", MEMO.url)
    assert told["sent_at"] and told["delivered_at"] is None and told["recording"]["size_bytes"] == 5
    move(inbox, job, State.DELIVERED)
    teller.round()
    assert result(inbox, job)["state"] == "DELIVERED"
    assert result(inbox, job)["delivered_at"] == result(inbox, job)["updated_at"]

    def drained() -> bool:
        inbox.watcher().take_messages(wait_s=1)
        return inbox.waiting() == 0

    eventually(drained, "the queue is empty")
    assert len(listed(inbox)) == 1


def test_a_job_that_waits_says_why(s3_stack: Settings, tmp_path: Path) -> None:
    """HELD: the code, and the sentence with what to do."""
    inbox = inbox_with(s3_stack, tmp_path / "home")
    teller = teller_of(inbox)
    inbox.drop("a.ogg.json", b"[]")
    inbox.drop("a.ogg")
    (job,) = listed(inbox)
    teller.round()
    told = result(inbox, job)
    assert (told["state"], told["code"], told["chat_id"]) == ("HELD", "no-chat", None)
    assert told["reason"].startswith("bad-side-car: ") and f"memoline assign {job.job_id}" in told["reason"]


def test_results_cost_a_handful_of_requests(s3_stack: Settings, tmp_path: Path) -> None:
    """States of a moment, back-offs and repeated rounds write nothing."""
    inbox = inbox_with(s3_stack, tmp_path / "home")
    counting = Counting(inbox.desk.s3)
    inbox = inbox.with_s3(counting)
    teller = teller_of(inbox)
    inbox.drop(KEY)
    (job,) = listed(inbox)
    for _ in range(5):
        job = move(inbox, job, State.PREPARING)
        teller.round()
        job = move(inbox, job, State.RECEIVED, code="s3-unreachable")
        teller.round()
        teller.round()
    assert counting.written == 2
    sent(inbox, job)
    teller.round()
    teller.round()
    assert counting.written == 3


class Counting:
    """S3 that counts what is written, and fails as often as it is told to."""

    def __init__(self, real: Any, fails: int = 0) -> None:
        self._real, self.written, self.fails, self.refuses = real, 0, fails, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, bucket: str, key: str, content: bytes) -> None:
        if self.fails:
            self.fails -= 1
            raise PartUnreachable("s3-unreachable", "It is away.")
        if self.refuses and self.refuses in key:
            raise Misuse("s3-refused", "It may not be written.")
        self.written += 1
        self._real.write(bucket, key, content)


def test_no_result_is_lost_when_its_writer_dies(s3_stack: Settings, tmp_path: Path) -> None:
    """It dies before or after it wrote, S3 is away, one name is refused: another writer tells all."""
    inbox = inbox_with(s3_stack, tmp_path / "home")
    flaky = Counting(inbox.desk.s3)
    inbox = inbox.with_s3(flaky)
    teller_of(inbox)  # begins, and dies
    for number in range(5):
        inbox.drop(f"{CHAT}/{number}.ogg", str(number).encode())
    jobs = [sent(inbox, job) for job in listed(inbox)]
    flaky.fails, flaky.refuses = 3, "/2.ogg"
    with pytest.raises(PartUnreachable):
        teller_of(inbox).round()
    teller_of(inbox).round()
    assert [result(inbox, job).get("state") for job in jobs] == ["SENT", "SENT", None, "SENT", "SENT"]
    flaky.refuses = ""
    eventually(lambda: teller_of(inbox).round() or result(inbox, jobs[2]), "the refused one is told")


def test_the_newest_recording_of_a_name_has_the_result(s3_stack: Settings, tmp_path: Path) -> None:
    """What becomes of an older one later does not hide it."""
    inbox = inbox_with(s3_stack, tmp_path / "home", versioned=True)
    teller = teller_of(inbox)
    inbox.drop(KEY, b"one")
    (old,) = listed(inbox)
    inbox.drop(KEY, b"two")
    old, new = listed(inbox)
    teller.round()
    sent(inbox, old)
    teller.round()
    assert (result(inbox, new)["job_id"], result(inbox, new)["state"]) == (new.job_id, "RECEIVED")


def test_jobs_of_other_doors_are_told_of_when_asked(s3_stack: Settings, tmp_path: Path) -> None:
    """By their id; else nothing is written."""
    file = tmp_path / "a.ogg"
    file.write_bytes(b"sound")
    for which in ("inbox", "all"):
        inbox = inbox_with(s3_stack, tmp_path / which, results_for=which)
        teller = teller_of(inbox)
        job = submit(inbox.desk, file, Wish(chat_id=CHAT))
        assert teller.round() == (which == "all")
    assert result_place(inbox.settings, job) == (inbox.settings.bucket, f"result/job/{job.job_id}.memoline.json")
    assert result(inbox, job)["state"] == "RECEIVED"


def erased(inbox: Inbox, job: Job) -> Job:
    """Erase a job as a person would have it."""
    settings = inbox.settings.model_copy(update={"cdn_url": None})  # its memo was never behind one
    parts = replace(inbox.desk.parts, store=open_store(settings, inbox.desk.parts.secret))
    return erasing.carry_out(parts, erasing.want(parts, job, "asked"))


def there(inbox: Inbox, prefix: str = "") -> list[str]:
    """The keys of the inbox, in all versions, of our own copies too."""
    return sorted(version.key for version in inbox.desk.s3.versions(inbox.bucket, prefix))


@pytest.mark.parametrize(("versioned", "results"), [(False, "result/"), (True, "beside")])
def test_an_erased_job_leaves_neither_result_nor_recording(
    s3_stack: Settings, tmp_path: Path, versioned: bool, results: str
) -> None:
    """Nor what it was moved to; and the teller, which knows of it still, writes nothing any more."""
    inbox = inbox_with(s3_stack, tmp_path / "home", versioned=versioned, results=results, inbox_done="move")
    teller = teller_of(inbox)
    inbox.drop(KEY, b"one")
    inbox.drop(f"{KEY}.json", b"{}")
    job = sent(inbox, listed(inbox)[0])
    teller.round()
    assert result(inbox, job) and f"done/{KEY}" in there(inbox)
    place = result_place(inbox.settings, job)
    assert erased(inbox, job).state is State.ERASED and place
    teller.round()
    assert (inbox.desk.s3.read(*place), there(inbox)) == (None, [])


def test_what_has_the_same_name_and_is_another_jobs_stays(s3_stack: Settings, tmp_path: Path) -> None:
    """The result of the later one, and its moved recording."""
    inbox = inbox_with(s3_stack, tmp_path / "home", versioned=True, inbox_done="move")
    teller = teller_of(inbox)
    both = []
    for body in (b"one", b"two"):
        inbox.drop(KEY, body)
        both.append(sent(inbox, listed(inbox)[-1]))
        teller.round()
    assert result(inbox, both[0])["job_id"] == both[1].job_id
    erased(inbox, both[0])
    assert result(inbox, both[1])["job_id"] == both[1].job_id
    (kept,) = [one for one in inbox.desk.s3.versions(inbox.bucket, "done/") if not one.is_marker]
    assert kept.etag == hashlib.md5(b"two").hexdigest()
    erased(inbox, both[1])
    assert there(inbox) == [] and result(inbox, both[1]) == {}


def test_a_result_that_is_written_while_its_job_is_erased_says_nothing(s3_stack: Settings, tmp_path: Path) -> None:
    """The teller read the job before, and writes after it was gone: then it writes over it."""
    inbox = inbox_with(s3_stack, tmp_path / "home")
    teller = teller_of(inbox)
    inbox.drop(KEY)
    job = sent(inbox, listed(inbox)[0])
    place = result_place(inbox.settings, job)
    teller._book.follow(inbox.desk.parts.clock.now())
    (due,) = teller._book.due(inbox.desk.parts.clock.now(), 10)
    erased(inbox, job)
    teller._tell(due)
    assert place and json.loads(inbox.desk.s3.read(*place) or b"") == {"job_id": job.job_id, "state": "ERASED"}


@pytest.mark.parametrize("versioned", [False, True])
def test_finished_recordings_are_moved(s3_stack: Settings, tmp_path: Path, versioned: bool) -> None:
    """Once sent, with their metadata; what was put under the name meanwhile stays and is a job of its own; what did not
    go stays where it is. No move makes a job."""
    inbox = inbox_with(s3_stack, tmp_path / "home", versioned=versioned, inbox_done="move")
    teller = teller_of(inbox)
    inbox.drop(KEY, b"one", title="x")
    inbox.drop(f"{CHAT}/again.ogg", b"old")
    inbox.drop(f"{CHAT}/bad.ogg", b"bad")
    jobs = {job.recording.name: job for job in listed(inbox)}
    inbox.drop(f"{CHAT}/again.ogg", b"new")
    sent(inbox, jobs["no+te é%2F€.ogg"])
    sent(inbox, jobs["again.ogg"])
    move(inbox, jobs["bad.ogg"], State.PREPARING, State.REJECTED, code="no-audio-stream")
    teller.round()
    keys = [item.key for item in inbox.desk.s3.list(inbox.bucket) if not item.key.startswith("uploads/")]
    moved = [f"done/{KEY}"] + [f"done/{CHAT}/again.ogg"] * versioned
    assert sorted(keys) == sorted([f"{CHAT}/again.ogg", f"{CHAT}/bad.ogg", *moved])
    assert inbox.s3.head_object(Bucket=inbox.bucket, Key=f"done/{KEY}")["Metadata"] == {"title": "x"}
    assert inbox.desk.s3.read(inbox.bucket, f"{CHAT}/again.ogg") == b"new"
    assert len(listed(inbox)) == 4
    teller_of(inbox).round()
    assert len(listed(inbox)) == 4


def test_finished_recordings_are_tagged(s3_stack: Settings, tmp_path: Path) -> None:
    """Beside the tags that they have, with what became of them."""
    inbox = inbox_with(s3_stack, tmp_path / "home", versioned=True, inbox_done="tag")
    teller = teller_of(inbox)
    inbox.s3.put_object(Bucket=inbox.bucket, Key=KEY, Body=b"x", Tagging="team=care")
    (job,) = listed(inbox)
    job = sent(inbox, job)
    teller.round()
    tags = {one["Key"]: one["Value"] for one in inbox.s3.get_object_tagging(Bucket=inbox.bucket, Key=KEY)["TagSet"]}
    assert tags == {"team": "care", "memoline": "SENT", "memoline-job": job.job_id}
    move(inbox, job, State.DELIVERED)
    teller.round()
    tags = {one["Key"]: one["Value"] for one in inbox.s3.get_object_tagging(Bucket=inbox.bucket, Key=KEY)["TagSet"]}
    assert tags["memoline"] == "DELIVERED"
    assert len(listed(inbox)) == 1
