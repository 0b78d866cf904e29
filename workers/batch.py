"""Many recordings through the program door: a few hundred jobs a commit, one result for each wish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

from pipeline import jobs
from pipeline.errors import MemolineError
from pipeline.model import Job, Request
from workers.doors import Desk, job_id_of, request_of, secured, taken_up_with_copy
from workers.tracing import mark_registered
from workers.wishes import Wish

BATCH_JOBS = 200
"""A commit of so many keeps other writers waiting for 20 ms (0.1 ms a job on SQLite, measured)."""

Result = Job | MemolineError


def submit_many(desk: Desk, wishes: Sequence[tuple[str, Wish] | MemolineError], copying: Executor) -> list[Result]:
    """Register a batch of at most `BATCH_JOBS`: for each wish what `doors.submit` would return, or the error that it
    would raise. An error among the wishes is passed on in its place. copying: where the recordings are copied or looked
    at, several at a time."""
    requests = list(copying.map(lambda wish: _request(desk, wish), wishes))
    added = _added(desk, [one for one in requests if isinstance(one, Request)])
    return [_result(desk, one, next(added)) if isinstance(one, Request) else one for one in requests]


def _request(desk: Desk, wish: tuple[str, Wish] | MemolineError) -> Request | MemolineError:
    if isinstance(wish, MemolineError):
        return wish
    try:
        return secured(desk, request_of(desk, *wish))
    except MemolineError as error:
        return error


def _added(desk: Desk, requests: list[Request]) -> Iterator[Job | MemolineError]:
    try:
        yield from jobs.register_many(desk.parts, requests)
        mark_registered(job_id_of(desk, request) for request in requests)
    except MemolineError as error:
        yield from [error] * len(requests)


def _result(desk: Desk, request: Request, added: Job | MemolineError) -> Result:
    """What becomes of one wish after the commit."""
    try:
        return taken_up_with_copy(desk, request, added)
    except MemolineError as error:
        return error
