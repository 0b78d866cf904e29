"""Faults on request. Which one fires is a function of the seed, the chat and the number of the POST in it, so that a
run can be repeated whatever the order in which chats take turns."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .codes import CODES

Kind = Literal[
    "answer-lost",
    "reset-before",
    "error-before",
    "error-after",
    "gateway-html",
    "rate-limited",
    "slow",
    "no-id",
    "lagging-list",
    "list-without-parts",
    "renamed-file",
    "webhook-doubled",
    "webhook-reordered",
    "webhook-late",
    "webhook-never",
    "message-failed",
]

BEFORE: frozenset[str] = frozenset({"reset-before", "error-before", "rate-limited"})
# Of these, one POST meets at most one; the other kinds concern what follows and add up.
ANSWERS: frozenset[str] = frozenset({"answer-lost", "error-after", "gateway-html", "no-id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One wish.

    chat_id: only this chat. count: so many times, then never again. probability: of each POST, decided by the seed.
    seconds: the wait of `rate-limited`, `slow`, `lagging-list` and `webhook-late`. code: of `error-before`,
    `error-after` and `message-failed`. when: `gateway-html` before or after the memo is taken. filename: of
    `renamed-file`. with_ids: `message-failed` names message and chat. delivered_after_s: `message-failed` is followed
    by `message.delivered`.

    Raises ValueError for values that make no sense.
    """

    kind: Kind
    chat_id: str | None = None
    count: int | None = None
    probability: float = 1.0
    seconds: float = 2.0
    code: int | None = None
    when: Literal["before", "after"] = "before"
    filename: str = "renamed.m4a"
    with_ids: bool = True
    delivered_after_s: float | None = None

    def __post_init__(self) -> None:
        if self.kind in {"error-before", "error-after"} and self.code is not None and self.code not in CODES:
            raise ValueError(f"code {self.code} is not in the table")
        if not 0 <= self.probability <= 1 or self.seconds < 0 or (self.count is not None and self.count < 1):
            raise ValueError("probability is 0 to 1, seconds are 0 or more, count is 1 or more")

    def is_before(self) -> bool:
        """True when the fault keeps the memo from being taken."""
        return self.kind in BEFORE or (self.kind == "gateway-html" and self.when == "before")


class FaultBook:
    """The wishes that are open, and how often each kind has fired."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.fired: Counter[str] = Counter()
        self._open: dict[int, Fault] = {}
        self._next_number = 0

    def add(self, faults: Sequence[Fault], seed: int | None = None) -> None:
        """Takes wishes beside those that are open; a seed replaces the present one."""
        self.seed = self.seed if seed is None else seed
        for fault in faults:
            self._open[self._next_number] = fault
            self._next_number += 1

    def clear(self) -> None:
        """Forgets all wishes and counts; the next wish is number 0 again."""
        self._open.clear()
        self.fired.clear()
        self._next_number = 0

    def open(self) -> tuple[Fault, ...]:
        """What may still fire."""
        return tuple(self._open.values())

    def before(self, chat_id: str, post_no: int) -> Fault | None:
        """The fault that meets this POST before its memo is taken, if any."""
        due = self._due(chat_id, post_no, is_before=True)
        return self._fire(due[0]) if due else None

    def after(self, chat_id: str, post_no: int) -> Mapping[str, Fault]:
        """The faults, by kind, that meet a memo that was taken: one for the answer, any number for what follows."""
        chosen: dict[str, Fault] = {}
        for number in self._due(chat_id, post_no, is_before=False):
            kind = self._open[number].kind
            if kind not in chosen and not (kind in ANSWERS and ANSWERS & chosen.keys()):
                chosen[kind] = self._fire(number)
        return chosen

    def _due(self, chat_id: str, post_no: int, *, is_before: bool) -> list[int]:
        return [
            number
            for number, fault in self._open.items()
            if fault.is_before() is is_before
            and fault.chat_id in {None, chat_id}
            and chance(self.seed, number, chat_id, post_no) < fault.probability
        ]

    def _fire(self, number: int) -> Fault:
        fault = self._open[number]
        self.fired[fault.kind] += 1
        if fault.count is not None:
            if fault.count == 1:
                del self._open[number]
            else:
                self._open[number] = replace(fault, count=fault.count - 1)
        return fault


def chance(*about: object) -> float:
    """A number in [0, 1) that depends on nothing but the arguments."""
    digest = hashlib.sha256(repr(about).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
