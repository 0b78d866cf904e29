"""Parts of the embedded stack, really running, for tests that need them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.local import stack
from infra.local.status import PartStatus
from pipeline.settings import Settings, load_settings


@contextmanager
def running_stack(home: Path, *parts: str, explicit: Mapping[str, str] | None = None) -> Iterator[Settings]:
    """These parts (all where none is named) for as long as the block lasts; gives the settings that reach them."""
    stack.up(explicit or {}, home, only=frozenset(parts) or None)
    try:
        yield load_settings({**(explicit or {}), "MEMOLINE_HOME": str(home)}, folder=home / "run")
    finally:
        stack.down(home)


def part(home: Path, name: str) -> PartStatus:
    """One part's status."""
    return next(status for status in stack.status(home) if status.name == name)


def s3_client(settings: Settings) -> Any:
    """A boto3 client as a user would make it."""
    return _client("s3", settings, settings.s3_endpoint_url)


def sqs_client(settings: Settings) -> Any:
    """The same for the queue."""
    return _client("sqs", settings, settings.sqs_endpoint_url)


def _client(service: str, settings: Settings, endpoint_url: str | None) -> Any:
    import boto3

    return boto3.session.Session().client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint_url,
        region_name=settings.aws_region,
        aws_access_key_id=settings.need("aws_access_key_id"),
        aws_secret_access_key=settings.need("aws_secret_access_key"),
    )
