"""What must be true of a split and its parts, as plain questions about rows and about what arrived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.model import Job
from tests.simulate.world import World

WELL = ("SENT", "DELIVERED")
BY_A_PERSON = ("resolved-given-up", "not-delivered")


class SplitRules:
    """rows: asks the ledger; fail: says what is broken. wholes: whose parts were seen, by the id of each part."""

    def __init__(self, world: World, rows: Callable[..., list[Any]], fail: Callable[[str], None]) -> None:
        self._world, self._rows, self._fail = world, rows, fail
        self.wholes: dict[str, str] = {}

    def on_split(self, whole: Job) -> None:
        """A job became its parts: all are there."""
        found = self._rows("select job_id, part_no from jobs where parent_id = ? order by part_no", whole.job_id)
        if [number for _, number in found][: len(whole.spans)] != list(range(1, len(whole.spans) + 1)):
            self._fail(f"{whole.job_id[:6]} is split in {len(whole.spans)}, and has the parts {found}")
        self.wholes |= {part_id: whole.job_id for part_id, _ in found}

    def place_of(self, job: Job) -> int:
        """Where a job stands in its lane: a part where its whole does."""
        if job.parent_id is None:
            return job.seq
        return int(self._rows("select seq from jobs where job_id = ?", job.parent_id)[0][0])

    def check_turn(self, part: Job) -> None:
        """Every earlier part must be out, or ended by a person; no other one may be in the air."""
        for other, number, state, code, message_id in self._siblings(part):
            passed = state in WELL or state == "CANCELLED" or bool(message_id) or code in BY_A_PERSON
            if number < part.part_no and not passed:
                self._fail(f"part {part.part_no} goes before part {number} of {part.job_id[:6]}, which is {state}")
            if state in ("SENDING", "UNCONFIRMED") and not self._world.by_job[other]:
                self._fail(f"part {part.part_no} of {part.job_id[:6]} goes while part {number} is {state}")

    def check_whole(self, whole_id: str) -> None:
        """The whole is well when, and only when, all its parts are."""
        state, spans = self._rows("select state, spans from jobs where job_id = ?", whole_id)[0]
        parts = self._rows("select state, code from jobs where parent_id = ?", whole_id)
        if spans and (state in WELL) != all(part in WELL for part, _ in parts):
            self._fail(f"{whole_id[:6]} is {state} and its parts are {parts}")
        if spans and state == "DELIVERED" and any(part != "DELIVERED" for part, _ in parts):
            self._fail(f"{whole_id[:6]} is DELIVERED and its parts are {parts}")

    def waits_for_a_person(self, job_id: str) -> bool:
        """Whether a part stands behind one that is HELD."""
        asked = "select h.part_no < p.part_no from jobs p join jobs h on h.parent_id = p.parent_id"
        return any(behind for (behind,) in self._rows(f"{asked} where p.job_id = ? and h.state = 'HELD'", job_id))

    def at_the_end(self, reopened: set[str]) -> None:
        """Wholes are true, and the parts of each arrived in their order."""
        for (whole_id,) in self._rows("select job_id from jobs where spans is not null"):
            self.check_whole(whole_id)
            parts = self._rows("select job_id from jobs where parent_id = ? order by part_no", whole_id)
            if whole_id in reopened or any(part_id in reopened for (part_id,) in parts):
                continue
            at = [self._world.arrived(part_id)[0].at for (part_id,) in parts if self._world.arrived(part_id)]
            if at != sorted(at):
                self._fail(f"the parts of {whole_id[:6]} arrived at {at}")

    def _siblings(self, part: Job) -> list[Any]:
        asked = "select job_id, part_no, state, code, message_id from jobs where parent_id = ? and job_id != ?"
        return self._rows(asked, part.parent_id, part.job_id)
