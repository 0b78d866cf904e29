"""Tells callers what became of their jobs: a POST for each move that matters, repeated until it is taken.

At least once: a process that dies after the POST and before it could note that, leaves the callback to the next one,
which sends it again under the same `webhook-id`."""

from __future__ import annotations

import base64
import hmac
import json
import random
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.errors import MemolineError
from pipeline.ledger.callbacks import CallbackBook
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Callback
from pipeline.ports import Clock
from pipeline.sending.callback import DEADLINE_S, Told, tell
from pipeline.sending.webhooks import sign
from pipeline.settings import Settings
from workers.log import logger
from workers.views import callback_body, parts_of

LOOK_EVERY_S = 1.0
AT_ONCE = 32
AT_ONCE_EACH = 4
"""To one receiver: a slow one must not keep the others from being told."""
LEASE_S = 4 * DEADLINE_S
"""Longer than any attempt, with its name lookup: by then its teller has died."""
BACKOFF_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0)
"""As Standard Webhooks suggests; the last one again and again."""
GIVE_UP_AFTER_S = 3 * 86_400.0
AGENT = "memoline"

Post = Callable[[str, bytes, Mapping[str, str]], Told]


def secrets_of(settings: Settings, install_secret: bytes) -> tuple[str, ...]:
    """What callbacks are signed with, each: MEMOLINE_CALLBACK_SECRET, several during a rotation; else one that is made
    from the install's secret, and so is the same for every process."""
    if settings.callback_secret:
        return tuple(one.strip() for one in settings.callback_secret.get_secret_value().split(","))
    made = hmac.digest(install_secret, b"callbacks", "sha256")
    return (f"whsec_{base64.b64encode(made).decode()}",)


def next_attempt(callback: Callback, now: float, jitter: float) -> float | None:
    """When a callback that was not taken is tried again; None once it is given up. jitter: 0 to 1."""
    wait_s = BACKOFF_S[min(callback.attempts, len(BACKOFF_S) - 1)] * (1 + 0.2 * jitter)
    return now + wait_s if now + wait_s < callback.at + GIVE_UP_AFTER_S else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Teller:
    """Tells one callback."""

    ledger: SqlLedger
    book: CallbackBook
    clock: Clock
    secrets: Sequence[str]
    post: Post

    def try_once(self, callback: Callback) -> None:
        """Claim, tell, note. Whoever finds it claimed does nothing."""
        if self.book.claim(callback, self.clock.now() + LEASE_S):
            told = self._told(callback) if callback.url else Told(False, "erased", gone=True)
            self._note(callback, told)

    def _told(self, callback: Callback) -> Told:
        job = self.ledger.get(callback.job_id)
        content = callback_body(callback, job, parts_of(self.ledger, job))
        body = json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "User-Agent": AGENT}
        headers |= signed(body, callback.event_id, self.secrets, self.clock.now())
        return self.post(str(callback.url), body, headers)

    def _note(self, callback: Callback, told: Told) -> None:
        now, log = self.clock.now(), logger().bind(job_id=callback.job_id, webhook_id=callback.event_id)
        later = next_attempt(callback, now, random.random())  # noqa: S311 (spreads repetitions, keeps no secret)
        if told.taken:
            self.book.close(callback, now=now, outcome=told.outcome)
            log.info("callback.told", state=str(callback.state), attempts=callback.attempts + 1)
        elif told.gone or later is None:
            self.book.close(callback, now=now, outcome=f"given up: {told.outcome}")
            log.error("callback.given-up", receiver=callback.receiver, outcome=told.outcome)
        else:
            self.book.again(callback, at=later, outcome=told.outcome)
            log.warning("callback.not-taken", receiver=callback.receiver, outcome=told.outcome)


def signed(body: bytes, event_id: str, secrets: Sequence[str], at: float) -> dict[str, str]:
    """The headers of Standard Webhooks, with one signature for each secret."""
    each = [sign(body, event_id, secret, at=at) for secret in secrets]
    return each[0] | {"webhook-signature": " ".join(one["webhook-signature"] for one in each)}


class Tellers:
    """Keeps up to `AT_ONCE` attempts going, `AT_ONCE_EACH` to one receiver."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._at_work: dict[int, str] = {}
        self._news = threading.Condition()

    def run(self, stopped: threading.Event) -> None:
        """Look for what is due until told to stop; attempts that are going on then end."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="callback") as pool:
            while not stopped.is_set():
                try:
                    begun = self._begin(pool)
                except MemolineError as error:
                    begun = 0
                    logger().warning("callback.put-off", code=error.code, error=error.message)
                except Exception:  # whatever it is: what is due stays, and the thread lives on
                    begun = 0
                    logger().exception("callback.round-failed")
                with self._news:
                    busy = len(self._at_work)
                    # A finished attempt is news: its job's next move, or its receiver's next callback.
                    self._news.wait(LOOK_EVERY_S if not begun or busy else 0)

    def _begin(self, pool: ThreadPoolExecutor) -> int:
        with self._news:
            each = Counter(self._at_work.values())
            room = AT_ONCE - len(self._at_work)
        if not room:
            return 0
        full = [receiver for receiver, count in each.items() if count >= AT_ONCE_EACH]
        begun = 0
        for callback in self._teller.book.due(self._teller.clock.now(), room, full):
            with self._news:
                if callback.id in self._at_work or each[callback.receiver] >= AT_ONCE_EACH:
                    continue
                each[callback.receiver] += 1
                self._at_work[callback.id] = callback.receiver
            pool.submit(self._one, callback)
            begun += 1
        return begun

    def _one(self, callback: Callback) -> None:
        try:
            self._teller.try_once(callback)
        except MemolineError as error:
            logger().warning("callback.put-off", code=error.code, error=error.message, webhook_id=callback.event_id)
        except Exception:
            logger().exception("callback.failed", webhook_id=callback.event_id)
        finally:
            with self._news:
                self._at_work.pop(callback.id, None)
                self._news.notify_all()


def make_tellers(settings: Settings, ledger: SqlLedger, clock: Clock) -> Tellers:
    """The tellers of a process."""
    context = ssl.create_default_context()

    def post(url: str, body: bytes, headers: Mapping[str, str]) -> Told:
        return tell(url, body, headers, allow_private=settings.callback_allow_private, context=context)

    secrets = secrets_of(settings, ledger.install_secret())
    book = CallbackBook(ledger.database)
    return Tellers(Teller(ledger=ledger, book=book, clock=clock, secrets=secrets, post=post))
