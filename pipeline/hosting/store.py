"""Recordings in, memos out: the port `Store` on S3, a CDN and the spool."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.disk import NO_ROOM, disk_trouble, using
from pipeline.errors import JobFailed, Misuse
from pipeline.hosting.check import UrlCheck
from pipeline.hosting.erasing import Beside, Copies, IsOther
from pipeline.hosting.invalidation import Invalidation
from pipeline.hosting.names import UPLOADS, cdn_url, memo_key
from pipeline.hosting.s3 import S3
from pipeline.hosting.signing import UrlSigner
from pipeline.hosting.spool import hash_of
from pipeline.model import Hosted, Job, StoredRecording
from pipeline.recordings import Memo, Plan

_IMMUTABLE = "public, max-age=31536000, immutable"
"""A memo's name is never used for other bytes, so everybody may keep it."""


class MemoStore:
    """`pipeline.ports.Store`. spool: the folder whose files are copies of ours and may be removed. signer: None where
    URLs are plain. invalidate: lets the CDN forget; None where it asks the bucket each time.
    beside: what else lies there for a job."""

    def __init__(
        self,
        s3: S3,
        *,
        cdn_url: str | None,
        ca_bundle: Path | None,
        secret: bytes,
        spool: Path,
        signer: UrlSigner | None = None,
        invalidate: Invalidation | None = None,
        beside: Callable[[Job], Beside] | None = None,
    ) -> None:
        self._s3 = s3
        self._cdn_url = cdn_url
        self._check = UrlCheck(ca_bundle)
        self._secret = secret
        self._spool = spool
        self._signer = signer
        self._invalidate = invalidate
        self._beside = beside

    def fetch(self, recording: StoredRecording, to: Path) -> None:
        """The recording as it was registered, at the path `to`.

        Raises JobFailed (`recording-gone`, `source-changed`, `superseded`, `disk-full`), PartUnreachable."""
        if recording.uri.startswith("file://"):
            source = Path(recording.uri.removeprefix("file://"))
            _fetch_file(source, to, ours=source.parent == self._spool)
        else:
            bucket, _, key = recording.uri.removeprefix("s3://").partition("/")
            self._s3.get(bucket, key, to, recording.version)
        if recording.sha256:
            with to.open("rb") as file:
                if hash_of(file) != recording.sha256:
                    text = f"{recording.name} was changed after it was registered: register it again."
                    raise JobFailed("source-changed", text)

    def host(self, memo: Memo, job_id: str, result_no: int) -> Hosted:
        """Store a memo under its own name; the URL that shows it."""
        if not self._cdn_url:
            text = "MEMOLINE_CDN_URL is not set and no local stack runs: run `memoline up`, or set it."
            raise Misuse("missing-setting", text, setting="MEMOLINE_CDN_URL")
        key = memo_key(self._secret, job_id, result_no, memo.extension)
        file_name = key.rsplit("/", 1)[-1]
        headers = {
            "ContentType": memo.mime_type,
            "CacheControl": _IMMUTABLE,
            "ContentDisposition": f'inline; filename="{file_name}"',
        }
        self._s3.put_new(self._s3.need_bucket(), key, memo.path, headers, memo.sha256)
        return Hosted(
            object_key=key,
            file_name=file_name,
            url=cdn_url(self._cdn_url, key),
            mime_type=memo.mime_type,
            size_bytes=memo.size_bytes,
            duration_s=memo.duration_s,
            bitrate_kbps=memo.bitrate_kbps,
            sha256=memo.sha256,
            action=str(memo.action),
            trimmed=memo.trimmed,
            truncated=memo.truncated,
            reason=memo.reason,
            plan=_recorded(memo.plan) if memo.plan else None,
            ffmpeg=memo.ffmpeg,
        )

    def check(self, hosted: Hosted) -> None:
        """Look at the URL as the receiver will. Raises JobFailed (`cdn-wrong`), PartUnreachable (`cdn-unreachable`)."""
        self._check(hosted, self.address(hosted))

    def address(self, hosted: Hosted) -> str:
        """The URL of a memo as it is given away now: signed, and so for a time only, where a signer is set up."""
        return self._signer(hosted.url, time.time()) if self._signer else hosted.url

    def erase(
        self, job: Job, *, is_other: IsOther | None, alone: bool = False, names: Collection[str] = ()
    ) -> tuple[str, ...]:
        """Remove every copy of a job's recording and memos; returns the kinds that are gone now. is_other: whether an
        object of the inbox, in a version, is another job's; None: what was dropped there stays. alone: no other job was
        made of an object of this name. names: of further memos, without extension.

        Raises PartUnreachable, Misuse (`s3-refused`, `cdn-refused`), JobFailed (`cdn-still-shows`): then call again."""
        copies = Copies(self._s3, secret=self._secret, spool=self._spool)
        removed = [*copies.erase_recording(job, is_other)]
        if self._beside:
            dropped = is_other is not None
            removed += copies.erase_beside(job, self._beside(job), alone=alone, dropped=dropped)
        keys = copies.memo_keys(job, names)
        if keys and self._invalidate:
            self._invalidate(keys, job.job_id)
        removed += ["memo"] if keys else []
        copies.erase_memos(job, names)
        if keys and self._cdn_url:
            self._must_be_gone(keys, self._cdn_url)
        return (*removed, *(["cdn"] if keys and self._cdn_url else []))

    def _must_be_gone(self, keys: Sequence[str], base: str) -> None:
        """Ask for each URL, which lets a front that looks at the bucket forget its copy. Nothing is asked where the CDN
        was told to forget: that takes it minutes."""
        for key in keys if self._invalidate is None else ():
            url = cdn_url(base, key)
            if not self._check.gone(self._signer(url, time.time()) if self._signer else url):
                text = (
                    f"The CDN still shows {url}: let it forget it, or set MEMOLINE_CDN_DISTRIBUTION_ID for CloudFront."
                )
                raise JobFailed("cdn-still-shows", text, url=url)

    def still_there(self, hosted: Hosted) -> bool:
        """Whether the memo is in the bucket, with its length."""
        head = self._s3.head(self._s3.need_bucket(), hosted.object_key)
        return head is not None and head.size_bytes == hosted.size_bytes

    def discard(self, recording: StoredRecording) -> None:
        """Remove our own copy of a recording; what somebody else put where it is stays. Raises Misuse
        (`home-unusable`), PartUnreachable."""
        if recording.uri.startswith("file://"):
            path = Path(recording.uri.removeprefix("file://"))
            if path.parent == self._spool:
                with using(path):
                    path.unlink(missing_ok=True)
            return
        bucket, _, key = recording.uri.removeprefix("s3://").partition("/")
        if bucket == self._s3.config.inbox_bucket and key.startswith(UPLOADS):
            self._s3.delete(bucket, key)


def _recorded(plan: Plan) -> dict[str, object]:
    """What of a plan is kept with the job."""
    names = ("code", "bitrate_kbps", "sample_rate_hz", "cutoff_hz", "keep_s")
    return {name: getattr(plan, name) for name in names if getattr(plan, name) is not None}


def _fetch_file(source: Path, to: Path, *, ours: bool) -> None:
    """A link for a copy of ours, which nothing writes to; somebody else's file is copied."""
    try:
        if ours:
            with suppress(OSError):
                os.link(source, to)
                return
        shutil.copyfile(source, to)
    except FileNotFoundError:
        raise JobFailed("recording-gone", f"{source} is not there any more.") from None
    except OSError as error:
        if error.errno in NO_ROOM:
            raise disk_trouble(to.parent, error) from None
        raise JobFailed("unreadable", f"{source} cannot be read ({error.strerror}).") from None
