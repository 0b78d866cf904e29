"""The tutorial's worker: pydub, boto3, the SDK with its own retries, `acks_late`, `autoretry_for`, a result backend.

    celery -A tests.bench.naive.worker worker

Settings as everywhere else (`LINQ_*`, `AWS_*`, `MEMOLINE_BROKER_URL`, `MEMOLINE_BUCKET`, `MEMOLINE_CDN_URL`). It has no
ledger: what it believes about a memo is the task's state in Redis."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path

import boto3
from celery import Celery
from imageio_ffmpeg import get_ffmpeg_exe
from linq import LinqAPIV3
from pydub import AudioSegment

app = Celery("naive", broker=os.environ["MEMOLINE_BROKER_URL"], backend=os.environ["MEMOLINE_BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_default_queue="naive",
    result_expires=86_400,
    # Kinder than the default of an hour: a message of a worker that was killed comes back within the run.
    broker_transport_options={"visibility_timeout": 60, "unacked_restore_interval": 10, "unacked_restore_throttle": 1},
    broker_connection_retry_on_startup=True,
)
AS_INSTALLED = os.environ.get("NAIVE_FFMPEG") == "installed"
"""With the ffmpeg and ffprobe that the system's packages install, as tutorials say, instead of the one we ship."""
if not AS_INSTALLED:
    AudioSegment.converter = get_ffmpeg_exe()


@app.task(name="naive.send", bind=True, autoretry_for=(Exception,), retry_backoff=True, max_retries=5)
def send(self: object, recording: str, chat_id: str, number: int) -> str:
    """Transcode, upload, send."""
    with tempfile.TemporaryDirectory() as folder:
        memo = Path(folder) / "memo.m4a"
        read = AudioSegment.from_file if AS_INSTALLED else AudioSegment.from_file_using_temporary_files
        audio = read(recording)
        audio.export(str(memo), format="ipod", codec="aac", bitrate="64k")
        key = f"m/{number}-{uuid.uuid4().hex}.m4a"
        s3 = boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3"))
        s3.upload_file(str(memo), os.environ["MEMOLINE_BUCKET"], key, ExtraArgs={"ContentType": "audio/x-m4a"})
    url = f"{os.environ['MEMOLINE_CDN_URL'].rstrip('/')}/{key}"
    return LinqAPIV3().chats.send_voicememo(chat_id, voice_memo_url=url).voice_memo.id
