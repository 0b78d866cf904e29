"""What Linq reports. Linq repeats a webhook for 30 minutes after a 5xx, a 429 or no answer, and never after another
4xx: so 401 is for bad signatures only, and an outage of the ledger is a 503."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from pipeline.errors import MemolineError
from pipeline.messages import StatusReport
from pipeline.sending.webhooks import LONGEST_ID, parse, verify
from workers.web.bodies import read_body
from workers.web.office import OUTCOMES, Office
from workers.web.problems import status_of

MAX_BYTES = 1_000_000


def webhook_routes(office: Office) -> APIRouter:
    """`POST /webhooks/linq`."""
    router = APIRouter()

    @router.post("/webhooks/linq", summary="Events from Linq")
    async def linq(request: Request) -> Response:
        """Checks the signature over the raw body, and answers once the report is on disk."""
        try:
            kept = await take_in(office, request)
        except MemolineError as error:
            office.webhooks.count(outcome_of(error))
            raise
        office.webhooks.count("kept" if kept else "ignored")
        return JSONResponse({"ok": True})

    return router


def outcome_of(error: MemolineError) -> str:
    """How a webhook that was not taken is counted."""
    if status_of(error) >= 500:
        return "put-off"
    return error.code if error.code in OUTCOMES else "refused"


async def take_in(office: Office, request: Request) -> bool:
    """Verify and keep; False where the event is not for us. Raises SignatureWrong, JobFailed (`bad-event`), Misuse
    (`too-large`, `incomplete`, `missing-setting`), PartUnreachable."""
    body = await read_body(request, max_bytes=MAX_BYTES)
    headers = {name.lower(): value for name, value in request.headers.items()}
    report = read_event(body, headers, office.secrets.all())
    if report is None:
        return False
    await office.intake.keep(report)
    office.figures.webhook_came(report.occurred_at)
    return True


def read_event(body: bytes, headers: Mapping[str, str], secrets: list[str]) -> StatusReport | None:
    """What a signed request says; None where it does not concern us. The report has an event id in any case."""
    verify(body, headers, secrets)
    report = parse(body)
    if report is None or report.event_id is not None:
        return report
    named = headers.get("webhook-id", "")
    usable = named.isprintable() and len(named) <= LONGEST_ID
    return replace(report, event_id=named if usable else f"sha256:{hashlib.sha256(body).hexdigest()}")
