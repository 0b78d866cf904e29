"""`/v1/memos`: hand in a recording, look at jobs."""

from __future__ import annotations

import time

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from pipeline.errors import Misuse
from pipeline.model import Job, State
from workers.doors import need_callback, submit_object, submit_stored
from workers.views import told
from workers.web import docs
from workers.web.bodies import MAX_JSON_BYTES, parse_object, read_body
from workers.web.office import Office, whole, with_token
from workers.web.uploads import incoming, read_upload
from workers.wishes import OPTIONS, check_chat_id, check_key, wish_of

MAX_PAGE = 1_000
_LARGEST_CURSOR = 2**63 - 1
_FIELDS = frozenset({"chat_id", "recording", *OPTIONS})


def memo_routes(office: Office) -> APIRouter:
    """The routes under `/v1`. All want the token."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(with_token(office))])

    @router.post("/memos", status_code=202, summary="Hand in a recording", openapi_extra=docs.POST_MEMOS)
    async def post(request: Request) -> JSONResponse:
        """Answers 202 once the job is on disk. The same key with the same input is the same job."""
        key = check_key(request.headers.get("idempotency-key"))
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
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

    return router


def take_object(office: Office, body: dict[str, object], key: str | None) -> Job:
    """Register the `s3://` object that a JSON body names."""
    unknown = body.keys() - _FIELDS
    if unknown:
        raise Misuse("unknown-field", f"{sorted(unknown)[0][:100]!r} is not known: say {', '.join(sorted(_FIELDS))}.")
    recording = body.get("recording")
    if not isinstance(recording, str) or not recording.startswith("s3://"):
        raise Misuse("bad-recording", "`recording` must be an s3://bucket/key URI; files are sent as multipart.")
    return submit_object(office.desk, recording, wish_of(body, key, now=time.time()))


async def _take_upload(office: Office, request: Request, key: str | None) -> Job:
    if key is None:
        text = "An upload needs the header Idempotency-Key, so that repeating it cannot send it twice."
        raise Misuse("missing-key", text)
    with incoming(office.desk.settings.home) as file:
        upload = await read_upload(request, file)
        unknown = upload.fields.keys() - _FIELDS
        if unknown:
            raise Misuse("unknown-field", f"The form field {sorted(unknown)[0][:100]!r} is not known.")
        wish = wish_of(upload.fields, key, now=time.time())
        need_callback(office.desk.settings, wish.callback_url)
        stored = await run_in_threadpool(office.desk.spool.put_stream, file, upload.file_name or "recording")
    return await run_in_threadpool(submit_stored, office.desk, stored, wish, source=f"upload:{upload.file_name}")


def page(office: Office, query: dict[str, str]) -> dict[str, object]:
    """A page of jobs. Raises Misuse (`bad-state`, `bad-chat-id`, `bad-limit`, `bad-cursor`)."""
    limit = whole(query.get("limit"), 100, 1, MAX_PAGE, "limit")
    states = (_state(query["state"]),) if query.get("state") else ()
    chat_id = check_chat_id(query["chat_id"]) if query.get("chat_id") else None
    after_seq = whole(query.get("cursor"), 0, 0, _LARGEST_CURSOR, "cursor")
    found = office.ledger.jobs(states=states, chat_id=chat_id, after_seq=after_seq, limit=limit + 1)
    more = str(found[limit - 1].seq) if len(found) > limit else None
    return {"memos": [told(office.ledger, job) for job in found[:limit]], "next_cursor": more}


def _state(text: str) -> State:
    try:
        return State(text.upper())
    except ValueError:
        raise Misuse("bad-state", f"{text[:100]!r} is no state: say one of {', '.join(State)}.") from None
