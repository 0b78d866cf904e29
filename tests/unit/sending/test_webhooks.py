"""Signatures over the raw body, and both versions of the payload."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from pipeline.errors import JobFailed
from pipeline.sending.webhooks import SignatureWrong, parse, sign, verify

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


def test_a_failure_in_the_adapters_shape() -> None:
    """The vendor's own chat adapter reads `data.id` and `data.error`: taken as well."""
    report = parse(event("message.failed", {"id": "m-1", "error": {"code": 4002, "message": "line\n away"}}))
    assert report is not None
    assert (report.message_id, report.code, report.reason) == ("m-1", "4002", "line  away")


def test_the_chat_of_a_message_tells_its_line_and_health() -> None:
    """Both stand in every message event of 2026-02-03."""
    chat = {"id": "c", "owner_handle": {"handle": "+15550001"}, "health_status": {"status": "CRITICAL"}}
    report = parse(event("message.sent", {"id": "m-1", "chat": chat}))
    assert report is not None
    assert (report.line, report.health) == ("+15550001", "CRITICAL")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("STOP", "opted-out"),
        (" QUIT\n", "opted-out"),
        ("Opt-Out", "opted-out"),
        ("opt out", "opted-out"),
        ("stop", "wrote"),
        ("STOP it", "wrote"),
        ("", "wrote"),
        (None, "wrote"),
    ],
)
def test_what_they_write_opts_out_or_in(text: str | None, status: str) -> None:
    """Linq's words as the whole message block; anything else lifts the block. The text itself is not kept."""
    parts = [{"type": "text", "value": text}] if text is not None else [{"type": "media", "filename": "STOP"}]
    for data in (
        {"id": "m-1", "direction": "inbound", "chat": {"id": "c-1", "is_group": False}, "parts": parts},
        {"chat_id": "c-1", "is_from_me": False, "message": {"id": "m-1", "parts": parts}},
    ):
        report = parse(event("message.received", data))
        assert report is not None
        assert (report.status, report.chat_id, report.message_id, report.reason) == (status, "c-1", None, None)


def test_groups_never_opt_out() -> None:
    """Linq marks and blocks no group."""
    chat = {"id": "c-1", "is_group": True}
    assert parse(event("message.received", {"chat": chat, "parts": [{"type": "text", "value": "STOP"}]})) is None


@pytest.mark.parametrize(("new", "status"), [("ACTIVE", "line-active"), ("FLAGGED", "line-flagged"), ("NEW", None)])
def test_the_standing_of_a_line(new: str, status: str | None) -> None:
    """With the moment at which it changed; a standing that is not known says nothing."""
    data = {"phone_number": "+15550001", "new_status": new, "changed_at": "1970-01-01T00:01:00Z"}
    report = parse(event("phone_number.status_updated", data))
    found = (report.status, report.line, report.occurred_at) if report else None
    assert found == ((status, "+15550001", 60.0) if status else None)


ODD = [None, True, -(2**70), 1e999, "", "a\x00b", "\ud800", "x" * 300, [], {}, ["m"], {"a": "m"}, 10**400]


@pytest.mark.parametrize("odd", ODD, ids=lambda value: repr(value)[:20])
def test_values_of_wrong_types_are_left_out(odd: object) -> None:
    """An id that cannot be one is None: nothing that a database refuses, or could not index, is handed on."""
    for kind in ("message.sent", "message.failed", "message.received", "phone_number.status_updated"):
        names = ("id", "message_id", "chat_id", "code", "reason", "phone_number", "new_status", "changed_at", "parts")
        data = dict.fromkeys(names, odd) | {"chat": {"id": odd, "owner_handle": odd}, "error": odd, "message": odd}
        envelope = {"event_type": kind, "event_id": odd, "trace_id": odd, "created_at": odd, "data": data}
        report = parse(json.dumps(envelope).encode())
        if report is not None:
            texts = [value for value in asdict(report).values() if isinstance(value, str)]
            assert all(0 < len(text) <= 1_000 and text.isprintable() for text in texts)
            assert report.message_id is report.chat_id is None
            assert report.file_names == ()


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b'{"event_type":' + b"9" * 5_000 + b"}"])
def test_deep_nesting_and_huge_numbers_are_no_events(body: bytes) -> None:
    """Python's JSON gives up on these with errors of other kinds."""
    with pytest.raises(JobFailed):
        parse(body)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1970-01-01T00:01:00", 60.0), ("1970-01-01T01:01:00+01:00", 60.0), ("9999-99-99", None), ("soon", None)],
)
def test_times_are_utc_where_they_do_not_say(text: str, seconds: float | None) -> None:
    """Whatever the time zone of this machine."""
    body = json.dumps({"event_type": "message.sent", "created_at": text, "data": {"id": "m"}}).encode()
    report = parse(body)
    assert report is not None
    assert report.occurred_at == seconds


def test_what_is_signed_is_taken() -> None:
    """The headers by which a receiver is tried out are those of the library."""
    verify(BODY, sign(BODY, "e-1", SECRET, at=time.time()), [SECRET])
    with pytest.raises(SignatureWrong):
        verify(BODY, sign(BODY, "e-1", SECRET, at=time.time() - 600), [SECRET])


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
