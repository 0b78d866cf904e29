"""Sees what must never happen: a canary file that is opened, an address that is asked for."""

from __future__ import annotations

import ctypes
import http.server
import os
import threading
from pathlib import Path
from typing import Self

CANARY = b"Th1s-mUst-nEver-l3ave-its-f1le"
_IN_OPEN = 0x20
_NONBLOCK = os.O_NONBLOCK


class Canaries:
    """A file and a local server. opened: how often the file was opened; asked: what the server was asked for."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "other.wav"
        self.path.write_bytes(
            b"RIFF\xff\x0f\x00\x00WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\xff\x0e\0\0"
            + CANARY * 140
        )
        self.asked: list[str] = []
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = int(libc.inotify_init1(_NONBLOCK))
        libc.inotify_add_watch(self._events, os.fsencode(self.path), _IN_OPEN)
        asked = self.asked

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/other.wav"

    def touched(self) -> list[str]:
        """What happened since the last call."""
        found = [f"the server was asked for {path}" for path in self.asked]
        self.asked.clear()
        try:
            os.read(self._events, 4096)
        except BlockingIOError:
            return found
        return [*found, "another file was opened"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        os.close(self._events)
