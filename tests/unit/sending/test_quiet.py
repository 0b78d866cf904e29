"""Quiet hours by the clock on the wall, also where that clock jumps."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pipeline.errors import Misuse
from pipeline.messages import QuietHours
from pipeline.sending.quiet import quiet_from, quiet_hours, quiet_until

BERLIN = "Europe/Berlin"
NIGHT = quiet_hours("21:00-08:00", BERLIN, ("backfill",))


def at(text: str, zone: str = BERLIN) -> float:
    """Unix seconds of a local time; fold=1 for its second coming is written as a trailing `*`."""
    return datetime.fromisoformat(text.rstrip("*")).replace(tzinfo=ZoneInfo(zone), fold=int("*" in text)).timestamp()


def until(text: str, hours: QuietHours = NIGHT, zone: str | None = None) -> str | None:
    """When it ends, as the wall clock shows it; None where it is not quiet."""
    end = quiet_until(at(text, zone or hours.zone), hours, "backfill", zone)
    return datetime.fromtimestamp(end, ZoneInfo(zone or hours.zone)).isoformat() if end else None


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-24T20:59:59", None),
        ("2026-11-24T21:00:00", "2026-11-25T08:00:00+01:00"),
        ("2026-11-24T23:59:59", "2026-11-25T08:00:00+01:00"),
        ("2026-11-25T00:00:00", "2026-11-25T08:00:00+01:00"),
        ("2026-11-25T07:59:59", "2026-11-25T08:00:00+01:00"),
        ("2026-11-25T08:00:00", None),
        ("2026-03-28T22:00:00", "2026-03-29T08:00:00+02:00"),  # a night of one hour less
        ("2026-10-24T22:00:00", "2026-10-25T08:00:00+01:00"),  # and of one hour more
    ],
)
def test_a_night(now: str, end: str | None) -> None:
    """Over midnight, and over the changes of the clock."""
    assert until(now) == end


def test_hours_of_one_day() -> None:
    """Not over midnight."""
    noon = quiet_hours("12:00-13:30", BERLIN, ("live", "backfill"))
    assert until("2026-11-24T12:10:00", noon) == "2026-11-24T13:30:00+01:00"
    assert until("2026-11-24T23:10:00", noon) is until("2026-11-24T11:59:59", noon) is None


def test_an_end_that_the_clock_jumps_over_is_the_jump() -> None:
    """02:30 does not exist on that day: it is quiet until three."""
    early = quiet_hours("22:00-02:30", BERLIN, ("backfill",))
    end = quiet_until(at("2026-03-29T01:00:00"), early, "backfill", None)
    assert abs(end - at("2026-03-29T03:00:00")) <= 0.5
    assert quiet_until(end, early, "backfill", None) == 0


def test_an_end_that_comes_twice() -> None:
    """The clock goes back into quiet hours: then it is quiet until they end a second time."""
    early = quiet_hours("22:00-02:30", BERLIN, ("backfill",))
    assert until("2026-10-25T01:00:00", early) == "2026-10-25T02:30:00+02:00"
    assert until("2026-10-25T02:45:00", early) is None
    assert until("2026-10-25T02:10:00*", early) == "2026-10-25T02:30:00+01:00"


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_every_end_is_the_first_moment_that_is_not_quiet(zone: str) -> None:
    """A year, hour by hour, in zones with odd rules: the end lies ahead, is not quiet, and the second before is."""
    hours, start = quiet_hours("22:15-06:45", zone, ("backfill",)), at("2026-01-01T00:00:00", zone)
    ends = {quiet_until(start + 3600 * n, hours, "backfill", zone) for n in range(365 * 24)} - {0.0}
    assert 364 <= len(ends) <= 367
    for end in ends:
        assert quiet_until(end, hours, "backfill", zone) == 0
        assert quiet_until(end - 1, hours, "backfill", zone) == end
        begins = quiet_from(end, hours, "backfill", zone)
        assert quiet_until(begins, hours, "backfill", zone) > begins > end
        assert quiet_until(begins - 1, hours, "backfill", zone) == 0


def test_the_persons_own_zone_wins_and_other_lanes_go() -> None:
    """Half past nine in the evening in Berlin is the afternoon in New York."""
    now = at("2026-11-24T21:30:00")
    assert quiet_until(now, NIGHT, "backfill", "America/New_York") == 0
    assert quiet_until(now, NIGHT, "live", None) == 0
    assert quiet_until(now, None, "backfill", None) == 0
    assert quiet_from(now, None, "backfill", None) == float("inf")


@pytest.mark.parametrize("text", ["", "21-8", "21:00-21:00", "24:00-08:00", "21:00-08:60", "9:00-10:00"])
def test_hours_that_are_none(text: str) -> None:
    """Refused by one sentence."""
    with pytest.raises(Misuse) as caught:
        quiet_hours(text, BERLIN, ("backfill",))
    assert caught.value.code == "bad-quiet-hours"


@pytest.mark.parametrize("zone", ["", "Berlin", "Europe", "../etc/passwd", "/etc/localtime", "Europe/Berlin\0"])
def test_zones_that_are_none(zone: str) -> None:
    """Also those that would lead out of the zones' folder."""
    with pytest.raises(Misuse) as caught:
        quiet_hours("21:00-08:00", zone, ("backfill",))
    assert caught.value.code == "bad-time-zone"
