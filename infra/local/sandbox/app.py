"""The ASGI application: routes, trace ids, and the life of what they share."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import attachments, chats, control, memos, subscriptions
from .answers import Endpoint, partner_api, trace_id_of
from .codes import ApiError
from .config import SandboxConfig
from .faults import FaultBook
from .fetch import Fetcher, tls_context
from .store import Store
from .webhooks import Postman
from .world import World

_API: Mapping[str, Mapping[str, Endpoint]] = {
    "/chats": {"GET": chats.list_chats, "POST": chats.create_chat},
    "/chats/{chat_id}": {"GET": chats.get_chat},
    "/chats/{chat_id}/messages": {"GET": chats.list_messages},
    "/messages/{message_id}": {"GET": chats.get_message},
    "/phone_numbers": {"GET": chats.list_phone_numbers},
    "/webhook-events": {"GET": subscriptions.list_event_types},
    "/webhook-subscriptions": {
        "GET": subscriptions.list_subscriptions,
        "POST": subscriptions.create_subscription,
    },
    "/webhook-subscriptions/{subscription_id}": {
        "GET": subscriptions.get_subscription,
        "PUT": subscriptions.update_subscription,
        "DELETE": subscriptions.delete_subscription,
    },
    "/attachments": {"POST": attachments.create_attachment},
    "/attachments/{attachment_id}": {
        "GET": attachments.get_attachment,
        "DELETE": attachments.delete_attachment,
    },
}


def create_app(config: SandboxConfig, base_url: str | None = None) -> Starlette:
    """The sandbox as an ASGI application. base_url: how clients reach it, when the port was chosen by the system."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        world = app.state.world = _open(config, base_url or f"http://{config.host}:{config.port}")
        world.postman.resume()
        try:
            yield
        finally:
            await world.postman.close()
            await world.fetcher.close()
            world.store.journal.close()

    return Starlette(
        routes=_routes(),
        lifespan=lifespan,
        middleware=[Middleware(TraceIds)],
        exception_handlers={HTTPException: _unknown_route, Exception: _broken},
    )


def _open(config: SandboxConfig, base_url: str) -> World:
    store = Store(config.data_dir)
    context = tls_context(config.ca_bundle)
    cdn = f"{base_url}/_sandbox/cdn"
    return World(
        config=config,
        base_url=base_url,
        store=store,
        faults=FaultBook(config.seed),
        fetcher=Fetcher(context),
        postman=Postman(store, cdn=cdn, first_retry_s=config.webhook_retry_s, context=context),
    )


def _routes() -> list[BaseRoute]:
    api: list[BaseRoute] = [
        # Guards itself: a POST is counted also when it shows no token.
        Route("/chats/{chat_id}/voicememo", memos.send_voicememo, methods=["POST"]),
        *(
            Route(path, partner_api(endpoint), methods=[method])
            for path, methods in _API.items()
            for method, endpoint in methods.items()
        ),
    ]
    steering: list[BaseRoute] = [
        Route("/faults", control.add_faults, methods=["POST"]),
        Route("/faults", control.clear_faults, methods=["DELETE"]),
        Route("/faults", control.show_faults),
        Route("/state", control.state),
        Route("/count", control.count),
        Route("/reset", control.reset, methods=["POST"]),
        Route("/chats/{chat_id}", control.put_chat, methods=["PUT"]),
        Route("/chats/{chat_id}/received", control.receive, methods=["POST"]),
        Route("/line", control.set_line, methods=["PUT"]),
        Route("/upload/{attachment_id}", attachments.upload, methods=["PUT"]),
        Route("/cdn/{path:path}", control.no_cdn),
    ]
    return [
        Route("/healthz", control.healthz),
        Mount("/_sandbox", routes=steering),
        Mount("/api/partner/v3", routes=api),
        Mount("/v3", routes=api),
    ]


class TraceIds:
    """Gives each request a trace id and shows it on the answer, but for pages that a gateway would have made."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace_id = secrets.token_hex(16)
        scope.setdefault("state", {})["trace_id"] = trace_id

        async def send_traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if not headers.get("content-type", "").startswith("text/html"):
                    headers["X-Trace-ID"] = trace_id
            await send(message)

        await self._app(scope, receive, send_traced)


async def _unknown_route(request: Request, error: Exception) -> Response:
    """An address or method that is not here: the envelope with a code that Linq does not have."""
    status = cast(HTTPException, error).status_code
    body = {"status": status, "code": status, "message": f"The sandbox does not serve {request.method} here"}
    return JSONResponse({"success": False, "error": body, "trace_id": trace_id_of(request)}, status)


async def _broken(request: Request, error: Exception) -> Response:
    """A mistake of the sandbox itself looks like one of Linq's."""
    trace_id = trace_id_of(request)
    envelope = ApiError(3001, f"Internal error: {error}").envelope(trace_id)
    return JSONResponse(envelope, 500, {"X-Trace-ID": trace_id})
