"""A watched folder works like a bucket: what is put there becomes a job, once, when it is whole."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline.errors import Misuse, PartUnreachable
from pipeline.model import Hosted, Job, State
from pipeline.settings import Settings
from tests.support.waiting import eventually
from workers.doors import Desk, open_desk
from workers.folder_door import FolderDoor, place_of_folder
from workers.folder_files import is_being_written, is_dropped, look_at
from workers.folder_place import FolderPlace, FolderWishes
from workers.folder_watch import SETTLED_S, FolderWatcher, watch_folder
from workers.hints import Hints
from workers.sweeper import tidy_once
from workers.teller import Teller
from workers.wiring import open_book, open_news_book

CHAT = "5e0d0000-0000-4000-8000-000000000001"
OTHER = "5e0d0000-0000-4000-8000-000000000002"
MEMO = Hosted(
    object_key="m/1.m4a", file_name="1.m4a", url="https://cdn.example/m/1.m4a", mime_type="audio/mp4", size_bytes=9,
    duration_s=3.0, bitrate_kbps=64.0, sha256="0" * 64, action="transcode",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A watched folder and a desk over an SQLite ledger."""

    root: Path
    settings: Settings
    desk: Desk

    def watcher(self) -> FolderWatcher:
        """A watcher that begins now, knowing nothing."""
        book = open_book(self.settings, place_of_folder(self.root))
        return FolderWatcher(self.root, book, FolderDoor(self.desk, Hints(None), book, self.root))

    def taken(self) -> int:
        """Let a new watcher look around, and take what it found some time later. Returns how many jobs are new."""
        watcher = self.watcher()
        watcher.look_around(0.0)
        return watcher.take_whole(SETTLED_S)

    def put(self, key: str, content: bytes = b"sound") -> Path:
        """Write a file."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def jobs(self) -> tuple[Job, ...]:
        """All jobs of the ledger."""
        return self.desk.parts.ledger.jobs()  # type: ignore[attr-defined,no-any-return]

    def teller(self, wishes: FolderWishes) -> Teller:
        """A teller that begins now."""
        place = FolderPlace(self.desk.parts, self.root, wishes)
        return Teller(self.desk.parts, open_news_book(self.settings, place_of_folder(self.root), place.name_of), place)

    def sent(self, job: Job) -> Job:
        """Take a job all the way to SENT, as the workers do."""
        move = self.desk.parts.ledger.move
        hosted = move(move(job, State.PREPARING, by="test"), State.HOSTED, by="test", hosted=MEMO)
        return move(move(hosted, State.SENDING, by="test", send_attempts=1), State.SENT, by="test", message_id="m")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty one."""
    settings = Settings.model_validate({"MEMOLINE_HOME": str(tmp_path / "home")})
    (tmp_path / "outbox").mkdir()
    return Folder(root=tmp_path / "outbox", settings=settings, desk=open_desk(settings, "test"))


def test_what_is_put_becomes_a_job_once(folder: Folder) -> None:
    """The chat from the first part of the path; a restart, another copy of it and a touch change nothing; other content
    is another recording."""
    path = folder.put(f"{CHAT}/a b/no+te é%.ogg")
    assert folder.taken() == 1
    (job,) = folder.jobs()
    assert (job.chat_id, job.source, job.recording.name) == (CHAT, str(path), "no+te é%.ogg")
    os.utime(path, (1, 1))
    assert folder.taken() == 0
    shutil.copy(path, path.with_name("x"))
    path.with_name("x").replace(path)
    assert folder.taken() == 0
    folder.put(f"{CHAT}/a b/no+te é%.ogg", b"other")
    assert folder.taken() == 1
    assert len(list((folder.settings.home / "spool").iterdir())) == 2


def test_nothing_is_lost_or_doubled_while_the_ledger_is_away(folder: Folder) -> None:
    """The file is taken later, once, and no copy but its job's stays for long."""
    folder.put(f"{CHAT}/a.ogg")
    broken = replace(folder, desk=replace(folder.desk, parts=replace(folder.desk.parts, ledger=Away())))  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(PartUnreachable):
            broken.taken()
    assert folder.taken() == 1
    assert folder.taken() == 0
    assert len(folder.jobs()) == 1
    tidy_once(folder.settings, folder.desk.parts.ledger, now=time.time() + 86_401)  # type: ignore[arg-type]
    assert len(list((folder.settings.home / "spool").iterdir())) == 1


class Away:
    """A ledger that does not answer."""

    def __getattr__(self, name: str) -> object:
        raise PartUnreachable("ledger-unreachable", "The ledger is away.")


def test_notes_hold_all_options_and_mend(folder: Folder) -> None:
    """As beside an object; one that comes late or is corrected sends what waits for a person."""
    folder.put("a.ogg.json", json.dumps({"chat_id": OTHER, "key": "k", "overflow": "cut"}).encode())
    folder.put("a.ogg")
    folder.put("b.ogg", b"other")
    folder.put("c.ogg", b"third")
    folder.put("c.ogg.json", b"{")
    folder.taken()
    jobs = {job.recording.name: job for job in folder.jobs()}
    assert (jobs["a.ogg"].chat_id, jobs["a.ogg"].key, jobs["a.ogg"].overflow) == (OTHER, "k", "cut")
    assert [(jobs[name].state, jobs[name].code) for name in ("b.ogg", "c.ogg")] == [(State.HELD, "no-chat")] * 2
    assert (jobs["c.ogg"].message or "").startswith("bad-side-car: ")
    for name in ("b.ogg", "c.ogg"):
        folder.put(f"{name}.json", json.dumps({"chat_id": CHAT, "overflow": "reject"}).encode())
    folder.taken()
    mended = [job for job in folder.jobs() if job.recording.name != "a.ogg"]
    assert [(job.state, job.chat_id, job.overflow) for job in mended] == [(State.RECEIVED, CHAT, "reject")] * 2


def test_a_key_that_is_taken_holds_the_file(folder: Folder) -> None:
    """It waits for a person, who reads why; its copy is kept."""
    for name in ("a.ogg", "b.ogg"):
        folder.put(f"{name}.json", json.dumps({"chat_id": CHAT, "key": "k"}).encode())
        folder.put(name, name.encode())
        folder.taken()
    held = next(job for job in folder.jobs() if job.recording.name == "b.ogg")
    assert (held.state, held.code) == (State.HELD, "no-chat")
    assert (held.message or "").startswith("key-reused: ")
    assert Path(held.recording.uri.removeprefix("file://")).read_bytes() == b"b.ogg"


def test_a_file_is_taken_when_it_has_stopped_growing(folder: Folder) -> None:
    """Not while it grows, and not while somebody has it open for writing, however long that takes."""
    path, watcher = folder.put(f"{CHAT}/a.ogg", b"be"), folder.watcher()
    watcher.notice(path, 0.0)
    assert watcher.take_whole(SETTLED_S - 0.1) == 0
    with path.open("ab") as file:
        file.write(b"gin")
        file.flush()
        assert watcher.take_whole(SETTLED_S) == 0
        assert watcher.take_whole(SETTLED_S * 2) == 0, "it is still open"
        assert is_being_written(path)
    assert not is_being_written(path)
    assert watcher.take_whole(SETTLED_S * 2) == 1
    assert folder.jobs()[0].recording.size_bytes == 5


@pytest.mark.parametrize(
    ("key", "taken"),
    [
        ("a.ogg", True),
        ("c/a", True),
        ("c/a.ogg.json", True),
        (".a.ogg", False),
        (".git/a.ogg", False),
        (".a.ogg.Xa3f9Q", False),
        ("a.ogg~", False),
        ("a.ogg.part", False),
        ("a.ogg.PART", False),
        ("a.crdownload", False),
        ("a.ogg.filepart", False),
        ("a.ogg.memoline.json", False),
        ("done/a.ogg", False),
    ],
)
def test_which_files_are_taken(key: str, taken: bool) -> None:
    """Neither hidden nor unfinished, nor what we wrote."""
    assert is_dropped(key) is taken


def test_folders_pipes_and_links_to_folders_are_not_taken(folder: Folder, tmp_path: Path) -> None:
    """A pipe would hang its reader; a link to a folder may lead in a circle."""
    os.mkfifo(folder.root / "pipe.ogg")
    (folder.root / "circle").symlink_to(folder.root)
    (folder.root / "broken.ogg").symlink_to("nowhere")
    assert folder.taken() == 0
    assert look_at(folder.root, tmp_path) is None


@pytest.mark.parametrize("results", ["beside", "elsewhere", "off"])
def test_results_and_finished_files(folder: Folder, tmp_path: Path, results: str) -> None:
    """A result follows each job; what was sent is moved, but for what was overwritten; nothing makes a job."""
    where = tmp_path / "elsewhere" if results == "elsewhere" else results
    teller = folder.teller(FolderWishes(results=where, done="move"))  # type: ignore[arg-type]
    for name in ("a", "b", "bad"):
        folder.put(f"{CHAT}/{name}.ogg", name.encode())
    folder.taken()
    jobs = {job.recording.name: job for job in folder.jobs()}
    folder.put(f"{CHAT}/b.ogg", b"new")
    folder.put(f"done/{CHAT}/a.ogg", b"older")
    for name in ("a.ogg", "b.ogg"):
        folder.sent(jobs[name])
    teller.round()
    base = tmp_path / "elsewhere" if results == "elsewhere" else folder.root
    told = {path.name: json.loads(path.read_bytes()) for path in base.rglob("*.memoline.json")}
    names = [] if results == "off" else ["a.ogg", "b.ogg", "bad.ogg"]
    assert sorted(told) == [f"{name}.memoline.json" for name in names]
    assert {row["state"] for row in told.values()} == (set() if results == "off" else {"SENT", "RECEIVED"})
    assert (folder.root / f"done/{CHAT}/a-2.ogg").read_bytes() == b"a"
    left = sorted(path.name for path in (folder.root / CHAT).iterdir() if path.suffix == ".ogg")
    assert left == ["b.ogg", "bad.ogg"]
    assert folder.taken() == 1  # the new b.ogg
    assert len(folder.jobs()) == 4


@pytest.fixture
def watched(folder: Folder) -> Iterator[Folder]:
    """A folder that a process watches."""
    stopped = threading.Event()
    args = (folder.settings, folder.root, FolderWishes(), stopped)
    thread = threading.Thread(target=watch_folder, args=args, daemon=True)
    thread.start()
    yield folder
    stopped.set()
    eventually(lambda: not thread.is_alive(), "it ends")


def test_watching_finds_what_is_written_moved_and_nested(watched: Folder, tmp_path: Path) -> None:
    """By the kernel's events; a whole folder that is moved there, too."""
    watched.put(f"{CHAT}/written.ogg", b"1")
    (tmp_path / "whole").write_bytes(b"2")
    eventually(lambda: len(watched.jobs()) == 1, "it is registered")
    (tmp_path / "whole").replace(watched.root / CHAT / "moved.ogg")
    nested = tmp_path / "nested"
    (nested / "deep").mkdir(parents=True)
    (nested / "deep" / "in.ogg").write_bytes(b"3")
    nested.replace(watched.root / CHAT / "nested")
    eventually(lambda: len(watched.jobs()) == 3, "all are registered")
    assert {job.chat_id for job in watched.jobs()} == {CHAT}
    eventually(lambda: len(list(watched.root.rglob("*.memoline.json"))) == 3, "all have results")


def test_a_folder_that_is_not_there_is_said_so(folder: Folder) -> None:
    """Before anything is begun."""
    with pytest.raises(Misuse) as caught:
        watch_folder(folder.settings, folder.root / "none", FolderWishes(), threading.Event())
    assert caught.value.code == "no-such-folder"
