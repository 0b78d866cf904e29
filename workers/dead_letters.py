"""Messages of the inbox's queue that nobody understood and that were moved aside: the watcher counts them, and whoever
shows figures reads its count, without rights at the queue."""

from __future__ import annotations

from pipeline.ports import Ledger
from pipeline.settings import Settings
from workers.log import logger
from workers.wiring import inbox_queue_state

_FLAG = "inbox-dead-letters"


def count_dead_letters(settings: Settings, ledger: Ledger) -> int:
    """Count them, and keep the count in the ledger. Raises PartUnreachable, Misuse."""
    state = inbox_queue_state(settings)
    count = (state.dead_letters or 0) if state else 0
    if ledger.flag(_FLAG) != str(count):
        ledger.set_flag(_FLAG, str(count))
        if count:
            logger().warning("watch.dead-letters", count=count)
    return count


def dead_letters(ledger: Ledger) -> int:
    """How many a watcher counted within the last minute or so. Raises PartUnreachable."""
    return int(ledger.flag(_FLAG) or 0)
