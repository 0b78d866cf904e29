"""What ffmpeg may reach: nothing but its recording and its output, whatever it is told to do."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.audio.cage import lacking
from pipeline.audio.child import Limits, run
from tests.integration.audio.conftest import Make
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"this kernel cannot: {lacking()}")
ROOT = Path(__file__).parents[3]


def hear(*source: str) -> list[str]:
    """Arguments that decode a source which the cage was not told of."""
    return ["-loglevel", "error", *source, "-f", "null", "-"]


def test_another_file_cannot_be_read(make: Make, ffmpeg: str) -> None:
    """Given as an input, named in a list, or opened by a filter: the kernel refuses it. Outside the cage all of it
    works, so that this test would see an open door."""
    other = make("other.wav")
    other.with_name("list.txt").write_text(f"ffconcat version 1.0\nfile {other}\n")
    ways = {
        "input": hear("-i", str(other)),
        "filter": hear("-f", "lavfi", "-i", f"amovie={other}"),
        "list": hear("-f", "concat", "-safe", "0", "-i", f"file:{other.with_name('list.txt')}"),
    }
    for way, args in ways.items():
        assert subprocess.run([ffmpeg, "-nostdin", *args], capture_output=True, check=False).returncode == 0, way
        done = run(ffmpeg, args, Limits(wall_s=20))
        assert done.returncode > 0 and "Permission denied" in done.report, (way, done.report)


def test_no_other_file_can_be_made(make: Make, ffmpeg: str, tmp_path: Path) -> None:
    """Only the file that was named as output, and that one is gone when nothing was written to it."""
    to, elsewhere = tmp_path / "to.wav", tmp_path / "elsewhere.wav"
    source = ["-i", f"file:{make('a.wav')}", "-f", "wav", "-y"]
    assert run(ffmpeg, [*source, f"file:{to}"], Limits()).returncode == 0 and to.stat().st_size > 1000
    assert run(ffmpeg, [*source, str(elsewhere)], Limits()).returncode != 0 and not elsewhere.exists()
    assert run(ffmpeg, [*source, "-t", "x", f"file:{elsewhere}"], Limits()).returncode != 0 and not elsewhere.exists()
    assert run(
        ffmpeg, [*source, f"file:{tmp_path}/%d.wav", "-f", "segment", f"{tmp_path}/p%d.wav"], Limits()
    ).returncode
    assert not list(tmp_path.glob("*p*.wav"))


@contextmanager
def counting_server() -> Iterator[tuple[int, list[str]]]:
    """(port, paths asked for) of a local HTTP server."""
    asked: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        server.server_close()


def test_the_network_cannot_be_reached(ffmpeg: str) -> None:
    """An address given as input is never asked for; outside the cage it is."""
    with counting_server() as (port, asked):
        args = hear("-i", f"http://127.0.0.1:{port}/sound.wav")
        done = run(ffmpeg, args, Limits(wall_s=20))
        assert done.returncode != 0 and asked == []
        subprocess.run([ffmpeg, "-nostdin", *args], capture_output=True, check=False)
        assert asked


@contextmanager
def running(ffmpeg: str, *before: str, to: Path) -> Iterator[Path]:
    """The /proc folder of a child at work."""
    endless = ["-re", *before, "-f", "lavfi", "-i", "sine", "-f", "wav", f"file:{to}"]
    thread = threading.Thread(target=run, args=(ffmpeg, endless, Limits(wall_s=60)), daemon=True)
    thread.start()
    place = eventually(lambda: child_writing(to), "ffmpeg at work")
    try:
        yield place
    finally:
        os.kill(int(place.name), 9)
        thread.join()


def child_writing(to: Path) -> Path | None:
    """The /proc folder of the ffmpeg that is writing this output."""
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                words = (place / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"ffmpeg" in words[0] and f"file:{to}".encode() in words:
                return place if to.exists() and to.stat().st_size > 1000 else None
    return None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_child_has_no_privilege_no_descriptor_and_no_folder(ffmpeg: str, tmp_path: Path) -> None:
    """As the kernel tells it: rights given up, limits set, nothing inherited, a working folder that is gone."""
    intruder = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(intruder, True)
    try:
        with running(ffmpeg, to=tmp_path / "out.wav") as place:
            status = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines() if ":\t" in line)
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
            assert int(status["CapEff"], 16) & ~0b110 == 0 and int(status["CapPrm"], 16) & ~0b110 == 0
            names = {str(entry.readlink()) for entry in (place / "fd").iterdir()}
            assert not any("hostname" in name for name in names), names
            assert str((place / "cwd").readlink()).endswith(" (deleted)")
            words = {word.split(b"=")[0] for word in (place / "environ").read_bytes().split(b"\0") if word}
            assert words == {b"PATH", b"LC_ALL", b"HOME", b"TMPDIR"}
            limits = (place / "limits").read_text()
            for name in ("cpu time", "file size", "data size", "open files", "core file size", "address space"):
                soft = next(line for line in limits.splitlines() if name in line).split("  ")
                assert "unlimited" not in [word.strip() for word in soft], name
            assert os.getpgid(int(place.name)) == int(place.name) == os.getsid(int(place.name))
    finally:
        os.close(intruder)


def test_no_other_program_can_be_started() -> None:
    """A program in the cage can neither start another nor make a second process."""
    code = """if True:
        import os, subprocess, sys, threading
        from pathlib import Path
        from pipeline.audio.cage import Cage
        def tries():
            Cage(programs=(Path("/bin/sh").resolve(),)).enter()
            print(subprocess.run(["/bin/sh", "-c", sys.argv[1]], stdin=subprocess.PIPE, capture_output=True, text=True))
        thread = threading.Thread(target=tries)
        thread.start()
        thread.join()
        """
    for command, word in (("/bin/ls /", "Permission denied"), ("(echo)", "Cannot fork"), ("exec /bin/ls", "denied")):
        done = subprocess.run(
            [sys.executable, "-c", code, command], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert word in done.stdout or "Cannot fork" in done.stdout, done


WITHOUT = """if True:
    import ctypes, struct, sys
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    ops = [(0x20, 0, 0, 0), (0x15, 0, 1, int(sys.argv[1])), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *op) for op in ops))
    assert libc.prctl(22, 2, struct.pack("HxxxxxxP", len(ops), ctypes.addressof(code))) == 0
    sys.argv[1:] = ["doctor", "--json"]
    from workers.cli import main
    main()
    """


@pytest.mark.parametrize(
    ("number", "word"), [(444, "no Landlock"), (317 if os.uname().machine == "x86_64" else 277, "no seccomp")]
)
def test_doctor_warns_of_what_the_kernel_lacks(number: int, word: str, tmp_path: Path) -> None:
    """Under a filter that hides a system call, as an old kernel would. The recording is converted all the same."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(number)], capture_output=True, text=True, cwd=ROOT, check=False,
        env=dict(os.environ) | {"MEMOLINE_HOME": str(tmp_path)},
    )  # fmt: skip
    line = next(line for line in done.stdout.splitlines() if '"containment"' in line)
    assert '"warn"' in line and word in line, done


def test_doctor_finds_the_cage_whole_here(run_doctor: Callable[[], str]) -> None:
    """No warning where nothing is missing."""
    assert "dies with its worker" in run_doctor()


@pytest.fixture
def run_doctor(tmp_path: Path) -> Callable[[], str]:
    def go() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "workers", "doctor"], capture_output=True, text=True, cwd=ROOT, check=False,
            env=dict(os.environ) | {"MEMOLINE_HOME": str(tmp_path)},
        )  # fmt: skip
        return done.stdout

    return go
