"""What the inbox bucket is told of its recordings: results where they are looked for, finished ones tagged or moved."""

from __future__ import annotations

from pipeline.errors import JobFailed
from pipeline.hosting import dropped
from pipeline.hosting.s3 import S3
from pipeline.model import Job
from pipeline.settings import Settings
from workers.log import logger
from workers.results import ARRIVING, ENDED, done_place, dropped_version, inbox_key, place_of, result_name


class InboxPlace:
    """`workers.teller.Place` of the inbox bucket, as the settings ask for it."""

    def __init__(self, settings: Settings, s3: S3) -> None:
        self._settings = settings
        self._s3 = s3

    def name_of(self, job: Job) -> str | None:
        """The key of the job's object, or `job/ID`."""
        return result_name(self._settings, job)

    def write(self, name: str, job: Job, content: bytes) -> None:
        """Write a result, over an older one. Raises PartUnreachable, Misuse (`s3-refused`)."""
        if place := place_of(self._settings, name, job.job_id):
            self._s3.write(*place, content)

    def remove(self, name: str, job: Job) -> None:
        """Remove a result, if it is there. Raises as `write`."""
        if place := place_of(self._settings, name, job.job_id):
            self._s3.delete(*place)

    def finish(self, job: Job, done: str) -> str:
        """Tag or move what was dropped. Returns what was done by now. Raises as `write`."""
        how, to, version = self._settings.inbox_done, done_place(self._settings, job), dropped_version(job)
        if how == "keep" or to is None or version is None or done.startswith("moved"):
            return done
        bucket, key = to[0], inbox_key(self._settings, job) or ""
        if how == "tag" and job.state in ENDED and done != f"tagged {job.state}":
            tags = {"memoline": str(job.state), "memoline-job": job.job_id}
            return f"tagged {job.state}" if dropped.tag(self._s3, bucket, key, tags, version) else "not-there"
        if how == "move" and job.state in ARRIVING:
            return self._move(job, bucket, key, to[1], version)
        return done

    def _move(self, job: Job, bucket: str, key: str, to: str, version: str) -> str:
        try:
            moved = dropped.move(self._s3, bucket, key, to, version)
        except JobFailed as error:
            logger().warning("watch.not-moved", job_id=job.job_id, code=error.code, error=error.message)
            return "moved not"
        return "moved" if moved else "moved not"
