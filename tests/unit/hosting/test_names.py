"""Names: the same again for the same identity, another for everything else, and not to be guessed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.hosting.names import (
    cdn_url,
    fingerprint,
    identity_of_backfill,
    identity_of_key,
    identity_of_object,
    job_id_for,
    memo_key,
    memo_name,
    random_identity,
)

TEXT = st.text(max_size=20)


@given(TEXT, TEXT, TEXT, TEXT, TEXT, TEXT)
def test_identities_do_not_run_into_each_other(a: str, b: str, c: str, d: str, e: str, f: str) -> None:
    """Different parts give different identities, also where their texts joined are alike."""
    assert (identity_of_object(a, b, c) == identity_of_object(d, e, f)) == ((a, b, c) == (d, e, f))
    assert identity_of_object(a, b, c) != identity_of_backfill(a, b, c)
    assert identity_of_key(a) != identity_of_object(a, "", "")


@given(st.binary(min_size=1, max_size=40), TEXT)
def test_ids_are_stable_and_of_one_shape(secret: bytes, key: str) -> None:
    """32 hex digits, the same every time, and others under another secret."""
    identity = identity_of_key(key)
    job_id = job_id_for(secret, identity)
    assert job_id == job_id_for(secret, identity)
    assert len(job_id) == 32
    assert int(job_id, 16) >= 0
    assert job_id != job_id_for(secret + b"x", identity)


def test_a_new_result_has_a_new_name_which_the_job_id_does_not_tell() -> None:
    """A memo's name is an HMAC of its own."""
    job_id = job_id_for(b"secret", identity_of_key("k"))
    names = {memo_name(b"secret", job_id, number) for number in range(1, 50)}
    assert len(names) == 49
    assert job_id not in names


def test_random_identities_differ() -> None:
    """Without a key every request is a job of its own."""
    assert len({random_identity() for _ in range(100)}) == 100


def test_urls_are_plain() -> None:
    """`https://host/m/<name>.<extension>`, with or without a slash at the end of the base."""
    key = memo_key(b"s", "job", 1, "m4a")
    assert cdn_url("https://cdn.test/", key) == cdn_url("https://cdn.test", key) == f"https://cdn.test/{key}"
    assert key.startswith("m/")
    assert key.endswith(".m4a")


@given(TEXT, st.none() | TEXT, st.none() | st.sampled_from(["cut", "split"]))
def test_a_fingerprint_tells_inputs_apart(content: str, chat_id: str | None, overflow: str | None) -> None:
    """Another content, chat or overflow is another input."""
    base = fingerprint(content, chat_id, overflow)  # type: ignore[arg-type]
    assert base != fingerprint(content + "x", chat_id, overflow)  # type: ignore[arg-type]
    assert base != fingerprint(content, (chat_id or "") + "x", overflow)  # type: ignore[arg-type]
