"""What Linq reports. Linq repeats a webhook for 30 minutes after a 5xx, a 429 or no answer, and never after another
4xx: so 401 is for bad signatures only, and an outage of the ledger is a 503."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from pipeline import jobs
from pipeline.sending.webhooks import parse, verify
from pipeline.settings import Settings
from workers.log import logger
from workers.web.bodies import read_body
from workers.web.office import Office

MAX_BYTES = 1_000_000


def webhook_routes(office: Office) -> APIRouter:
    """`POST /webhooks/linq`."""
    router = APIRouter()

    @router.post("/webhooks/linq", summary="Events from Linq")
    async def linq(request: Request) -> JSONResponse:
        """Checks the signature over the raw body, and answers once the report is on disk."""
        body = await read_body(request, max_bytes=MAX_BYTES)
        headers = {name.lower(): value for name, value in request.headers.items()}
        await run_in_threadpool(take_in, office, body, headers)
        return JSONResponse({"ok": True})

    return router


def take_in(office: Office, body: bytes, headers: Mapping[str, str]) -> None:
    """Verify, keep, settle. Raises SignatureWrong, JobFailed (`bad-event`), Misuse (`missing-setting`),
    PartUnreachable."""
    verify(body, headers, secrets_of(office.desk.settings))
    report = parse(body)
    if report is None:
        return
    if report.event_id is None:
        report = replace(report, event_id=headers.get("webhook-id"))
    job = jobs.settle(office.desk.parts, report)
    logger().info(
        "webhook.kept",
        status=report.status,
        message_id=report.message_id,
        job_id=job.job_id if job else None,
        state=str(job.state) if job else None,
    )


def secrets_of(settings: Settings) -> list[str]:
    """The signing secret, and during a rotation the previous one. Raises Misuse (`missing-setting`)."""
    settings.need("webhook_secret")
    both = (settings.webhook_secret, settings.webhook_secret_previous)
    return [secret.get_secret_value() for secret in both if secret is not None]
