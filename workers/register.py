"""The Celery door: `memoline.send_voice_memo`, for programs that cannot import us.

Its message is the only thing that is nowhere else but in Redis. It is acknowledged once its job, or the reason why
there is none, is in the ledger; it may be run any number of times, since a key is required."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from celery import Celery, Task, signals
from celery.exceptions import Reject

from pipeline.errors import JobFailed, MemolineError, Misuse, PartUnreachable
from pipeline.ledger.refusals import RefusalBook
from pipeline.model import Job, Refusal
from workers.doors import Desk, submit_object
from workers.hints import Hints
from workers.log import logger
from workers.wishes import OPTIONS, wish_of

SEND_VOICE_MEMO = "memoline.send_voice_memo"
PUT_OFF_S = 5.0
"""How long a call waits in its worker before it goes back into the queue, while a part is away."""
OURS = frozenset({"missing-setting", "s3-refused", "home-unusable", "disk-full"})
"""What is wrong on our side, so that the same call may be taken later. What S3 refuses is, where it is the inbox."""

_POSITIONS = ("recording", "chat_id", "key")
_FIELDS = frozenset({*_POSITIONS, *OPTIONS})


@dataclass(frozen=True, kw_only=True, slots=True)
class Register:
    """What the task needs. desk: called in the process that runs it, and in no other. book: called in the main process
    of a pool too, which hears of the tasks that nobody knows."""

    desk: Callable[[], Desk]
    book: Callable[[], RefusalBook]
    hints: Hints
    wait: Callable[[float], object] = time.sleep


def register_door(app: Celery, register: Register) -> None:
    """Give the app its task. A call of a task that nobody knows is kept as refused: it may be a misspelt one."""

    @app.task(name=SEND_VOICE_MEMO, bind=True, typing=False)  # type: ignore[untyped-decorator]
    def send_voice_memo(task: Task, *args: object, **kwargs: object) -> None:
        take_call(register, str(task.request.id), args, kwargs)

    def unknown(name: object = None, id: object = None, **_: object) -> None:  # noqa: A002 (the signal's own name)
        error = Misuse("unknown-task", f"There is no task {str(name)[:100]!r}: say {SEND_VOICE_MEMO}.")
        try:
            _refuse(register, str(id), {}, error)
        except MemolineError as away:
            logger().error("register.refusal-not-kept", task_id=str(id), code=away.code, error=away.message)

    signals.task_unknown.connect(unknown, weak=False)


def take_call(register: Register, task_id: str, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Register what a call asks for, or keep why not. Raises Reject, back into the queue, where a part is away."""
    fields: dict[str, object] = {}
    try:
        fields |= fields_of(args, kwargs)
        job = _registered(register, fields)
        logger().info("register.done", task_id=task_id, job_id=job.job_id, key=job.key)
    except MemolineError as error:
        _refuse_or_put_off(register, task_id, fields or dict(kwargs), error)
    except Exception as error:
        # A mistake of ours must not lose the call, nor run it for ever.
        logger().exception("register.failed", task_id=task_id)
        unforeseen = JobFailed("internal", f"{type(error).__name__}: {error}")
        _refuse_or_put_off(register, task_id, fields, unforeseen)


def fields_of(args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
    """A call's arguments by name. Raises Misuse (`unknown-field`, `missing-key`, `bad-recording`)."""
    fields = dict(kwargs) | dict(zip(_POSITIONS, args, strict=False))
    unknown = fields.keys() - _FIELDS
    if unknown or len(args) > len(_POSITIONS):
        named = f"{sorted(unknown)[0][:100]!r}" if unknown else "A fourth argument without a name"
        raise Misuse("unknown-field", f"{named} is not known: say {', '.join((*_POSITIONS, *OPTIONS))}.")
    if fields.get("key") in (None, ""):
        raise Misuse("missing-key", "A call needs a key, by which its job is looked up, and known when it is repeated.")
    recording = fields.get("recording")
    if not isinstance(recording, str) or not recording.startswith("s3://"):
        raise Misuse("bad-recording", "`recording` must be an s3://bucket/key URI: no file of the caller's is read.")
    return fields


def _registered(register: Register, fields: Mapping[str, object]) -> Job:
    job = submit_object(register.desk(), str(fields["recording"]), wish_of(fields, fields["key"], now=time.time()))
    register.hints.wake(job)
    return job


def _refuse_or_put_off(register: Register, task_id: str, fields: Mapping[str, object], error: MemolineError) -> None:
    try:
        if isinstance(error, PartUnreachable) or _is_ours(register, fields, error):
            raise error
        _refuse(register, task_id, fields, error)
    except MemolineError as away:
        logger().warning("register.put-off", task_id=task_id, code=away.code, error=away.message)
        register.wait(PUT_OFF_S)
        raise Reject(away.code, requeue=True) from None


def _is_ours(register: Register, fields: Mapping[str, object], error: MemolineError) -> bool:
    if error.code != "s3-refused":
        return error.code in OURS
    bucket = str(fields.get("recording")).removeprefix("s3://").partition("/")[0]
    return bucket == register.desk().settings.inbox_bucket


def _refuse(register: Register, task_id: str, fields: Mapping[str, object], error: MemolineError) -> None:
    said = {name: str(fields[name]) if fields.get(name) is not None else None for name in _POSITIONS if name in fields}
    nobody = dict.fromkeys(_POSITIONS)
    refusal = Refusal(task_id=task_id, at=time.time(), code=error.code, message=error.message, **{**nobody, **said})
    register.book().keep(refusal)
    logger().error("register.refused", task_id=task_id, key=refusal.key, code=error.code, error=error.message)
