"""Is it alive, can it work, what is it doing."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.errors import MemolineError
from pipeline.messages import Pause
from pipeline.settings import Settings
from pipeline.settling import MATCHING_OFF
from pipeline.standing import EVERYBODY, UNAUTHORIZED
from workers.web.office import Office, local_or_with_token

CONNECT_S = 1.0


def health_routes(office: Office) -> APIRouter:
    """`/healthz`, `/readyz`, `/metrics`."""
    router = APIRouter()

    @router.get("/healthz", summary="The process is alive")
    async def healthz() -> JSONResponse:
        return JSONResponse({"ok": True})

    @router.get("/readyz", summary="The ledger answers; other parts are reported")
    def readyz() -> JSONResponse:
        parts = {"ledger": ledger_state(office), **reachable(parts_of(office.desk.settings))}
        ready = parts["ledger"] == "ok"
        return JSONResponse({"ready": ready, "parts": parts}, status_code=200 if ready else 503)

    @router.get("/metrics", dependencies=[Depends(local_or_with_token(office))], summary="Prometheus metrics")
    def metrics() -> Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(LedgerCollector(office))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


class LedgerCollector(Collector):
    """Counts from the ledger, so that one scrape shows what all processes did."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def collect(self) -> Iterable[Metric]:
        ledger, clock = self._office.ledger, self._office.desk.parts.clock
        jobs = GaugeMetricFamily("memoline_jobs", "Jobs by state.", labels=["state"])
        for state, count in ledger.counts().items():
            jobs.add_metric([str(state)], count)
        yield jobs
        age = "Seconds since the oldest job was registered that is not at its end."
        yield GaugeMetricFamily("memoline_oldest_open_job_seconds", age, value=ledger.oldest_open_age(clock.now()))
        renamed = "1 once Linq was seen to rename files, so that lost sends cannot be looked up."
        yield GaugeMetricFamily("memoline_matching_off", renamed, value=float(ledger.flag(MATCHING_OFF) is not None))
        yield self._paused(ledger.pauses(clock.now()))
        reports = GaugeMetricFamily("memoline_reports", "Webhook reports kept, by status.", labels=["status"])
        for status, count in ledger.report_counts().items():
            reports.add_metric([status], count)
        yield reports
        waiting = "Webhook reports that are kept and not applied yet."
        yield GaugeMetricFamily("memoline_reports_waiting", waiting, value=float(ledger.waiting_count()))
        taken = "Webhooks that came to this process, by what became of them."
        webhooks = CounterMetricFamily("memoline_webhooks", taken, labels=["outcome"])
        for outcome, count in self._office.webhooks.counts().items():
            webhooks.add_metric([outcome], count)
        yield webhooks

    def _paused(self, pauses: Iterable[Pause]) -> Metric:
        """How many chats and lines wait; everybody by the reason."""
        text = "Pauses in force: chats, lines, and everybody because Linq is away or does not take the key."
        family = GaugeMetricFamily("memoline_paused", text, labels=["scope"])
        kinds = [UNAUTHORIZED if p.why == UNAUTHORIZED else p.scope.partition(":")[0] for p in pauses]
        for kind in ("chat", "line", EVERYBODY, UNAUTHORIZED):
            family.add_metric([kind], kinds.count(kind))
        return family


def ledger_state(office: Office) -> str:
    """`ok`, or the code of what is wrong."""
    try:
        office.ledger.ping()
    except MemolineError as error:
        return error.code
    return "ok"


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
