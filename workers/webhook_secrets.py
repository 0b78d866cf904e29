"""The signing secrets that the receiver takes: those of the settings, and those of subscriptions that `memoline
webhooks` made, kept in MEMOLINE_HOME. The file is read anew when it has changed: a rotation needs no restart."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pipeline.disk import using
from pipeline.errors import Misuse
from pipeline.settings import Settings

FILE = "webhooks.json"
OVERLAP_S = 86_400
"""How long the secret of a subscription that was replaced is still taken. Linq repeats an event for half an hour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptSecret:
    """The secret of one subscription. ends_at: Unix seconds, from when it is not taken any more; None: it is in use."""

    subscription_id: str
    target_url: str
    secret: str = field(repr=False)
    made_at: float
    ends_at: float | None = None


class SecretBook:
    """The secrets of one process. now: Unix seconds."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.home / FILE
        both = (settings.webhook_secret, settings.webhook_secret_previous)
        self._set = [secret.get_secret_value() for secret in both if secret is not None]
        self._seen: tuple[int, int] | None = None
        self._kept: tuple[KeptSecret, ...] = ()

    def all(self) -> list[str]:
        """Every secret that counts now. Raises Misuse (`missing-setting`) where there is none."""
        if not (found := self.known()):
            text = "No signing secret of webhooks is known: run `memoline webhooks create`, or set LINQ_WEBHOOK_SECRET."
            raise Misuse("missing-setting", text, setting="LINQ_WEBHOOK_SECRET")
        return found

    def known(self) -> list[str]:
        """As `all`, and nothing where there is none."""
        now = time.time()
        kept = [one.secret for one in self._read() if one.ends_at is None or one.ends_at > now]
        return [*kept, *self._set]

    def _read(self) -> tuple[KeptSecret, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        if self._seen != (status.st_mtime_ns, status.st_ino):
            self._kept = read_kept(self._path.parent)
            self._seen = (status.st_mtime_ns, status.st_ino)
        return self._kept


def read_kept(home: Path) -> tuple[KeptSecret, ...]:
    """The secrets that are kept, the newest first. Raises Misuse (`home-unusable`) where they cannot be read."""
    path = home / FILE
    try:
        rows = json.loads(path.read_bytes())["secrets"]
        kept = [KeptSecret(**row) for row in rows]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not what Memoline wrote"
        text = f"{path} cannot be read ({why}): mend it, or remove it and run `memoline webhooks rotate`."
        raise Misuse("home-unusable", text, setting="MEMOLINE_HOME") from None
    return tuple(sorted(kept, key=lambda one: one.made_at, reverse=True))


@contextmanager
def changing(home: Path) -> Iterator[None]:
    """One command at a time changes subscriptions and their secrets. Raises JobFailed (`disk-full`), Misuse
    (`home-unusable`)."""
    with ExitStack() as held:
        with using(home):
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = held.enter_context((home / f"{FILE}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def keep(home: Path, new: KeptSecret) -> Path:
    """Add a secret. On disk when it returns, readable by its owner only."""
    return _write(home, [new, *read_kept(home)])


def retire(home: Path, subscription_ids: Sequence[str], *, now: float, overlap_s: float = OVERLAP_S) -> None:
    """Take the secrets of subscriptions that are gone for a while longer, and forget those whose time is over."""
    ended = [
        replace(one, ends_at=one.ends_at or now + overlap_s) if one.subscription_id in subscription_ids else one
        for one in read_kept(home)
    ]
    _write(home, [one for one in ended if one.ends_at is None or one.ends_at > now])


def _write(home: Path, kept: Sequence[KeptSecret]) -> Path:
    path = home / FILE
    new = path.with_name(f"{FILE}.{os.getpid()}.new")
    with using(path):
        with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            json.dump({"secrets": [asdict(one) for one in kept]}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    return path
