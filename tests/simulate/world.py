"""What is really so, whatever anybody believes: which memo arrived in which chat, when, and what became of it."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field

from tests.simulate.scheduler import Scheduler


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How likely each fault is. A run has some kinds of them and not others, so that rare ones are not always hidden
    behind frequent ones."""

    die: float = 0.0
    freeze: float = 0.0
    freeze_in_post: float = 0.0
    ledger_away: float = 0.0
    commit_unsure: float = 0.0
    s3_away: float = 0.0
    s3_answer_lost: float = 0.0
    cdn_wrong: float = 0.0
    memo_lost: float = 0.0
    redis_away: float = 0.0
    hint_lost: float = 0.0
    hint_doubled: float = 0.0
    linq_refused: float = 0.0
    linq_answer_lost: float = 0.0
    linq_error: float = 0.0
    linq_busy: float = 0.0
    linq_slow: float = 0.0
    linq_list_away: float = 0.0
    webhook_lost: float = 0.0
    webhook_doubled: float = 0.0
    list_lag_s: float = 0.0
    bad_recording: float = 0.0
    poison: float = 0.0
    slow_audio: float = 0.0
    wipes: int = 0
    restores: int = 0
    opt_outs: int = 0
    meddling: float = 0.0

    @property
    def calm(self) -> Weather:
        """The same world without a fault."""
        return Weather()


FREQUENCIES = {
    "die": 0.012,
    "freeze": 0.005,
    "freeze_in_post": 0.15,
    "ledger_away": 0.02,
    "commit_unsure": 0.015,
    "s3_away": 0.03,
    "s3_answer_lost": 0.03,
    "cdn_wrong": 0.05,
    "memo_lost": 0.03,
    "redis_away": 0.05,
    "hint_lost": 0.3,
    "hint_doubled": 0.6,
    "linq_refused": 0.2,
    "linq_answer_lost": 0.4,
    "linq_error": 0.6,
    "linq_busy": 0.2,
    "linq_slow": 0.3,
    "linq_list_away": 0.3,
    "webhook_lost": 0.6,
    "webhook_doubled": 0.3,
    "list_lag_s": 50.0,
    "bad_recording": 0.1,
    "poison": 0.05,
    "slow_audio": 0.3,
    "wipes": 4,
    "restores": 2,
    "opt_outs": 2,
    "meddling": 0.5,
}
"""Each fault at its most frequent."""


def weather_of(sim: Scheduler) -> Weather:
    """Some kinds of faults, each more or less frequent. Drawn from the run's seed."""
    dice = sim.random
    chosen: dict[str, float] = {}
    for name, most in FREQUENCIES.items():
        share = dice.choice((0, 0.3, 1)) * dice.uniform(0.5, 1)
        chosen[name] = round(most * share) if isinstance(most, int) else most * share
    return Weather(**chosen)  # type: ignore[arg-type]


@dataclass
class Message:
    """A voice memo that Linq took. shown_at: from when the list has it. ghost: Linq made a record of it, told us that
    it failed, and nobody ever got it."""

    message_id: str
    chat_id: str
    file_name: str
    trace_id: str
    at: float
    shown_at: float
    status: str = "sent"
    ghost: bool = False


@dataclass(eq=False)
class Post:
    """One POST that began. open: it may still make a message. told: the sender knows for sure what came of it."""

    job_id: str
    chat_id: str
    file_name: str
    at: float
    open: bool = True
    told: bool = False


@dataclass
class World:
    """The truth. owners: the job of each memo's file name."""

    sim: Scheduler
    weather: Weather
    owners: dict[str, str] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    by_chat: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    by_job: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    posts: list[Post] = field(default_factory=list)
    opted_out: set[str] = field(default_factory=set)
    failed_once: set[str] = field(default_factory=set)

    def arrived(self, job_id: str) -> list[Message]:
        """The memos of a job that a person has in the chat, or will have."""
        return [message for message in self.by_job[job_id] if not message.ghost]

    def open_posts(self, job_id: str) -> list[Post]:
        """POSTs of a job that may still make a message."""
        return [post for post in self.posts if post.job_id == job_id and post.open]

    def take(self, post: Post, *, trace_id: str, lag_s: float, ghost: bool = False) -> Message:
        """Linq takes a memo."""
        message = Message(
            message_id=self.new_id(),
            chat_id=post.chat_id,
            file_name=post.file_name,
            trace_id=trace_id,
            at=self.sim.now(),
            shown_at=self.sim.now() + lag_s,
            status="failed" if ghost else "sent",
            ghost=ghost,
        )
        self.messages[message.message_id] = message
        self.by_job[post.job_id].append(message)
        if not ghost:
            self.by_chat[post.chat_id].append(message)
        return message

    def may_freeze(self) -> None:
        """A sender stops at the worst moments: before the first byte, and while the answer is on its way."""
        sim = self.sim
        if sim.chance(self.weather.freeze_in_post / 2):
            sim.freeze(sim.task.process, sim.random.uniform(*sim.random.choice(((1, 50), (50, 500)))))
            sim.on_freeze(sim.task.process)

    def new_id(self) -> str:
        """A UUID from the seed."""
        return str(uuid.UUID(int=self.sim.random.getrandbits(128), version=4))
