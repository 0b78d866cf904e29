"""How long the queues are: asked in a thread of its own, so that a part that is away delays no scrape for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.errors import MemolineError
from pipeline.ports import Ledger
from pipeline.settings import Settings
from workers.dead_letters import dead_letters
from workers.hints import QUEUES, REGISTER, Hints
from workers.log import logger
from workers.wiring import inbox_queue_state

BROKER_QUEUES = (REGISTER, *(queue for queues in QUEUES.values() for queue in queues))
INBOX, DEAD = "inbox", "inbox-dead"
FRESH_S = 10.0
PATIENCE_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """lengths: by queue. there: which parts answered; the inbox queue is left out where none is set."""

    lengths: Mapping[str, int]
    there: Mapping[str, bool]


class Queues:
    """The queues of the broker and of the inbox; what was set aside there is read as the watcher counted it."""

    def __init__(self, settings: Settings, hints: Hints, ledger: Ledger) -> None:
        self._settings, self._hints, self._ledger = settings, hints, ledger
        self._guard = threading.Lock()
        self._asking: threading.Thread | None = None
        self._asked_s = float("-inf")
        self._known = Lengths(
            lengths=dict.fromkeys((*BROKER_QUEUES, INBOX, DEAD), 0), there={"broker": False, "inbox-queue": False}
        )

    def read(self) -> Lengths:
        """What was found in the last ten seconds; what was found before, where the parts take long to answer."""
        with self._guard:
            if time.monotonic() - self._asked_s > FRESH_S and not (self._asking and self._asking.is_alive()):
                self._asked_s = time.monotonic()
                self._asking = threading.Thread(target=self._ask, name="queues", daemon=True)
                self._asking.start()
            asking = self._asking
        if asking is not None:
            asking.join(PATIENCE_S)
        return self._known

    def _ask(self) -> None:
        lengths, there = dict(self._known.lengths), dict(self._known.there)
        there["broker"] = self._ask_broker(lengths)
        self._known = Lengths(lengths=dict(lengths), there=dict(there))
        there["inbox-queue"] = self._ask_inbox(lengths)
        self._known = Lengths(lengths=lengths, there=there)

    def _ask_broker(self, lengths: dict[str, int]) -> bool:
        if self._settings.broker_url is None:
            return False
        try:
            lengths.update({queue: self._hints.queue_length(queue) for queue in BROKER_QUEUES})
        except Exception as error:  # whatever the broker's libraries raise
            logger().info("metrics.no-broker", error=f"{type(error).__name__}: {error}")
            return False
        return True

    def _ask_inbox(self, lengths: dict[str, int]) -> bool:
        try:
            lengths[DEAD] = dead_letters(self._ledger)
            found = inbox_queue_state(self._settings)
        except MemolineError as error:
            logger().info("metrics.no-inbox-queue", code=error.code, error=error.message)
            return False
        lengths[INBOX] = found.waiting if found else 0
        return found is not None
