"""Linq's error codes as data, and the exception that carries one to the client.

Codes and statuses follow the vendor's public error table and OpenAPI document; where the two disagree (a file that is
too large), both answers exist here under their own status.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DOC_URL = "https://docs.linqapp.com/error-codes"

# code: (HTTP status, message)
CODES: Mapping[int, tuple[int, str]] = MappingProxyType(
    {
        1001: (400, "A required field is missing"),
        1002: (400, "A handle is neither an E.164 phone number nor an e-mail address"),
        1003: (400, "The request body is not valid JSON"),
        1004: (400, "The message content is invalid"),
        1005: (400, "A parameter has an invalid value"),
        1007: (429, "Rate limit exceeded"),
        2001: (404, "Chat not found"),
        2002: (404, "Message not found"),
        2003: (404, "Attachment not found"),
        2004: (401, "Unauthorized: the API token is missing or invalid"),
        2005: (403, "The resource belongs to another account"),
        2006: (403, "The phone number does not belong to your account"),
        2007: (404, "The attachment is not ready yet"),
        2008: (403, "The recipient has not messaged this sandbox line first"),
        2009: (409, "The chat is still being created"),
        2011: (403, "The feature is not enabled for your account"),
        2013: (409, "You have left this chat"),
        2015: (409, "The request conflicts with the current state"),
        2016: (409, "Not supported for group chats"),
        2017: (409, "Not supported for this service"),
        2024: (403, "The recipient has opted out"),
        2026: (403, "The handle is on your block list"),
        2027: (403, "The line is temporarily not eligible to deliver"),
        3001: (500, "Internal error"),
        3002: (500, "Internal stream error"),
        3003: (500, "Internal publishing error"),
        3004: (500, "Internal service error"),
        3005: (504, "Internal network timeout"),
        3006: (500, "Internal state error"),
        4002: (500, "The sender line is unavailable"),
        4004: (503, "The service is temporarily unavailable"),
        4005: (422, "The recipient cannot receive this type of message"),
        5001: (500, "Storing the file failed"),
        5002: (500, "Downloading the file failed"),
        5003: (500, "Signing the file URL failed"),
        5004: (400, "The file type is not supported"),
        5005: (400, "The file is too large"),
        5006: (400, "The file content does not match its extension"),
    }
)


class ApiError(Exception):
    """Ends a request with Linq's error envelope.

    code: a key of CODES. detail: replaces the table's message. status: replaces the table's status (a file over
    10 MB is 413 with code 5001 in the OpenAPI document). retry_after_s: for 429.
    """

    def __init__(
        self, code: int, detail: str | None = None, *, status: int | None = None, retry_after_s: int | None = None
    ) -> None:
        self.code = code
        self.status = status or CODES[code][0]
        self.message = detail or CODES[code][1]
        self.retry_after_s = retry_after_s
        super().__init__(f"{self.status}/{code}: {self.message}")

    def envelope(self, trace_id: str) -> dict[str, object]:
        """The JSON body of the answer."""
        error: dict[str, object] = {
            "status": self.status,
            "code": self.code,
            "message": self.message,
            "doc_url": f"{DOC_URL}#{self.code}",
        }
        if self.retry_after_s is not None:
            error["retry_after"] = self.retry_after_s
        return {"success": False, "error": error, "trace_id": trace_id}
