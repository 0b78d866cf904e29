"""Webhooks from Linq: official signatures, on disk before the answer, any order, any number of times."""

from __future__ import annotations

import base64
import json
import sqlite3
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from pipeline.ledger.ledger import SqlLedger
from pipeline.messages import StatusReport
from pipeline.model import Hosted, Job, Request, State, StoredRecording
from pipeline.settings import Settings
from tests.support.waiting import eventually
from tests.support.web import TOKEN, Served, serving
from workers.clock import SteadyClock
from workers.webhook_secrets import KeptSecret, keep, retire

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
PREVIOUS = "whsec_" + base64.b64encode(b"fedcba9876543210fedcba9876543210").decode()
FOREIGN = "whsec_" + base64.b64encode(b"ffffffffffffffffffffffffffffffff").decode()
CHAT = "5e0d0000-0000-4000-8000-000000000001"


def settings_in(home: Path, **more: SecretStr) -> Settings:
    """A server's settings during a rotation of the secret."""
    both = {"webhook_secret": SecretStr(SECRET), "webhook_secret_previous": SecretStr(PREVIOUS)}
    return Settings(home=home, api_token=SecretStr(TOKEN), **(both | more))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that knows two secrets."""
    with serving(settings_in(tmp_path_factory.mktemp("hooks"))) as served:
        yield served


def event(kind: str, message_id: str, **data: object) -> dict[str, object]:
    """An event in the payload of 2026-02-03."""
    return {
        "api_version": "v3",
        "webhook_version": "2026-02-03",
        "event_type": kind,
        "event_id": str(uuid.uuid4()),
        "created_at": datetime.now(UTC).isoformat(),
        "trace_id": "t-1",
        "data": {"id": message_id, "direction": "outbound", "chat": {"id": CHAT}, **data},
    }


def post(
    web: Served, body: bytes, *, secret: str = SECRET, at: datetime | None = None, event_id: str = "e"
) -> httpx.Response:
    """A webhook signed by the official library."""
    at = at or datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(event_id, at, body.decode()),
    }
    return web.anonymous.post("/webhooks/linq", content=body, headers=headers)


def post_event(web: Served, value: dict[str, object], **how: str) -> httpx.Response:
    return post(web, json.dumps(value).encode(), event_id=str(value["event_id"]), **how)  # type: ignore[arg-type]


def sent_job(web: Served) -> Job:
    """A job whose memo Linq took."""
    ledger, name = web.ledger, uuid.uuid4().hex
    recording = StoredRecording(uri=f"file:///{name}", name="a.ogg", size_bytes=1, sha256="00")
    request = Request(identity=name, fingerprint="f", recording=recording, source="a.ogg", chat_id=CHAT)
    job = ledger.add(request, job_id=name, state=State.RECEIVED, code=None, message=None, by="test")
    hosted = Hosted(
        object_key=f"m/{name}.m4a",
        file_name=f"{name}.m4a",
        url=f"https://cdn.test/m/{name}.m4a",
        mime_type="audio/x-m4a",
        size_bytes=1,
        duration_s=1,
        bitrate_kbps=64,
        sha256="00",
        action="transcode",
    )
    job = ledger.move(job, State.PREPARING, by="test", epoch=1)
    job = ledger.move(job, State.HOSTED, by="test", hosted=hosted)
    job = ledger.move(job, State.SENDING, by="test", send_attempts=1)
    return ledger.move(job, State.SENT, by="test", message_id=f"m-{name}")


def becomes(web: Served, job: Job, state: State) -> None:
    """Webhooks are applied soon after they were answered."""
    eventually(lambda: web.ledger.get(job.job_id).state is state, f"the job is {state}")


def reports(web: Served) -> int:
    """How many reports are kept."""
    return sum(web.ledger.report_counts().values())


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS])
def test_a_delivered_memo_is_delivered(web: Served, secret: str) -> None:
    """Either secret of a rotation will do."""
    job = sent_job(web)
    assert post_event(web, event("message.delivered", job.message_id or ""), secret=secret).status_code == 200
    becomes(web, job, State.DELIVERED)


def test_doubled_and_reordered_events_settle_once(web: Served) -> None:
    """Failed, delivered, delivered again, sent: DELIVERED, with one line of history for it."""
    job = sent_job(web)
    delivered = event("message.delivered", job.message_id or "")
    failed = event("message.failed", job.message_id or "", code=4001, failed_at="2026-11-24T00:00:00Z")
    for value in (failed, delivered, delivered, event("message.sent", job.message_id or "")):
        assert post_event(web, value).status_code == 200
    becomes(web, job, State.DELIVERED)
    eventually(lambda: web.ledger.waiting_count() == 0, "all are applied")
    assert [entry.to_state for entry in web.ledger.history(job.job_id)][-2:] == [State.FAILED, State.DELIVERED]


def test_an_event_about_nobody_known_is_kept(web: Served) -> None:
    """It may have overtaken the answer to the send; it is on disk before the 200."""
    before = reports(web)
    value = event("message.delivered", uuid.uuid4().hex)
    assert post_event(web, value).status_code == 200
    assert post_event(web, value).status_code == 200
    assert reports(web) == before + 1


@pytest.mark.parametrize("kind", ["message.edited", "chat.created", "something.new"])
def test_other_events_are_taken_and_ignored(web: Served, kind: str) -> None:
    """200, so that Linq does not repeat them; nothing is kept."""
    before = reports(web)
    assert post_event(web, event(kind, "m")).status_code == 200
    assert reports(web) == before


def test_a_foreign_old_or_missing_signature_is_a_401(web: Served) -> None:
    """And changes nothing."""
    job = sent_job(web)
    value = event("message.delivered", job.message_id or "")
    body = json.dumps(value).encode()
    hour = timedelta(hours=1)
    answers = [
        post_event(web, value, secret=FOREIGN),
        post(web, body, at=datetime.now(UTC) - hour),
        post(web, body, at=datetime.now(UTC) + hour),
        web.anonymous.post("/webhooks/linq", content=body),
        web.anonymous.post("/webhooks/linq", content=b""),
    ]
    broken = {"webhook-id": "e", "webhook-timestamp": "x", "webhook-signature": "v1"}
    for change in (
        {},
        {"webhook-timestamp": "9" * 400},
        {"webhook-timestamp": "nan"},
        {"webhook-signature": "v1,\xe9"},
    ):
        headers = {name: text.encode("latin-1") for name, text in (broken | change).items()}
        answers.append(web.anonymous.post("/webhooks/linq", content=body, headers=headers))
    assert [answer.status_code for answer in answers] == [401] * len(answers)
    assert web.ledger.get(job.job_id).state is State.SENT


def test_a_changed_body_is_a_401(web: Served) -> None:
    """The signature is over the raw bytes: not even a space may differ."""
    body = json.dumps(event("message.delivered", "m")).encode()
    at = datetime.now(UTC)
    headers = {
        "webhook-id": "e",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("e", at, body.decode()),
    }
    assert web.anonymous.post("/webhooks/linq", content=body + b" ", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "{}", '{"event_type": 1, "data": 1}', '{"event_type": [], "data": {}}', "[" * 100_000]
)
def test_a_signed_body_that_is_no_event_breaks_nothing(web: Served, body: str) -> None:
    """Ignored or the sender's fault, never a 5xx, which Linq would repeat for half an hour."""
    assert post(web, body.encode()).status_code in (200, 400)


def test_what_they_write_and_the_state_of_a_line_are_kept(web: Served) -> None:
    """An opt-out, its end, a line that was flagged: noted soon after they were answered."""
    words = [{"type": "text", "value": "STOP"}]
    chat, line = f"chat:{CHAT}", "line:+15550001"
    assert post_event(web, event("message.received", "m", direction="inbound", parts=words)).status_code == 200
    eventually(lambda: web.ledger.standing(chat) == "opted-out", "they opted out")
    assert post_event(web, event("message.received", "m", direction="inbound", parts=[])).status_code == 200
    eventually(lambda: web.ledger.standing(chat) == "wrote", "they wrote")
    flagged = event("phone_number.status_updated", "", phone_number="+15550001", new_status="FLAGGED")
    assert post_event(web, flagged).status_code == 200
    eventually(lambda: web.ledger.standing(line) == "line-flagged", "the line is flagged")


def test_what_an_earlier_process_left_is_applied(tmp_path: Path) -> None:
    """Kept, answered, and then the process was killed: the next one goes on with it."""
    settings = settings_in(tmp_path / "home")
    with serving(settings) as web:
        job = sent_job(web)
    ledger = SqlLedger(settings.ledger_url, SteadyClock())
    ledger.keep_report(StatusReport(status="delivered", message_id=job.message_id, event_id="e-1"))
    with serving(settings) as web:
        becomes(web, job, State.DELIVERED)
    ledger.close()


def test_metrics_tell_what_became_of_webhooks(tmp_path: Path) -> None:
    """Each outcome is there from the start."""
    with serving(settings_in(tmp_path / "home")) as web:
        post_event(web, event("message.delivered", "m-1"))
        post_event(web, event("chat.created", "m-1"))
        post_event(web, event("message.delivered", "m-1"), secret=FOREIGN)
        post(web, b"null")
        web.anonymous.post("/webhooks/linq", content=b"x" * 1_000_001)
        text = web.api.get("/metrics").text
        for outcome in ("kept", "ignored", "bad-signature", "bad-event", "refused"):
            assert f'memoline_webhooks_total{{outcome="{outcome}"}} 1.0' in text
        assert 'memoline_webhooks_total{outcome="put-off"} 0.0' in text
        assert "memoline_reports_waiting" in text


def test_a_secret_that_is_kept_in_the_home_counts_at_once(tmp_path: Path) -> None:
    """A rotation needs no restart; a secret counts until its time is over; with a broken file all is put off."""
    settings, now = settings_in(tmp_path / "home"), time.time()
    value = event("message.delivered", "m-1")
    kept = KeptSecret(subscription_id="s", target_url="https://x.test", secret=FOREIGN, made_at=now)
    with serving(settings) as web:
        assert post_event(web, value, secret=FOREIGN).status_code == 401
        path = keep(settings.home, kept)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert post_event(web, value, secret=FOREIGN).status_code == 200
        assert post_event(web, value, secret=SECRET).status_code == 200
        retire(settings.home, ["s"], now=now, overlap_s=60)
        assert post_event(web, value, secret=FOREIGN).status_code == 200
        retire(settings.home, ["s"], now=now + 61)
        assert post_event(web, value, secret=FOREIGN).status_code == 401
        path.write_text("{")
        assert post_event(web, value, secret=FOREIGN).status_code == 503


def test_a_body_of_more_than_a_megabyte_is_refused(web: Served) -> None:
    """413, whether the length is announced or not."""
    assert post(web, b"x" * 1_000_001).status_code == 413
    chunks = (b"x" * 100_000 for _ in range(11))
    assert web.anonymous.post("/webhooks/linq", content=chunks).status_code == 413


def test_an_outage_of_the_ledger_is_a_503(tmp_path: Path) -> None:
    """So that Linq repeats it; once the ledger is back it is kept."""
    with serving(settings_in(tmp_path / "home")) as web:
        value = event("message.delivered", "m-1")
        with closing(sqlite3.connect(web.settings.home / "ledger.db")) as ledger:
            ledger.execute("ALTER TABLE reports RENAME TO away")
            assert post_event(web, value).status_code == 503
            ledger.execute("ALTER TABLE away RENAME TO reports")
        assert post_event(web, value).status_code == 200
        assert reports(web) == 1


def test_without_a_secret_webhooks_are_put_off(tmp_path: Path) -> None:
    """503 and not 401: after the setting is made, Linq's repetition is taken."""
    with serving(Settings(home=tmp_path / "home", api_token=SecretStr(TOKEN))) as web:
        assert post_event(web, event("message.delivered", "m")).status_code == 503
