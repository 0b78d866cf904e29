"""`/v1/memos/{job_id}` and `/events`: one job as it is, as soon as it has changed, or every move as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from pipeline.errors import JobFailed, MemolineError
from pipeline.ledger.callbacks import callbacks_of
from pipeline.ledger.states import TERMINAL
from pipeline.model import AuditLine, HistoryEntry, Job, State
from workers.views import entry_json, job_with_history, parts_of
from workers.web import docs
from workers.web.office import Office, find, whole, with_token

LOOK_EVERY_S = 0.5
"""How late a follower may be; the ledger is asked so often for each of them."""
MAX_WAIT_S = 60
MAX_FOLLOWERS = 100
MAX_STREAM_S = 600
KEEP_ALIVE_S = 15
_LARGEST = 2**31 - 1


class TooManyFollowers(JobFailed):
    """More requests wait for news than this process serves."""


class Followers:
    """How many requests wait for news, bounded, so that they cannot keep the ledger from the others."""

    def __init__(self) -> None:
        self._count = 0

    def need_room(self) -> None:
        """Raises TooManyFollowers."""
        if self._count >= MAX_FOLLOWERS:
            raise TooManyFollowers("too-many-followers", "Too many requests wait for news: ask again later.")

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count the caller in while the block runs."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


def _audit(office: Office, job: Job) -> tuple[AuditLine, ...]:
    return office.ledger.audit(job_id=job.job_id) if job.erasing or job.state is State.ERASED else ()


def follow_routes(office: Office) -> APIRouter:
    """The routes that show one job. All want the token."""
    router = APIRouter(prefix="/v1/memos/{job_id}", dependencies=[Depends(with_token(office))])
    followers = Followers()

    @router.get("", summary="One job with its history", openapi_extra=docs.GET_MEMO)
    async def one(job_id: str, request: Request) -> JSONResponse:
        """404 for an id that no job has. A recording that needs several memos lists them as `parts`, each a job of its
        own, and moves as they do. With `wait_s` it answers when the job has moved since `rev`, is at its end, or
        the time is up."""
        query = request.query_params
        wait_s, rev = whole(query.get("wait_s"), 0, 0, MAX_WAIT_S, "wait_s"), query.get("rev")
        job = await run_in_threadpool(find, office, job_id)
        seen = whole(rev, job.rev, 0, _LARGEST, "rev")
        if wait_s and job.rev <= seen and job.state not in TERMINAL:
            followers.need_room()
            with followers.one_more():
                job = await _changed(office, job, seen, wait_s)
        history = await run_in_threadpool(office.ledger.history, job.job_id)
        callbacks = await run_in_threadpool(callbacks_of, office.ledger, job)
        parts = await run_in_threadpool(parts_of, office.ledger, job)
        audit = await run_in_threadpool(_audit, office, job)
        return JSONResponse(job_with_history(job, history, parts=parts, callbacks=callbacks, audit=audit))

    @router.get("/events", summary="Every move of a job, as it comes", openapi_extra=docs.GET_EVENTS)
    async def events(job_id: str, request: Request) -> Response:
        """Server-sent events, from the first move on, or after `Last-Event-ID`; the stream ends with the job. 204 where
        the job is at its end and nothing is left to tell: a browser then stops asking again."""
        await run_in_threadpool(find, office, job_id)
        after = whole(request.headers.get("last-event-id"), 0, 0, _LARGEST, "last-event-id")
        moves = await run_in_threadpool(office.ledger.history, job_id)
        if moves[-1].to_state in TERMINAL and len(moves) <= after:
            return Response(status_code=204)
        followers.need_room()
        stream = _stream(office, job_id, after, followers)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return router


async def _changed(office: Office, job: Job, seen: int, wait_s: float) -> Job:
    """The job once it has moved, or as it is when the time is up."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + wait_s
    while job.rev <= seen and loop.time() < until_s:
        await asyncio.sleep(min(LOOK_EVERY_S, max(until_s - loop.time(), 0.01)))
        job = await run_in_threadpool(find, office, job.job_id)
    return job


async def _stream(office: Office, job_id: str, sent: int, followers: Followers) -> AsyncIterator[str]:
    """The events of a job as text, with a comment now and then so that nobody takes the line for dead. It ends with the
    job, or after ten minutes, or when the ledger is away: whoever still wants news asks again by `Last-Event-ID`."""
    loop = asyncio.get_running_loop()
    until_s, spoke_s = loop.time() + MAX_STREAM_S, loop.time()
    with followers.one_more(), suppress(MemolineError):
        yield "retry: 2000\n\n"
        while loop.time() < until_s:
            moves = await run_in_threadpool(office.ledger.history, job_id)
            for number, move in enumerate(moves[sent:], start=sent + 1):
                yield _event(number, move)
                spoke_s = loop.time()
            sent = max(sent, len(moves))
            if moves[-1].to_state in TERMINAL:
                return
            if loop.time() - spoke_s >= KEEP_ALIVE_S:
                yield ": nothing new\n\n"
                spoke_s = loop.time()
            await asyncio.sleep(LOOK_EVERY_S)


def _event(number: int, move: HistoryEntry) -> str:
    return f"id: {number}\nevent: {move.to_state}\ndata: {json.dumps(entry_json(move), separators=(',', ':'))}\n\n"
