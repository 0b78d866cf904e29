"""What the page about the program door shows is what happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.embedded import Embedded
from tests.support.pages import run_example, run_with_stack
from tests.support.recordings import make_ogg
from tests.support.waiting import eventually

PAGE = "docs/program.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The recording that the page speaks of."""
    make_ogg(tmp_path / "note.ogg")
    return tmp_path


def test_python(embedded: Embedded, folder: Path) -> None:
    """One job for a key, and three more."""
    job_id, state, count = run_with_stack(PAGE, "python", folder, embedded).split()
    assert (embedded.show(job_id)["key"], count) == ("order-4711", "3")
    assert state in ("RECEIVED", "PREPARING", "HOSTED", "SENDING", "SENT", "DELIVERED")


def test_http(embedded: Embedded, folder: Path) -> None:
    """The upload, an object that is not there, and the list."""
    decoder, told, at = json.JSONDecoder(), run_with_stack(PAGE, "http", folder, embedded), 0
    answers = []
    while at < len(told):
        answer, at = decoder.raw_decode(told, at)
        answers.append(answer)
    uploaded, absent, listed = answers
    assert absent["code"] == "no-such-object"
    assert [job["job_id"] for job in listed["memos"]] == [uploaded["job_id"]]


def test_a_large_file_arrives(embedded: Embedded, folder: Path) -> None:
    """Put to S3 by its URL, then sent."""
    job_id, _ = run_example(PAGE, "large", folder, embedded.env).split()
    assert embedded.ended(job_id)["state"] == "DELIVERED"


def test_another_celery_app(embedded: Embedded, folder: Path) -> None:
    """The object is there, the task is sent by its name, and its memo arrives."""
    bucket = embedded.env["MEMOLINE_INBOX_BUCKET"]
    _put(embedded, folder / "note.ogg", bucket, "by-celery.ogg")
    run_example(PAGE, "celery", folder, embedded.env)

    def registered() -> str | None:
        return next((job["job_id"] for job in embedded.run("jobs").rows if job["key"] == "order-4713"), None)

    job_id = eventually(registered, "the job is registered", every_s=0.5)
    assert embedded.run("refused").rows == []
    assert embedded.ended(job_id)["state"] == "DELIVERED"


def _put(embedded: Embedded, path: Path, bucket: str, key: str) -> None:
    import boto3

    client = boto3.session.Session().client(
        "s3",
        endpoint_url=embedded.env["AWS_ENDPOINT_URL_S3"],
        region_name=embedded.env["AWS_REGION"],
        aws_access_key_id=embedded.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=embedded.env["AWS_SECRET_ACCESS_KEY"],
    )
    client.upload_file(str(path), bucket, key)
