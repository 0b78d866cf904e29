"""Is it alive, can it work, what is it doing."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pipeline.errors import MemolineError
from pipeline.ledger.migrate import HEAD, revision_of
from pipeline.settings import Settings
from workers.web.office import Office, local_or_with_token

CONNECT_S = 1.0


def health_routes(office: Office) -> APIRouter:
    """`/healthz`, `/readyz`, `/metrics`."""
    router = APIRouter()

    @router.get("/healthz", summary="The process is alive: its threads are")
    async def healthz() -> JSONResponse:
        dead = [part.name for part in (office.intake, office.settler) if not part.alive]
        return JSONResponse({"ok": not dead, "dead": dead} if dead else {"ok": True}, 503 if dead else 200)

    @router.get("/readyz", summary="What is handed in can be kept: the ledger takes writes; other parts are reported")
    def readyz() -> JSONResponse:
        parts = {"ledger": ledger_state(office), **reachable(parts_of(office.desk.settings))}
        ready = parts["ledger"] == "ok"
        return JSONResponse({"ready": ready, "parts": parts}, status_code=200 if ready else 503)

    @router.get("/metrics", dependencies=[Depends(local_or_with_token(office))], summary="Prometheus metrics")
    def metrics() -> Response:
        return Response(generate_latest(office.figures.brought_up_to_date()), media_type=CONTENT_TYPE_LATEST)

    return router


def ledger_state(office: Office) -> str:
    """`ok` where the ledger takes writes and has all that this program needs, or the code of what is wrong. A ledger
    that a newer program has migrated is ok: migrations only add."""
    try:
        office.ledger.writable()
        revision = revision_of(office.ledger.database)
    except MemolineError as error:
        return error.code
    return "ok" if revision is not None and revision >= HEAD else "ledger-not-migrated"


def parts_of(settings: Settings) -> Mapping[str, str | None]:
    """Where the other parts are."""
    return {
        "broker": settings.broker_url,
        "s3": settings.s3_endpoint_url,
        "cdn": settings.cdn_url,
        "linq": settings.linq_base_url,
    }


def reachable(urls: Mapping[str, str | None]) -> dict[str, str]:
    """`ok`, `unreachable` or `not-set` for each part: whether its port takes a connection within a second."""
    with ThreadPoolExecutor(max_workers=len(urls)) as pool:
        return dict(zip(urls, pool.map(_state, urls.values()), strict=True))


def _state(url: str | None) -> str:
    if url is None:
        return "not-set"
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 6379)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S).close()
    except OSError:
        return "unreachable"
    return "ok"
