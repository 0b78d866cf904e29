"""`/v1/memos`: hand in a recording, look at jobs."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from pipeline.errors import Misuse
from pipeline.ledger.refusals import RefusalBook
from pipeline.model import Job, State
from workers.doors import need_callback, submit_object, submit_stored
from workers.views import refusal_json, told
from workers.web import docs
from workers.web.bodies import MAX_JSON_BYTES, content_type, parse_object, read_body
from workers.web.direct import KEY_NEEDED, submit_upload
from workers.web.office import Office, whole, with_token
from workers.web.uploads import incoming, read_upload
from workers.wishes import OPTIONS, check_chat_id, check_key, parse_not_before, wish_of

MAX_PAGE = 1_000
_REFUSALS = 100
_LARGEST_CURSOR = 2**63 - 1
_CODE = re.compile(r"[a-z0-9-]{1,100}")
_FILTERS = frozenset({"state", "chat_id", "code", "key", "since", "cursor", "limit"})
_FIELDS = frozenset({"chat_id", "recording", *OPTIONS})


def memo_routes(office: Office) -> APIRouter:
    """The routes under `/v1`. All want the token."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(with_token(office))])

    @router.post("/memos", status_code=202, summary="Hand in a recording", openapi_extra=docs.POST_MEMOS)
    async def post(request: Request) -> JSONResponse:
        """Answers 202 once the job is on disk. The same key with the same input is the same job."""
        key = check_key(request.headers.get("idempotency-key"))
        kind = content_type(request)
        if kind == "application/json":
            body = parse_object(await read_body(request, max_bytes=MAX_JSON_BYTES))
            job = await run_in_threadpool(take_object, office, body, key)
        elif kind == "multipart/form-data":
            job = await _take_upload(office, request, key)
        else:
            raise Misuse("wrong-content-type", "Send application/json or multipart/form-data.")
        office.hints.wake(job)
        row = await run_in_threadpool(told, office.ledger, job)
        return JSONResponse(row, status_code=202, headers={"Location": f"/v1/memos/{job.job_id}"})

    @router.get("/memos", summary="List jobs, oldest first", openapi_extra=docs.GET_MEMOS)
    def many(request: Request) -> JSONResponse:
        """Oldest first, parts of splits too (`parent_id`). `next_cursor` is null on the last page."""
        return JSONResponse(page(office, dict(request.query_params)))

    @router.get("/refusals", summary="Calls of the Celery task that were refused, newest first")
    def refusals() -> JSONResponse:
        """At most 100; they are kept for 30 days."""
        found = RefusalBook(office.ledger.database).latest(_REFUSALS)
        return JSONResponse({"refusals": [refusal_json(refusal) for refusal in found]})

    return router


def take_object(office: Office, body: dict[str, object], key: str | None) -> Job:
    """Register the `s3://` object, or the direct upload, that a JSON body names."""
    unknown = body.keys() - {*_FIELDS, "upload"}
    if unknown:
        known = ", ".join(sorted({*_FIELDS, "upload"}))
        raise Misuse("unknown-field", f"{sorted(unknown)[0][:100]!r} is not known: say {known}.")
    recording, upload = body.get("recording"), body.get("upload")
    if isinstance(upload, str) and recording is None:
        return submit_upload(office.desk, upload, wish_of(body, key, now=time.time()))
    if not isinstance(recording, str) or not recording.startswith("s3://") or upload is not None:
        text = "Say either `recording`, an s3://bucket/key URI, or `upload`, an id; files are sent as multipart."
        raise Misuse("bad-recording", text)
    return submit_object(office.desk, recording, wish_of(body, key, now=time.time()))


async def _take_upload(office: Office, request: Request, key: str | None) -> Job:
    if key is None:
        raise Misuse("missing-key", KEY_NEEDED)
    with incoming(office.desk.settings.home) as file:
        upload = await read_upload(request, file)
        unknown = upload.fields.keys() - _FIELDS
        if unknown:
            raise Misuse("unknown-field", f"The form field {sorted(unknown)[0][:100]!r} is not known.")
        wish = wish_of(upload.fields, key, now=time.time())
        need_callback(office.desk.settings, wish.callback_url)
        stored = await run_in_threadpool(office.desk.spool.put_stream, file, upload.file_name or "recording")
    return await run_in_threadpool(submit_stored, office.desk, stored, wish, source=f"upload:{upload.file_name}")


def page(office: Office, query: Mapping[str, str]) -> dict[str, object]:
    """A page of jobs. A name that is not known is refused: a misspelt filter would show everything.

    Raises Misuse (`unknown-field`, `bad-state`, `bad-chat-id`, `bad-code`, `bad-key`, `bad-since`, `bad-limit`,
    `bad-cursor`)."""
    unknown = query.keys() - _FILTERS
    if unknown:
        raise Misuse("unknown-field", f"{sorted(unknown)[0][:100]!r} is not known: say {', '.join(sorted(_FILTERS))}.")
    if empty := [name for name, value in query.items() if not value]:
        raise Misuse(f"bad-{empty[0].replace('_', '-')}", f"`{empty[0]}` is empty: leave it out, or say what you want.")
    limit = whole(query.get("limit"), 100, 1, MAX_PAGE, "limit")
    found = office.ledger.jobs(
        states=tuple(_state(name) for name in query.get("state", "").split(",") if name),
        chat_id=check_chat_id(query["chat_id"]) if query.get("chat_id") else None,
        code=_code(query.get("code")),
        key=check_key(query.get("key") or None),
        since=_since(query.get("since")),
        after_seq=whole(query.get("cursor"), 0, 0, _LARGEST_CURSOR, "cursor"),
        limit=limit + 1,
    )
    more = str(found[limit - 1].seq) if len(found) > limit else None
    return {"memos": [told(office.ledger, job) for job in found[:limit]], "next_cursor": more}


def _code(text: str | None) -> str | None:
    if text is not None and not _CODE.fullmatch(text):
        raise Misuse("bad-code", "`code` must be the code of a job, such as no-chat.")
    return text


def _since(text: str | None) -> float:
    try:
        return parse_not_before(text)
    except Misuse:
        shown = str(text)[:100]
        raise Misuse("bad-since", f"{shown!r} is no time: say for instance 2026-11-24T08:00:00Z.") from None


def _state(text: str) -> State:
    try:
        return State(text.upper())
    except ValueError:
        raise Misuse("bad-state", f"{text[:100]!r} is no state: say one of {', '.join(State)}.") from None
