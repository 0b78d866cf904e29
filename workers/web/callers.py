"""Who asks: the token of a request, by its name, and how often it may ask."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from pipeline.ledger.tokens import TokenBook, digest_of

REFRESH_S = 5.0
"""How long a token that was withdrawn may open the door still, and a new one may not yet."""
OF_SETTING = "MEMOLINE_API_TOKEN"


class Callers:
    """Knows a token by the setting, or by the ledger's hashes, which are read again every few seconds."""

    def __init__(self, setting: str | None, book: TokenBook, rate: str) -> None:
        self._setting = digest_of(setting) if setting else None
        self._book = book
        self._read_at = -REFRESH_S
        self._names: Mapping[str, str] = {}
        self._rate = parse(rate)
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def name_of(self, token: str) -> str | None:
        """The name of a token that opens the door; None for any other. Raises PartUnreachable where the ledger, which
        must be asked, is away."""
        digest = digest_of(token)
        if self._setting and hmac.compare_digest(digest, self._setting):
            return OF_SETTING
        found = [name for known, name in self._known().items() if hmac.compare_digest(digest, known)]
        return found[0] if found else None

    def wait_s(self, name: str) -> float:
        """Seconds until a caller may ask again; 0 where he may now, and then it counts."""
        if self._window.hit(self._rate, name):
            return 0.0
        return max(self._window.get_window_stats(self._rate, name).reset_time - time.time(), 0.001)

    def _known(self) -> Mapping[str, str]:
        now = time.monotonic()
        if now - self._read_at >= REFRESH_S:
            self._names = {token.digest: token.name for token in self._book.every() if not token.revoked_at}
            self._read_at = now
        return self._names
