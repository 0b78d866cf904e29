"""What each answer to a POST means, from statuses, codes, bodies and headers alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.messages import OutcomeKind, PauseScope
from pipeline.sending.outcomes import from_response, from_transport, probably_not_sent

ACCEPTED = {"voice_memo": {"id": "m-1", "status": "queued", "voice_memo": {"id": "a-1"}}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def envelope(status: int, code: int, **more: object) -> dict[str, object]:
    """Linq's error envelope."""
    return {"success": False, "error": {"status": status, "code": code, "message": "no", **more}}


def test_a_202_with_an_id_is_accepted() -> None:
    """Both ids and the trace id are kept apart."""
    outcome = from_response(202, ACCEPTED, {"x-trace-id": "t-1"})
    assert outcome.kind is OutcomeKind.ACCEPTED
    assert (outcome.message_id, outcome.attachment_id, outcome.trace_id) == ("m-1", "a-1", "t-1")


@pytest.mark.parametrize(
    "body", [None, {}, [], "ok", {"voice_memo": None}, {"voice_memo": {}}, {"voice_memo": {"id": 7}}]
)
def test_a_2xx_without_an_id_is_unknown(body: object) -> None:
    """Nobody can tell what happened."""
    assert from_response(202, body, {}).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "kind", "ours"),
    [
        (400, 1005, OutcomeKind.REFUSED, "request-refused"),
        (400, 5005, OutcomeKind.REFUSED, "file-too-large"),
        (413, 5001, OutcomeKind.REFUSED, "file-too-large"),
        (400, 5006, OutcomeKind.REFUSED, "file-type-mismatch"),
        (401, 2004, OutcomeKind.WAIT, "linq-unauthorized"),
        (403, 2024, OutcomeKind.REFUSED, "opted-out"),
        (403, 2027, OutcomeKind.WAIT, "line-not-eligible"),
        (403, 9999, OutcomeKind.REFUSED, "not-allowed"),
        (404, 2001, OutcomeKind.REFUSED, "chat-not-found"),
        (404, 2007, OutcomeKind.WAIT, "attachment-not-ready"),
        (409, 2009, OutcomeKind.WAIT, "chat-not-ready"),
        (409, 2015, OutcomeKind.REFUSED, "chat-conflict"),
        (418, 1, OutcomeKind.REFUSED, "request-refused"),
        (422, 4005, OutcomeKind.REFUSED, "cannot-be-processed"),
        (429, 1007, OutcomeKind.WAIT, "rate-limited"),
        (429, 1015, OutcomeKind.WAIT, "rate-limited"),
        (500, 5001, OutcomeKind.PROBABLY_NOT_SENT, "linq-store-failed"),
        (500, 5002, OutcomeKind.PROBABLY_NOT_SENT, "linq-download-failed"),
        (500, 5003, OutcomeKind.PROBABLY_NOT_SENT, "linq-signing-failed"),
        (500, 4002, OutcomeKind.PROBABLY_NOT_SENT, "line-unavailable"),
        (503, 4004, OutcomeKind.PROBABLY_NOT_SENT, "linq-unavailable"),
        (500, 3001, OutcomeKind.UNKNOWN, "linq-error"),
        (504, 3005, OutcomeKind.UNKNOWN, "linq-error"),
        (503, 4002, OutcomeKind.UNKNOWN, "linq-error"),
    ],
)
def test_linqs_own_errors_mean_what_the_table_says(status: int, code: int, kind: OutcomeKind, ours: str) -> None:
    """Status first, code to refine; an unknown code falls back to its status."""
    outcome = from_response(status, envelope(status, code), {})
    assert (outcome.kind, outcome.code) == (kind, ours)
    assert probably_not_sent(outcome.code) == (kind is OutcomeKind.PROBABLY_NOT_SENT)


@given(status=st.integers(300, 599), body=JSON)
def test_an_answer_that_is_not_linqs_is_unknown(status: int, body: object) -> None:
    """A gateway's page proves nothing, whatever its status."""
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        return
    assert from_response(status, body, {}).kind is OutcomeKind.UNKNOWN


@given(status=st.integers(100, 599), code=JSON, after=st.text(max_size=8), body_after=JSON)
def test_nothing_odd_raises(status: int, code: object, after: str, body_after: object) -> None:
    """Any status, code and wait give an outcome, with a wait that makes sense."""
    body = {"error": {"code": code, "message": "x", "retry_after": body_after}}
    outcome = from_response(status, body, {"retry-after": after})
    assert 0 <= outcome.wait_s <= 10 * 86_400


@pytest.mark.parametrize(
    ("headers", "more", "wait_s", "pause"),
    [
        ({"retry-after": "45"}, {"retry_after": 90}, 45, PauseScope.CHAT),
        ({}, {"retry_after": 90}, 90, PauseScope.CHAT),
        ({}, {}, 30, PauseScope.CHAT),
        ({"retry-after": "soon"}, {}, 30, PauseScope.CHAT),
        ({"retry-after": "3600"}, {}, 3600, PauseScope.LINE),
    ],
)
def test_a_429_says_how_long(
    headers: dict[str, str], more: dict[str, object], wait_s: float, pause: PauseScope
) -> None:
    """The header first, then the body, then half a minute; more than two minutes is about the line."""
    outcome = from_response(429, envelope(429, 1007, **more), headers)
    assert (outcome.wait_s, outcome.pause) == (wait_s, pause)


@pytest.mark.parametrize(
    ("stage", "kind"),
    [("not-connected", OutcomeKind.WAIT), ("deadline", OutcomeKind.WAIT), ("unknown", OutcomeKind.UNKNOWN)],
)
def test_only_what_was_never_written_is_not_sent(stage: str, kind: OutcomeKind) -> None:
    """After the first byte nothing is certain."""
    assert from_transport(stage, "x").kind is kind  # type: ignore[arg-type]
