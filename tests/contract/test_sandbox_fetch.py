"""The sandbox fetches a memo's URL as a stranger would, and refuses what the real service may refuse."""

from __future__ import annotations

import ssl
import uuid

import linq
import pytest
import trustme

from infra.local.sandbox.companions import M4A, MemoServer, memo_server
from infra.local.sandbox.pytest_plugin import LinqSandbox

pytest_plugins = ("infra.local.sandbox.pytest_plugin",)

LIMIT = 10_000_000
ADTS = b"\xff\xf1\x50\x80" + bytes(60)
MP3 = b"\xff\xfb\x90\x00" + bytes(60)


def refusal(sandbox: LinqSandbox, url: str) -> tuple[int, int | None]:
    """Status and code of the answer to a memo at this URL."""
    with pytest.raises(linq.APIStatusError) as caught:
        sandbox.client().chats.send_voicememo(str(uuid.uuid4()), voice_memo_url=url)
    assert sandbox.state()["messages"]["total"] == 0
    return caught.value.status_code, caught.value.code


@pytest.mark.parametrize(
    ("name", "body", "content_type"),
    [
        ("a.m4a", M4A, "audio/mp4"),
        ("a.mp3", MP3, "audio/mpeg"),
        ("a.mp3", b"ID3\x04\x00\x00\x00\x00\x00\x02xx" + MP3, "audio/mpeg"),
        ("a.aac", ADTS, "audio/aac"),
        ("a.caf", b"caff\x00\x01\x00\x00", "audio/x-caf"),
        ("a.wav", b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        ("a.aiff", b"FORM\x00\x00\x00\x00AIFFCOMM", "audio/x-aiff"),
        ("A.AMR", b"#!AMR\n\x00", "audio/amr; charset=binary"),
    ],
)
def test_accepted_types(
    linq_sandbox: LinqSandbox, linq_memos: MemoServer, name: str, body: bytes, content_type: str
) -> None:
    """Each listed format is taken when extension, label and content agree."""
    url = linq_memos.host(name, body, content_type=content_type)
    memo = linq_sandbox.client().chats.send_voicememo(str(uuid.uuid4()), voice_memo_url=url).voice_memo.voice_memo
    assert (memo.filename, memo.size_bytes) == (name, len(body))


@pytest.mark.parametrize(
    ("name", "file", "code"),
    [
        ("a.ogg", (b"OggS\x00", "audio/ogg"), 5004),
        ("a.aif", (b"FORM\x00\x00\x00\x00AIFFCOMM", "audio/aiff"), 5004),
        ("a.m4a", (b"fLaC\x00", "audio/mp4"), 5004),
        ("a.m4a", (b"\x00\x00\x00\x18ftypqt  ", "audio/mp4"), 5004),
        ("a.m4a", (b"", "audio/mp4"), 5004),
        ("a.m4a", (M4A, "application/octet-stream"), 5004),
        ("a.m4a", (MP3, "audio/mp4"), 5006),
        ("a.mp3", (ADTS, "audio/mpeg"), 5006),
        ("a.m4a", (M4A, "audio/mpeg"), 5006),
    ],
)
def test_refused_types(
    linq_sandbox: LinqSandbox, linq_memos: MemoServer, name: str, file: tuple[bytes, str], code: int
) -> None:
    """What is not accepted is 5004; what is another format than it claims is 5006."""
    body, content_type = file
    assert refusal(linq_sandbox, linq_memos.host(name, body, content_type=content_type)) == (400, code)


def test_ten_million_bytes_and_not_one_more(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """10,000,000 bytes pass; one more is 413/5001 when the length is declared, 400/5005 when it shows on reading."""
    full = M4A + bytes(LIMIT - len(M4A))
    url = linq_memos.host("full.m4a", full)
    memo = linq_sandbox.client().chats.send_voicememo(str(uuid.uuid4()), voice_memo_url=url).voice_memo
    assert memo.voice_memo.size_bytes == LIMIT
    linq_sandbox.reset()
    assert refusal(linq_sandbox, linq_memos.host("over.m4a", full + b"x")) == (413, 5001)
    assert refusal(linq_sandbox, linq_memos.host("over-chunked.m4a", full + b"x", chunked=True)) == (400, 5005)


@pytest.mark.parametrize(
    ("status", "headers"), [(404, {}), (403, {}), (500, {}), (206, {}), (302, {"Location": "/m/b.m4a"})]
)
def test_only_200_will_do(
    linq_sandbox: LinqSandbox, linq_memos: MemoServer, status: int, headers: dict[str, str]
) -> None:
    """Any other status is a failed download, and a redirect is not followed."""
    linq_memos.host("b.m4a")
    asked = linq_memos.requests["/m/b.m4a"]
    url = linq_memos.host("a.m4a", status=status, headers=headers)
    assert refusal(linq_sandbox, url) == (500, 5002)
    assert linq_memos.requests["/m/b.m4a"] == asked


def test_a_certificate_that_nobody_vouches_for(linq_sandbox: LinqSandbox) -> None:
    """A server with a certificate of an unknown authority is not spoken to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with memo_server(context) as stranger:
        assert refusal(linq_sandbox, stranger.host()) == (500, 5002)
        assert not stranger.requests


def test_a_certificate_for_another_name(linq_sandbox: LinqSandbox, linq_test_authority: trustme.CA) -> None:
    """A trusted certificate must also be for the host that was asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    linq_test_authority.issue_cert("memos.example").configure_cert(context)
    with memo_server(context) as stranger:
        assert refusal(linq_sandbox, stranger.host()) == (500, 5002)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1/a.m4a", (400, 1005)),
        ("ftp://127.0.0.1/a.m4a", (400, 1005)),
        ("/a.m4a", (400, 1005)),
        ("https://[::1/a.m4a", (400, 1005)),
        ("https://127.0.0.1:1/a.m4a", (500, 5002)),
        ("https://127.0.0.1:99999/a.m4a", (400, 1005)),
        ("https://127.0.0.1:1/", (400, 5004)),
    ],
)
def test_urls_that_lead_nowhere(linq_sandbox: LinqSandbox, url: str, expected: tuple[int, int]) -> None:
    """Only HTTPS URLs are fetched, and what cannot be reached is a failed download."""
    assert refusal(linq_sandbox, url) == expected


def test_the_url_is_fetched_for_every_send(linq_sandbox: LinqSandbox, linq_memos: MemoServer) -> None:
    """Sending one URL twice downloads it twice and makes two messages: nothing is de-duplicated."""
    client, chat_id, url = linq_sandbox.client(), str(uuid.uuid4()), linq_memos.host("twice.m4a")
    ids = {client.chats.send_voicememo(chat_id, voice_memo_url=url).voice_memo.id for _ in range(2)}
    assert len(ids) == 2
    assert linq_memos.requests["/m/twice.m4a"] == 2
    assert linq_sandbox.state()["posts"]["by_url"] == {url: 2}
