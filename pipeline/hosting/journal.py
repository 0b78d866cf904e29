"""Every attempt to send, in write-once objects: the port `Journal` on S3.

`intent/{job_id}/{number}` is there before the POST, `receipt/{job_id}/{number}` says what came of it, `erased/{job_id}`
that somebody had the job erased, `intent/{job_id}/split-…` which memos of its parts were about to be stored. None names
anybody. A ledger restored from an older copy finds the intent of an attempt that it does not know, and does not send.
Keep them longer than the oldest back-up of the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.hosting.s3 import S3
from pipeline.messages import Attempt, Outcome, OutcomeKind
from pipeline.model import Span

_KEPT = ("code", "message_id", "attachment_id", "trace_id")


class S3Journal:
    """`pipeline.ports.Journal` in the memo bucket."""

    def __init__(self, s3: S3) -> None:
        self._s3 = s3

    def begin(self, job_id: str, attempt: Attempt) -> bool:
        """Write the intent of an attempt; False where one of this number is there already."""
        content: dict[str, object] = {"at": attempt.at, "epoch": attempt.epoch}
        content |= {"closed": attempt.closed, "erased": attempt.erased}
        if attempt.parts:
            content |= {"parts": attempt.parts, "spans": [[one.starts_at_s, one.duration_s] for one in attempt.spans]}
        return self._put(f"intent/{job_id}/{attempt.number}", content)

    def end(self, job_id: str, number: int, outcome: Outcome) -> None:
        """Write what came of an attempt; the first word stays."""
        content = {name: getattr(outcome, name) for name in _KEPT} | {"kind": str(outcome.kind)}
        self._put(f"receipt/{job_id}/{number}", content)

    def attempts(self, job_id: str) -> tuple[Attempt, ...]:
        """All attempts of a job that were ever begun, by number."""
        prefix = f"intent/{job_id}/"
        keys = [listed.key for listed in self._s3.list(self._s3.need_bucket(), prefix)]
        numbers = sorted(int(key.removeprefix(prefix)) for key in keys if key.removeprefix(prefix).isdigit())
        return tuple(self._attempt(job_id, number) for number in numbers)

    def bury(self, job_id: str, at: float) -> None:
        """Write down that a job is erased, where a ledger that is put back looks for it."""
        self._put(f"erased/{job_id}", {"at": at})

    def buried(self) -> Iterator[str]:
        """The ids of all jobs that were buried."""
        for listed in self._s3.list(self._s3.need_bucket(), "erased/"):
            yield listed.key.removeprefix("erased/")

    def divide(self, job_id: str, epochs: Sequence[int]) -> None:
        """Write down, before they are stored, in which epoch each part of a job names its memo."""
        known = hashlib.sha256(json.dumps(list(epochs)).encode()).hexdigest()[:16]
        self._put(f"intent/{job_id}/split-{known}", {"epochs": list(epochs)})

    def divided(self, job_id: str) -> tuple[tuple[int, ...], ...]:
        """What `divide` wrote down of a job, in any order."""
        keys = [listed.key for listed in self._s3.list(self._s3.need_bucket(), f"intent/{job_id}/split-")]
        return tuple(tuple((self._get(key) or {}).get("epochs", ())) for key in keys)

    def _attempt(self, job_id: str, number: int) -> Attempt:
        intent = self._get(f"intent/{job_id}/{number}") or {}
        receipt = self._get(f"receipt/{job_id}/{number}")
        return Attempt(
            number=number,
            at=float(intent.get("at", 0.0)),
            epoch=int(intent.get("epoch", 0)),
            closed=bool(intent.get("closed", False)),
            erased=bool(intent.get("erased", False)),
            parts=int(intent.get("parts", 0)),
            spans=tuple(Span(starts_at_s=begin, duration_s=length) for begin, length in intent.get("spans", ())),
            outcome=_outcome(receipt) if receipt else None,
        )

    def _put(self, key: str, content: Mapping[str, object]) -> bool:
        body = json.dumps(content, separators=(",", ":")).encode()
        return self._s3.put_once(self._s3.need_bucket(), key, body)

    def _get(self, key: str) -> dict[str, Any] | None:
        try:
            parsed = json.loads(self._s3.read(self._s3.need_bucket(), key) or b"null")
        except ValueError:
            return None
        return parsed if isinstance(parsed, dict) else None


def _outcome(receipt: Mapping[str, Any]) -> Outcome:
    code, *ids = (receipt.get(name) for name in _KEPT)
    message_id, attachment_id, trace_id = ids
    return Outcome(
        kind=OutcomeKind(receipt["kind"]),
        code=str(code or ""),
        message="",
        message_id=message_id,
        attachment_id=attachment_id,
        trace_id=trace_id,
    )
