"""HTTP/1.1 as uvicorn speaks it, with a bound on a request's head, and refusals in the form of all others."""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from workers.web.problems import problem

MAX_HEAD_BYTES = 65_536
"""Request line and headers; uvicorn with httptools takes any length, from anybody."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _in_head = False
    _head_bytes = 0

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """What comes while a head is not complete counts for it."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "head-too-large", f"Request line and headers have over {MAX_HEAD_BYTES} bytes.")

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "bad-request", msg)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        answer = problem(status, code, detail)
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        self.transport.write(f"{head}{lines}connection: close\r\n\r\n".encode() + bytes(answer.body))
        self.transport.close()
