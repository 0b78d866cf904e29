"""When a backfill would have sent its last memo, by the pacing rules alone. Pure."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.messages import QuietHours
from pipeline.sending.pacing import MESSAGES_A_MINUTE, for_backfills
from pipeline.sending.quiet import quiet_until

_MINUTE_S, _DAY_S = 60.0, 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """Chats that are alike: on one line, in one time zone (None: the setting's), each with so many memos to come."""

    memos: int
    chats: int = 1
    line: str | None = None
    zone: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """The rules. a_minute: memos of backfills to one chat in any 60 s; a_day: from one line in any 24 h."""

    a_minute: int = for_backfills(MESSAGES_A_MINUTE)
    a_day: int | None = None
    quiet: QuietHours | None = None


class _Line:
    """How many memos of one line lie in the last 24 h."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, int]] = deque()
        self._used = 0

    def room(self, at: float, a_day: int) -> int:
        while self._sent and self._sent[0][0] <= at - _DAY_S:
            self._used -= self._sent.popleft()[1]
        return a_day - self._used

    def free_at(self) -> float:
        return self._sent[0][0] + _DAY_S

    def send(self, at: float, memos: int) -> None:
        self._sent.append((at, memos))
        self._used += memos


def last_sent_at(loads: Iterable[Load], pace: Pace, start: float) -> float:
    """Unix seconds at which the last memo goes, if all are ready at `start` and no live memo takes a place.

    Plays the rules burst by burst: a chat that may send 27 a minute does so at once and then waits for 60 s."""
    waiting = [(start, number, load) for number, load in enumerate(loads) if load.memos and load.chats]
    heapq.heapify(waiting)
    lines: dict[str | None, _Line] = defaultdict(_Line)
    number, last = len(waiting), start
    while waiting:
        at, _, load = heapq.heappop(waiting)
        number += 1
        if (end := quiet_until(at, pace.quiet, "backfill", load.zone)) > 0:
            heapq.heappush(waiting, (end, number, load))
            continue
        burst = min(pace.a_minute, load.memos)
        chats = load.chats
        if pace.a_day is not None:
            line = lines[load.line]
            room = line.room(at, pace.a_day)
            if room <= 0:
                heapq.heappush(waiting, (line.free_at(), number, load))
                continue
            burst = min(burst, room)
            chats = min(load.chats, room // burst)
            line.send(at, chats * burst)
        last = max(last, at)
        if load.memos > burst:
            heapq.heappush(waiting, (at + _MINUTE_S, number, replace(load, memos=load.memos - burst, chats=chats)))
        if load.chats > chats:
            heapq.heappush(waiting, (at, number + 1, replace(load, chats=load.chats - chats)))
            number += 1
    return last
