"""The embedded CDN over real S3 and real TLS, asked as Linq would ask it."""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.cdn_cache import Cache
from infra.local.cdn_origin import Origin
from pipeline.settings import Settings
from tests.support.local_stack import part, running_stack, s3_client

MEMO = os.urandom(100_000)
Put = Callable[..., str]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """S3 and CDN, running."""
    with running_stack(tmp_path_factory.mktemp("cdn"), "s3", "cdn") as settings:
        yield settings


@pytest.fixture(scope="module")
def s3(settings: Settings) -> Any:
    """The memo bucket's owner."""
    return s3_client(settings)


@pytest.fixture
def put(s3: Any, settings: Settings, request: pytest.FixtureRequest) -> Put:
    """Puts an object of its own for each test under a prefix; returns its key."""

    def put_object(body: bytes = MEMO, prefix: str = "m", name: str = "a.m4a") -> str:
        key = f"{prefix}/{request.node.name.replace('[', '-').strip(']')}-{name}"
        s3.put_object(
            Bucket=settings.bucket,
            Key=key,
            Body=body,
            ContentType="audio/mp4",
            CacheControl="public, max-age=60",
            ContentDisposition='inline; filename="memo.m4a"',
        )
        return key

    return put_object


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    """A client that trusts the CDN's authority and nothing else, and follows no redirect."""
    context = ssl.create_default_context(cafile=str(settings.ca_bundle))
    with httpx.Client(base_url=settings.need("cdn_url"), verify=context, trust_env=False) as client:
        yield client


def test_a_memo_is_served_whole_with_the_objects_own_headers(put: Put, client: httpx.Client) -> None:
    """200 with the bytes, their length, type, disposition and caching, and the ETag that S3 gave."""
    answer = client.get(f"/{put()}")
    assert (answer.status_code, answer.content) == (200, MEMO)
    assert answer.headers["content-length"] == str(len(MEMO))
    assert answer.headers["content-type"] == "audio/mp4"
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["content-disposition"] == 'inline; filename="memo.m4a"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"].startswith('"')


def test_head_tells_the_same_without_bytes(put: Put, client: httpx.Client) -> None:
    """HEAD has the length and type of GET, and no body, also for a memo that was never fetched."""
    answer = client.head(f"/{put()}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(MEMO))
    assert answer.headers["content-type"] == "audio/mp4"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        pytest.param("bytes=10-19", 10, 19, id="middle"),
        pytest.param("bytes=99990-", 99_990, 99_999, id="open"),
        pytest.param("bytes=-5", 99_995, 99_999, id="suffix"),
        pytest.param("bytes=0-999999", 0, 99_999, id="too-long"),
    ],
)
def test_a_range_is_served_as_206(put: Put, client: httpx.Client, asked: str, first: int, last: int) -> None:
    """Ranges, a suffix range included, give exactly the bytes asked for."""
    answer = client.get(f"/{put()}", headers={"range": asked})
    assert (answer.status_code, answer.content) == (206, MEMO[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(MEMO)}"
    assert answer.headers["content-length"] == str(last - first + 1)


def test_a_range_beyond_the_end_is_416(put: Put, client: httpx.Client) -> None:
    """A range that has no byte is refused with the length."""
    answer = client.get(f"/{put()}", headers={"range": "bytes=100000-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(MEMO)}"


def test_a_range_of_another_version_gives_the_whole(put: Put, client: httpx.Client) -> None:
    """If-Range with an old ETag: the whole memo."""
    answer = client.get(f"/{put()}", headers={"range": "bytes=0-9", "if-range": '"old"'})
    assert (answer.status_code, answer.content) == (200, MEMO)


def test_a_known_etag_gives_304(put: Put, client: httpx.Client) -> None:
    """If-None-Match with the memo's ETag, alone or in a list or weak: 304 without a body; with another: the memo."""
    path = f"/{put()}"
    etag = client.head(path).headers["etag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = client.get(path, headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert client.get(path, headers={"if-none-match": '"other"'}).status_code == 200


def test_the_second_answer_comes_from_the_cache(put: Put, client: httpx.Client) -> None:
    """The bytes are fetched from S3 once."""
    path = f"/{put()}"
    assert [client.get(path).headers["x-cache"] for _ in range(3)] == ["Miss", "Hit", "Hit"]


def test_many_who_ask_together_cause_one_fetch(put: Put, client: httpx.Client) -> None:
    """Eight requests at once for a new memo: one fetch, eight whole answers."""
    path = f"/{put()}"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get(path), range(8)))
    assert all(answer.content == MEMO for answer in answers)
    assert sum(answer.headers["x-cache"] == "Miss" for answer in answers) == 1


def test_a_deleted_memo_is_gone_at_once(put: Put, client: httpx.Client, s3: Any, settings: Settings) -> None:
    """A copy in the cache does not outlive the object, and a new content under the name is served."""
    key = put()
    assert client.get(f"/{key}").status_code == 200
    put(b"other content")
    assert client.get(f"/{key}").content == b"other content"
    s3.delete_object(Bucket=settings.bucket, Key=key)
    assert client.get(f"/{key}").status_code == 404


@pytest.mark.parametrize("prefix", ["cache", "intent", "receipt", "result", "m2", "uploads"])
def test_nothing_else_of_the_bucket_is_served(put: Put, client: httpx.Client, prefix: str) -> None:
    """Objects outside of m/ are refused though they are there."""
    assert client.get(f"/{put(prefix=prefix)}").status_code == 403


@pytest.mark.parametrize(
    "path", ["/", "/m", "/m/", "/index.html", "/m/.hidden", "//m/a.m4a", "/memoline-memos/m/a.m4a"]
)
def test_other_paths_are_refused_without_a_redirect(client: httpx.Client, path: str) -> None:
    """Neither listing nor redirect nor a path-style detour."""
    assert client.get(path).status_code == 403


@pytest.mark.parametrize("detour", ["..", "%2e%2e", "%2E%2E%2Fm%2F..", "a/../..", "%5c.."])
def test_no_path_leads_out_of_the_prefix(put: Put, settings: Settings, detour: str) -> None:
    """Dots in any spelling do not reach a neighbouring prefix. The path goes out as written: no client tidies it."""
    key = put(prefix="intent")
    host = settings.need("cdn_url").removeprefix("https://")
    context = ssl.create_default_context(cafile=str(settings.ca_bundle))
    connection = http.client.HTTPSConnection(host, context=context, timeout=10)
    try:
        connection.request("GET", f"/m/{detour}/{key}")
        assert connection.getresponse().status == 403
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_other_methods_are_refused(put: Put, client: httpx.Client, s3: Any, settings: Settings, method: str) -> None:
    """405, and the memo is as it was."""
    key = put()
    assert client.request(method, f"/{key}", content=b"x").status_code == 405
    assert s3.head_object(Bucket=settings.bucket, Key=key)["ContentLength"] == len(MEMO)


def test_an_absent_memo_is_404(client: httpx.Client) -> None:
    """A name that is not in the bucket."""
    assert client.get("/m/absent.m4a").status_code == 404


def test_the_certificate_is_checked(settings: Settings) -> None:
    """With the stack's authority the names of this machine are accepted; without it nobody trusts the CDN; and there
    is no plain HTTP."""
    url = settings.need("cdn_url")
    context = ssl.create_default_context(cafile=str(settings.ca_bundle))
    for host in ("127.0.0.1", "localhost"):
        named = url.replace("127.0.0.1", host)
        assert httpx.get(f"{named}/m/absent.m4a", verify=context, trust_env=False).status_code == 404
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(url, trust_env=False)
    with pytest.raises(httpx.HTTPError):
        httpx.get(url.replace("https:", "http:"), trust_env=False)


def test_the_bucket_itself_is_private(put: Put, settings: Settings) -> None:
    """S3 refuses who does not sign, object and listing alike."""
    base = f"{settings.s3_endpoint_url}/{settings.bucket}"
    for url in (f"{base}/{put()}", base):
        assert httpx.get(url, trust_env=False).status_code == 403


def test_memory_does_not_grow_with_a_memo(put: Put, client: httpx.Client, settings: Settings) -> None:
    """A memo of 60 MB passes through a process that grows by less than half of it."""
    pid = part(settings.home, "cdn").pid
    assert pid is not None
    client.get(f"/{put(name='small.m4a')}")
    before = _peak_bytes(pid)
    size = 60_000_000
    with client.stream("GET", f"/{put(bytes(size), name='large.m4a')}") as answer:
        received = sum(len(piece) for piece in answer.iter_bytes())
    assert received == size
    assert _peak_bytes(pid) - before < size // 2


def test_the_cache_keeps_within_its_bound(put: Put, settings: Settings, tmp_path: Path) -> None:
    """What was used longest ago goes first, and what was just fetched stays."""
    cache = Cache(tmp_path / "cache", Origin(settings), max_bytes=250_000)
    first, second, third = (put(name=f"{number}.m4a") for number in range(3))
    paths = {}
    for age_s, key in ((300, first), (200, second)):
        found = cache.get(key)
        assert found is not None
        paths[key] = found[1]
        os.utime(found[1], (1e9 - age_s, 1e9 - age_s))
    assert cache.get(third) is not None
    assert [paths[key].exists() for key in (first, second)] == [False, True]
    assert sum(file.stat().st_size for file in (tmp_path / "cache").iterdir()) <= 250_000


def _peak_bytes(pid: int) -> int:
    """The most memory that a process ever had (VmHWM, proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
