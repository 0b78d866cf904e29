"""What callers may say, checked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Misuse
from workers.wishes import check_chat_id, check_key, check_overflow, parse_not_before, split_s3_uri


def test_a_chat_id_is_a_uuid_of_any_version() -> None:
    """Canonical form out; braces, no dashes and other shapes are refused."""
    assert check_chat_id("ABCDEF00-0000-0000-0000-000000000000") == "abcdef00-0000-0000-0000-000000000000"
    for text in ("", "bob", "{abcdef00-0000-0000-0000-00000000000}", "a" * 32, "x" * 36, "\0" * 36):
        with pytest.raises(Misuse) as caught:
            check_chat_id(text)
        assert caught.value.code == "bad-chat-id"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("", 0),
        (1_900_000_000, 1_900_000_000),
        ("2030-01-01T00:00:00Z", 1_893_456_000),
        ("2030-01-01T01:00:00+01:00", 1_893_456_000),
        (datetime(2030, 1, 1, tzinfo=UTC), 1_893_456_000),
    ],
)
def test_times_that_are_understood(value: str | float | datetime | None, seconds: float) -> None:
    """ISO 8601 with an offset, Unix seconds, an aware datetime; nothing is at once."""
    assert parse_not_before(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "2030-01-01",
        "2030-01-01T00:00:00",
        datetime(2030, 1, 1),
        float("nan"),
        float("inf"),
        -1,
        10**400,
        1e18,
        True,
        "0001-01-01T00:00:00+14:00",
        "1900000000",
    ],
)
def test_times_that_are_not(value: str | float | datetime) -> None:
    """Without an offset nobody knows which moment is meant; no number is too strange to be refused."""
    with pytest.raises(Misuse) as caught:
        parse_not_before(value)
    assert caught.value.code == "bad-not-before"


@given(st.text())
def test_no_text_breaks_a_check(text: str) -> None:
    """Every check answers with a value or with Misuse."""
    for check in (check_chat_id, check_key, check_overflow, parse_not_before, split_s3_uri):
        try:
            check(text)
        except Misuse as error:
            assert error.code.startswith("bad-")


@pytest.mark.parametrize("value", [42, [], {}, b"key", True, 0.5, ("cut",)])
def test_what_is_no_text_is_refused_by_name(value: object) -> None:
    """As a program may hand it in: one wrong item of many is an error of its own."""
    for check, code in ((check_key, "bad-key"), (check_overflow, "bad-overflow"), (check_chat_id, "bad-chat-id")):
        with pytest.raises(Misuse) as caught:
            check(value)  # type: ignore[arg-type]
        assert caught.value.code == code


@pytest.mark.parametrize("uri", ["s3://", "s3://b", "s3://b/", "s3:///k", "s3://b/../c/k", "s3://b/a/./k", "s3://b/\0"])
def test_uris_that_name_no_object(uri: str) -> None:
    """Also those that an HTTP client would turn into another object's."""
    with pytest.raises(Misuse) as caught:
        split_s3_uri(uri)
    assert caught.value.code == "bad-recording"


def test_a_key_of_s3_may_hold_almost_anything() -> None:
    """Spaces, percent signs, dots in names and long keys are all right."""
    assert split_s3_uri("s3://b/x y/%2F/..a/b.ogg") == ("b", "x y/%2F/..a/b.ogg")
