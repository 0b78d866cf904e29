"""The embedded CDN: TLS in front of the private memo bucket, as CloudFront with origin access control would be.

Serves GET and HEAD of `/m/` only, ranges and ETags included; never a redirect, never another object of the bucket.
`python -m infra.local.cdn` serves at `MEMOLINE_CDN_URL` until SIGTERM.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from infra.local.cdn_cache import Cache
from infra.local.cdn_keys import Verifier, load_verifier
from infra.local.cdn_origin import Head, Origin
from infra.local.tls import certificate
from pipeline.errors import MemolineError, PartUnreachable
from pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    import uvicorn

MEMO = re.compile(r"/(m/[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)")
"""Paths that are served. No segment begins with a dot, so none leads out of `m/`."""
METHODS = ("GET", "HEAD")


class Memo(FileResponse):
    """A memo's bytes. Each piece is read in a thread, and most memos are shorter than one."""

    chunk_size = 256 * 1024


class Cdn:
    """Answers requests from the cache; verifies the URL's signature where a key group is configured."""

    def __init__(self, cache: Cache, verifier: Verifier | None) -> None:
        self._cache = cache
        self._verifier = verifier

    async def answer(self, request: Request) -> Response:
        """The memo, 304, or 403 for what is not to be seen, 404 for what is not there, 502 without the bucket."""
        if request.method not in METHODS:
            return PlainTextResponse("only GET and HEAD", 405, {"allow": ", ".join(METHODS)})
        wanted = MEMO.fullmatch(request.scope["path"])
        if wanted is None or not self._may_see(request):
            return PlainTextResponse("forbidden", 403)
        try:
            found = await run_in_threadpool(self._cache.get, wanted[1])
        except PartUnreachable as error:
            return PlainTextResponse(error.message, 502)
        except OSError as error:
            return PlainTextResponse(f"no room for a copy: {error.strerror}", 503)
        return PlainTextResponse("no such memo", 404) if found is None else _memo(request, *found)

    def _may_see(self, request: Request) -> bool:
        if self._verifier is None:
            return True
        return self._verifier(str(request.url), request.client.host if request.client else "")


def create_app(cache: Cache, verifier: Verifier | None) -> Starlette:
    """The CDN as an ASGI application."""
    cdn = Cdn(cache, verifier)
    every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
    return Starlette(
        routes=[Route("/{path:path}", cdn.answer, methods=every)],
        exception_handlers={HTTPException: _refused},
    )


def serve(settings: Settings) -> None:
    """In the foreground until SIGTERM. Raises Misuse (`missing-setting`) without CDN URL or bucket."""
    import uvicorn

    uvicorn.Server(_server_config(settings)).run()


def _server_config(settings: Settings) -> uvicorn.Config:
    import uvicorn

    cache = Cache(settings.home / "cdn-cache", Origin(settings))
    pem = certificate(settings.home)
    return uvicorn.Config(
        create_app(cache, load_verifier(settings.home / "cdn-keys")),
        host="127.0.0.1",
        port=urlsplit(settings.need("cdn_url")).port or 443,
        ssl_certfile=str(pem),
        ssl_keyfile=str(pem),
        http="httptools",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )


def _memo(request: Request, head: Head, path: Path, hit: bool) -> Response:
    headers = {**head.headers, "accept-ranges": "bytes", "x-cache": "Hit" if hit else "Miss"}
    if _same(request.headers.get("if-none-match"), head.etag):
        kept = ("etag", "cache-control", "last-modified", "x-cache")
        return Response(status_code=304, headers={name: headers[name] for name in kept if name in headers})
    return Memo(path, headers=headers, stat_result=path.stat())


def _same(if_none_match: str | None, etag: str) -> bool:
    """RFC 9110, 13.1.2: a list of ETags compared weakly, or `*`."""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


async def _refused(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return PlainTextResponse("refused", status)


def main() -> int:
    """The exit status."""
    try:
        serve(load_settings(folder=Path(os.environ.get("MEMOLINE_HOME", ".")) / "run"))
    except MemolineError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
