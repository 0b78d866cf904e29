"""When a backfill ends, held against a player of the rules that sends memo by memo."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from pipeline.sending.forecast import Load, Pace, last_sent_at
from pipeline.sending.quiet import quiet_hours, quiet_until

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp()
NIGHT = quiet_hours("21:00-08:00", "UTC", ("backfill",))
DAY_S = 86_400.0


def hours(loads: list[Load], **pace: object) -> float:
    """Hours from the start to the last memo."""
    return (last_sent_at(loads, Pace(**pace), START) - START) / 3600  # type: ignore[arg-type]


def test_nothing_and_little_go_at_once() -> None:
    """A minute's worth of each chat, however many chats."""
    assert hours([]) == hours([Load(memos=0)]) == hours([Load(memos=27, chats=1_000_000)]) == 0


def test_a_chat_takes_a_minute_for_each_burst() -> None:
    """28 memos need a second one."""
    assert hours([Load(memos=28)]) * 60 == pytest.approx(1)
    assert hours([Load(memos=27 * 60 + 1)]) == pytest.approx(1)


def test_a_lines_budget() -> None:
    """900 in any 24 h: 10,000 memos to as many chats take eleven days; another line does not wait."""
    assert hours([Load(memos=1, chats=10_000)], a_day=900) == pytest.approx(11 * 24)
    two = [Load(memos=1, chats=900, line="a"), Load(memos=1, chats=900, line="b")]
    assert hours(two, a_day=900) == 0


def test_quiet_hours_in_two_zones() -> None:
    """From noon in UTC, 9 h are left before the night; in Kiribati (+14) it is two in the morning."""
    assert hours([Load(memos=27 * 60 * 9)], quiet=NIGHT) == pytest.approx(9 - 1 / 60)
    assert hours([Load(memos=27 * 60 * 9 + 1)], quiet=NIGHT) == pytest.approx(20)
    assert hours([Load(memos=1, zone="Pacific/Kiritimati")], quiet=NIGHT) == pytest.approx(6)


def test_a_million_rows_are_foretold_in_bounded_steps() -> None:
    """A million memos from one line at 900 a day: three years, played in a moment."""
    assert hours([Load(memos=n, chats=500_000 // n) for n in (1, 50)], a_day=900) / 24 == pytest.approx(1111, abs=1)


@pytest.mark.parametrize("seed", range(12))
def test_it_is_what_playing_memo_by_memo_comes_to(seed: int) -> None:
    """Chats, lines, budgets and nights at random: the end is that of the plain player, to a burst."""
    dice = random.Random(seed)
    loads = [
        Load(
            memos=dice.choice((1, 3, 27, 28, 60, 200)),
            chats=dice.choice((1, 2, 5)),
            line=dice.choice(("a", "b")),
            zone=dice.choice((None, "Asia/Tokyo", "America/New_York")),
        )
        for _ in range(dice.randrange(1, 6))
    ]
    pace = Pace(a_day=dice.choice((None, 40, 150)), quiet=dice.choice((None, NIGHT)))
    ours, plain = last_sent_at(loads, pace, START), played(loads, pace)
    # Who of several chats gets the last places of a day is not foretold, so a night may lie between.
    slack = 61.0 if pace.a_day is None else DAY_S if pace.quiet else 121.0
    assert abs(ours - plain) <= slack, (loads, pace, (ours - START) / 3600, (plain - START) / 3600)


def played(loads: list[Load], pace: Pace) -> float:
    """The last send, by moving windows, memo by memo, minute by minute: whoever may go goes."""
    chats = [[load.line, load.zone, load.memos, []] for load in loads for _ in range(load.chats)]
    lines: dict[str | None, list[float]] = {}
    now, last = START, START
    while any(left for _, _, left, _ in chats):
        for chat in chats:
            line, zone, _, sent = chat
            day = lines.setdefault(line, [])
            day[:] = [at for at in day if at > now - DAY_S]
            sent[:] = [at for at in sent if at > now - 60]
            quiet = quiet_until(now, pace.quiet, "backfill", zone)
            while chat[2] and not quiet and len(sent) < pace.a_minute and (pace.a_day is None or len(day) < pace.a_day):
                sent.append(now)
                day.append(now)
                chat[2] -= 1
                last = now
        now += 60
    return last
