"""What `/metrics` tells: how things stand, from the ledger; what was done, from its history; and what waits in queues.

Every family is there from the start, with all of its labels at 0. A part that is away takes nothing else with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.errors import MemolineError
from pipeline.ledger.ledger import SqlLedger
from pipeline.messages import Pause
from pipeline.model import State
from pipeline.ports import Clock
from pipeline.settings import Settings
from pipeline.settling import MATCHING_OFF
from pipeline.standing import EVERYBODY, UNAUTHORIZED
from workers.hints import Hints
from workers.log import logger
from workers.pulse import PROCESSES, beating
from workers.web.moves import MoveCounter
from workers.web.queues import Queues
from workers.web.tally import Tally

_HELD_FOR = ("no-chat", "outcome-unknown")
_LAG_S = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1_800, 7_200)
SHARE = 0.01
"""So much of the time may be spent on questions that grow with the past."""
_LONGEST_KEPT_S = 300.0

T = TypeVar("T")


class Figures:
    """The registry of one `serve`. webhooks: how many came to it, by outcome."""

    def __init__(self, settings: Settings, ledger: SqlLedger, hints: Hints, clock: Clock, webhooks: Tally) -> None:
        self._clock = clock
        self._registry = CollectorRegistry()
        self._queues = Queues(settings, hints, ledger)
        self._moves = MoveCounter(ledger, self._registry)
        lag = "Seconds from when Linq says that something happened until its webhook was here, by both clocks."
        self._lag = Histogram("memoline_webhook_lag_seconds", lag, buckets=_LAG_S, registry=self._registry)
        standing = LedgerCollector(ledger, clock, self._queues, self._moves)
        for collector in (standing, _Webhooks(webhooks), _Processes(settings)):
            self._registry.register(collector)

    def webhook_came(self, occurred_at: float | None) -> None:
        """Note how long a webhook took."""
        if occurred_at is not None:
            self._lag.observe(max(0.0, self._clock.now() - occurred_at))

    def brought_up_to_date(self) -> CollectorRegistry:
        """The registry; what Prometheus renders of it asks the ledger."""
        try:
            self._moves.read(self._clock.now())
        except MemolineError as error:
            logger().warning("metrics.no-ledger", code=error.code, error=error.message)
        return self._registry


class Kept(Generic[T]):
    """An answer that is asked for anew as often as that takes a hundredth of the time, and every five minutes."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._answer: T | None = None
        self._until_s = 0.0

    def __call__(self) -> T:
        """The answer, which may be as old as a hundred times what asking took."""
        started_s = time.monotonic()
        if self._answer is None or started_s >= self._until_s:
            self._answer = self._ask()
            ended_s = time.monotonic()
            self._until_s = ended_s + min((ended_s - started_s) / SHARE, _LONGEST_KEPT_S)
        return self._answer


class LedgerCollector(Collector):
    """How things stand, so that one scrape shows it for all processes and hosts."""

    def __init__(self, ledger: SqlLedger, clock: Clock, queues: Queues, moves: MoveCounter) -> None:
        self._ledger, self._clock, self._queues, self._moves = ledger, clock, queues, moves
        self._ended = Kept(ledger.ended)
        self._reports = Kept(ledger.report_counts)

    def collect(self) -> Iterable[Metric]:
        queues = self._queues.read()
        there = dict(queues.there)
        try:
            found = [*self._of_jobs(), *self._of_sending()]
            there["ledger"] = True
        except MemolineError:
            found, there["ledger"] = [], False
        up = "1 where a part answered when the metrics were made; the inbox queue counts where one is set."
        yield _by("memoline_part_up", up, "part", {part: float(answers) for part, answers in there.items()})
        text = "Messages in queues: hints at the broker, events of the inbox, and those that nobody could handle."
        yield _by("memoline_queue_length", text, "queue", queues.lengths)
        yield from found

    def _of_jobs(self) -> Iterable[Metric]:
        waiting, ended = self._ledger.waiting_by_state(self._clock.now()), self._ended()
        counts = {state: waiting[state].jobs if state in waiting else ended[state] for state in State}
        yield _by("memoline_jobs", "Jobs by state.", "state", {str(state): n for state, n in counts.items()})
        held = self._ledger.held_for()
        codes = {code: held.pop(code, 0) for code in _HELD_FOR} | {"other": sum(held.values())}
        yield _by("memoline_held", "Jobs that wait for a person, by what for.", "code", codes)
        ages = {str(state): found.oldest_s for state, found in waiting.items()}
        text = "Seconds since the oldest live job of a state was due; 0 where there is none."
        yield _by("memoline_oldest_job_seconds", text, "state", ages)
        text = "The same for all states in which the program has something left to do."
        oldest = max(found.oldest_s for state, found in waiting.items() if state is not State.HELD)
        yield GaugeMetricFamily("memoline_oldest_open_job_seconds", text, value=oldest)

    def _of_sending(self) -> Iterable[Metric]:
        renamed = "1 once Linq was seen to rename files, so that lost sends cannot be looked up."
        off = float(self._ledger.flag(MATCHING_OFF) is not None)
        yield GaugeMetricFamily("memoline_matching_off", renamed, value=off)
        yield _paused(self._ledger.pauses(self._clock.now()))
        yield _by("memoline_reports", "Webhook reports kept, by status.", "status", self._reports())
        text = "Webhook reports that are kept and not applied yet."
        yield GaugeMetricFamily("memoline_reports_waiting", text, value=float(self._ledger.waiting_count()))


class _Webhooks(Collector):
    """Webhooks that came to this process."""

    def __init__(self, webhooks: Tally) -> None:
        self._webhooks = webhooks

    def collect(self) -> Iterable[Metric]:
        text = "Webhooks that came to this process, by what became of them."
        family = CounterMetricFamily("memoline_webhooks", text, labels=["outcome"])
        for outcome, count in self._webhooks.counts().items():
            family.add_metric([outcome], count)
        yield family


class _Processes(Collector):
    """The processes that share this one's MEMOLINE_HOME; those of other hosts are not seen."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home

    def collect(self) -> Iterable[Metric]:
        alive = beating(self._home)
        text = "Processes of each kind that are alive in this MEMOLINE_HOME."
        yield _by("memoline_processes", text, "process", {name: alive.count(name) for name in PROCESSES})


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _paused(pauses: Iterable[Pause]) -> Metric:
    """How many chats and lines wait; everybody by the reason."""
    text = "Pauses in force: chats, lines, and everybody because Linq is away or does not take the key."
    kinds = [UNAUTHORIZED if p.why == UNAUTHORIZED else p.scope.partition(":")[0] for p in pauses]
    scopes = ("chat", "line", EVERYBODY, UNAUTHORIZED)
    return _by("memoline_paused", text, "scope", {kind: kinds.count(kind) for kind in scopes})
