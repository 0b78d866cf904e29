"""A backfill's plan: every recording inspected, nothing changed, and later run as it was shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import MemolineError
from pipeline.sending.forecast import Load
from pipeline.settings import Settings, load_settings
from tests.support.embedded import memoline
from tests.support.inbox import make_inbox
from tests.support.recordings import make, make_ogg, make_wav
from workers.backfill import run_backfill
from workers.cli.backfilling import ordered
from workers.cli.backfills import backfill
from workers.plan_notes import Notes
from workers.planning import outlook_of
from workers.plans import Outlook, PlanFile, read_plan
from workers.sources import rows_of

CHAT = "5e0d0000-0000-4000-8000-000000000001"
OTHER = "5e0d0000-0000-4000-8000-000000000002"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording of each kind, and a manifest that names them."""
    folder = tmp_path_factory.mktemp("archive")
    make_ogg(folder / "a.ogg", duration_s=2)
    make_wav(folder / "b.wav", duration_s=1)
    make(folder / "c.mov", "-c:a", "aac", duration_s=2)
    make(folder / "long.ogg", "-c:a", "libopus", "-b:a", "24k", duration_s=60)
    (folder / "d.txt").write_text("hello")
    rows = [
        ("a.ogg", CHAT, "", ""),
        ("b.wav", CHAT, "k", ""),
        ("c.mov", OTHER, "", ""),
        ("long.ogg", CHAT, "", ""),
        ("long.ogg", CHAT, "", "split"),
        ("d.txt", CHAT, "", ""),
        ("a.ogg", CHAT, "", ""),
        ("a.ogg", CHAT, "k", ""),
        ("none.ogg", CHAT, "", ""),
        ("a.ogg", "", "", ""),
    ]
    lines = "".join(",".join(row) + "\n" for row in rows)
    (folder / "m.csv").write_text("recording,chat_id,key,overflow\n" + lines)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which nothing runs."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


SMALL = {"MEMOLINE_MAX_BYTES": "80000", "MEMOLINE_LINE_DAILY_LIMIT": "2"}


def test_every_row_is_told_and_nothing_changed(archive: Path, home: Path) -> None:
    """What would be done with each and why; the totals; when it would end; and not a job is there."""
    ran = memoline(home, "backfill", str(archive / "m.csv"), "--dry-run", env=SMALL)
    *rows, last = ran.rows
    assert ran.status == 1 and [row["line"] for row in rows] == list(range(2, 12))
    assert [(row["action"], row["code"], row["status"]) for row in rows] == [
        ("transcode", "transcoded", "registered"),
        ("pass-through", "accepted", "registered"),
        ("remux", "rewrapped", "registered"),
        ("transcode", "cut", "registered"),
        (None, "key-reused", "reported"),  # the same recording and chat, asked for in another way
        ("reject", "not-media", "registered"),
        (None, None, "known"),
        (None, "key-reused", "reported"),
        (None, "no-such-file", "reported"),
        (None, "no-chat", "reported"),
    ]
    cut, again = rows[3], rows[6]
    assert 15 < cut["keep_s"] < 35 and cut["bitrate_kbps"] == 24 and 70_000 < cut["memo_bytes"] < 80_000
    assert again["duplicate_of"] == 2 and again["job_id"] == rows[0]["job_id"]
    told = last["summary"]
    assert told["rows"] == 10 and told["memos"] == 4 and told["chats"] == 2
    # Two of a line's memos a day, of which one is a backfill's: the fourth goes on the third day after.
    assert told["sending_s"] == 3 * 86_400 and told["chats_of_unknown_line"] == 2
    assert memoline(home, "jobs").rows == []


def test_a_split_is_foretold(archive: Path, home: Path) -> None:
    """Into as many parts as it is then made of."""
    (archive / "split.csv").write_text(f"recording,chat_id,overflow\nlong.ogg,{CHAT},split\n")
    row = memoline(home, "backfill", str(archive / "split.csv"), "--dry-run", env=SMALL).rows[0]
    made = memoline(
        home, "convert", str(archive / "long.ogg"), "-o", str(home / "out"), env=SMALL | {"MEMOLINE_OVERFLOW": "split"}
    ).row
    assert row["code"] == "split" and row["parts"] == len(made["parts"]) > 1
    assert made["size_bytes"] <= row["memo_bytes"] <= 1.3 * made["size_bytes"], "a tone costs less than speech"


def test_a_plan_is_run_as_it_was_shown(archive: Path, home: Path) -> None:
    """The same jobs; a file that changed is reported; what was not possible then is not tried; twice is as once."""
    make_ogg(archive / "none.ogg", duration_s=1).unlink()
    plan = home / "plan.jsonl"
    shown = memoline(home, "backfill", str(archive / "m.csv"), "--dry-run", "--save-plan", str(plan)).rows[:-1]
    make_ogg(archive / "none.ogg", duration_s=1)
    was = (archive / "b.wav").read_bytes()
    with (archive / "b.wav").open("ab") as file:
        file.write(b"more")
    try:
        ran = memoline(home, "backfill", "--plan", str(plan))
    finally:
        (archive / "b.wav").write_bytes(was)
        (archive / "none.ogg").unlink()
    by_line = {row["line"]: row for row in ran.rows}
    assert by_line[3]["code"] == "source-changed" and by_line[10]["code"] == "no-such-file"
    same = [row["job_id"] for row in shown if row["line"] != 3]
    assert [row["job_id"] for row in ran.rows if row["line"] != 3] == same
    again = memoline(home, "backfill", "--plan", str(plan))
    assert {row["status"] for row in again.rows if row["job_id"]} == {"known", "registered"}, "b.wav is as it was"
    assert len(memoline(home, "jobs").rows) == len({job_id for job_id in same if job_id}) + 1


def test_plans_that_are_not_run(archive: Path, home: Path) -> None:
    """Made with other settings, broken off, or no plan at all: one sentence, and not a job."""
    plan, broken = home / "plan.jsonl", home / "broken.jsonl"
    memoline(home, "backfill", str(archive), "--chat", CHAT, "--dry-run", "--save-plan", str(plan))
    broken.write_text(plan.read_text()[:-200])

    def code(call: Callable[[], object]) -> str:
        with pytest.raises(MemolineError) as caught:
            call()
        return caught.value.code

    audio = load_settings({}, home).audio
    outdated = replace(audio, max_bytes=90_000)
    assert code(lambda: list(read_plan(str(plan), outdated))) == "plan-outdated"
    for path, expected in ((broken, "bad-plan"), (archive / "m.csv", "bad-plan"), (home / "none", "no-such-file")):
        assert code(lambda path=path: list(read_plan(str(path), audio))) == expected  # type: ignore[misc]
    assert code(lambda: PlanFile(home / "none" / "p", "x", audio).__enter__()) == "plan-unwritable"
    for arguments in ((), ("--plan", "p", "--chat", CHAT), ("--plan", "p", "x"), (str(archive), "--save-plan", "p")):
        with pytest.raises(MemolineError) as caught:
            backfill.main(list(arguments), standalone_mode=False)
        assert caught.value.code == "usage"
    for bad, expected in (
        ("--column", "bad-column"),
        ("--max-failures", "bad-max-failures"),
        ("--time-zone", "bad-time-zone"),
    ):
        with pytest.raises(MemolineError) as caught:
            backfill.main([str(archive), bad, "x"], standalone_mode=False)
        assert caught.value.code == expected
    assert not list(home.glob(".*"))


def test_objects_are_inspected_too(s3_stack: Settings, tmp_path: Path, archive: Path) -> None:
    """Fetched, looked at, and let go; an object that changes after the plan is reported."""
    inbox = make_inbox(s3_stack, tmp_path / "home", events=False)
    inbox.drop(f"{CHAT}/a.ogg", (archive / "a.ogg").read_bytes())
    inbox.drop(f"{CHAT}/b.wav", (archive / "b.wav").read_bytes())
    order = ordered(f"s3://{inbox.bucket}/", None, None, (), None, by_plan=False)
    audio = inbox.settings.audio
    with PlanFile(tmp_path / "p", order.source, audio) as file:
        outlooks = [outlook_of(inbox.desk, row, order.default)[0] for row in rows_of(inbox.desk, order.source, {})]
        for outlook in outlooks:
            file.row(outlook)
        file.end({})
    assert [outlook.action for outlook in outlooks] == ["transcode", "pass-through"]
    inbox.drop(f"{CHAT}/b.wav", (archive / "a.ogg").read_bytes())
    codes: list[str | None] = []
    run_backfill(inbox.desk, order, read_plan(str(tmp_path / "p"), audio), on_row=lambda row: codes.append(row.code))
    assert codes == [None, "source-changed"] and len(inbox.jobs()) == 1


def test_inspecting_needs_no_more_memory_for_more_rows(tmp_path: Path) -> None:
    """The notes lie on disk: only alike chats are held, however many rows there are."""
    notes = Notes(tmp_path)
    for n in range(300):
        one = Outlook(line=n, recording="x", status="registered", job_id=f"j{n % 200}", chat_id=f"c{n % 100}", parts=1)
        assert notes.first(one, "same") == (n % 200, True)
        if n < 200:
            notes.count(one, "+1" if n % 2 else None, ahead=3)
        notes.close()
    assert sorted(notes.loads(), key=str) == sorted(
        [Load(memos=5, chats=50, line="+1"), Load(memos=5, chats=50, line=None)], key=str
    )
    assert notes.chats() == (100, 50)
    assert notes.first(Outlook(line=9, recording="x", status="registered", job_id="j1"), "other") == (1, False)
    notes.close()
