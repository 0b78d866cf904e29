"""What is done to a system, one thing after the other: each kind of the failure matrix, by name."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import redis

from infra.local.processes import members
from tests.chaos.jumps import WallClock
from tests.chaos.systems import (
    CONFIRM_AFTER_S,
    LEASE_S,
    SEND_TIMEOUT_S,
    Memoline,
    Order,
    System,
    copy_database,
    put_back,
    signal_part,
)

LINQ_FAULTS: dict[str, dict[str, object]] = {
    "answer-lost": {},
    "reset-before": {},
    "error-before 5002": {"code": 5002},
    "error-before 3001": {"code": 3001},
    "error-before 4004": {"code": 4004},
    "error-after 3001": {"code": 3001},
    "error-after 5001": {"code": 5001},
    "gateway-html before": {"when": "before"},
    "gateway-html after": {"when": "after"},
    "rate-limited": {"seconds": 5},
    "slow": {"seconds": SEND_TIMEOUT_S + 3},
    "no-id": {},
    "lagging-list": {"seconds": CONFIRM_AFTER_S - 1},
    "webhook-doubled": {},
    "webhook-reordered": {},
    "webhook-late": {"seconds": 5},
    "webhook-never": {},
    "message-failed": {},
}
"""Kinds of the Linq sandbox (and what tells two of one kind apart) with their fields."""


@dataclass
class Scene:
    """A run, for those who break something in it. orders: all that were accepted so far. asking: held by who asks."""

    system: System
    dice: random.Random
    chats: Sequence[str]
    scratch: Path
    orders: list[Order] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    asking: threading.Lock = field(default_factory=threading.Lock)
    clock: WallClock | None = None

    def hold(self, least_s: float, most_s: float) -> None:
        """Let a fault last."""
        self.stopped.wait(self.dice.uniform(least_s, most_s))


def kinds(system: System, *, tmpfs: bool) -> dict[str, Callable[[Scene], object]]:
    """Every fault that this system can be given, by name."""
    known: dict[str, Callable[[Scene], object]] = {}
    for part in ("audio", "send", "sweep", "serve", "watch", "broker", "s3", "cdn", "linq"):
        if system.leader(part):
            known[f"kill -9 {part}"] = lambda scene, part=part: signal_part(scene.system, part, signal.SIGKILL)
    known |= {
        "kill -9 pool child": lambda scene: _kill_one(scene, _children),
        "kill -9 ffmpeg": lambda scene: _kill_one(scene, _ffmpegs),
        "TERM audio group": lambda scene: signal_part(scene.system, "audio", signal.SIGTERM, whole=True),
        "TERM send group": lambda scene: signal_part(scene.system, "send", signal.SIGTERM, whole=True),
        "kill -9 supervisor": _kill_supervisor,
        "freeze send past its deadline": lambda scene: _freeze(scene, "send", SEND_TIMEOUT_S + 3 * CONFIRM_AFTER_S),
        "freeze audio past its lease": lambda scene: _freeze(scene, "audio", LEASE_S + 3),
        "freeze broker": lambda scene: _freeze(scene, "broker", 8),
        "freeze s3": lambda scene: _freeze(scene, "s3", 10),
        "freeze cdn": lambda scene: _freeze(scene, "cdn", 8),
        "freeze linq": lambda scene: _freeze(scene, "linq", SEND_TIMEOUT_S + 2),
        "slow linq": lambda scene: _freeze(scene, "linq", 3),
        "wipe broker": _wipe,
        "fill broker": _fill_broker,
    }
    if system.leader("serve"):
        known["freeze serve (webhooks lost)"] = lambda scene: _freeze(scene, "serve", 12)
    if isinstance(system, Memoline):
        known["lock ledger"] = _lock_ledger if system.ledger_file else _kill_connections
        known["restore an old ledger"] = _restore
        if system.database:
            known["kill -9 postgresql"] = _kill_database
    known["clock set forward and back"] = lambda scene: _jump(scene, 1)
    known["clock set back and forward"] = lambda scene: _jump(scene, -1)
    if tmpfs:
        known["disk full"] = _fill_disk
    for name, fields in LINQ_FAULTS.items():
        known[f"linq: {name}"] = lambda scene, name=name, fields=fields: _ask_linq(scene, name.split(" ")[0], fields)
    return known


def _kill_one(scene: Scene, which: Callable[[System], list[int]]) -> None:
    for _ in range(40):  # until there is one
        if found := which(scene.system):
            with suppress(ProcessLookupError):
                os.kill(scene.dice.choice(found), signal.SIGKILL)
            return
        scene.hold(0.1, 0.1)


def _children(system: System) -> list[int]:
    leader = system.leader("audio")
    return [pid for pid in _parts_of(leader) if _parent(pid) == leader] if leader else []


def _ffmpegs(system: System) -> list[int]:
    return [pid for pid in _parts_of(system.leader("audio")) if "ffmpeg" in _command(pid)]


def _parts_of(leader: int | None) -> list[int]:
    return [pid for pid in members(leader) if pid != leader] if leader else []


def _parent(pid: int) -> int:
    text = _read(pid, "stat")
    return int(text[text.rindex(")") + 2 :].split()[1]) if text else 0


def _command(pid: int) -> str:
    return _read(pid, "comm")


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def _kill_supervisor(scene: Scene) -> None:
    signal_part(scene.system, "supervisor", signal.SIGKILL)
    scene.hold(0.5, 2)
    scene.system.start()


def _freeze(scene: Scene, part: str, for_s: float) -> None:
    signal_part(scene.system, part, signal.SIGSTOP, whole=True)
    try:
        scene.hold(for_s, for_s * 1.3)
    finally:
        signal_part(scene.system, part, signal.SIGCONT, whole=True)


def _broker(scene: Scene) -> redis.Redis:
    return redis.Redis.from_url(scene.system.settings.need("broker_url"), socket_timeout=5)


def _wipe(scene: Scene) -> None:
    with suppress(redis.RedisError), _broker(scene) as client:
        client.flushall()


def _fill_broker(scene: Scene) -> None:
    with suppress(redis.RedisError), _broker(scene) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        scene.hold(4, 8)
        client.config_set("maxmemory", 0)


def _lock_ledger(scene: Scene) -> None:
    """Longer than the ledger's busy timeout of 10 s."""
    file = scene.system.ledger_file  # type: ignore[attr-defined]
    connection = sqlite3.connect(file, timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        scene.hold(11, 13)
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return
    finally:
        connection.close()


def _kill_connections(scene: Scene) -> None:
    """PostgreSQL ends every connection but this one, again and again."""
    import psycopg

    url = scene.system.settings.ledger_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(20):
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid != pg_backend_pid()")
            scene.hold(0.1, 0.5)


def _restore(scene: Scene) -> None:
    """Everything is stopped and the ledger is put back as it was some seconds ago; callers ask again for what they were
    told was accepted."""
    system = scene.system
    assert isinstance(system, Memoline)
    copy = scene.scratch / "ledger.copy"
    if system.database:
        system.database.back_up()
    elif system.ledger_file:
        copy_database(system.ledger_file, copy)
    scene.hold(5, 15)
    with scene.asking:  # or new orders come before those that were forgotten, and before their memos that were sent
        system.stop()
        system.forget_connections()
        if system.database:
            system.database.stop()
            system.database.put_back()
            system.database.start()
        elif system.ledger_file:
            put_back(copy, system.ledger_file)
        system.start()
        for order in list(scene.orders):
            while not system.accept(order) and not scene.stopped.is_set():
                scene.hold(0.2, 1)


def _kill_database(scene: Scene) -> None:
    """The postmaster is killed amid its work, and starts again from its log after a while."""
    assert isinstance(scene.system, Memoline)
    assert scene.system.database
    scene.system.database.stop(signal.SIGKILL)
    scene.hold(1, 8)
    scene.system.database.start()


def _jump(scene: Scene, direction: int) -> None:
    """Somebody sets the clock of all workers, and sets it right again: twice time jumps."""
    assert scene.clock
    scene.clock.set(direction * scene.dice.uniform(15, 60))
    scene.hold(4, 10)
    scene.clock.set(0.0)


def _fill_disk(scene: Scene) -> None:
    """The file system that everything of the stack lies on has no byte left."""
    ballast = scene.system.home / "ballast"
    try:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"\0" * size)
        scene.hold(5, 10)
    finally:
        ballast.unlink(missing_ok=True)


def _ask_linq(scene: Scene, kind: str, fields: dict[str, object]) -> None:
    """A fault for the next few POSTs of a few chats."""
    chosen = scene.dice.sample(list(scene.chats), min(3, len(scene.chats)))
    wishes = [{"kind": kind, "chat_id": chat_id, "count": 1, **fields} for chat_id in chosen]
    url = f"{scene.system.settings.linq_base_url}/_sandbox/faults"
    with suppress(httpx.HTTPError):
        httpx.post(url, json={"faults": wishes}, trust_env=False, timeout=5)
