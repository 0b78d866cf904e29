"""Fetching a memo as Linq does: HTTPS with a verified certificate, no redirect, within the limits."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from . import audio
from .codes import ApiError

MAX_BYTES = 10_000_000
FETCH_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What was downloaded: only what is needed to describe it, the bytes themselves are dropped."""

    filename: str
    format: audio.Format
    size_bytes: int
    sha256: str


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """The usual authorities and those of the bundle."""
    context = ssl.create_default_context()
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return context


class Fetcher:
    """Downloads memos; one connection each, as far apart as a stranger would."""

    def __init__(self, context: ssl.SSLContext) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)
        timeout = httpx.Timeout(10.0, pool=None)
        self._client = httpx.AsyncClient(verify=context, trust_env=False, limits=limits, timeout=timeout)

    async def fetch(self, url: str) -> Fetched:
        """Downloads and checks. Raises ApiError 1005 (not an HTTPS URL), 5002 (not to be had), 5001 or 5005 (too
        large), 5004 (not an accepted type), 5006 (content, type and extension disagree)."""
        filename = _filename(url)
        claimed = audio.by_extension(filename)
        if claimed is None:
            raise ApiError(5004, f"{filename!r} does not end in an accepted audio extension")
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                return await self._download(url, filename, claimed)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise ApiError(5002, f"Could not download the file: {type(error).__name__} {error}".rstrip()) from error

    async def _download(self, url: str, filename: str, claimed: audio.Format) -> Fetched:
        headers = {"User-Agent": "linq-sandbox", "Accept": "*/*", "Accept-Encoding": "identity"}
        async with self._client.stream("GET", url, headers=headers, follow_redirects=False) as response:
            _check_answer(response, claimed)
            head, size_bytes, digest = b"", 0, hashlib.sha256()
            async for chunk in response.aiter_raw():
                size_bytes += len(chunk)
                if size_bytes > MAX_BYTES:
                    # Found only while reading: the error table's answer. A declared length gets the other one.
                    raise ApiError(5005)
                digest.update(chunk)
                head += chunk[: audio.HEAD_BYTES - len(head)]
        check_content(head, claimed)
        return Fetched(filename=filename, format=claimed, size_bytes=size_bytes, sha256=digest.hexdigest())

    async def close(self) -> None:
        await self._client.aclose()


def check_content(head: bytes, claimed: audio.Format) -> None:
    """Raises ApiError 5004 when the content is nothing that is accepted, 5006 when it is another than claimed."""
    actual = audio.by_content(head)
    if actual is None:
        raise ApiError(5004)
    if actual is not claimed:
        raise ApiError(5006, f"The content is {actual.extension}, the extension says {claimed.extension}")


def _filename(url: str) -> str:
    """The last segment of the path, decoded. Raises ApiError 1005."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or parts.scheme != "https":
        raise ApiError(1005, "voice_memo_url must be a public HTTPS URL")
    return unquote(parts.path.rpartition("/")[2])


def _check_answer(response: httpx.Response, claimed: audio.Format) -> None:
    if response.is_redirect:
        raise ApiError(5002, f"Could not download the file: redirected ({response.status_code})")
    if response.status_code != 200:
        raise ApiError(5002, f"Could not download the file: the server answered {response.status_code}")
    length = response.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BYTES:
        raise ApiError(5001, "The voice memo is larger than 10 MB", status=413)
    labelled = audio.by_mime_type(response.headers.get("content-type", ""))
    if labelled is None:
        raise ApiError(5004, f"Content-Type {response.headers.get('content-type')!r} is not an accepted audio type")
    if labelled is not claimed:
        raise ApiError(5006, f"Content-Type says {labelled.extension}, the extension says {claimed.extension}")
