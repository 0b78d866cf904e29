"""The webhook door under odd input: bodies, headers, HTTP. Never a 5xx, never a traceback, nothing lost."""

from __future__ import annotations

import base64
import json
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from pipeline.sending.webhooks import sign
from pipeline.settings import Settings
from tests.support.waiting import eventually
from tests.support.web import TOKEN, Served, serving

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
KINDS = ("message.sent", "message.delivered", "message.failed", "message.received", "phone_number.status_updated", "x")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with one secret."""
    home = tmp_path_factory.mktemp("odd")
    with serving(Settings(home=home, api_token=SecretStr(TOKEN), webhook_secret=SecretStr(SECRET))) as served:
        yield served


texts = st.text(max_size=20) | st.sampled_from(["\x00", "\ud800", "x" * 3_000, "STOP", "FLAGGED", "m-1"])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(10**400)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
data = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("id", "message_id", "chat_id", "chat", "parts", "message", "code", "reason", "error", "phone_number"), values
    )
    | {"new_status": values, "changed_at": values, "direction": values, "is_from_me": values},
)
events = st.fixed_dictionaries(
    {"event_type": st.sampled_from(KINDS) | values, "data": data | values},
    optional={"event_id": values, "trace_id": values, "created_at": values},
)


def post(web: Served, body: bytes, **headers: str) -> httpx.Response:
    return web.anonymous.post("/webhooks/linq", content=body, headers=signed(body) | headers)


def signed(body: bytes) -> dict[str, str]:
    """Headers for a body, whatever bytes it holds."""
    try:
        return sign(body, str(uuid.uuid4()), SECRET, at=time.time())
    except UnicodeDecodeError:
        return sign(b"x", str(uuid.uuid4()), SECRET, at=time.time())


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events)
def test_any_json_in_the_shape_of_an_event(web: Served, event: dict[str, object]) -> None:
    """200 whatever it holds, and what was kept is applied: nothing stays that would fail for ever."""
    assert post(web, json.dumps(event).encode()).status_code == 200


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_under_a_good_signature(web: Served, body: bytes) -> None:
    """The sender's fault or nothing to us."""
    assert post(web, body).status_code in (200, 400, 401)


def test_nothing_is_left_after_odd_input(web: Served) -> None:
    """After all of that every kept report was applied, and the door takes a good event as ever."""
    good = {"event_type": "message.sent", "event_id": str(uuid.uuid4()), "data": {"id": "m-1"}}
    assert post(web, json.dumps(good).encode()).status_code == 200
    eventually(lambda: web.ledger.waiting_count() == 0, "all are applied")


NESTED = [
    b"[" * 200_000,
    b'{"data":' * 100_000,
    b"1" * 100_000,
    b'{"event_type":"message.sent","data":' + b"[" * 99_999,
]


@pytest.mark.parametrize("body", NESTED, ids=["lists", "objects", "digits", "event"])
def test_deep_nesting_and_huge_numbers(web: Served, body: bytes) -> None:
    """Where Python's JSON gives up, the body is no event."""
    assert post(web, body).status_code == 400


ODD_HEADERS: list[dict[str, str]] = [
    {"webhook-id": ""},
    {"webhook-id": "x" * 10_000},
    {"webhook-timestamp": "-1"},
    {"webhook-timestamp": "1e400"},
    {"webhook-timestamp": "0x10"},
    {"webhook-signature": "v1,"},
    {"webhook-signature": ","},
    {"webhook-signature": "v1,a,b"},
    {"webhook-signature": " ".join(["v1,AAAA"] * 500)},
    {"webhook-signature": "v1a,AAAA v2,AAAA"},
]


@pytest.mark.parametrize("headers", ODD_HEADERS, ids=lambda headers: str(headers)[:40])
def test_odd_headers_are_bad_signatures(web: Served, headers: dict[str, str]) -> None:
    """401, with a problem document."""
    answer = post(web, b'{"event_type":"message.sent","data":{"id":"m"}}', **headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "bad-signature"


def test_one_good_signature_of_several_is_enough(web: Served) -> None:
    """During a rotation Linq may sign with several secrets, each in the one header."""
    body = b'{"event_type":"message.sent","data":{"id":"m"}}'
    good = signed(body)
    both = good | {"webhook-signature": f"v1,AAAA v2,xyz {good['webhook-signature']}"}
    assert web.anonymous.post("/webhooks/linq", content=body, headers=both).status_code == 200


def exchange(web: Served, request: bytes) -> bytes:
    """What the server says to raw bytes, until it hangs up, which it may do before it has read them all."""
    parts = urlsplit(web.url)
    answer = b""
    address = (parts.hostname or "", parts.port or 0)
    with socket.create_connection(address, timeout=20) as connection, suppress(ConnectionError):
        connection.sendall(request)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


RAW = {
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "bad length": b"POST /webhooks/linq HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n",
    "negative length": b"POST /webhooks/linq HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    "two lengths": b"POST /webhooks/linq HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "length and chunks": b"POST /webhooks/linq HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "half a body": b"POST /webhooks/linq HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{",
    "broken chunk": b"POST /webhooks/linq HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "endless header": b"POST /webhooks/linq HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 300_000 + b"\r\n\r\n",
    "bytes above 127": b"POST /webhooks/linq HTTP/1.1\r\nhost: x\r\nwebhook-id: \xff\xfe\r\ncontent-length: 0\r\n\r\n",
    "NUL in a header": b"POST /webhooks/linq HTTP/1.1\r\nhost: x\r\nwebhook-id: a\x00b\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW)
def test_broken_http_harms_nothing(web: Served, name: str) -> None:
    """A 4xx or a hang-up; never a 5xx, and the next request is served."""
    answer = exchange(web, RAW[name])
    assert not answer.startswith(b"HTTP/1.1 5"), answer[:100]
    assert not answer.startswith(b"HTTP/1.1 2"), answer[:100]
    assert web.anonymous.get("/healthz").status_code == 200
