"""Looking at a memo's URL as the receiver will: TLS verified, 200 without a redirect, type, length, every byte."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import httpx

from pipeline.errors import JobFailed, PartUnreachable
from pipeline.hosting.signing import unsigned
from pipeline.model import Hosted


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """The system's authorities, and a further one where it is given."""
    context = ssl.create_default_context()
    if ca_bundle:
        context.load_verify_locations(cafile=str(ca_bundle))
    return context


class UrlCheck:
    """Checks memo URLs; one client and one TLS context for a process."""

    def __init__(self, ca_bundle: Path | None) -> None:
        self._ca_bundle = ca_bundle
        self._client: httpx.Client | None = None

    def __call__(self, hosted: Hosted, url: str | None = None) -> None:
        """url: the address to ask for, signed perhaps, if it is another than the memo's own; it is not told to anybody.

        Raises JobFailed (`cdn-wrong`) where the URL shows something else, PartUnreachable (`cdn-unreachable`)."""
        digest, size_bytes = hashlib.sha256(), 0
        try:
            with self._connected().stream("GET", url or hosted.url) as answer:
                if answer.status_code >= 500:
                    raise PartUnreachable("cdn-unreachable", f"The CDN answers {answer.status_code} for {hosted.url}.")
                _compare(hosted, answer)
                for chunk in answer.iter_raw():
                    digest.update(chunk)
                    size_bytes += len(chunk)
        except httpx.HTTPError as error:
            raise PartUnreachable("cdn-unreachable", f"The CDN cannot be reached at {hosted.url} ({error}).") from None
        if (size_bytes, digest.hexdigest()) != (hosted.size_bytes, hosted.sha256):
            raise _wrong(hosted, f"{size_bytes} other bytes")

    def gone(self, url: str) -> bool:
        """Whether nothing is to be seen at a URL: 403, 404 or 410. Raises PartUnreachable (`cdn-unreachable`)."""
        shown = unsigned(url)
        try:
            answer = self._connected().head(url)
        except httpx.HTTPError as error:
            raise PartUnreachable("cdn-unreachable", f"The CDN cannot be reached at {shown} ({error}).") from None
        if answer.status_code >= 500:
            raise PartUnreachable("cdn-unreachable", f"The CDN answers {answer.status_code} for {shown}.")
        return answer.status_code in (403, 404, 410)

    def reach(self, url: str) -> None:
        """See whether a URL answers, with a good certificate. Raises PartUnreachable (`cdn-unreachable`)."""
        try:
            self._connected().head(url)
        except httpx.HTTPError as error:
            raise PartUnreachable("cdn-unreachable", f"The CDN cannot be reached at {url} ({error}).") from None

    def _connected(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(
                verify=tls_context(self._ca_bundle), trust_env=False, follow_redirects=False, timeout=30
            )
        return self._client


def _compare(hosted: Hosted, answer: httpx.Response) -> None:
    if answer.status_code != 200:
        raise _wrong(hosted, f"status {answer.status_code}")
    if answer.headers.get("content-type", "").split(";")[0] != hosted.mime_type:
        raise _wrong(hosted, f"type {answer.headers.get('content-type')!r}")
    if answer.headers.get("content-length") != str(hosted.size_bytes):
        raise _wrong(hosted, f"length {answer.headers.get('content-length')}")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise _wrong(hosted, f"encoding {answer.headers['content-encoding']!r}")


def _wrong(hosted: Hosted, what: str) -> JobFailed:
    text = f"{hosted.url} shows {what} instead of the memo: check that the CDN serves m/ of the memo bucket as it is."
    return JobFailed("cdn-wrong", text, url=hosted.url)
