"""Errors as `application/problem+json` (RFC 9457), with the same codes as everywhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import ceil

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from pipeline.errors import KeyReused, MemolineError, Misuse, NoSuchJob, NotNow, PartUnreachable
from pipeline.sending.webhooks import SignatureWrong
from workers.log import logger
from workers.web.office import NotAllowed

_BY_CODE: Mapping[str, int] = {
    "no-such-object": 404,
    "no-such-upload": 404,
    "wrong-size": 409,
    "bucket-not-allowed": 403,
    "too-large": 413,
    "wrong-content-type": 415,
    "too-many-followers": 429,
    "too-often": 429,
    "disk-full": 507,
    "bad-event": 400,
    # Wrong settings of ours are not the caller's fault, and what was asked may work later.
    "missing-setting": 503,
    "s3-refused": 503,
    "home-unusable": 503,
}
_BY_KIND: tuple[tuple[type[MemolineError], int], ...] = (
    (KeyReused, 409),
    (NotNow, 409),
    (NoSuchJob, 404),
    (NotAllowed, 401),
    (SignatureWrong, 401),
    (PartUnreachable, 503),
    (Misuse, 400),
)
RETRY_AFTER_S = 5
_TOLD = "missing-setting"
"""Of what fails on our side only this is told as it is: it names a setting and no address, path or program."""


def status_of(error: MemolineError) -> int:
    """The HTTP status of an error."""
    found = next((status for kind, status in _BY_KIND if isinstance(error, kind)), 500)
    return _BY_CODE.get(error.code, found)


def problem(status: int, code: str, detail: str, facts: Mapping[str, object] | None = None) -> Response:
    """A problem document. facts: members beside the standard ones."""
    known = {"type": "about:blank", "title": code.replace("-", " "), "status": status, "code": code, "detail": detail}
    # ASCII only: a text that came in may hold half a surrogate pair, which UTF-8 cannot carry.
    body = json.dumps({**(facts or {}), **known}, default=str, ensure_ascii=True)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status in (429, 503):
        headers["Retry-After"] = str(ceil(float(str((facts or {}).get("retry_after_s", RETRY_AFTER_S)))))
    return Response(body, status, headers, media_type="application/problem+json")


def add_problems(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Let every error that leaves a route, or that no route takes, become a problem document."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, MemolineError)  # noqa: S101 (registered for nothing else)
        status = status_of(error)
        if status >= 500:
            logger().warning("serve.problem", path=request.url.path, code=error.code, error=error.message)
            if error.code != _TOLD:  # whoever asks, with a token or without: the rest is for the log
                return problem(status, error.code, _away(status))
        return problem(status, error.code, error.message, error.facts)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        answer = problem(error.status_code, _HTTP_CODES.get(error.status_code, "bad-request"), str(error.detail))
        answer.headers.update(error.headers or {})
        if error.status_code == 405:
            answer.headers["Allow"] = ", ".join(sorted(_methods_at(routes, request)))
        return answer

    async def invalid(_request: Request, _error: Exception) -> Response:
        return problem(400, "bad-request", "The request does not have the documented form.")

    async def unforeseen(_request: Request, _error: Exception) -> Response:
        return problem(500, "internal", _away(500))  # the server logs it, with its traceback

    app.add_exception_handler(Exception, unforeseen)
    app.add_exception_handler(MemolineError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)


def _methods_at(routes: Sequence[BaseRoute], request: Request) -> set[str]:
    """What all routes of a path take together; the framework names those of the first one only."""
    there = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in there for method in getattr(route, "methods", None) or ()}


def _away(status: int) -> str:
    if status == 503:
        return "A part that is needed for this cannot be used now: try again later."
    if status == 507:
        return "There is no room left to keep this: try again later."
    return "This failed for a reason on the server's side; its log has it."


_HTTP_CODES: Mapping[int, str] = {404: "no-such-page", 405: "wrong-method"}
