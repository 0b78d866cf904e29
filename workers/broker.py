"""Asking whether the broker is there."""

from __future__ import annotations

import redis

from pipeline.errors import PartUnreachable


def ping(url: str) -> None:
    """Raises PartUnreachable (`redis-unreachable`) where Redis does not answer within three seconds."""
    try:
        client = redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3)
        try:
            client.ping()
        finally:
            client.close()
    except (redis.RedisError, OSError, ValueError) as error:
        where = url.rsplit("@", 1)[-1]
        text = f"Redis at {where} does not answer ({type(error).__name__}): start it, or correct MEMOLINE_BROKER_URL."
        raise PartUnreachable("redis-unreachable", text) from None
