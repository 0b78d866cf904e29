"""The parts of a worker, watched: how long each piece of preparing took is kept with the memo, and what a trace shows
of a step is told where traces are wanted. The parts themselves know nothing of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.messages import Attempt, Outcome
from pipeline.model import Hosted, StoredRecording
from pipeline.ports import Journal, Messenger, Parts, Runner, Store
from pipeline.recordings import AudioSettings, Memo
from workers.tracing import job_span, span


def watched(parts: Parts) -> Parts:
    """The same parts, watched."""
    took = Took()
    return replace(
        parts,
        store=_Store(parts.store, took),
        runner=_Runner(parts.runner, took),
        journal=_Journal(parts.journal, took),
        messenger=_Messenger(parts.messenger, took),
    )


class Took(threading.local):
    """Seconds of the pieces of the step that this thread is in. sending: the job whose attempt it has begun, which need
    not be the one that it was hinted at."""

    def __init__(self) -> None:
        self.sending = ""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def noted(self, piece: str) -> Iterator[None]:
        """Time a piece; one that raises is not noted."""
        started_s = time.monotonic()
        with span(piece):
            yield
        self.seconds[piece] = round(time.monotonic() - started_s, 3)


class _Rest:
    """What is not watched goes to the part itself."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Store(_Rest):
    def __init__(self, inner: Store, took: Took) -> None:
        super().__init__(inner)
        self._took = took

    def fetch(self, recording: StoredRecording, to: Path) -> None:
        self._took.seconds = {}
        with self._took.noted("fetch"):
            self._inner.fetch(recording, to)

    def host(self, memo: Memo, job_id: str, result_no: int) -> Hosted:
        with self._took.noted("store"):
            hosted: Hosted = self._inner.host(memo, job_id, result_no)
        return replace(hosted, took_s=dict(self._took.seconds))

    def check(self, hosted: Hosted) -> None:
        with span("check"):
            self._inner.check(hosted)


class _Runner(_Rest):
    def __init__(self, inner: Runner, took: Took) -> None:
        super().__init__(inner)
        self._took = took

    def prepare(self, recording: Path, out_dir: Path, settings: AudioSettings) -> tuple[Memo, ...]:
        with self._took.noted("encode"):
            made: tuple[Memo, ...] = self._inner.prepare(recording, out_dir, settings)
        return made


class _Journal(_Rest):
    def __init__(self, inner: Journal, took: Took) -> None:
        super().__init__(inner)
        self._took = took

    def begin(self, job_id: str, attempt: Attempt) -> bool:
        self._took.sending = job_id
        with job_span("intent", job_id):
            first: bool = self._inner.begin(job_id, attempt)
        return first


class _Messenger(_Rest):
    def __init__(self, inner: Messenger, took: Took) -> None:
        super().__init__(inner)
        self._took = took

    def send_once(self, *args: Any, **options: Any) -> Outcome:
        with job_span("post", self._took.sending) as current:
            outcome: Outcome = self._inner.send_once(*args, **options)
            current.tell(outcome=str(outcome.kind), code=outcome.code, status=outcome.status)
        return outcome
