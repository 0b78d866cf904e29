"""The description of the HTTP door (`/openapi.json`): what FastAPI knows of the routes, and what it cannot know."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from workers.web.schemas import SCHEMAS, ref

_TELLS: Mapping[int, str] = {
    400: "Something about the request is wrong; `code` says what.",
    401: "No token, or one that opens nothing.",
    403: "The bucket may not be read (`bucket-not-allowed`).",
    404: "There is no such job, object or upload.",
    409: "It cannot be done now, or the key belongs to other input (`key-reused`).",
    413: "The body has more bytes than are taken (`too-large`).",
    415: "The body is of another type (`wrong-content-type`).",
    429: "The caller asks too often (`too-often`), or too many wait for news; `Retry-After` says when to ask again.",
    431: "Request line and headers are too long (`head-too-large`).",
    500: "A mistake of the server's, which its log has (`internal`).",
    503: "A part that is needed cannot be used now; `Retry-After` says when to ask again.",
    507: "No room is left on the server's disk (`disk-full`).",
}
_ALWAYS = (400, 431, 500, 503)
_WITH_TOKEN = (401, 429)

ERRORS: Mapping[tuple[str, str], tuple[int, ...]] = {
    ("post", "/v1/memos"): (403, 404, 409, 413, 415, 507),
    ("post", "/v1/uploads"): (413, 415),
    ("get", "/v1/memos/{job_id}"): (404,),
    ("delete", "/v1/memos/{job_id}"): (404, 409, 507),
    ("get", "/v1/memos/{job_id}/events"): (404,),
    ("post", "/v1/memos/{job_id}/cancel"): (404, 409, 507),
    ("post", "/v1/memos/{job_id}/retry"): (404, 409, 507),
    ("post", "/v1/memos/{job_id}/assign"): (404, 409, 413, 415, 507),
    ("post", "/v1/memos/{job_id}/resolve"): (404, 409, 413, 415, 507),
    ("post", "/webhooks/linq"): (401, 413, 507),
}
"""The errors of each operation beside those of all."""

ANSWERS: Mapping[tuple[str, str], tuple[int, str]] = {
    ("post", "/v1/memos"): (202, "Job"),
    ("get", "/v1/memos"): (200, "Jobs"),
    ("post", "/v1/uploads"): (201, "Upload"),
    ("get", "/v1/refusals"): (200, "Refusals"),
    ("get", "/v1/memos/{job_id}"): (200, "JobWithHistory"),
    ("delete", "/v1/memos/{job_id}"): (200, "Job"),
    ("post", "/v1/memos/{job_id}/cancel"): (200, "Job"),
    ("post", "/v1/memos/{job_id}/retry"): (200, "Job"),
    ("post", "/v1/memos/{job_id}/assign"): (200, "Job"),
    ("post", "/v1/memos/{job_id}/resolve"): (200, "Job"),
    ("post", "/webhooks/linq"): (200, "Ok"),
    ("get", "/healthz"): (200, "Ok"),
    ("get", "/readyz"): (200, "Readiness"),
}
"""What each operation answers when all is well."""


def described(openapi: Mapping[str, Any]) -> dict[str, Any]:
    """FastAPI's description with the values, the errors, and who may ask."""
    document = deepcopy(dict(openapi))
    document["components"] = {
        "schemas": dict(SCHEMAS),
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "`memoline token add NAME`"}},
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _describe(method, path, operation)
    return document


def _describe(method: str, path: str, operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation.setdefault("responses", {})
    responses.pop("422", None)  # nothing is left to FastAPI's own checks
    if known := ANSWERS.get((method, path)):
        status, name = known
        responses[str(status)] = {"description": name, "content": {"application/json": {"schema": ref(name)}}}
    if path == "/readyz":
        responses["503"] = {**responses["200"], "description": "The ledger does not answer."}
    if path == "/metrics":
        responses["200"] = {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
    for status in _errors(method, path):
        responses.setdefault(str(status), _problem(status))
    if path.startswith("/v1"):
        operation["security"] = [{"token": []}]
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "job_id":
            parameter["schema"] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def _errors(method: str, path: str) -> tuple[int, ...]:
    guarded = _WITH_TOKEN if path.startswith("/v1") or path == "/metrics" else ()
    return (*_ALWAYS, *guarded, *ERRORS.get((method, path), ()))


def _problem(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": _TELLS[status]}
    answer["content"] = {"application/problem+json": {"schema": ref("Problem")}}
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return answer
