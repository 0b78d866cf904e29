"""Who looks at every step whether the promise holds, with the truth in one hand and the ledger in the other.

The rules are written here a second time, in another way than in the code under test: as plain questions about rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from pipeline.model import Job, State
from pipeline.ports import Rules
from tests.simulate.scheduler import Process, Task
from tests.simulate.splits import SplitRules
from tests.simulate.world import Message, Post, World

OPEN = ("RECEIVED", "PREPARING", "HOSTED", "SENDING", "UNCONFIRMED")
NOT_SENT = (State.FAILED, State.CANCELLED, State.REJECTED)
ARRIVED = (State.SENT, State.DELIVERED)
SEND_TIMEOUT_S = Rules().send_timeout_s
JUST_DUE_S = 700.0
"""A job that becomes due, while a later one is claimed by somebody who then froze, may be overtaken by that one."""


class Broken(BaseException):
    """A promise was broken. No `except Exception` of the code under test may swallow it."""


class Auditor:
    """Checks moves, POSTs and memos as they happen, and everything at the end.

    decided: jobs about whose sending a person decided. stale: jobs of a restored copy that were not moved since.
    doubt: jobs of which a sender could not know what came of his POST. reopened: jobs that a person put back into
    their place."""

    def __init__(self, world: World, pace: int) -> None:
        self.world, self.sim = world, world.sim
        self._pace = pace
        self.rows: Callable[..., list[Any]] = lambda *_: []
        self.decided: set[str] = set()
        self.stale: set[str] = set()
        self.doubt: set[str] = set()
        self.restored: set[str] = set()
        self.reopened: set[str] = set()
        self.sending: dict[str, Task] = {}
        self.preparing: dict[str, Process] = {}
        self.told: dict[Task, tuple[str, str]] = {}
        self.deaths: Counter[str] = Counter()
        self.deaths_at_claim: dict[str, int] = {}
        self.poisoned: Counter[str] = Counter()
        self.wiped_at = float("-inf")
        self.seen: Counter[str] = Counter()
        self.splits = SplitRules(world, self.ask, self.fail)

    def ask(self, statement: str, *values: object) -> list[Any]:
        """Rows of the ledger."""
        return self.rows(statement, *values)

    def fail(self, what: str) -> None:
        """Raises Broken."""
        raise Broken(what)

    # ------------------------------------------------------------------------------------------------ what happens

    def on_move(self, before: Job | None, job: Job) -> None:
        """A job was moved."""
        self.seen[f"{before.state if before else '-'}>{job.state}"] += 1
        was = before.state if before else None
        self.stale.discard(job.job_id)
        if before and was is State.SENDING and self.sending.get(job.job_id) is not self.sim.task:
            early_s = before.sending_since + SEND_TIMEOUT_S - self.sim.now()
            if job.state is State.UNCONFIRMED and early_s > 0:
                self.fail(f"{job.job_id[:6]} was taken from its sender {early_s:.1f} s before the send's deadline")
        if job.state is State.PREPARING:
            self._check_claim(job)
            self.preparing[job.job_id] = self.sim.task.process
            self.deaths_at_claim[job.job_id] = self.deaths[job.job_id]
        else:
            self.preparing.pop(job.job_id, None)
        if job.state is State.SENDING:
            self._check_turn(job)
            self.sending[job.job_id] = self.sim.task
        elif self.sending.get(job.job_id) is self.sim.task:
            del self.sending[job.job_id]
        if job.spans:
            self.splits.on_split(job)
        elif job.parent_id:
            self.splits.check_whole(job.parent_id)
        if job.spans:
            return
        if job.state in ARRIVED:
            self._check_arrived(job)
        elif job.state in NOT_SENT:
            self._check_not_sent(job)
        elif before and job.state is State.HELD and job.code == "outcome-unknown":
            self._check_held(before, job)

    def on_post(self, post: Post) -> None:
        """The first byte of a POST is written."""
        found = self.rows("select state, deadline, sending_since from jobs where job_id = ?", post.job_id)
        if not found:
            self.fail(f"{post.job_id[:6]} is sent and is not in the ledger")
        state, deadline, sending_since = found[0]
        if state != "SENDING" or deadline < self.sim.now():
            self.fail(
                f"{post.job_id[:6]} is sent while the ledger says {state}, {self.sim.now() - deadline:.1f} s late"
            )
        blocked = self.rows(
            "select opted_out_at from chats where chat_id = ? and opted_out_at > 0 and heard_at <= opted_out_at",
            post.chat_id,
        )
        if blocked and blocked[0][0] < sending_since:
            self.fail(f"{post.job_id[:6]} is sent to a chat that had opted out")
        since = self.sim.now() - 60
        recent = [p for p in self.world.posts if p.chat_id == post.chat_id and p.at > since]
        if len(recent) > self._pace and self.wiped_at < since:
            self.fail(f"{len(recent)} POSTs to chat {post.chat_id[:6]} within 60 s")

    def on_taken(self, post: Post, message: Message) -> None:
        """Linq took a memo."""
        job_id = post.job_id
        if len(self.world.arrived(job_id)) > 1:
            self.fail(f"{job_id[:6]} arrived twice")
        found = self.rows("select state, code from jobs where job_id = ?", job_id)
        if found and State(found[0][0]) in NOT_SENT and not self._excused(job_id):
            self.fail(f"{job_id[:6]} arrived while the ledger says {found[0]}")

    def on_doubt(self, post: Post) -> None:
        """A sender cannot know what came of its POST."""
        self.doubt.add(post.job_id)

    def on_trouble(self, process: Process, *, forgets: bool = True) -> None:
        """A process died, froze, or could not tell the ledger what it did: claims of its own may run out. forgets: what
        its senders were told may be lost with it."""
        for job_id, holder in self.preparing.items():
            if holder is process:
                self.deaths[job_id] += 1
        self.doubt |= {job_id for job_id, task in self.sending.items() if task.process is process}
        if forgets:
            self.told = {task: what for task, what in self.told.items() if task.process is not process}

    def on_answer(self, post: Post, message_id: str) -> None:
        """A sender was told that its memo was taken."""
        self.told[self.sim.task] = (post.job_id, message_id)

    def on_done(self) -> None:
        """A task has ended its work in peace: what it was told must be in the ledger."""
        job_id, message_id = self.told.pop(self.sim.task, (None, None))
        if job_id is None:
            return
        known = self.rows("select message_id from jobs where job_id = ?", job_id)
        if known != [(message_id,)]:
            self.fail(f"{job_id[:6]} was taken as {message_id}, its sender knew it, and the ledger says {known}")

    def on_poisoned(self, job_id: str) -> None:
        """A recording has killed its worker."""
        self.poisoned[job_id] += 1
        if self.poisoned[job_id] > Rules().max_audio_attempts and job_id not in self.reopened | self.stale:
            self.fail(f"{job_id[:6]} killed {self.poisoned[job_id]} workers")

    def on_restore(self) -> None:
        """An old copy of the ledger is in place: what it says may be out of date until somebody looks."""
        self.stale = {job_id for (job_id,) in self.rows("select job_id from jobs")}
        sent = set(self.world.by_job) | {self.splits.wholes.get(job_id, job_id) for job_id in self.world.by_job}
        sent |= set(self.splits.wholes)  # a receipt may be missing, and the copy may not know the part at all
        self.restored |= self.stale | sent
        self.doubt |= self.stale | sent
        self.sending.clear()
        self.poisoned.clear()
        self.preparing.clear()

    # -------------------------------------------------------------------------------------------------- its rules

    def _excused(self, job_id: str) -> bool:
        return job_id in self.decided or job_id in self.stale

    def _check_claim(self, job: Job) -> None:
        """A claim is taken over only from a holder who had trouble since he took it."""
        holder = self.preparing.get(job.job_id)
        if holder is not None and self.deaths_at_claim[job.job_id] == self.deaths[job.job_id]:
            self.fail(f"{job.job_id[:6]} was taken from {holder.name}, which is well and at work on it")

    def _check_turn(self, job: Job) -> None:
        """Order: nothing earlier of the lane may still be on its way, and nothing of the lane may be in the air."""
        earlier = self.rows(
            "select job_id, state, not_before, seq from jobs where chat_id = ? and lane = ? and job_id not in (?, ?) "
            "and state in ('RECEIVED', 'PREPARING', 'HOSTED', 'SENDING', 'UNCONFIRMED') and parent_id is null",
            job.chat_id,
            job.lane,
            job.job_id,
            job.parent_id or "",
        )
        place = self.splits.place_of(job)
        if job.parent_id:
            self.splits.check_turn(job)
        for other, state, not_before, seq in earlier:
            # What a restored copy remembers late is in the air although an earlier one is not.
            remembered = other in self.restored and seq > place
            if state in ("SENDING", "UNCONFIRMED") and not remembered:
                self.fail(f"{job.job_id[:6]} is sent while {other[:6]} of its lane is {state}")
            late = not_before > self.sim.now() - JUST_DUE_S and state in ("RECEIVED", "PREPARING", "HOSTED")
            if seq < place and other not in self.reopened and not (not_before and late):
                self.fail(f"{job.job_id[:6]} overtakes {other[:6]}, which is {state}")

    def _check_arrived(self, job: Job) -> None:
        if self._excused(job.job_id):
            return
        messages = self.world.by_job[job.job_id]
        if not messages:
            self.fail(f"{job.job_id[:6]} is {job.state} and never arrived")
        if job.message_id and job.message_id not in {message.message_id for message in messages}:
            self.fail(f"{job.job_id[:6]} is {job.state} as message {job.message_id[:6]}, which is not its own")
        if job.state is State.DELIVERED and not self.world.arrived(job.job_id):
            self.fail(f"{job.job_id[:6]} is DELIVERED and nobody has it")

    def _check_not_sent(self, job: Job) -> None:
        if job.code == "not-delivered":
            failed = any(
                message.message_id in self.world.failed_once or message.ghost
                for message in self.world.by_job[job.job_id]
            )
            good = [m for m in self.world.arrived(job.job_id) if m.message_id not in self.world.failed_once]
            if not failed or good:
                self.fail(f"{job.job_id[:6]} is FAILED not-delivered; {len(good)} of its memos are well")
            return
        if self._excused(job.job_id):
            return
        if self.world.arrived(job.job_id):
            self.fail(f"{job.job_id[:6]} is {job.state} {job.code} and arrived")
        if self.world.open_posts(job.job_id):
            self.fail(f"{job.job_id[:6]} is {job.state} {job.code} while a POST of it may still arrive")
        if job.code == "poison" and self.deaths[job.job_id] < job.audio_attempts:
            self.fail(f"{job.job_id[:6]} is called poison after {self.deaths[job.job_id]} deaths")

    def _check_held(self, before: Job, job: Job) -> None:
        if self._excused(job.job_id):
            return
        its = {job.job_id} | {part_id for part_id, whole_id in self.splits.wholes.items() if whole_id == job.job_id}
        if not its & (self.doubt | set(self.sending)):
            self.fail(f"{job.job_id[:6]} is HELD outcome-unknown though its sender knew")
        shown = [m for m in self.world.arrived(job.job_id) if m.shown_at < before.next_look_at]
        if shown and "does not show it" in (job.message or ""):
            self.fail(f"{job.job_id[:6]} is HELD because the chat does not show it, and it does")

    # -------------------------------------------------------------------------------------------------- at the end

    def at_the_end(self, registered: dict[str, str]) -> None:
        """registered: job ids of all requests that were accepted, with their chats."""
        self.splits.at_the_end(self.reopened | self.restored)
        found = self.rows("select job_id, state, code, spans is not null from jobs")
        jobs = {job_id: (state, code) for job_id, state, code, _ in found}
        wholes = {job_id for job_id, _, _, is_split in found if is_split}
        for job_id in registered:
            if job_id not in jobs:
                self.fail(f"{job_id[:6]} was accepted and is lost")
        for job_id, (state, code) in jobs.items():
            if state in OPEN and not self.splits.waits_for_a_person(job_id):
                self.fail(f"{job_id[:6]} is stuck in {state} ({code})")
            here = bool(self.world.arrived(job_id))
            honest = code in ("not-delivered", "outcome-unknown") or job_id in self.decided
            if here and State(state) not in ARRIVED and not honest and job_id not in self.stale:
                self.fail(f"{job_id[:6]} arrived and ends {state} ({code})")
            unsent = not self.world.by_job[job_id] and job_id not in wholes
            if unsent and State(state) in ARRIVED and job_id not in self.decided:
                self.fail(f"{job_id[:6]} ends {state} and never arrived")
