"""What a dropped object asks for."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import Misuse
from workers.inbox import wish_of
from workers.wishes import Wish

CHAT = "5e0d0000-0000-4000-8000-000000000001"
OTHER = "5e0d0000-0000-4000-8000-000000000002"


def test_the_chat_is_the_first_part_of_the_key() -> None:
    """Where it is a UUID, in any case of letters; a file at the top is not in a folder."""
    assert wish_of(f"{CHAT}/x/a.ogg", {}, None) == Wish(chat_id=CHAT)
    assert wish_of(f"{CHAT.upper()}/a.ogg", {}, None) == Wish(chat_id=CHAT)
    assert wish_of(CHAT, {}, None) == Wish(chat_id=None)
    assert wish_of("inbox/a.ogg", {}, None) == Wish(chat_id=None)


def test_metadata_goes_before_the_note_and_the_note_before_the_key() -> None:
    """Each may name chat, key, overflow and time."""
    note = json.dumps({"chat_id": OTHER, "key": "note", "overflow": "cut", "not_before": 1_900_000_000}).encode()
    assert wish_of(f"{CHAT}/a.ogg", {}, note) == Wish(
        chat_id=OTHER, key="note", overflow="cut", not_before=1_900_000_000
    )
    own = {"chat-id": CHAT, "idempotency-key": "k", "overflow": "reject", "not-before": "2030-01-01T00:00:00Z"}
    wish = wish_of("a.ogg", own, note)
    assert wish == Wish(chat_id=CHAT, key="k", overflow="reject", not_before=1_893_456_000)


def test_a_note_may_hold_every_option_of_a_program() -> None:
    """Also how long to hold the memo, counted from when the recording was put, and who is called back."""
    note = {"chat_id": OTHER, "key": "k", "overflow": "split", "hold_s": 60, "callback_url": "https://example.com/done"}
    wish = wish_of("a.ogg", {}, json.dumps(note).encode(), put_at=1_000.0)
    assert wish == Wish(
        chat_id=OTHER, key="k", overflow="split", not_before=1_060.0, callback_url="https://example.com/done"
    )
    assert wish_of("a.ogg", {"chat-id": CHAT, "hold-s": "5"}, None, put_at=10.0).not_before == 15.0
    assert wish_of("a.ogg", {"hold-s": "5"}, None, put_at=10.0) == Wish(chat_id=None, not_before=15.0)


@pytest.mark.parametrize(
    "metadata",
    [{"chat-id": "bob"}, {"chat-id": ""}, {"overflow": "squeeze"}, {"idempotency-key": " "}, {"not-before": "soon"}],
)
def test_options_that_cannot_be_understood_are_not_guessed(metadata: dict[str, str]) -> None:
    """The object waits for a person instead."""
    with pytest.raises(Misuse):
        wish_of(f"{CHAT}/a.ogg", metadata, None)


@pytest.mark.parametrize(
    "note", [b"", b"[]", b"{", b'{"chat": "x"}', b'{"key": 1}', b'{"key": "\\ud800"}', b"\xff", b'{"chat_id": "x"}']
)
def test_a_note_that_cannot_be_understood_is_not_guessed(note: bytes) -> None:
    """The same for the note beside the recording."""
    with pytest.raises(Misuse):
        wish_of(f"{CHAT}/a.ogg", {}, note)
