"""Three doors, real parts: a recording goes in, the memo is in the chat, and its URL shows what was promised."""

from __future__ import annotations

import csv
import hashlib
import ssl
import uuid
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config
from mutagen.mp4 import MP4

from pipeline.settings import load_settings
from tests.support.embedded import Embedded, Row
from tests.support.recordings import make, make_ogg, make_wav
from tests.support.waiting import eventually
from workers import enqueue

TAGS = ("-metadata", "title=Call me back", "-metadata", "location=+52.3731+004.8922/")
KINDS: dict[str, tuple[str, ...]] = {
    "browser.ogg": ("-c:a", "libopus", "-b:a", "32k"),
    "browser.webm": ("-c:a", "libopus", "-b:a", "48k"),
    "dictaphone.wav": ("-ar", "16000", "-c:a", "pcm_s16le"),
    "studio.flac": ("-ac", "2", "-c:a", "flac"),
    "voicemail.amr": ("-ar", "8000", "-ac", "1", "-c:a", "libopencore_amrnb", "-b:a", "12.2k"),
    "tagged.m4a": ("-c:a", "aac", "-b:a", "64k", *TAGS),
}


def fetch(embedded: Embedded, url: str) -> httpx.Response:
    """What the CDN shows, with TLS verified."""
    context = ssl.create_default_context(cafile=embedded.env["MEMOLINE_CA_BUNDLE"])
    return httpx.get(url, verify=context, trust_env=False)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_recording_arrives_by_the_shell(embedded: Embedded, tmp_path: Path, name: str) -> None:
    """`memoline send --wait`: delivered, one memo, and the URL serves it with the right type and length."""
    chat_id = str(uuid.uuid4())
    recording = make(tmp_path / name, *KINDS[name], duration_s=4)
    ran = embedded.run("send", str(recording), "--chat", chat_id, "--wait")
    assert ran.status == 0, ran
    row = embedded.ended(ran.rows[-1]["job_id"])
    assert row["state"] == "DELIVERED"
    assert [memo["id"] for memo in embedded.memos(chat_id)] == [row["message_id"]]
    answer = fetch(embedded, row["url"])
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("audio/")
    assert int(answer.headers["content-length"]) == len(answer.content)
    if name in ("dictaphone.wav", "voicemail.amr"):
        assert answer.content == recording.read_bytes(), "what Linq accepts is passed through"
    if name == "tagged.m4a":
        memo = tmp_path / "memo.m4a"
        memo.write_bytes(answer.content)
        assert not MP4(memo).tags, "neither title nor place reach a public URL"


def test_a_dropped_file_arrives(embedded: Embedded, tmp_path: Path) -> None:
    """A file put into the inbox bucket under a chat's id becomes one memo in that chat."""
    chat_id = str(uuid.uuid4())
    key = f"{chat_id}/some where/no+te é.ogg"
    inbox(embedded).upload_file(str(make_ogg(tmp_path / "a.ogg")), embedded.env["MEMOLINE_INBOX_BUCKET"], key)
    row = eventually(lambda: job_of(embedded, chat_id), "the watcher registers it", deadline_s=30, every_s=0.3)
    assert embedded.ended(row["job_id"])["state"] == "DELIVERED"
    assert len(embedded.memos(chat_id)) == 1


def test_a_dropped_file_without_a_chat_is_held_until_it_gets_one(embedded: Embedded, tmp_path: Path) -> None:
    """No chat in key or metadata: HELD `no-chat`; `assign` sends it on its way."""
    key = f"nobody-{uuid.uuid4().hex[:6]}.ogg"
    inbox(embedded).upload_file(str(make_ogg(tmp_path / "a.ogg")), embedded.env["MEMOLINE_INBOX_BUCKET"], key)

    def held() -> Row | None:
        return next((row for row in embedded.run("jobs").rows if row["source"].endswith(key)), None)

    row = eventually(held, "the watcher registers it", deadline_s=30, every_s=0.3)
    assert (row["state"], row["code"]) == ("HELD", "no-chat")
    assert embedded.run("assign", row["job_id"], "--chat", str(uuid.uuid4())).status == 0
    assert embedded.ended(row["job_id"])["state"] == "DELIVERED"


def test_enqueue_from_python_arrives(embedded: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`enqueue` returns a durable job; the caller may delete the file at once."""
    monkeypatch.setenv("MEMOLINE_HOME", str(embedded.home))
    chat_id = str(uuid.uuid4())
    recording = make_ogg(tmp_path / "a.ogg")
    job = enqueue(recording, chat_id, key=f"key-{chat_id}")
    recording.unlink()
    assert embedded.ended(job.job_id)["state"] == "DELIVERED"
    assert len(embedded.memos(chat_id)) == 1
    assert load_settings().home == embedded.home


def test_a_manifest_arrives_in_its_order(embedded: Embedded, tmp_path: Path) -> None:
    """Three rows of a manifest, one chat: three memos, in the manifest's order; run again, nothing new."""
    chat_id = str(uuid.uuid4())
    names = ["c.wav", "a.ogg", "b.wav"]
    for name in names:
        (make_ogg if name.endswith("ogg") else make_wav)(tmp_path / name, duration_s=2 + names.index(name))
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([["recording", "chat_id"], *([name, chat_id] for name in names)])
    ran = embedded.run("backfill", str(manifest), "--wait")
    assert ran.status == 0, ran
    jobs = [row for row in embedded.run("jobs").rows if row["chat_id"] == chat_id]
    assert [Path(row["source"]).name for row in jobs] == names
    memos = embedded.memos(chat_id)
    by_time = sorted(memos, key=lambda memo: memo["created_at"])
    assert [memo["id"] for memo in by_time] == [row["message_id"] for row in jobs]
    assert embedded.run("backfill", str(manifest)).status == 0
    assert len([row for row in embedded.run("jobs").rows if row["chat_id"] == chat_id]) == 3


def test_a_key_makes_one_memo_of_many_requests(embedded: Embedded, tmp_path: Path) -> None:
    """The same key and input twice: one job, one memo. Other input under the key: refused."""
    chat_id, key = str(uuid.uuid4()), uuid.uuid4().hex
    recording = make_ogg(tmp_path / "a.ogg")
    first = embedded.run("send", str(recording), "--chat", chat_id, "--key", key)
    again = embedded.run("send", str(recording), "--chat", chat_id, "--key", key)
    assert first.row["job_id"] == again.row["job_id"]
    other = embedded.run("send", str(make_ogg(tmp_path / "b.ogg", duration_s=5)), "--chat", chat_id, "--key", key)
    assert (other.status, other.row["error"]["code"]) == (1, "key-reused")
    embedded.ended(first.row["job_id"])
    assert len(embedded.memos(chat_id)) == 1


def test_what_is_no_audio_is_rejected_with_its_reason(embedded: Embedded, tmp_path: Path) -> None:
    """A letter named .m4a: registered, then REJECTED; nothing reaches Linq."""
    chat_id = str(uuid.uuid4())
    letter = tmp_path / "letter.m4a"
    letter.write_text("Dear John, this is no recording.")
    ran = embedded.run("send", str(letter), "--chat", chat_id, "--wait")
    assert ran.status == 3, ran
    row = embedded.ended(ran.rows[-1]["job_id"])
    assert row["state"] == "REJECTED"
    assert row["code"]
    assert row["message"]
    assert embedded.posts(chat_id) == 0


def test_host_prints_a_url_that_serves_the_memo(embedded: Embedded, tmp_path: Path) -> None:
    """`memoline host`: convert, store, check; the bytes behind the URL have the reported hash."""
    ran = embedded.run("host", str(make_ogg(tmp_path / "a.ogg")))
    assert ran.status == 0, ran
    assert hashlib.sha256(fetch(embedded, ran.row["url"]).content).hexdigest() == ran.row["sha256"]


def test_show_tells_the_timeline(embedded: Embedded, tmp_path: Path) -> None:
    """Each state a job went through is in its history, in order."""
    ran = embedded.run("send", str(make_wav(tmp_path / "a.wav")), "--chat", str(uuid.uuid4()))
    row = embedded.ended(ran.row["job_id"])
    states = [entry["to"] for entry in row["history"]]
    assert states == ["RECEIVED", "PREPARING", "HOSTED", "SENDING", "SENT", "DELIVERED"]


def inbox(embedded: Embedded) -> boto3.client:
    """Any S3 client will do."""
    env = embedded.env
    return boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    )


def job_of(embedded: Embedded, chat_id: str) -> Row | None:
    """The first job of a chat."""
    return next((row for row in embedded.run("jobs").rows if row["chat_id"] == chat_id), None)
