"""Removing what nobody needs any more: copies of recordings without a job, and folders of attempts that died."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from pipeline.disk import using
from pipeline.errors import Misuse
from pipeline.hosting.spool import Spool
from pipeline.ledger.ledger import SqlLedger
from workers.log import logger

DAY_S = 86_400.0
"""Younger ones are left alone: a job may be about to be registered for a copy, and no attempt takes so long."""
RETRY_WITHIN_S = 30 * DAY_S
"""So long the copy of a job that came to nothing is kept, so that it can be tried again."""
MOST = 10_000
"""Copies that are looked at in one round."""


def remove_orphans(ledger: SqlLedger, spool: Spool, discard: Callable[[str], None], now: float) -> int:
    """Discard copies that were made over a day ago and that no job needs: the commit of their job was lost, or its end
    is long ago. Returns how many; one that cannot be removed is logged, and keeps no other.

    Listed first and asked about then: a job that is registered meanwhile needs none of them. Raises PartUnreachable,
    Misuse (`home-unusable`)."""
    old = list(islice(spool.made_before(now - DAY_S), MOST))
    if not old:
        return 0
    needed = ledger.recordings_needed(now - RETRY_WITHIN_S)
    return sum(_discarded(uri, discard) for uri in old if uri not in needed)


def _discarded(uri: str, discard: Callable[[str], None]) -> bool:
    try:
        discard(uri)
    except Misuse as error:
        logger().warning("sweep.copy-stays", uri=uri, code=error.code, error=error.message)
        return False
    return True


def remove_dead_work(folder: Path, now: float) -> int:
    """Remove folders of attempts whose worker died, and whose job was never tried again. Returns how many. Raises
    Misuse (`home-unusable`)."""
    count = 0
    with using(folder):
        for place in folder.iterdir() if folder.is_dir() else ():
            with suppress(FileNotFoundError):  # its worker has ended at this moment
                if place.stat().st_mtime < now - DAY_S:
                    shutil.rmtree(place, ignore_errors=True)
                    count += 1
    return count
