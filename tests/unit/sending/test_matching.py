"""Finding a memo among a chat's messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.messages import ListedMessage, MessageList
from pipeline.sending.matching import Found, match
from pipeline.sending.pacing import backoff_s, poll_after_s


def listed(*messages: tuple[str, ...] | None) -> MessageList:
    rows = [
        ListedMessage(message_id=f"m-{number}", created_at=0, status="sent", file_names=names)
        for number, names in enumerate(messages)
    ]
    return MessageList(messages=tuple(rows), complete=True)


def test_the_file_name_decides() -> None:
    """Found where the name is, whatever else is in the list."""
    verdict = match({"b"}, listed(("a.m4a",), None, ("x.jpg", "b.m4a")))
    assert (verdict.found, verdict.message_id) == (Found.YES, "m-2")


def test_any_of_a_jobs_names_in_any_container_is_its_own() -> None:
    """A memo that was made anew had another name before, and Linq may hand a memo on in another container."""
    assert match({"a", "b"}, listed(("c.m4a",), ("b.mp4",))).message_id == "m-1"


def test_other_files_are_an_absence() -> None:
    """A list that shows other files, or nothing, proves as much as a list can."""
    assert match({"b"}, listed(("a.m4a",), ("B.M4A",))).found is Found.NO
    assert match({"b"}, listed()).found is Found.NO


def test_messages_without_files_prove_nothing() -> None:
    """On a line that keeps no data the list shows no parts."""
    assert match({"b"}, listed(("a.m4a",), None)).found is Found.CANNOT_KNOW


@given(st.integers(-5, 1000))
def test_back_off_grows_to_five_minutes(attempt: int) -> None:
    """Never shorter with more tries, and bounded."""
    assert 2 <= backoff_s(attempt) <= backoff_s(attempt + 1) <= 300


@given(st.floats(0, 1e7))
def test_polling_gets_rarer_and_ends(age_s: float) -> None:
    """A day after the send nobody asks any more."""
    assert poll_after_s(age_s) >= (5 if age_s <= 90_000 else 0)
    assert age_s <= 90_000 or poll_after_s(age_s) == 0
