"""What the routes share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request
from fastapi.security.utils import get_authorization_scheme_param

from pipeline.errors import JobFailed, Misuse, NoSuchJob
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Job
from workers.doors import Desk
from workers.hints import Hints
from workers.web.callers import Callers
from workers.web.figures import Figures
from workers.web.intake import Intake
from workers.web.settler import Settler
from workers.web.tally import Tally
from workers.webhook_secrets import SecretBook

_JOB_ID = re.compile(r"[0-9a-f]{32}")
_LOOPBACK = ("127.0.0.1", "::1")


OUTCOMES = ("kept", "ignored", "bad-signature", "bad-event", "refused", "put-off")
"""What a webhook may come to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Office:
    """The desk to hand in at, the hints to give, and who may ask; what takes in webhooks, how many there were,
    and the figures of it all."""

    desk: Desk
    hints: Hints
    callers: Callers
    secrets: SecretBook
    intake: Intake
    settler: Settler
    webhooks: Tally
    figures: Figures

    @property
    def ledger(self) -> SqlLedger:
        """The ledger with its questions about many jobs."""
        ledger = self.desk.parts.ledger
        assert isinstance(ledger, SqlLedger)  # noqa: S101 (wiring.py makes no other)
        return ledger


class NotAllowed(JobFailed):
    """The request does not carry the token."""


class TooOften(JobFailed):
    """The caller asks more often than MEMOLINE_HTTP_RATE allows."""


Guard = Callable[[Request], None]


def with_token(office: Office) -> Guard:
    """A guard that wants `Authorization: Bearer` with a token, and leaves its name at `request.state.caller`."""

    def guard(request: Request) -> None:
        name = _caller(office, request)
        if name is None:
            text = "Say `Authorization: Bearer` with MEMOLINE_API_TOKEN, or a token of `memoline token add`."
            raise NotAllowed("not-authorized", text)
        wait_s = office.callers.wait_s(name)
        if wait_s:
            text = f"{name} asks too often: wait {wait_s:.1f} s, or raise MEMOLINE_HTTP_RATE."
            raise TooOften("too-often", text, retry_after_s=round(wait_s, 3))
        request.state.caller = name

    return guard


def local_or_with_token(office: Office) -> Guard:
    """A guard that lets programs of this machine in, and others that carry the token."""
    check = with_token(office)

    def guard(request: Request) -> None:
        # A proxy on this machine speaks for somebody else.
        forwarded = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "via"))
        if forwarded or request.client is None or request.client.host not in _LOOPBACK:
            check(request)

    return guard


def _caller(office: Office, request: Request) -> str | None:
    scheme, given = get_authorization_scheme_param(request.headers.get("authorization"))
    return office.callers.name_of(given) if scheme.lower() == "bearer" and given else None


def find(office: Office, job_id: str) -> Job:
    """The job with this id. Raises NoSuchJob, also where the text is no id."""
    if not _JOB_ID.fullmatch(job_id):
        raise NoSuchJob(job_id[:64])
    return office.ledger.get(job_id)


def whole(text: str | None, default: int, smallest: int, largest: int, name: str) -> int:
    """A whole number out of a query or a header. Raises Misuse (`bad-<name>`)."""
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and smallest <= int(text) <= largest):
        raise Misuse(f"bad-{name.replace('_', '-')}", f"`{name}` must be a whole number from {smallest} to {largest}.")
    return int(text)
