"""S3 events in each envelope, and what is no event."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.s3_events import NotAnEvent, ObjectSeen, is_recording, objects_of


def record(key: str, event: str = "ObjectCreated:Put") -> dict[str, object]:
    """One record as S3 writes it."""
    return {"eventSource": "aws:s3", "eventName": event, "s3": {"bucket": {"name": "inbox"}, "object": {"key": key}}}


def seen(key: str) -> tuple[ObjectSeen, ...]:
    return (ObjectSeen(bucket="inbox", key=key),)


def test_a_record_names_its_object_url_encoded() -> None:
    """S3 writes a space as `+` and a plus as `%2B`; the slash may be encoded or not."""
    body = json.dumps({"Records": [record("in%2F%C3%BCn%C3%AF+%E2%82%AC%2Bsign.ogg"), record("a/b.ogg")]})
    assert objects_of(body) == seen("in/ünï €+sign.ogg") + seen("a/b.ogg")


def test_an_event_through_sns_is_unwrapped() -> None:
    """SNS puts the event as text into `Message`."""
    inner = json.dumps({"Records": [record("a+b.ogg")]})
    assert objects_of(json.dumps({"Type": "Notification", "Message": inner})) == seen("a b.ogg")


def test_an_event_of_eventbridge_has_its_key_as_it_is() -> None:
    """EventBridge does not encode: a plus is a plus."""
    detail = {"bucket": {"name": "inbox"}, "object": {"key": "a+b c.ogg"}}
    event = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    assert objects_of(json.dumps(event)) == seen("a+b c.ogg")
    assert objects_of(json.dumps(event | {"detail-type": "Object Deleted"})) == ()


@pytest.mark.parametrize(
    "event",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inbox"},
        {"Records": []},
        {"Records": [record("a.ogg", "ObjectRemoved:Delete")]},
        {"Type": "Notification", "Message": '{"Event": "s3:TestEvent"}'},
    ],
)
def test_events_that_tell_of_no_new_object(event: dict[str, object]) -> None:
    """A test event, an empty one and a removal are understood and name nothing."""
    assert objects_of(json.dumps(event)) == ()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"Records": [1]}',
        '{"Records": [{}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": 1}, "object": {"key": "k"}}}]}',
        '{"Type": "Notification", "Message": "hello"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_event_is_said_to_be_none(body: str) -> None:
    """Such a message stays in the queue, and ends in the dead-letter queue."""
    with pytest.raises(NotAnEvent):
        objects_of(body)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_json_breaks_the_parser(value: object) -> None:
    """Whatever the JSON, the answer is objects or NotAnEvent."""
    for event in (value, {"Records": value}, {"Records": [value]}, {"source": "aws.s3", "detail": value}):
        with suppress(NotAnEvent):
            objects_of(json.dumps(event))


@pytest.mark.parametrize(
    ("key", "taken"),
    [
        ("a.ogg", True),
        ("chat/a.ogg", True),
        ("a", True),
        ("a.json", True),
        ("my-uploads/a.ogg", True),
        ("uploads/0123", False),
        ("result/a.json", False),
        ("chat/a.ogg.memoline.json", False),
        ("chat/a.ogg.json", False),
        ("chat/", False),
    ],
)
def test_which_keys_are_recordings(key: str, taken: bool) -> None:
    """Neither our own copies and results, nor folders, nor notes beside a recording."""
    assert is_recording(key) is taken
