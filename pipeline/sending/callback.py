"""One POST to a URL that a caller named: to an address that may be told, in a bounded time, no redirects, no proxies.

http.client, since it connects where it is told: the address that was judged is the one that is spoken to."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.sending.addresses import may_be_told, why_not

DEADLINE_S = 15.0
CONNECT_S = 5.0
MAX_ADDRESSES = 4
GONE = 410


@dataclass(frozen=True, slots=True)
class Told:
    """What an attempt came to. taken: a 2xx. gone: the receiver wants no more (410)."""

    taken: bool
    outcome: str
    gone: bool = False


class _Refused(OSError):
    """The name means no address that may be told."""


def tell(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool, context: ssl.SSLContext) -> Told:
    """POST the body. Never raises: what went wrong is the outcome."""
    if problem := why_not(url, allow_private=allow_private):
        return Told(False, f"refused: the URL {problem}")
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    try:
        with _Line(parts.hostname or "", parts.port, parts.scheme, allow_private, context) as line:
            return line.post(target, body, headers)
    except _Refused as error:
        return Told(False, f"refused: {error}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Told(False, f"no answer: {type(error).__name__}: {str(error)[:200]}")


class _Line:
    """A connection that ends with its time."""

    def __init__(self, host: str, port: int | None, scheme: str, allow_private: bool, context: ssl.SSLContext) -> None:
        tls, self._late = scheme == "https", False
        self._connection = http.client.HTTPConnection(host, port or (443 if tls else 80))
        self._connection.default_port = 443 if tls else 80
        self._sock = _connected(host, self._connection.port, allow_private)
        self._watchdog = threading.Timer(DEADLINE_S, self._cut)
        self._watchdog.daemon = True
        self._watchdog.start()
        try:
            self._connection.sock = self._sock
            if tls:
                # Known to the watchdog before the handshake, which may drip too.
                wrapped = context.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
                self._connection.sock = wrapped
                wrapped.do_handshake()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self._connection.close()
        self._sock.close()

    def post(self, target: str, body: bytes, headers: Mapping[str, str]) -> Told:
        """The status is all that counts: of the answer's body nothing is read."""
        self._connection.request("POST", target, body, {**headers, "Connection": "close"})
        status = self._connection.getresponse().status
        if self._late:
            raise TimeoutError(f"no whole answer within {DEADLINE_S:g} s")
        return Told(200 <= status < 300, f"answered {status}", gone=status == GONE)

    def _cut(self) -> None:
        """Time is up: an answer that drips byte by byte would hold us for ever."""
        self._late = True
        for sock in (self._connection.sock, self._sock):
            if sock is not None and sock.fileno() >= 0:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue


def _connected(host: str, port: int, allow_private: bool) -> socket.socket:
    """A connection to an address of the host that may be told. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    usable = [one for one in found if may_be_told(str(one[4][0]), allow_private=allow_private)]
    if not usable:
        raise _Refused(f"{host} means no address that may be told")
    error: OSError = OSError("no address")
    for family, kind, protocol, _, address in usable[:MAX_ADDRESSES]:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(CONNECT_S)
        try:
            sock.connect(address)
        except OSError as caught:
            sock.close()
            error = caught
            continue
        sock.settimeout(DEADLINE_S)
        return sock
    raise error
