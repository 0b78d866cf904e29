"""The command line as a person or a script meets it: odd input, wrong settings, parts that are away."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.embedded import ROOT, Ran, memoline
from tests.support.local_stack import running_stack
from tests.support.recordings import make_ogg, make_wav
from tests.support.signals import HEEDS_INTERRUPTS
from tests.support.waiting import eventually
from workers.cli.guard import run as run_in_process

CHAT = "5e0d0000-0000-4000-8000-000000000001"
NOBODY = "127.0.0.1:9"
"""A port where nobody listens."""
Run = Callable[..., Ran]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The working folder, with odd files in it, where no stack runs."""
    make_wav(tmp_path / "note.wav", duration_s=1)
    (tmp_path / "empty.ogg").touch()
    (tmp_path / "text.m4a").write_text("not a sound\n")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    return tmp_path


@pytest.fixture
def run_here(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, which is faster."""

    def run_command(*arguments: str, **env: str) -> Ran:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        status = run_in_process([*arguments, "--json"])
        said = capsys.readouterr()
        rows = [json.loads(line) for line in said.out.splitlines()]
        return Ran(status=status, rows=rows, stdout=said.out, stderr=said.err)

    return run_command


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Run:
    """Run a command as a user does."""

    def memoline_here(*arguments: str, **env: str) -> Ran:
        return memoline(tmp_path / ".memoline", *arguments, cwd=tmp_path, env=env)

    return memoline_here


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["send", "none.wav", "--chat", CHAT], 2, "no-such-file"),
        (["send", "folder", "--chat", CHAT], 2, "is-a-directory"),
        (["send", "pipe.wav", "--chat", CHAT], 2, "unreadable"),
        (["send", "note.wav", "--chat", "bob"], 2, "bad-chat-id"),
        (["send", "note.wav", "--chat", CHAT, "--key", ""], 2, "bad-key"),
        (["send", "note.wav", "--chat", CHAT, "--overflow", "squeeze"], 2, "bad-overflow"),
        (["send", "note.wav", "--chat", CHAT, "--not-before", "soon"], 2, "bad-not-before"),
        (["send", "s3://elsewhere/a.ogg", "--chat", CHAT], 2, "bucket-not-allowed"),
        (["send", "https://example.com/a.ogg", "--chat", CHAT], 2, "bad-recording"),
        (["send", "note.wav"], 2, "usage"),
        (["send", "-x.wav", "--chat", CHAT], 2, "usage"),
        (["frobnicate"], 2, "usage"),
        (["inspect"], 2, "usage"),
        (["inspect", "none.wav"], 2, "no-such-file"),
        (["inspect", "folder"], 2, "empty-folder"),
        (["inspect", "pipe.wav"], 2, "unreadable"),
        (["convert", "note.wav"], 2, "usage"),
        (["convert", "note.wav", "-o", "note.wav"], 2, "bad-out-dir"),
        (["convert", "empty.ogg", "-o", "out"], 3, "empty-file"),
        (["convert", "text.m4a", "-o", "out"], 3, "not-media"),
        (["host", "note.wav"], 4, "stack-not-running"),
        (["host", "none.wav"], 2, "no-such-file"),
        (["backfill", "none"], 2, "no-such-file"),
        (["backfill", "note.wav"], 2, "bad-source"),
        (["jobs", "--state", "lost"], 2, "bad-state"),
        (["show", "deadbeef"], 1, "no-such-job"),
        (["show", "; drop table jobs"], 1, "no-such-job"),
        (["retry", "deadbeef"], 1, "no-such-job"),
        (["resolve", "deadbeef"], 2, "usage"),
        (["worker", "video"], 2, "usage"),
        (["worker", "audio"], 2, "missing-setting"),
        (["worker", "send"], 2, "missing-setting"),
        (["sweep"], 2, "missing-setting"),
        (["watch"], 2, "missing-setting"),
        (["serve"], 2, "missing-setting"),
        (["env"], 4, "stack-not-running"),
    ],
)
def test_bad_input_is_one_object_with_its_code(run_here: Run, arguments: list[str], status: int, code: str) -> None:
    """One JSON object on stdout with a code and a sentence; the contract's exit status; nothing on stderr."""
    ran = run_here(*arguments)
    error = ran.row["error"]
    assert (ran.status, error["code"]) == (status, code)
    assert error["message"].endswith(".") or "--help`" in error["message"]
    assert "\n" not in error["message"]
    assert ran.stderr == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEMOLINE_BROKER_URL", "http://localhost:6379"),
        ("MEMOLINE_DATABASE_URL", "mysql://localhost/memoline"),
        ("MEMOLINE_CDN_URL", "http://127.0.0.1/"),
        ("LINQ_API_V3_BASE_URL", "http://api.example.com"),
        ("AWS_ENDPOINT_URL_S3", "ftp://s3"),
        ("MEMOLINE_MAX_BYTES", "ten"),
        ("MEMOLINE_OVERFLOW", "squeeze"),
        ("MEMOLINE_FFMPEG", "/none/ffmpeg"),
        ("MEMOLINE_CA_BUNDLE", "/none/ca.pem"),
        ("MEMOLINE_CA_BUNDLE", __file__),
        ("MEMOLINE_BROKER_URL", "redis://localhost:port"),
        ("MEMOLINE_INBOX_QUEUE_URL", "inbox"),
        ("LINQ_WEBHOOK_SECRET", "whsec_no base64!"),
        ("LINQ_API_V3_API_KEY", "schlüssel"),
    ],
)
def test_a_wrong_setting_stops_the_start_by_its_name(run_here: Run, name: str, value: str) -> None:
    """Also for a command that could do without it: half a configuration is never at work."""
    ran = run_here("doctor", **{name: value})
    assert (ran.status, ran.row["error"]["code"]) == (2, "bad-setting")
    assert name in ran.row["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "missing"), [("audio", "MEMOLINE_BUCKET"), ("send", "LINQ_API_V3_API_KEY"), ("send", "MEMOLINE_BUCKET")]
)
def test_a_worker_without_its_parts_does_not_start(run_here: Run, kind: str, missing: str) -> None:
    """It could only fail job after job."""
    all_set = {
        "MEMOLINE_BROKER_URL": f"redis://{NOBODY}/0",
        "MEMOLINE_BUCKET": "b",
        "MEMOLINE_CDN_URL": f"https://{NOBODY}",
        "LINQ_API_V3_API_KEY": "k",
    }
    ran = run_here("worker", kind, **{name: value for name, value in all_set.items() if name != missing})
    assert (ran.status, ran.row["error"]["setting"]) == (2, missing)


def test_a_settings_sentence_keeps_the_password(run_here: Run) -> None:
    """A password in a wrong URL is not repeated."""
    assert "s3cret" not in run_here("doctor", MEMOLINE_BROKER_URL="http://user:s3cret@localhost").stdout


def test_without_a_stack_a_job_is_registered_all_the_same(run: Run) -> None:
    """`send` is done with exit 0, an empty or a text file too; `--wait` says 4 and that the job goes on."""
    for name in ("note.wav", "empty.ogg", "text.m4a"):
        sent = run("send", name, "--chat", CHAT)
        assert (sent.status, sent.row["state"]) == (0, "RECEIVED")
    waited = run("send", "note.wav", "--chat", CHAT, "--key", "k", "--wait")
    assert (waited.status, waited.row["error"]["code"]) == (4, "stack-not-running")
    assert run("show", waited.row["error"]["job_id"]).row["key"] == "k"
    assert len(run("jobs").rows) == 4


def test_a_key_is_one_job_and_refuses_other_input(run: Run, tmp_path: Path) -> None:
    """The same content under another name is the same input; another chat is not."""
    (tmp_path / "copy.wav").write_bytes((tmp_path / "note.wav").read_bytes())
    first = run("send", "note.wav", "--chat", CHAT, "--key", "k")
    assert run("send", "copy.wav", "--chat", CHAT, "--key", "k").row == first.row
    other = run("send", "note.wav", "--chat", CHAT.replace("1", "2"), "--key", "k")
    assert (other.status, other.row["error"]["code"]) == (1, "key-reused")
    assert len(run("jobs").rows) == 1


def test_parts_that_are_away(run: Run) -> None:
    """Redis and Linq may be away when a job is registered; what needs a part at once says which, with exit 4."""
    broker, linq = {"MEMOLINE_BROKER_URL": f"redis://{NOBODY}/0"}, {"LINQ_API_V3_BASE_URL": f"http://{NOBODY}"}
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    s3 = {"AWS_ENDPOINT_URL_S3": f"http://{NOBODY}", "MEMOLINE_BUCKET": "b", "MEMOLINE_CDN_URL": f"https://{NOBODY}"}
    database = {"MEMOLINE_DATABASE_URL": f"postgresql://user:s3cret@{NOBODY}/memoline"}
    assert run("send", "note.wav", "--chat", CHAT, **broker, **linq, LINQ_API_V3_API_KEY="k").status == 0
    for arguments, settings, code in (
        (["send", "note.wav", "--chat", CHAT, "--wait"], broker, "redis-unreachable"),
        (["send", "note.wav", "--chat", CHAT], database, "ledger-unreachable"),
        (["jobs"], database, "ledger-unreachable"),
        (["host", "note.wav"], keys | s3, "s3-unreachable"),
    ):
        ran = run(*arguments, **settings)
        assert (ran.status, ran.row["error"]["code"]) == (4, code), ran
        assert "s3cret" not in ran.stdout + ran.stderr


def test_a_process_that_is_told_to_stop_ends_well(tmp_path: Path) -> None:
    """`serve`, as the others: status 0, so that no service manager counts it as a failure."""
    home = tmp_path / ".memoline"
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "serve"],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT), "MEMOLINE_API_TOKEN": "t"},
        stderr=subprocess.DEVNULL,
    )
    eventually((home / "run" / "serve.ready").exists, "it serves")
    process.terminate()
    assert process.wait(20) == 0


def test_a_wait_that_is_told_to_stop_says_that_the_job_goes_on(run: Run, tmp_path: Path) -> None:
    """Whoever ends the waiting does not end the job."""
    with running_stack(tmp_path / ".memoline", "broker"), (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", "send", "note.wav", "--chat", CHAT, "--wait"],
            env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        eventually(lambda: "RECEIVED" in (tmp_path / "said").read_text(), "it waits")
        process.terminate()
        assert process.wait(20) == 143
    assert (tmp_path / "said").read_text().endswith("is RECEIVED; it goes on by itself.\n")


def test_doctor_tells_each_part(run_here: Run) -> None:
    """Without a stack: what needs none is ok, the others fail by name, exit 4."""
    ran = run_here("doctor")
    levels = {row["part"]: row["level"] for row in ran.rows}
    assert ran.status == 4
    assert [levels[name] for name in ("ffmpeg", "disk", "ledger")] == ["ok"] * 3
    assert [levels[name] for name in ("broker", "s3", "cdn", "linq")] == ["fail"] * 4


def test_status_names_every_part(run_here: Run) -> None:
    """Also where nothing runs."""
    parts = run_here("status").row["parts"]
    assert {part["state"] for part in parts} == {"stopped"}
    assert " ".join(part["name"] for part in parts) == "supervisor broker s3 cdn linq audio send watch sweep serve"


def test_several_files_end_with_the_highest_status(run: Run, tmp_path: Path) -> None:
    """What can be done is done; each other file is an object of its own, with its path."""
    make_ogg(tmp_path / "a.ogg", duration_s=1)
    ran = run("convert", "none.wav", "text.m4a", "a.ogg", "note.wav", "-o", "out")
    assert ran.status == 3
    assert [row.get("action") or row["error"]["code"] for row in ran.rows] == [
        *("no-such-file", "not-media", "transcode", "pass-through")
    ]
    assert ran.rows[1]["error"]["path"] == str(tmp_path / "text.m4a")
    made = [Path(row["path"]) for row in ran.rows[2:]]
    assert sorted(made) == sorted((tmp_path / "out").iterdir())


def test_people_get_sentences(run: Run, tmp_path: Path) -> None:
    """Without --json: results on stdout, errors on stderr, never a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "workers", "inspect", "note.wav", "none.wav"],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == "note.wav: pass-through. It is WAV and under the limit.\n"
    error, summary = done.stderr.splitlines()
    assert error == "memoline: There is no file none.wav: check the path. [no-such-file]"
    assert summary.startswith("2 recordings: 1 pass-through, 1 failed; 0:0")


def test_an_error_of_ours_is_kept_in_a_file(run: Run, tmp_path: Path) -> None:
    """A ledger that is no database is told in one sentence; nothing of it is touched."""
    home = tmp_path / ".memoline"
    home.mkdir(mode=0o700)
    (home / "ledger.db").write_text("no database at all, " * 50)
    ran = run("jobs")
    assert ran.status in (1, 4) and ran.row["error"]["code"] == "ledger-unreachable"
    assert (home / "ledger.db").read_text() == "no database at all, " * 50


def test_help_is_there_for_every_command(run_here: Run) -> None:
    """Each command says what it does; the list of them is complete."""
    import click

    from workers.cli.commands import app

    context = click.Context(app)
    commands = {name: app.get_command(context, name) for name in app.list_commands(context)}
    assert {"inspect", "convert", "host", "send", "backfill", "jobs", "show", "retry", "cancel"} <= set(commands)
    assert all(command and command.help for command in commands.values())


def test_up_without_its_packages_says_what_to_install(run_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who only enqueue have not installed the extra; nothing is started."""
    monkeypatch.setattr("infra.local.stack.find_spec", lambda name: None if name == "trustme" else object())
    ran = run_here("up")
    assert (ran.status, ran.row["error"]["code"]) == (2, "missing-package")
    assert "memoline[local]" in ran.row["error"]["message"]
    assert not (Path.cwd() / ".memoline").exists()


@pytest.fixture(scope="session")
def long_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording whose encode takes a moment, made of a short one."""
    folder = tmp_path_factory.mktemp("long")
    with wave.open(str(make_wav(folder / "short.wav", duration_s=20))) as short:
        facts, sound = short.getparams(), short.readframes(short.getnframes())
    with wave.open(str(folder / "long.wav"), "wb") as long:
        long.setparams(facts)
        long.writeframes(sound * 40)
    return folder / "long.wav"


@pytest.mark.parametrize("arguments", ["worker audio", "watch", "sweep", "serve"])
def test_a_process_that_is_told_to_stop_before_it_is_ready_ends_well(arguments: str) -> None:
    """SIGTERM while the settings are read: 0, as later on."""
    code = (
        "import os, signal, sys, pipeline.settings as settings; from workers.cli import main; "
        "settings.load_settings = lambda: os.kill(os.getpid(), signal.SIGTERM); main()"
    )
    assert subprocess.run([sys.executable, "-c", code, *arguments.split()], check=False).returncode == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("count", [1, 3])
def test_a_command_that_is_told_to_stop_leaves_nothing(
    tmp_path: Path, long_wav: Path, number: signal.Signals, status: int, count: int
) -> None:
    """Amid one encode or several at once, twice: no scratch folder, no half memo, no process."""
    archive, out, temporary = tmp_path / "archive", tmp_path / "out", tmp_path / "tmp"
    archive.mkdir()
    temporary.mkdir()
    for copy in range(count):
        (archive / f"{copy}.wav").hardlink_to(long_wav)
    process = subprocess.Popen(
        [*HEEDS_INTERRUPTS, "-m", "workers", "convert", str(archive), "-o", "out", "-j", "2"],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    eventually(lambda: len(list(out.rglob("*.m4a"))) == min(count, 2) if out.is_dir() else False, "encodes have begun")
    os.killpg(process.pid, number)  # as a terminal does; ffmpeg has sessions of its own
    process.send_signal(number)
    assert process.wait(20) == status
    assert [*out.iterdir(), *temporary.iterdir()] == []
    assert not _running_in(temporary)


def _running_in(folder: Path) -> list[str]:
    """Command lines of processes that name a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes().decode(errors="replace") if entry.name.isdigit() else ""
            found += [line] if str(folder) in line else []
    return found


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder with the same name in several places, and with what is no recording of it."""
    (tmp_path / "archive" / "2024").mkdir(parents=True)
    wav = make_wav(tmp_path / "archive" / "note.wav", duration_s=1)
    (tmp_path / "archive" / ".trash").mkdir()
    for place in ("2024/note.wav", ".trash/note.wav", ".hidden.wav"):
        (tmp_path / "archive" / place).write_bytes(wav.read_bytes())
    make_ogg(tmp_path / "archive" / "note.ogg", duration_s=1)
    (tmp_path / "archive" / "circle").symlink_to(tmp_path / "archive")
    (tmp_path / "archive" / "link.wav").symlink_to(wav)
    return tmp_path / "archive"


def test_folders_are_taken_file_by_file_in_order(run: Run, archive: Path) -> None:
    """Hidden files and links to folders are left out; the results come in order, however many are in work."""
    names = ["archive/2024/note.wav", "archive/link.wav", "archive/note.ogg", "archive/note.wav"]
    for jobs in ("1", "3"):
        ran = run("inspect", "archive", "none.wav", "archive/note.ogg", "-j", jobs)
        told = [row.get("path") or row["error"]["path"] for row in ran.rows]
        assert told == [*names, "none.wav", "archive/note.ogg"]
        assert ran.status == 2


def test_memos_of_a_folder_lie_as_their_recordings_do(run: Run, archive: Path, tmp_path: Path) -> None:
    """Nothing is overwritten, by a rule that does not depend on who is ready first; a second run finds its memos."""
    for arguments in (["archive"], ["archive"], ["."]):  # DIR itself is no recording
        ran = run("convert", *arguments, "-o", "out", "-j", "3")
        rows = [row for row in ran.rows if "archive" in row.get("source", "")]
        made = [Path(row["path"]).relative_to(tmp_path / "out").as_posix() for row in rows]
        below = "archive/" if arguments == ["."] else ""
        assert made == [f"{below}{name}" for name in ("2024/note.wav", "link.wav", "note.m4a", "note-2.wav")]
    assert [Path(row["source"]).name for row in rows] == ["note.wav", "link.wav", "note.ogg", "note.wav"]
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 9, "with note.wav of the folder"


def test_a_recording_whose_worker_is_killed_is_told_and_the_others_go_on(tmp_path: Path, long_wav: Path) -> None:
    """As the kernel does when memory is short."""
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).hardlink_to(long_wav)
    make_ogg(tmp_path / "c.ogg", duration_s=1)
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "convert", "a.wav", "b.wav", "c.ogg", "-o", "out", "-j", "2", "--json"],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    out = tmp_path / "out"
    eventually(lambda: out.is_dir() and len(list(out.rglob("*.m4a"))) == 2, "the encodes have begun")
    hands = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(hands[0]), signal.SIGKILL)
    rows = [json.loads(line) for line in process.communicate(timeout=120)[0].splitlines()]
    assert [row["error"]["code"] if "error" in row else row["action"] for row in rows] == [
        *("worker-ended", "transcode", "transcode")
    ]
    assert process.returncode == 1
