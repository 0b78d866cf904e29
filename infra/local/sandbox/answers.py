"""What all endpoints share: who may come in, the error envelope, trace ids, pages, and hanging up."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .codes import ApiError
from .world import World

HANG_UP = "memoline.sandbox.hang_up"
Endpoint = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


def world_of(request: Request) -> World:
    """The running sandbox."""
    return cast(World, request.app.state.world)


def trace_id_of(request: Request) -> str:
    """32 hex digits, also in the header X-Trace-ID of the answer."""
    return str(request.state.trace_id)


def authorise(request: Request) -> None:
    """Raises ApiError 2004 unless the request shows the account's token."""
    shown = request.headers.get("authorization", "")
    wanted = f"Bearer {world_of(request).config.api_key}"
    if not hmac.compare_digest(shown.encode(), wanted.encode()):
        raise ApiError(2004)


def error_response(request: Request, error: ApiError) -> Response:
    """The error envelope; a wait is named in it and in Retry-After."""
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return JSONResponse(error.envelope(trace_id_of(request)), error.status, headers)


def partner_api(endpoint: Endpoint) -> Endpoint:
    """An endpoint that wants the token and answers ApiError with the envelope."""

    async def guarded(request: Request) -> Response:
        try:
            authorise(request)
            return await endpoint(request)
        except ApiError as error:
            return error_response(request, error)

    return guarded


async def json_object(request: Request) -> dict[str, Any]:
    """The body. Raises ApiError 1003."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise ApiError(1003) from None
    if not isinstance(body, dict):
        raise ApiError(1003, "The request body must be a JSON object")
    return body


def page(
    request: Request, items: Sequence[T], key: Callable[[T], str], default_limit: int
) -> tuple[list[T], str | None]:
    """The items after the cursor, in the order of `key`, and the cursor of the next page. Raises ApiError 1005."""
    try:
        limit = int(request.query_params.get("limit", default_limit))
    except ValueError:
        limit = 0
    if not 1 <= limit <= 100:
        raise ApiError(1005, "limit must be 1 to 100")
    cursor = request.query_params.get("cursor", "")
    rest = sorted((item for item in items if key(item) > cursor), key=key)
    shown = rest[:limit]
    return shown, key(shown[-1]) if len(rest) > limit else None


class DroppedConnection(Response):
    """No answer at all: the connection is closed, or reset, when the server's protocol offers it."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        scope["extensions"][HANG_UP](self._reset)
        # The server notices in its next turn; answering before would make it write an error page.
        await asyncio.sleep(0.01)
