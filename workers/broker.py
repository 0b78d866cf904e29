"""Asking whether the broker is there, and how it is set up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from pipeline.errors import PartUnreachable


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    """How a Redis, or Valkey, is set up. kept: whether its data outlives it. evicts: its policy, where it throws keys
    away when its memory is full; None where it refuses writes then, or has no limit. full: the share of the memory that
    is used, where there is a limit. skew_s: how far its clock is ahead of ours."""

    name: str
    version: tuple[int, ...]
    kept: bool
    evicts: str | None
    full: float
    skew_s: float


def ping(url: str) -> None:
    """Raises PartUnreachable (`redis-unreachable`) where Redis does not answer within three seconds."""
    with _connected(url) as client:
        client.ping()


def described(url: str) -> Broker:
    """What Redis tells of itself. Raises PartUnreachable (`redis-unreachable`)."""
    with _connected(url) as client:
        said: dict[str, Any] = client.info()
        (seconds, micros), now_s = client.time(), time.time()
    policy, limit = str(said.get("maxmemory_policy", "noeviction")), int(said.get("maxmemory") or 0)
    name = "valkey" if "valkey_version" in said else "redis"
    version = str(said.get(f"{name}_version", "0"))
    saves = int(said.get("rdb_saves") or 0) > 0
    return Broker(
        name=name,
        version=tuple(int(part) for part in version.split(".") if part.isdigit()),
        kept=bool(said.get("aof_enabled"))
        or saves
        or said.get("role") == "slave"
        or bool(said.get("connected_slaves")),
        evicts=policy if policy != "noeviction" else None,
        full=int(said.get("used_memory", 0)) / limit if limit else 0.0,
        skew_s=seconds + micros / 1e6 - now_s,
    )


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    try:
        client = redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3)
        try:
            yield client
        finally:
            client.close()
    except (redis.RedisError, OSError, ValueError) as error:
        where = url.rsplit("@", 1)[-1]
        text = f"Redis at {where} does not answer ({type(error).__name__}): start it, or correct MEMOLINE_BROKER_URL."
        raise PartUnreachable("redis-unreachable", text) from None
