"""Every error that leaves Memoline, drawn as one tree.

    MemolineError                exit status
    ├── Misuse                   2   settings, usage, a path that is missing or cannot be read
    ├── RecordingRejected        3   this recording can never become a memo
    ├── PartUnreachable          4   Redis, S3, the CDN, the ledger or Linq does not answer
    ├── Unconfirmed              5   nobody knows yet whether Linq took the memo
    └── JobFailed                1   everything else
        ├── KeyReused                the key is taken by other input
        ├── NoSuchJob
        ├── NotNow                   the job's state does not allow what was asked
        ├── Fenced                   somebody else holds the job now
        └── ToolFailed               a child program failed
            └── ProofFailed              what it made is not what was planned

A code is stable and meant for programs; a message is one sentence that says what to do; facts are what a program may
want beside it. Exceptions of foreign libraries never pass the file that uses the library.
"""

from __future__ import annotations

from collections.abc import Mapping


class MemolineError(Exception):
    """Root of the tree.

    code: stable, lower case with hyphens. message: one sentence. facts: JSON-ready values about the case.
    """

    exit_status = 1

    def __init__(self, code: str, message: str, **facts: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts: Mapping[str, object] = facts

    def __reduce__(self) -> tuple[object, ...]:
        """Errors pass from one process to another, whatever their constructor takes."""
        return _again, (type(self), self.code, self.message, dict(self.facts))

    def as_json(self) -> dict[str, object]:
        """The value of the key `error` in JSON output."""
        return {"code": self.code, "message": self.message, **self.facts}


def _again(kind: type[MemolineError], code: str, message: str, facts: Mapping[str, object]) -> MemolineError:
    error = kind.__new__(kind)
    MemolineError.__init__(error, code, message, **facts)
    return error


class Misuse(MemolineError):
    """A setting, an argument or a path is wrong: nothing was begun."""

    exit_status = 2


class RecordingRejected(MemolineError):
    """The recording can never become a memo; trying again will not help."""

    exit_status = 3


class PartUnreachable(MemolineError):
    """A part that is needed now does not answer. Codes: `redis-unreachable`, `s3-unreachable`, `cdn-unreachable`,
    `ledger-unreachable`, `linq-unreachable`."""

    exit_status = 4


class Unconfirmed(MemolineError):
    """It is not known whether Linq took the memo."""

    exit_status = 5


class JobFailed(MemolineError):
    """The job ended, or the request about it was refused, for a reason named by the code."""


class KeyReused(JobFailed):
    """The idempotency key already belongs to a job with other input."""

    def __init__(self, key: str | None, job_id: str) -> None:
        super().__init__(
            "key-reused",
            f"The key {key!r} already belongs to job {job_id} with another recording, chat or overflow: use a new key.",
            key=key,
            job_id=job_id,
        )


class NoSuchJob(JobFailed):
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__("no-such-job", f"There is no job {job_id!r}: `memoline jobs` lists them.", job_id=job_id)


class NotNow(JobFailed):
    """The state of the job does not allow what was asked for."""


class Fenced(JobFailed):
    """Another worker has taken the job over; whoever gets this must stop without touching it."""

    def __init__(self, job_id: str) -> None:
        super().__init__("fenced", f"Job {job_id} was moved on by another worker.", job_id=job_id)


class ToolFailed(JobFailed):
    """A child program failed for a reason that is not the recording's fault. argv: empty where it was no program that
    failed, but what was made does not hold."""

    def __init__(self, argv: tuple[str, ...], returncode: int, stderr_tail: str) -> None:
        told = stderr_tail[-300:].strip() or "it said nothing"
        super().__init__(
            "tool-failed",
            f"{f'{argv[0]} ended with status {returncode}: ' if argv else ''}{told}",
            argv=list(argv),
            returncode=returncode,
        )


class ProofFailed(ToolFailed):
    """A finished file is not what was planned: it never leaves the audio room."""

    def __init__(self, argv: tuple[str, ...], returncode: int, why: str) -> None:
        super().__init__(argv, returncode, why)
        self.code = "proof-failed"
        self.message = f"The finished memo did not prove right: {why}"
