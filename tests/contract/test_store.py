"""The store on a real S3 behind the real CDN front: names taken once, versions that must hold, URLs checked."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import JobFailed, Misuse, PartUnreachable
from pipeline.hosting.aws import S3Config
from pipeline.hosting.journal import S3Journal
from pipeline.hosting.s3 import S3
from pipeline.hosting.spool import LocalSpool, S3Spool
from pipeline.hosting.store import MemoStore
from pipeline.messages import Attempt, Outcome, OutcomeKind
from pipeline.model import Span, StoredRecording
from pipeline.recordings import Action, Memo
from pipeline.settings import Settings
from tests.support.local_stack import running_stack
from workers.wiring import s3_config

HEADERS = {"ContentType": "audio/x-m4a"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running S3 and CDN."""
    with running_stack(tmp_path_factory.mktemp("store") / "home", "s3", "cdn") as running:
        yield running


@pytest.fixture
def s3(settings: Settings) -> S3:
    return S3(s3_config(settings))


@pytest.fixture
def store(settings: Settings, s3: S3, tmp_path: Path) -> MemoStore:
    return MemoStore(
        s3, cdn_url=settings.cdn_url, ca_bundle=settings.ca_bundle, secret=b"secret", spool=tmp_path / "spool"
    )


def a_memo(folder: Path, content: bytes = b"sound" * 100) -> Memo:
    """A file that says it is a memo."""
    path = folder / "memo.m4a"
    path.write_bytes(content)
    return Memo(
        action=Action.TRANSCODE,
        path=path,
        size_bytes=len(content),
        duration_s=1.0,
        bitrate_kbps=64,
        mime_type="audio/x-m4a",
        extension="m4a",
        sha256=hashlib.sha256(content).hexdigest(),
        reason="test",
    )


def test_a_hosted_memo_is_behind_its_url(store: MemoStore, tmp_path: Path) -> None:
    """Stored, checked byte by byte through TLS, and still there."""
    hosted = store.host(a_memo(tmp_path), uuid.uuid4().hex, 1)
    store.check(hosted)
    assert store.still_there(hosted)
    assert hosted.url.endswith(f"/m/{hosted.file_name}")


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"mime_type": "audio/wav"}, {"size_bytes": 7}])
def test_a_url_that_shows_something_else_is_refused(
    store: MemoStore, tmp_path: Path, change: dict[str, object]
) -> None:
    """Other bytes, another type, another length: `cdn-wrong`."""
    hosted = store.host(a_memo(tmp_path), uuid.uuid4().hex, 1)
    with pytest.raises(JobFailed) as caught:
        store.check(replace(hosted, **change))  # type: ignore[arg-type]
    assert caught.value.code == "cdn-wrong"


def test_a_url_that_shows_nothing_is_refused(store: MemoStore, tmp_path: Path) -> None:
    """403 or 404 where a memo should be."""
    hosted = store.host(a_memo(tmp_path), uuid.uuid4().hex, 1)
    with pytest.raises(JobFailed, match="status 40"):
        store.check(replace(hosted, url=hosted.url.replace(hosted.file_name, "absent.m4a")))


def test_without_our_ca_the_url_is_not_trusted(settings: Settings, s3: S3, store: MemoStore, tmp_path: Path) -> None:
    """TLS is really verified."""
    hosted = store.host(a_memo(tmp_path), uuid.uuid4().hex, 1)
    blind = MemoStore(s3, cdn_url=settings.cdn_url, ca_bundle=None, secret=b"secret", spool=tmp_path)
    with pytest.raises(PartUnreachable) as caught:
        blind.check(hosted)
    assert caught.value.code == "cdn-unreachable"


def test_a_name_is_given_once(settings: Settings, s3: S3, tmp_path: Path) -> None:
    """Of eight that race for a name, one has it."""
    key, results = f"m/{uuid.uuid4().hex}", []

    def put(number: int) -> None:
        path = tmp_path / str(number)
        path.write_text(str(number))
        try:
            S3(s3_config(settings)).put_new(s3.need_bucket(), key, path, HEADERS, str(number))
            results.append(number)
        except JobFailed as error:
            assert error.code == "name-taken"

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    s3.get(s3.need_bucket(), key, tmp_path / "there")
    assert results == [int((tmp_path / "there").read_text())]


@contextmanager
def losing_first_answer(port: int) -> Iterator[tuple[str, list[bytes]]]:
    """A proxy in front of S3 that passes the first PUT on and drops its answer. Gives its URL and the request heads."""
    listener = socket.create_server(("127.0.0.1", 0))
    heads: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=pass_on, args=(client,), daemon=True).start()

    def pass_on(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=answers, args=(server, client), daemon=True).start()
            while data := client.recv(65536):
                heads.append(data[:4])
                server.sendall(data)

    def answers(server: socket.socket, client: socket.socket) -> None:
        while data := server.recv(65536):
            if data.startswith(b"HTTP/1.1 200") and not dropped.is_set():
                dropped.set()
                client.shutdown(socket.SHUT_RDWR)
                return
            client.sendall(data)

    dropped = threading.Event()
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heads
    finally:
        listener.close()
        assert dropped.is_set(), "the proxy must have dropped an answer"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_repeated_put_whose_answer_was_lost_is_a_success(settings: Settings, s3: S3, tmp_path: Path) -> None:
    """boto3 repeats a conditional PUT that had worked and gets 412; the token says that the object is ours."""
    path, key = tmp_path / "a", f"m/{uuid.uuid4().hex}"
    path.write_text("a")
    port = int((settings.s3_endpoint_url or "").rsplit(":", 1)[1])
    with losing_first_answer(port) as (url, _):
        S3(replace(s3_config(settings), endpoint_url=url)).put_new(s3.need_bucket(), key, path, HEADERS, "a")
    assert s3.head(s3.need_bucket(), key) is not None


def test_a_name_that_has_these_bytes_already_is_no_conflict(s3: S3, tmp_path: Path) -> None:
    """A ledger restored from an older copy makes the same memo under the same name again."""
    path, key = tmp_path / "a", f"m/{uuid.uuid4().hex}"
    path.write_text("a")
    for _ in range(2):
        s3.put_new(s3.need_bucket(), key, path, HEADERS, "hash of a")
    with pytest.raises(JobFailed) as caught:
        s3.put_new(s3.need_bucket(), key, path, HEADERS, "hash of b")
    assert caught.value.code == "name-taken"


def test_an_attempt_is_begun_once_and_remembered_with_its_first_outcome(settings: Settings, s3: S3) -> None:
    """Whoever comes second, to send or to close, is told so; what is read back names nobody."""
    job_id, journal = uuid.uuid4().hex, S3Journal(s3)
    taken = Outcome(kind=OutcomeKind.ACCEPTED, code="accepted", message="to +1555", message_id="m-1", trace_id="t-1")
    assert journal.begin(job_id, Attempt(number=1, at=5.5, epoch=2))
    assert not S3Journal(s3).begin(job_id, Attempt(number=1, at=6.5, epoch=3, closed=True))
    assert journal.begin(job_id, Attempt(number=10, at=7.5, epoch=4, closed=True))
    journal.end(job_id, 1, taken)
    journal.end(job_id, 1, replace(taken, message_id="m-2"))
    first, last = journal.attempts(job_id)
    assert first == Attempt(number=1, at=5.5, epoch=2, outcome=replace(taken, message=""))
    assert last == Attempt(number=10, at=7.5, epoch=4, closed=True)
    assert journal.attempts(uuid.uuid4().hex) == ()


def test_how_a_job_is_divided_is_remembered(settings: Settings, s3: S3) -> None:
    """By the intent of its split, and, before that, by what its parts' memos are named by; neither hides the other."""
    job_id, journal = uuid.uuid4().hex, S3Journal(s3)
    spans = (Span(starts_at_s=0.0, duration_s=10.25), Span(starts_at_s=10.25, duration_s=4.0))
    intent = Attempt(number=1, at=5.5, epoch=2, parts=2, spans=spans)
    for epochs in ((2, 2), (3, 4), (2, 2)):
        journal.divide(job_id, epochs)
    assert journal.begin(job_id, intent)
    assert journal.attempts(job_id) == (intent,)
    assert sorted(journal.divided(job_id)) == [(2, 2), (3, 4)]
    assert journal.divided(uuid.uuid4().hex) == ()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_intent_whose_answer_was_lost_is_ours(settings: Settings, s3: S3) -> None:
    """The PUT is repeated below us, and answered 412: the token says that it was ours."""
    job_id, port = uuid.uuid4().hex, int((settings.s3_endpoint_url or "").rsplit(":", 1)[1])
    with losing_first_answer(port) as (url, _):
        journal = S3Journal(S3(replace(s3_config(settings), endpoint_url=url)))
        assert journal.begin(job_id, Attempt(number=1, at=5.5, epoch=2))
    assert not S3Journal(s3).begin(job_id, Attempt(number=1, at=5.5, epoch=2))


def test_a_recording_that_changed_is_superseded(settings: Settings, s3: S3, store: MemoStore, tmp_path: Path) -> None:
    """The ETag of the registration must still hold; a missing object is gone."""
    bucket, key, path = settings.need("inbox_bucket"), f"c/{uuid.uuid4().hex}.ogg", tmp_path / "a"
    path.write_text("first")
    head = s3.put(bucket, key, path)
    stored = StoredRecording(
        uri=f"s3://{bucket}/{key}", name="a.ogg", size_bytes=5, version=head.version_id or f"etag:{head.etag}"
    )
    store.fetch(stored, tmp_path / "got")
    assert (tmp_path / "got").read_text() == "first"
    path.write_text("second")
    s3.put(bucket, key, path)
    if head.version_id is None:
        with pytest.raises(JobFailed) as caught:
            store.fetch(stored, tmp_path / "again")
        assert caught.value.code == "superseded"
    s3.delete(bucket, key)
    gone = replace(stored, version=None)
    with pytest.raises(JobFailed) as missing:
        store.fetch(gone, tmp_path / "gone")
    assert missing.value.code == "recording-gone"


def test_an_unreachable_s3_has_one_code(tmp_path: Path) -> None:
    """Nobody listens: `s3-unreachable`, in one sentence."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    config = S3Config(
        endpoint_url=f"http://127.0.0.1:{port}",
        region="us-east-1",
        access_key_id="k",
        secret_access_key="s",
        bucket="b",
    )
    with pytest.raises(PartUnreachable) as caught:
        S3(config).head("b", "k")
    assert caught.value.code == "s3-unreachable"


def test_wrong_credentials_and_buckets_say_so(settings: Settings, s3: S3) -> None:
    """What a person must mend is told as such."""
    with pytest.raises(Misuse) as caught:
        S3(replace(s3_config(settings), access_key_id="NOBODY", secret_access_key="x" * 40)).ping()
    assert caught.value.code == "s3-refused"
    refused = S3(replace(s3_config(settings), access_key_id="NOBODY", secret_access_key="x" * 40))
    with pytest.raises(Misuse) as caught:
        refused.put(settings.need("inbox_bucket"), "uploads/x", Path(__file__))
    assert caught.value.code == "s3-refused"
    with pytest.raises(Misuse, match="no bucket"):
        S3(replace(s3_config(settings), bucket="no-such-bucket")).ping()


def test_a_stray_profile_does_not_disturb(settings: Settings, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile of the user's that does not exist, and another CA bundle, concern another S3."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/no/such/file")
    S3(s3_config(settings)).ping()


class TestSpool:
    """Copies of recordings that were handed in."""

    def test_a_copy_outlives_its_source(self, tmp_path: Path, store: MemoStore) -> None:
        """The caller may delete the file; only our own copy is ever discarded."""
        source = tmp_path / "näme with space.ogg"
        source.write_bytes(b"sound")
        stored = LocalSpool(tmp_path / "spool").put(source, source.name)
        foreign = StoredRecording(uri=f"file://{source}", name=source.name, size_bytes=5)
        store.discard(foreign)
        assert source.exists()
        source.unlink()
        store.fetch(stored, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == b"sound"
        store.discard(stored)
        assert list((tmp_path / "spool").iterdir()) == []

    def test_a_copy_that_was_tampered_with_is_refused(self, tmp_path: Path, store: MemoStore) -> None:
        """The hash of the registration must hold."""
        source = tmp_path / "a.ogg"
        source.write_bytes(b"sound")
        stored = LocalSpool(tmp_path / "spool").put(source, "a.ogg")
        Path(stored.uri.removeprefix("file://")).write_bytes(b"other")
        with pytest.raises(JobFailed) as caught:
            store.fetch(stored, tmp_path / "got")
        assert caught.value.code == "source-changed"

    def test_what_is_no_file_is_said_so(self, tmp_path: Path) -> None:
        """Missing, a folder, a pipe, a name with a NUL byte."""
        spool = LocalSpool(tmp_path / "spool")
        os.mkfifo(tmp_path / "pipe")
        cases = {"absent": "no-such-file", ".": "is-a-directory", "pipe": "unreadable", "a\0b": "unreadable"}
        for name, code in cases.items():
            with pytest.raises(Misuse) as caught:
                spool.put(tmp_path / name, "x")
            assert caught.value.code == code

    def test_over_several_hosts_copies_go_to_the_bucket(
        self, settings: Settings, s3: S3, store: MemoStore, tmp_path: Path
    ) -> None:
        """Under `uploads/`, fetched and discarded like any other."""
        source = tmp_path / "a.ogg"
        source.write_bytes(b"sound")
        stored = S3Spool(s3, settings.need("inbox_bucket")).put(source, "a.ogg")
        assert "/uploads/" in stored.uri
        store.fetch(stored, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == b"sound"
        store.discard(stored)
        with pytest.raises(JobFailed):
            store.fetch(replace(stored, version=None), tmp_path / "again")


def test_copies_in_the_bucket_are_found_by_their_age(
    settings: Settings, s3: S3, store: MemoStore, tmp_path: Path
) -> None:
    """Only those under `uploads/`, and a discarded one is gone; what somebody dropped is nobody's to remove."""
    assert settings.inbox_bucket is not None
    spool = S3Spool(s3, settings.inbox_bucket)
    (tmp_path / "a.ogg").write_bytes(b"sound")
    s3.put(settings.inbox_bucket, "dropped.ogg", tmp_path / "a.ogg")
    stored = spool.put(tmp_path / "a.ogg", "a.ogg")
    now = time.time()
    assert stored.uri not in list(spool.made_before(now - 3_600))
    assert stored.uri in list(spool.made_before(now + 3_600))
    assert f"s3://{settings.inbox_bucket}/dropped.ogg" not in list(spool.made_before(now + 3_600))
    store.discard(StoredRecording(uri=stored.uri, name="", size_bytes=0))
    assert stored.uri not in list(spool.made_before(now + 3_600))


def test_each_step_makes_one_request(s3: S3, store: MemoStore, tmp_path: Path) -> None:
    """Fetching, hosting, an intent, a receipt; and hosting does not ask first whether it may continue."""
    asked: list[tuple[str, bool]] = []

    def note(request: Any, **_: object) -> None:
        asked.append((request.method, "Expect" in request.headers))

    s3.client.meta.events.register("before-send.s3", note)
    hosted = store.host(a_memo(tmp_path), uuid.uuid4().hex, 1)
    store.fetch(
        StoredRecording(uri=f"s3://{s3.need_bucket()}/{hosted.object_key}", name="a", size_bytes=1), tmp_path / "b"
    )
    journal, job_id = S3Journal(s3), uuid.uuid4().hex
    journal.begin(job_id, Attempt(number=1, at=1.0, epoch=1))
    journal.end(job_id, 1, Outcome(kind=OutcomeKind.ACCEPTED, code="", message=""))
    assert asked == [("PUT", False), ("GET", False), ("PUT", False), ("PUT", False)]
