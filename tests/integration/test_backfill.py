"""The backfill door: folders, prefixes and manifests, run as often as one likes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import JobFailed, MemolineError, Misuse
from pipeline.model import Job, State
from pipeline.settings import Settings
from tests.support.inbox import Inbox, make_inbox
from workers.backfill import BackfillReport, RowReport, run_backfill
from workers.cli.backfilling import ordered
from workers.doors import Desk, open_desk, submit
from workers.sources import rows_of
from workers.wishes import Wish

CHAT = "5e0d0000-0000-4000-8000-000000000001"
OTHER = "5e0d0000-0000-4000-8000-000000000002"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk over a fresh ledger, with nothing else there."""
    return open_desk(Settings(home=tmp_path / "home"), "test")


def run(desk: Desk, source: Path | str, **how: Any) -> tuple[BackfillReport, list[RowReport]]:
    """Run a backfill; its report and its rows."""
    rows: list[RowReport] = []
    order = ordered(
        str(source), how.get("chat_id"), None, how.get("columns", ()), how.get("max_failures"), by_plan=False
    )
    return run_backfill(desk, order, rows_of(desk, str(source), order.names), on_row=rows.append), rows


def jobs(desk: Desk) -> tuple[Job, ...]:
    """All jobs, in their order."""
    return desk.parts.ledger.jobs()  # type: ignore[attr-defined,no-any-return]


def files(folder: Path, *names: str) -> None:
    """Recordings whose content is their name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_a_folder_is_taken_sorted_with_all_below_it(desk: Desk, tmp_path: Path) -> None:
    """Each file a job that reads it where it lies; hidden files are left out."""
    folder = tmp_path / "in"
    files(folder, "b.ogg", "a/2.ogg", "a/10.ogg", "ü n.txt", ".DS_Store", ".git/x")
    report, rows = run(desk, folder, chat_id=CHAT)
    assert report == BackfillReport(registered=4)
    names = [str(Path(row.recording).relative_to(folder)) for row in rows]
    assert names == ["a/10.ogg", "a/2.ogg", "b.ogg", "ü n.txt"]
    assert [Path(job.source).name for job in jobs(desk)] == ["10.ogg", "2.ogg", "b.ogg", "ü n.txt"]
    first = jobs(desk)[0]
    assert (first.lane, first.state, first.recording.size_bytes) == ("backfill", State.RECEIVED, len("a/10.ogg"))
    assert first.recording.uri == f"file://{folder}/a/10.ogg"
    assert not (tmp_path / "home" / "spool").exists()


def test_run_again_it_finds_the_same_jobs(desk: Desk, tmp_path: Path) -> None:
    """Nothing new the second time; a changed file is a new recording, another chat another job."""
    folder = tmp_path / "in"
    files(folder, "a.ogg", "b.ogg")
    _, first = run(desk, folder, chat_id=CHAT)
    report, again = run(desk, folder, chat_id=CHAT)
    assert report == BackfillReport(known=2)
    assert [row.job_id for row in again] == [row.job_id for row in first]
    (folder / "a.ogg").write_text("new")
    assert run(desk, folder, chat_id=CHAT)[0] == BackfillReport(registered=1, known=1)
    assert run(desk, folder, chat_id=OTHER)[0] == BackfillReport(registered=2)


def test_a_manifest_registers_what_can_be_read_and_reports_the_rest(desk: Desk, tmp_path: Path) -> None:
    """In its order, paths from where it lies; each bad row by its line and code, and nothing is left of it."""
    files(tmp_path / "in", "a.ogg", "b.ogg", "empty.ogg")
    (tmp_path / "in" / "empty.ogg").write_text("")
    (tmp_path / "in" / "folder").mkdir()
    os.mkfifo(tmp_path / "in" / "pipe")
    manifest = tmp_path / "in" / "m.csv"
    manifest.write_text(
        "recording,chat_id,key,overflow,not_before\n"
        f"b.ogg,{CHAT},k-b,cut,2030-01-01T00:00:00Z\n"
        f"a.ogg,{OTHER},,,\n"
        "a.ogg,,,,\n"
        f"none.ogg,{CHAT},,,\n"
        f"folder,{CHAT},,,\n"
        f"pipe,{CHAT},,,\n"
        "a.ogg,bob,,,\n"
        f"a.ogg,{CHAT},,squeeze,\n"
        f"a.ogg,{CHAT},,,soon\n"
        f"a.ogg,{CHAT},{'k' * 256},,\n"
        f"a.ogg,{CHAT},k-b,,\n"
        f"https://example.com/a.ogg,{CHAT},,,\n"
        f"s3://elsewhere/a.ogg,{CHAT},,,\n"
        f"a.ogg,{CHAT},,,,too,many\n"
        f"empty.ogg,{CHAT},,,\n"
    )
    report, rows = run(desk, manifest)
    assert [(row.line, row.code or row.status) for row in rows] == [
        (2, "registered"),
        (3, "registered"),
        (4, "no-chat"),
        (5, "no-such-file"),
        (6, "is-a-directory"),
        (7, "unreadable"),
        (8, "bad-chat-id"),
        (9, "bad-overflow"),
        (10, "bad-not-before"),
        (11, "bad-key"),
        (12, "key-reused"),
        (13, "bad-recording"),
        (14, "bucket-not-allowed"),
        (15, "wrong-column"),
        (16, "registered"),
    ]
    assert report == BackfillReport(registered=3, reported=12)
    assert all(row.message for row in rows if row.status == "reported")
    assert all(row.recording.startswith(("/", "https://", "s3://")) for row in rows), "printed paths are absolute"
    first, second, _ = jobs(desk)
    assert (first.key, first.overflow, first.not_before, first.chat_id) == ("k-b", "cut", 1_893_456_000, CHAT)
    assert (second.source, second.chat_id) == (str(tmp_path / "in" / "a.ogg"), OTHER)
    assert len(jobs(desk)) == 3


def test_the_commands_chat_is_for_rows_that_name_none(desk: Desk, tmp_path: Path) -> None:
    """A row's own chat wins."""
    files(tmp_path, "a.ogg", "b.ogg")
    rows = [{"recording": "a.ogg"}, {"recording": "b.ogg", "chat_id": OTHER}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(desk, tmp_path / "m.jsonl", chat_id=CHAT)
    assert [job.chat_id for job in jobs(desk)] == [CHAT, OTHER]


def test_a_key_of_another_door_is_known(desk: Desk, tmp_path: Path) -> None:
    """Keys are one namespace over all doors."""
    files(tmp_path, "a.ogg")
    job = submit(desk, tmp_path / "a.ogg", Wish(chat_id=CHAT, key="k"))
    (tmp_path / "m.jsonl").write_text(json.dumps({"recording": "a.ogg", "chat_id": CHAT, "key": "k"}))
    report, rows = run(desk, tmp_path / "m.jsonl")
    assert (report, rows[0].job_id) == (BackfillReport(known=1), job.job_id)


def test_the_same_row_twice_is_one_job(desk: Desk, tmp_path: Path) -> None:
    """Source, content and chat are the identity of a row without a key."""
    files(tmp_path, "a.ogg")
    (tmp_path / "m.csv").write_text(f"recording,chat_id\na.ogg,{CHAT}\na.ogg,{CHAT}\n")
    assert run(desk, tmp_path / "m.csv")[0] == BackfillReport(registered=1, known=1)


@pytest.mark.parametrize(
    ("source", "code"), [("none", "no-such-file"), ("a.ogg", "bad-source"), ("s3://elsewhere/x", "bucket-not-allowed")]
)
def test_a_source_that_cannot_be_used(desk: Desk, tmp_path: Path, source: str, code: str) -> None:
    """One error, before any row."""
    files(tmp_path, "a.ogg")
    with pytest.raises(Misuse) as caught:
        run(desk, source if "://" in source else tmp_path / source, chat_id=CHAT)
    assert caught.value.code == code


def test_a_file_that_changes_later_is_refused_and_never_removed(desk: Desk, tmp_path: Path) -> None:
    """What was registered is what is sent: `source-changed`; the user's file stays where it is."""
    files(tmp_path, "a.ogg")
    (tmp_path / "m.csv").write_text(f"recording,chat_id\na.ogg,{CHAT}\n")
    run(desk, tmp_path / "m.csv")
    (job,) = jobs(desk)
    desk.parts.store.fetch(job.recording, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_text() == "a.ogg"
    desk.parts.store.discard(job.recording)
    (tmp_path / "a.ogg").write_text("b.ogg")
    with pytest.raises(JobFailed) as caught:
        desk.parts.store.fetch(job.recording, tmp_path / "again")
    assert caught.value.code == "source-changed"


def test_names_that_are_no_utf8_are_taken(desk: Desk, tmp_path: Path) -> None:
    """A file system keeps bytes; the recording behind such a name can be read all the same."""
    name = os.fsencode(tmp_path) + b"/in/m\xfcll.ogg"
    (tmp_path / "in").mkdir()
    with open(name, "wb") as file:  # noqa: PTH123 (a name that is no text)
        file.write(b"sound")
    assert run(desk, tmp_path / "in", chat_id=CHAT)[0] == BackfillReport(registered=1)
    (job,) = jobs(desk)
    desk.parts.store.fetch(job.recording, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"sound"


def test_a_prefix_of_a_bucket(s3_stack: Settings, tmp_path: Path) -> None:
    """Chats from metadata and keys; what the watcher took already is the same job; no uploads of ours."""
    inbox = make_inbox(s3_stack, tmp_path / "home", events=False)
    inbox.drop(f"{CHAT}/2.ogg", b"2")
    inbox.drop(f"{CHAT}/1.ogg", b"1", chat_id=OTHER)
    inbox.drop("uploads/x", b"x")
    inbox.drop("nobody.ogg", b"n")
    taken_by_watcher(inbox, f"{CHAT}/2.ogg")
    report, rows = run(inbox.desk, f"s3://{inbox.bucket}/{CHAT}")
    assert report == BackfillReport(registered=1, known=1)
    assert [row.recording.rsplit("/", 1)[-1] for row in rows] == ["1.ogg", "2.ogg"]
    assert {job.recording.name: job.chat_id for job in inbox.jobs()} == {"1.ogg": OTHER, "2.ogg": CHAT}
    report, rows = run(inbox.desk, f"s3://{inbox.bucket}/")
    assert (report, rows[-1].code) == (BackfillReport(known=2, reported=1), "no-chat")
    with pytest.raises(MemolineError):
        run(inbox.desk, f"s3://{inbox.bucket}/", chat_id="bob")


def test_a_manifest_may_name_objects(s3_stack: Settings, tmp_path: Path) -> None:
    """An absent one is reported; one that the watcher holds for want of a chat gets it."""
    inbox = make_inbox(s3_stack, tmp_path / "home", events=False)
    inbox.drop("nobody.ogg")
    taken_by_watcher(inbox, "nobody.ogg")
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        f"recording,chat_id\ns3://{inbox.bucket}/nobody.ogg,{CHAT}\ns3://{inbox.bucket}/none.ogg,{CHAT}\n"
    )
    report, rows = run(inbox.desk, manifest)
    assert (report, rows[1].code) == (BackfillReport(known=1, reported=1), "no-such-object")
    (job,) = inbox.jobs()
    assert (job.state, job.chat_id) == (State.RECEIVED, CHAT)


def taken_by_watcher(inbox: Inbox, key: str) -> None:
    """Let the watcher take one object."""
    inbox.tell_of(key)
    while inbox.waiting():
        inbox.watcher().take_messages(wait_s=1)
