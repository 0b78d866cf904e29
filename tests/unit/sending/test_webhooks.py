"""Signatures over the raw body, and both versions of the payload."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from pipeline.errors import JobFailed
from pipeline.sending.webhooks import SignatureWrong, parse, verify

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
BODY = b'{"event_type":"message.sent","data":{}}'


def signed(body: bytes, secret: str = SECRET, at: datetime | None = None) -> dict[str, str]:
    """Headers as Linq sends them."""
    at = at or datetime.now(UTC)
    return {
        "webhook-id": "e-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("e-1", at, body.decode()),
    }


def test_both_secrets_count_during_a_rotation() -> None:
    """The new and the previous secret are taken, a third is not."""
    verify(BODY, signed(BODY), [SECRET, OLD])
    verify(BODY, signed(BODY, OLD), [SECRET, OLD])
    with pytest.raises(SignatureWrong):
        verify(BODY, signed(BODY, OLD), [SECRET])


@pytest.mark.parametrize("minutes", [-6, 6])
def test_more_than_five_minutes_off_is_refused(minutes: int) -> None:
    """Neither an old request nor one from the future counts."""
    headers = signed(BODY, at=datetime.now(UTC) + timedelta(minutes=minutes))
    with pytest.raises(SignatureWrong):
        verify(BODY, headers, [SECRET])


@pytest.mark.parametrize("value", ["", "v1", "v1,", "v1,!!!", "v1,a", "garbage", "v2,abcd", "v1,é"])
def test_a_malformed_signature_is_a_bad_signature(value: str) -> None:
    """What the library raises ValueError or binascii.Error for is refused like any other."""
    with pytest.raises(SignatureWrong):
        verify(BODY, signed(BODY) | {"webhook-signature": value}, [SECRET])


def test_another_body_under_the_signature_is_refused() -> None:
    """One byte more, and the signature is wrong."""
    with pytest.raises(SignatureWrong):
        verify(BODY + b" ", signed(BODY), [SECRET])


def test_without_headers_or_secrets_nothing_is_believed() -> None:
    """No header, or no secret to check with."""
    for headers, secrets in (({}, [SECRET]), (signed(BODY), [])):
        with pytest.raises(SignatureWrong):
            verify(BODY, headers, secrets)


def event(event_type: str, data: dict[str, Any]) -> bytes:
    return json.dumps({"event_type": event_type, "event_id": "e-1", "trace_id": "t-1", "data": data}).encode()


def test_the_flat_version() -> None:
    """2026-02-03: the id of the message is `data.id`, the file name in its parts."""
    data = {
        "id": "m-1",
        "direction": "outbound",
        "chat": {"id": "c-1"},
        "parts": [{"type": "media", "filename": "a.m4a"}],
    }
    report = parse(event("message.delivered", data))
    assert report is not None
    assert (report.status, report.message_id, report.chat_id) == ("delivered", "m-1", "c-1")
    assert (report.file_names, report.trace_id, report.event_id) == (("a.m4a",), "t-1", "e-1")


def test_the_nested_version() -> None:
    """2025-01-01: the message stands in `data.message`."""
    data = {"chat_id": "c-1", "is_from_me": True, "message": {"id": "m-1", "parts": [{"filename": "a.m4a"}]}}
    report = parse(event("message.sent", data))
    assert report is not None
    assert (report.message_id, report.chat_id, report.file_names) == ("m-1", "c-1", ("a.m4a",))


def test_a_failure_may_name_no_ids() -> None:
    """Then only the trace id is left to know it by."""
    report = parse(event("message.failed", {"code": 4001, "failed_at": "2026-11-24T00:00:00Z"}))
    assert report is not None
    assert (report.status, report.code, report.message_id, report.trace_id) == ("failed", "4001", None, "t-1")


@pytest.mark.parametrize("data", [{"id": "m-1", "direction": "inbound"}, {"message": {"id": "m"}, "is_from_me": False}])
def test_their_messages_are_not_ours(data: dict[str, Any]) -> None:
    """What they sent says nothing of a job."""
    assert parse(event("message.sent", data)) is None


def test_unknown_types_are_ignored() -> None:
    """Types are added monthly."""
    assert parse(event("message.exploded", {"id": "m-1"})) is None


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_what_is_no_event_is_said_so(body: bytes) -> None:
    """Never anything but a report, None, or `bad-event`."""
    try:
        assert parse(body) is None
    except JobFailed as error:
        assert error.code == "bad-event"
