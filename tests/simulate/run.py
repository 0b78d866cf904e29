"""One run from one seed: faults for a while, then none; everything must settle and be true."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.simulate.auditor import Broken
from tests.simulate.cast import Cast
from tests.simulate.scheduler import Chances, Scheduler
from tests.simulate.seams import simulated
from tests.simulate.world import World, weather_of

STORM_S = 1500.0
SETTLES_WITHIN_S = 6 * 3600.0
STEPS_AT_MOST = 400_000


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run did. moves: how often each move was made. states: of the jobs at the end."""

    seed: int
    steps: int
    posts: int
    memos: int
    states: Counter[str]
    moves: Counter[str]
    settled_after_s: float


def play(seed: int, *, jobs: int = 40, chats: int = 3, worse: Mapping[str, float] | None = None) -> Report:
    """Run a seed to its end. worse: faults that are to be more frequent than the seed has them. Raises Broken with the
    seed, the faults and the last steps where a promise is broken."""
    sim = Scheduler(seed)
    weather = replace(weather_of(sim), **(worse or {}))  # type: ignore[arg-type]
    world = World(sim=sim, weather=weather)
    with tempfile.TemporaryDirectory(prefix="simulate-", dir=_fast_folder()) as folder:
        cast = Cast(sim, world, Path(folder))
        try:
            with simulated(cast):
                return _play(seed, cast, jobs=jobs, chats=chats)
        except Broken as error:
            lines = "\n".join(f"    {line}" for line in sim.trace)
            text = f"seed {seed}, step {sim.steps}: {error}\n  {weather}\n  last steps:\n{lines}"
            raise Broken(text) from None
        finally:
            sim.close()
            cast.storage.close()


def _play(seed: int, cast: Cast, *, jobs: int, chats: int) -> Report:
    sim, world = cast.sim, cast.world
    ends_at = sim.now() + STORM_S
    cast.plan_requests(jobs, chats)
    cast.start_all()
    cast.call(STORM_S * 0.6)
    cast.meddle(ends_at)
    cast.bad_luck(ends_at)
    sim.chances = Chances(die=world.weather.die, freeze=world.weather.freeze)
    sim.run(until_s=ends_at, done=lambda: sim.steps > STEPS_AT_MOST)
    sim.chances = Chances()
    world.weather = replace(world.weather.calm)
    cast.pause_or_resume(False)
    calm_at = sim.now()

    def settled() -> bool:
        if sim.steps > STEPS_AT_MOST:
            cast.auditor.fail("it goes on and on")
        open_jobs = cast.storage.rows(
            "select count(*) from jobs where state in ('RECEIVED','PREPARING','HOSTED','SENDING','UNCONFIRMED') "
            "and parent_id is null"
        )
        return not open_jobs[0][0] and not any(post.open for post in world.posts)

    sim.run(until_s=calm_at + SETTLES_WITHIN_S, done=settled)
    settled_after_s = sim.now() - calm_at
    sim.run(until_s=sim.now() + 300, done=lambda: False)
    cast.auditor.at_the_end(cast.registered)
    states = Counter(state for (state,) in cast.storage.rows("select state from jobs"))
    return Report(
        seed=seed,
        steps=sim.steps,
        posts=len(world.posts),
        memos=sum(not message.ghost for message in world.messages.values()),
        states=states,
        moves=cast.auditor.seen,
        settled_after_s=settled_after_s,
    )


def _fast_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
