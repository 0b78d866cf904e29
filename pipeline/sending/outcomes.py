"""What the answer to a POST means. Pure, and a table: HTTP status and code → outcome.

Only a 4xx in Linq's own envelope proves that nothing was sent. A 5xx, an answer not Linq's own, or none at all leaves
the outcome unknown; a few codes mean "probably not sent", which two complete looks at the chat must confirm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.messages import Outcome, OutcomeKind, PauseScope

Stage = Literal["not-connected", "deadline", "unknown"]

DEFAULT_WAIT_S = 30.0
"""For a 429 that does not say how long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Meaning:
    code: str
    sentence: str
    kind: OutcomeKind = OutcomeKind.REFUSED
    wait_s: float = 0.0
    pause: PauseScope | None = None


_WAIT = OutcomeKind.WAIT
_PROBABLY = OutcomeKind.PROBABLY_NOT_SENT

_BY_CODE: Mapping[tuple[int, int], _Meaning] = {
    (400, 1002): _Meaning(code="bad-handle", sentence="The chat's handle is not valid."),
    (400, 5004): _Meaning(code="file-type-refused", sentence="Linq does not take this file type."),
    (400, 5005): _Meaning(code="file-too-large", sentence="Linq finds the memo too large."),
    (413, 5001): _Meaning(code="file-too-large", sentence="Linq finds the memo too large."),
    (400, 5006): _Meaning(code="file-type-mismatch", sentence="Linq finds that content and extension disagree."),
    (403, 2005): _Meaning(code="not-allowed", sentence="The chat does not belong to this account."),
    (403, 2008): _Meaning(code="recipient-not-allowed", sentence="They must write to you first."),
    (403, 2024): _Meaning(code="opted-out", sentence="The recipient has opted out; a message of theirs lifts that."),
    (403, 2026): _Meaning(code="recipient-blocked", sentence="The recipient is on your block list."),
    (403, 2027): _Meaning(
        code="line-not-eligible",
        sentence="The line may not deliver now.",
        kind=_WAIT,
        wait_s=900,
        pause=PauseScope.LINE,
    ),
    (404, 2001): _Meaning(code="chat-not-found", sentence="Linq knows no such chat: look up its id again."),
    (404, 2003): _Meaning(code="attachment-not-found", sentence="Linq does not know the attachment."),
    (404, 2007): _Meaning(code="attachment-not-ready", sentence="The attachment is not ready.", kind=_WAIT, wait_s=5),
    (409, 2009): _Meaning(code="chat-not-ready", sentence="The chat is still being created.", kind=_WAIT, wait_s=5),
    (500, 5001): _Meaning(code="linq-store-failed", sentence="Linq could not keep the file.", kind=_PROBABLY),
    (500, 5002): _Meaning(code="linq-download-failed", sentence="Linq could not fetch the memo's URL.", kind=_PROBABLY),
    (500, 5003): _Meaning(code="linq-signing-failed", sentence="Linq could not sign its URL.", kind=_PROBABLY),
    (500, 4002): _Meaning(code="line-unavailable", sentence="The sender's line is not available.", kind=_PROBABLY),
    (503, 4004): _Meaning(code="linq-unavailable", sentence="Linq says it is not available now.", kind=_PROBABLY),
}

_BY_STATUS: Mapping[int, _Meaning] = {
    400: _Meaning(code="request-refused", sentence="Linq refuses the request."),
    401: _Meaning(
        code="linq-unauthorized",
        sentence="Linq does not take the API key: set LINQ_API_V3_API_KEY.",
        kind=_WAIT,
        wait_s=300,
        pause=PauseScope.ALL,
    ),
    403: _Meaning(code="not-allowed", sentence="Linq does not allow this send."),
    404: _Meaning(code="not-found", sentence="Linq does not know what was asked for."),
    409: _Meaning(code="chat-conflict", sentence="The chat's state does not allow this send."),
    413: _Meaning(code="file-too-large", sentence="Linq finds the memo too large."),
    422: _Meaning(code="cannot-be-processed", sentence="The recipient cannot take a voice memo."),
    429: _Meaning(code="rate-limited", sentence="Linq asks to wait.", kind=_WAIT, pause=PauseScope.CHAT),
}

_PROBABLY_CODES = frozenset(meaning.code for meaning in _BY_CODE.values() if meaning.kind is _PROBABLY)


_TIMED_OUT = frozenset({408, 425})
"""4xx that do not say that nothing was done."""


def probably_not_sent(code: str | None) -> bool:
    """Whether a job's code is of an answer that means "probably not sent"."""
    return code in _PROBABLY_CODES


def from_response(status: int, body: object, headers: Mapping[str, str]) -> Outcome:
    """The outcome of an answer. body: the parsed JSON, or None where there was none. headers: lower-case names."""
    trace_id = headers.get("x-trace-id")
    if 200 <= status < 300:
        return _from_success(status, body, trace_id)
    error = _envelope(body)
    if error is None:
        text = f"The answer {status} is not Linq's own, so nobody knows whether the memo was taken."
        return Outcome(
            kind=OutcomeKind.UNKNOWN, code="answer-not-linqs", message=text, status=status, trace_id=trace_id
        )
    code = _whole(error.get("code"))
    meaning = _BY_CODE.get((status, code or 0)) or _BY_STATUS.get(status)
    said = f"Linq: {status}/{code} {error.get('message') or ''}".strip()
    if meaning is None and 400 <= status < 500 and status not in _TIMED_OUT:
        meaning = _Meaning(code="request-refused", sentence="Linq refuses the request.")
    if meaning is None:
        text = f"Nobody knows whether the memo was taken. {said}"
        return Outcome(kind=OutcomeKind.UNKNOWN, code="linq-error", message=text, status=status, trace_id=trace_id)
    return Outcome(
        kind=meaning.kind,
        code=meaning.code,
        message=f"{meaning.sentence} {said}",
        status=status,
        trace_id=trace_id,
        wait_s=_wait_s(meaning, error, headers),
        pause=_wider(meaning, error, headers),
    )


def from_transport(stage: Stage, detail: str) -> Outcome:
    """The outcome of a POST without an answer. not-connected: nothing was written; deadline: we stopped before the
    first byte; unknown: something may have been written."""
    if stage == "not-connected":
        return Outcome(kind=_WAIT, code="linq-unreachable", message=f"Linq cannot be reached ({detail}).")
    if stage == "deadline":
        text = f"The deadline passed before anything was sent ({detail})."
        return Outcome(kind=_WAIT, code="send-deadline", message=text)
    return Outcome(kind=OutcomeKind.UNKNOWN, code="answer-lost", message=f"The answer was lost ({detail}).")


def _from_success(status: int, body: object, trace_id: str | None) -> Outcome:
    memo = body.get("voice_memo") if isinstance(body, dict) else None
    message_id = memo.get("id") if isinstance(memo, dict) else None
    if not isinstance(memo, dict) or not isinstance(message_id, str) or not message_id:
        text = f"The answer {status} names no message, so nobody knows whether the memo was taken."
        return Outcome(
            kind=OutcomeKind.UNKNOWN, code="answer-without-id", message=text, status=status, trace_id=trace_id
        )
    part, line = memo.get("voice_memo"), memo.get("from")
    return Outcome(
        kind=OutcomeKind.ACCEPTED,
        code="accepted",
        message="Linq took the memo.",
        message_id=message_id,
        attachment_id=part.get("id") if isinstance(part, dict) else None,
        trace_id=trace_id,
        status=status,
        line=line if isinstance(line, str) and line else None,
    )


def _envelope(body: object) -> Mapping[str, object] | None:
    """The error of Linq's envelope; a gateway may write `error` and `message` too, but no code of Linq's."""
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) and _whole(error.get("code")) is not None else None


def _wait_s(meaning: _Meaning, error: Mapping[str, object], headers: Mapping[str, str]) -> float:
    if meaning.code != "rate-limited":
        return meaning.wait_s
    return _seconds(headers.get("retry-after")) or _seconds(error.get("retry_after")) or DEFAULT_WAIT_S


def _wider(meaning: _Meaning, error: Mapping[str, object], headers: Mapping[str, str]) -> PauseScope | None:
    """A wait of more than two minutes is not about one chat."""
    if meaning.code == "rate-limited" and _wait_s(meaning, error, headers) > 120:
        return PauseScope.LINE
    return meaning.pause


def _seconds(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < 10 * 86_400 else 0.0


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
