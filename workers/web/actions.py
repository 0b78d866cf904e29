"""`/v1/memos/{job_id}/…`: what may be done to one job, over HTTP as by the commands of the same names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from pipeline import decisions, erasing
from pipeline.errors import Fenced, Misuse, NotNow
from pipeline.model import Job, State
from pipeline.ports import Parts
from workers.views import told
from workers.web import docs
from workers.web.bodies import MAX_JSON_BYTES, need_json, parse_object, read_body
from workers.web.office import Office, find, with_token
from workers.wishes import check_chat_id

Decision = Callable[[Parts, Job], Job]
_TRIES = 5
_MAX_WHY = 500


def action_routes(office: Office) -> APIRouter:
    """The routes that change a job. All want the token."""
    router = APIRouter(prefix="/v1/memos/{job_id}", dependencies=[Depends(with_token(office))])

    @router.delete(
        "", summary="Erase a job: every copy, and all that is personal in the ledger", openapi_extra=docs.ERASE
    )
    def erase(job_id: str, request: Request) -> JSONResponse:
        """202: it is wanted and will be carried out, in seconds where nothing is on its way. 200: it is erased."""
        why = request.query_params.get("why", "")[:_MAX_WHY]
        if "\0" in why:
            raise Misuse("bad-why", "`why` must be a text.")
        row = decide(office, request, job_id, lambda parts, one: erasing.want(parts, one, why))
        return JSONResponse(row, status_code=200 if row["state"] == State.ERASED else 202)

    @router.post("/cancel", summary="End a job that was not sent yet")
    def cancel(job_id: str, request: Request) -> JSONResponse:
        """409 `too-late` once it may be on its way."""
        return JSONResponse(decide(office, request, job_id, decisions.cancel))

    @router.post("/retry", summary="Start a REJECTED or FAILED job anew")
    def retry(job_id: str, request: Request) -> JSONResponse:
        """409 `not-retryable` where Linq took it, or may have, and in any other state."""
        return JSONResponse(decide(office, request, job_id, decisions.retry))

    @router.post("/assign", summary="Give a job that is HELD without a chat its chat", openapi_extra=docs.ASSIGN)
    async def assign(job_id: str, request: Request) -> JSONResponse:
        """409 `not-held` in any other state."""
        chat_id = _text(await _fields(request, {"chat_id"}), "chat_id", "bad-chat-id")
        checked = check_chat_id(chat_id)
        row = await run_in_threadpool(decide, office, request, job_id, lambda p, j: decisions.assign(p, j, checked))
        return JSONResponse(row)

    @router.post("/resolve", summary="Decide about a job whose outcome nobody knows", openapi_extra=docs.RESOLVE)
    async def resolve(job_id: str, request: Request) -> JSONResponse:
        """409 `not-held` unless it is HELD with `outcome-unknown`, or was given up then. Look into the chat first."""
        decision = resolution(await _fields(request, {"decision", "message_id", "why"}))
        return JSONResponse(await run_in_threadpool(decide, office, request, job_id, decision))

    return router


def decide(office: Office, request: Request, job_id: str, decision: Decision) -> dict[str, object]:
    """Carry out a decision on the job as it is now, and hint what follows; the history names the caller's token.
    Returns the job as JSON. Raises NoSuchJob, NotNow."""
    parts = replace(office.desk.parts, by=f"http:{request.state.caller}")
    job = find(office, job_id)
    for _ in range(_TRIES):
        try:
            decided = decision(parts, job)
        except Fenced:  # a worker moved it at this moment: what may be done now?
            job = find(office, job_id)
            continue
        office.hints.wake(decided)
        return told(office.ledger, decided)
    raise NotNow("busy", f"Job {job_id} is moving at this moment: try again.", job_id=job_id)


def resolution(fields: dict[str, object]) -> Decision:
    """The decision that a body names. Raises Misuse (`bad-decision`, `bad-message-id`, `bad-why`)."""
    why = _text({"why": ""} | fields, "why", "bad-why")[:_MAX_WHY]
    name = fields.get("decision")
    if name == "sent":
        message_id = _text(fields, "message_id", "bad-message-id").strip()
        if not message_id or len(message_id) > 255 or not message_id.isprintable():
            raise Misuse("bad-message-id", "`message_id` must be the id of the message that is in the chat.")
        return lambda parts, job: decisions.resolve(parts, job, sent=message_id, why=why)
    if name == "resend":
        return lambda parts, job: decisions.resolve(parts, job, resend=True, why=why)
    if name == "give-up":
        return lambda parts, job: decisions.resolve(parts, job, give_up=True, why=why)
    raise Misuse("bad-decision", "`decision` must be sent, resend or give-up.")


async def _fields(request: Request, known: set[str]) -> dict[str, object]:
    need_json(request)
    body = parse_object(await read_body(request, max_bytes=MAX_JSON_BYTES))
    unknown = body.keys() - known
    if unknown:
        raise Misuse("unknown-field", f"{sorted(unknown)[0][:100]!r} is not known: say {', '.join(sorted(known))}.")
    return body


def _text(fields: dict[str, object], name: str, code: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or "\0" in value:
        raise Misuse(code, f"`{name}` must be a text.")
    return value
