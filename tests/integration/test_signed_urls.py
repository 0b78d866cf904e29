"""Signed, expiring URLs on real parts: the CDN lets in only who has a signature, and Linq is given one."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pipeline import jobs
from pipeline.model import State
from pipeline.settings import Settings
from tests.support.local_stack import running_stack
from tests.support.recordings import make_ogg
from workers.doors import open_desk, submit
from workers.wiring import open_store
from workers.wishes import Wish

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Everything but the workers; the CDN has the public key, the settings name the private one."""
    home = tmp_path_factory.mktemp("signed") / "home"
    (home / "cdn-keys").mkdir(parents=True, mode=0o700)
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (home / "cdn-keys" / "K2ID.pem").write_bytes(public)
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (home / "key.pem").write_bytes(private)
    signing = {
        "MEMOLINE_CDN_SIGNING_KEY_ID": "K2ID",
        "MEMOLINE_CDN_SIGNING_KEY_FILE": str(home / "key.pem"),
        "MEMOLINE_CDN_URL_TTL_S": "600",
    }
    with running_stack(home, "s3", "cdn", "linq", "broker", explicit=signing) as running:
        yield running


def test_a_memo_is_sent_by_a_signed_url_that_nobody_keeps(settings: Settings, tmp_path: Path) -> None:
    """Prepared (the check asks as the receiver will), sent, taken; the plain URL shows nothing, and no part of the
    ledger holds a signature."""
    desk, chat_id = open_desk(settings, "test"), str(uuid.uuid4())
    job = submit(desk, make_ogg(tmp_path / "note.ogg", duration_s=2), Wish(chat_id=chat_id))
    hosted = jobs.prepare(desk.parts, job.job_id)
    assert hosted is not None and hosted.state is State.HOSTED, hosted
    sent = jobs.deliver(desk.parts, job.job_id)
    assert sent is not None and sent.state is State.SENT, sent
    assert sent.url is not None and "?" not in sent.url and sent.hosted is not None
    context = ssl.create_default_context(cafile=str(settings.ca_bundle))
    with httpx.Client(verify=context, trust_env=False) as client:
        assert client.get(sent.url).status_code == 403
        assert client.get(open_store(settings, b"").address(sent.hosted)).status_code == 200
    kept = b"".join(path.read_bytes() for path in settings.home.glob("ledger.db*"))
    assert sent.job_id.encode() in kept and b"Signature=" not in kept


def test_a_signature_that_the_cdn_does_not_know_is_found_before_anything_is_sent(
    settings: Settings, tmp_path: Path
) -> None:
    """The URL is wrong in the check: nothing goes to Linq, and the reason names the plain URL."""
    other = settings.model_copy(update={"cdn_signing_key_id": "K3"})
    desk = open_desk(other, "test")
    job = submit(desk, make_ogg(tmp_path / "note.ogg", duration_s=1), Wish(chat_id=str(uuid.uuid4())))
    waiting = jobs.prepare(desk.parts, job.job_id)
    assert waiting is not None and (waiting.state, waiting.code) == (State.RECEIVED, "cdn-wrong")
    assert "status 403" in str(waiting.message) and "Signature" not in str(waiting.message)
