"""The audio step and the memo store of the simulated world: memos of a few bytes, and promises as of the real ones."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import httpx

from pipeline.errors import RecordingRejected
from pipeline.hosting.aws import S3Config
from pipeline.hosting.s3 import S3
from pipeline.hosting.store import MemoStore
from pipeline.model import Hosted
from pipeline.recordings import Action, AudioSettings, Memo
from tests.simulate.auditor import Auditor
from tests.simulate.s3 import CDN, Bucket, Cdn
from tests.simulate.world import World

MEMOS, INBOX, SECRET = "memos", "inbox", b"secret"


class Store(MemoStore):
    """The real one; what it hosts is remembered as the truth about whose a file is."""

    def __init__(self, world: World, bucket: Bucket) -> None:
        s3 = S3(
            S3Config(
                endpoint_url=None,
                region="x",
                access_key_id="k",
                secret_access_key="s",
                bucket=MEMOS,
                inbox_bucket=INBOX,
            )
        )
        s3._made = (os.getpid(), bucket)  # type: ignore[assignment]
        super().__init__(s3, cdn_url=CDN, ca_bundle=None, secret=SECRET, spool=Path("/nowhere"))
        self._check._client = httpx.Client(transport=Cdn(bucket, MEMOS))
        self._world = world

    def host(self, memo: Memo, job_id: str, result_no: int) -> Hosted:
        hosted = super().host(memo, job_id, result_no)
        self._world.owners[hosted.file_name] = job_id
        return hosted


class Runner:
    """The audio step: takes its time, refuses some recordings, and dies of others."""

    def __init__(self, world: World, auditor: Auditor) -> None:
        self._world, self._auditor = world, auditor

    def prepare(self, recording: Path, out_dir: Path, settings: AudioSettings) -> tuple[Memo, ...]:
        sim, content = self._world.sim, recording.read_bytes()
        slow = sim.chance(self._world.weather.slow_audio)
        sim.pause("transcodes", sim.random.uniform(60, 260) if slow else sim.random.uniform(0.2, 10))
        if content.startswith(b"bad"):
            raise RecordingRejected("no-audio-stream", "simulated")
        if content.startswith(b"poison"):
            self._auditor.on_poisoned(out_dir.parent.name.split(".")[1])
            sim.task.process.doomed = True
            sim.pause("is killed by its recording")
        count = 2 + content[-1] % 2 if content.startswith(b"long") else 1
        return tuple(_memo(out_dir, content, number) for number in range(count))


def _memo(out_dir: Path, content: bytes, number: int) -> Memo:
    path = out_dir / f"memo-{number}.m4a"
    path.write_bytes(content + b"+" * number)
    return Memo(
        action=Action.TRANSCODE,
        path=path,
        size_bytes=len(content) + number,
        duration_s=1.0,
        starts_at_s=float(number),
        bitrate_kbps=64,
        mime_type="audio/x-m4a",
        extension="m4a",
        sha256=hashlib.sha256(content + b"+" * number).hexdigest(),
        reason="simulated",
    )
