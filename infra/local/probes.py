"""How to see that a part takes work. Each returns False while it does not, and never raises for a part that is away."""

from __future__ import annotations

import http.client
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import PartUnreachable
from pipeline.settings import Settings

TIMEOUT_S = 2.0
OUTSIDE_TIMEOUT_S = 5.0
CODES = {"broker": "redis-unreachable", "s3": "s3-unreachable", "cdn": "cdn-unreachable", "linq": "linq-unreachable"}
DEFAULT_PORTS = {"redis": 6379, "rediss": 6379, "http": 80, "https": 443}


def http_ok(url: str) -> bool:
    """Whether a GET is answered with 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tls_answers(port: int, ca_bundle: Path) -> bool:
    """Whether a server with a certificate of our authority answers HTTP there."""
    context = ssl.create_default_context(cafile=str(ca_bundle))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT_S, context=context)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 403
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def check_outside(part: str, settings: Settings) -> None:
    """Raises PartUnreachable with the part's code where a part that is not ours does not answer at all.

    Any HTTP answer of Linq counts; of the others a connection does."""
    url = url_of(part, settings)
    if url is None:
        return
    import httpx

    try:
        if part == "linq":
            httpx.get(url, timeout=OUTSIDE_TIMEOUT_S, trust_env=False)
        else:
            _connect(url)
    except (httpx.HTTPError, OSError) as error:
        shown = shown_url(url)
        text = f"{part} at {shown} does not answer ({error}): start it, or correct the setting."
        raise PartUnreachable(CODES[part], text, part=part, url=shown) from None


def url_of(part: str, settings: Settings) -> str | None:
    """Where a part is, as the settings say; None for real AWS, whose endpoint boto3 knows."""
    urls = {
        "broker": settings.broker_url,
        "s3": settings.s3_endpoint_url,
        "cdn": settings.cdn_url,
        "linq": settings.linq_base_url,
    }
    return urls.get(part)


def shown_url(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _connect(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in DEFAULT_PORTS and parts.hostname:
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        socket.create_connection((parts.hostname, port), timeout=OUTSIDE_TIMEOUT_S).close()
