"""Free ports for the parts, chosen once and remembered, so that URLs stay the same from one start to the next."""

from __future__ import annotations

import errno
import json
import random
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from infra.local.home import read_json, write_private
from pipeline.errors import PartUnreachable

RANGE = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections, so that none of these can take a part's port while the
part is being started again."""
LISTENERS = ("broker", "s3", "cdn", "linq", "serve")


def choose_ports(home: Path, *, set_ports: Mapping[str, int], host: str = "127.0.0.1") -> dict[str, int]:
    """A port for every part that listens.

    set_ports: those that somebody demands, by part; host: where `serve` listens. A remembered port that is in use by
    now is replaced. Raises PartUnreachable (`port-in-use` for a demanded one, `port-unusable` for a host that is not
    ours)."""
    remembered = {k: v for k, v in read_json(home / "ports.json").items() if k in LISTENERS and isinstance(v, int)}
    hosts = dict.fromkeys(LISTENERS, "127.0.0.1") | {"serve": host}
    _demand(set_ports.get("serve", 0), host)
    for part, port in set_ports.items():
        _demand(port, hosts[part])
    chosen: dict[str, int] = {}
    for part, where in hosts.items():
        taken = {*chosen.values(), *set_ports.values()}
        kept = remembered.get(part)
        keep = kept if kept and kept not in taken and is_free(kept, where) else None
        chosen[part] = set_ports.get(part) or keep or _free(taken, where)
    own = {part: port for part, port in chosen.items() if part not in set_ports}
    if remembered | own != remembered:
        write_private(home / "ports.json", json.dumps(remembered | own) + "\n")
    return chosen


def remembered_port(home: Path, part: str) -> int | None:
    """The port that was chosen for a part earlier."""
    port = read_json(home / "ports.json").get(part)
    return port if isinstance(port, int) else None


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    return _bind_error(port, host) is None


def _demand(port: int, host: str) -> None:
    error = _bind_error(port, host)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        text = f"Port {port} (MEMOLINE_HTTP_PORT) is used by another program: free it, or set another port."
        raise PartUnreachable("port-in-use", text, port=port)
    named = f" and MEMOLINE_HTTP_PORT {port}" if port else ""
    text = f"MEMOLINE_HTTP_HOST {host}{named} cannot be served here ({error.strerror})."
    raise PartUnreachable("port-unusable", text, host=host, port=port)


def _bind_error(port: int, host: str) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier process that linger do not count as somebody listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def _free(taken: Collection[int], host: str) -> int:
    for _ in range(1000):
        port = random.choice(RANGE)  # noqa: S311 -- nothing secret
        if port not in taken and is_free(port, host):
            return port
    raise PartUnreachable("port-in-use", f"No free port between {RANGE.start} and {RANGE.stop}: end other servers.")
