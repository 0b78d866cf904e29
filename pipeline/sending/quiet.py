"""Quiet hours: when nobody is to be woken by a memo, by the clock on the wall where the person is. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pipeline.errors import Misuse
from pipeline.messages import QuietHours
from pipeline.model import Lane

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises Misuse (`bad-time-zone`)."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # what zoneinfo raises for an unknown, an odd name, and a folder's name
        text = f"{name[:100]!r} is no time zone: say for instance Europe/Berlin or America/New_York."
        raise Misuse("bad-time-zone", text, time_zone=name[:100]) from None


def quiet_hours(text: str, zone: str, lanes: tuple[Lane, ...]) -> QuietHours:
    """Quiet hours such as `21:00-08:00`, over midnight or not. Raises Misuse (`bad-quiet-hours`, `bad-time-zone`)."""
    found = _HOURS.fullmatch(text.strip())
    if not found or found[1] + found[2] == found[3] + found[4]:
        raise Misuse("bad-quiet-hours", f"{text[:100]!r} are no quiet hours: say for instance 21:00-08:00.")
    begins, ends = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    return QuietHours(begins=begins, ends=ends, zone=zone_of(zone).key, lanes=lanes)


def quiet_until(at: float, quiet: QuietHours | None, lane: Lane, zone: str | None) -> float:
    """Unix seconds at which the quiet hours end that it is at a moment; 0 where it is not quiet then. zone: of the
    person; None for the one of the setting."""
    if quiet is None or lane not in quiet.lanes:
        return 0.0
    where = zone_of(zone or quiet.zone)
    local = datetime.fromtimestamp(at, where)
    if not _is_quiet(local.time(), quiet):
        return 0.0
    day = local.date() if local.time() < quiet.ends else local.date() + timedelta(days=1)
    return _moment(day, quiet, where, at)


def quiet_from(at: float, quiet: QuietHours | None, lane: Lane, zone: str | None) -> float:
    """When it becomes quiet the next time after a moment at which it is not; infinity where it never does."""
    if quiet is None or lane not in quiet.lanes:
        return float("inf")
    where = zone_of(zone or quiet.zone)
    local = datetime.fromtimestamp(at, where)
    day = local.date() if local.time() < quiet.begins else local.date() + timedelta(days=1)
    begins_at = datetime.combine(day, quiet.begins, where).timestamp()
    return begins_at if begins_at > at else at + 1.0  # an hour that comes twice: look again


def _is_quiet(local: time, quiet: QuietHours) -> bool:
    if quiet.begins < quiet.ends:
        return quiet.begins <= local < quiet.ends
    return local >= quiet.begins or local < quiet.ends


def _moment(day: date, quiet: QuietHours, where: ZoneInfo, at: float) -> float:
    """When it is quiet no more. Where the clock jumps over that time, it is the moment of the jump; an hour that comes
    twice may be quiet twice."""
    ends_at = datetime.combine(day, quiet.ends, where).timestamp()
    if ends_at <= at:  # its second coming
        ends_at = datetime.combine(day, quiet.ends.replace(fold=1), where).timestamp()
    if datetime.fromtimestamp(ends_at, where).time() == quiet.ends:
        return ends_at
    low, high = at, ends_at
    while high - low > 0.5:
        middle = (low + high) / 2
        if _is_quiet(datetime.fromtimestamp(middle, where).time(), quiet):
            low = middle
        else:
            high = middle
    return high
