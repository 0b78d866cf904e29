"""The door to Linq: the one file that uses the official SDK. Implements `pipeline.ports.Messenger`.

The endpoint has no idempotency key, and with its defaults the SDK makes three POSTs of one call (measured on 0.65.0 for
500, 409, 429 and a read timeout). So `max_retries=0`, and an httpx client of ours below it (`once.py`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.errors import JobFailed, Misuse, PartUnreachable
from pipeline.messages import ChatSeen, Line, ListedMessage, MessageList, Outcome, OutcomeKind, StatusReport
from pipeline.sending.once import Attempt, make_client
from pipeline.sending.outcomes import from_response, from_transport
from pipeline.sending.subscriptions import Method, Said, date_of

if TYPE_CHECKING:
    from httpx import Response
    from linq import LinqAPIV3

CLOCK_SKEW_S = 120.0
"""Linq's clock may be so far behind ours: messages that seem that much too old are looked at, too."""
_MAX_PAGES = 1_000
_PAGE_SIZE = 100
_NO_FILE = ("text", "link")
"""Kinds of parts that have no file name of their own."""
_NOT_NOW = frozenset({401, 408, 425, 429})
"""Statuses below 500 that say nothing about what was asked for."""


class LinqMessenger:
    """Linq for one process; the SDK (0.6 s of import) is loaded when first used."""

    def __init__(self, *, base_url: str | None, api_key: str | None) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._made: tuple[int, LinqAPIV3] | None = None

    def send_once(self, chat_id: str, url: str, *, deadline_s: float, may_go: Callable[[], Outcome | None]) -> Outcome:
        """Make at most one POST, within deadline_s seconds, if may_go has nothing against it when the connection
        stands; never raises."""
        import linq

        try:
            client = self._client()
        except Misuse as error:
            return Outcome(kind=OutcomeKind.WAIT, code=error.code, message=error.message)
        with Attempt(deadline_s, may_go) as attempt:
            try:
                answer = client.chats.with_raw_response.send_voicememo(
                    chat_id, voice_memo_url=url, timeout=attempt.timeout()
                ).http_response
            except linq.APIStatusError as error:
                answer = error.response
            except Exception as error:  # whatever the SDK, httpx or a socket raise: the attempt knows how far it came
                return attempt.held_back or from_transport(attempt.stage(), _named(error))
            try:
                body = _json(answer)
            except Exception as error:  # the answer broke off
                return from_transport("unknown", _named(error))
            return from_response(answer.status_code, body, {k.lower(): v for k, v in answer.headers.items()})

    def own_messages(self, chat_id: str, *, since: float) -> MessageList | None:
        """All own messages of a chat since a moment (Unix seconds), from every page. The list's order means nothing.
        None where Linq does not show the chat. Raises PartUnreachable (`linq-unreachable`), Misuse."""
        found: list[ListedMessage] = []
        cursors: list[str] = []
        while len(cursors) < _MAX_PAGES:
            page = self._get(f"/v3/chats/{chat_id}/messages", {"limit": _PAGE_SIZE, **_from(cursors)})
            if page is None:
                return None
            rows, cursor = page.get("messages"), page.get("next_cursor")
            if not isinstance(rows, list) or cursor in cursors:
                break
            own = (_listed(row) for row in rows if isinstance(row, dict) and row.get("is_from_me"))
            found.extend(message for message in own if message.created_at >= since - CLOCK_SKEW_S)
            if not cursor:
                return MessageList(messages=tuple(found), complete=True)
            cursors.append(str(cursor))
        return MessageList(messages=tuple(found), complete=False)

    def status(self, message_id: str) -> StatusReport | None:
        """What became of a message; None where Linq does not know it (deleted, expired).

        Raises PartUnreachable (`linq-unreachable`), Misuse."""
        row = self._get(f"/v3/messages/{message_id}", {})
        if not row or not row.get("id"):
            return None
        return StatusReport(
            status=str(row.get("delivery_status") or ""),
            message_id=message_id,
            file_names=_listed(row).file_names or (),
        )

    def chat(self, chat_id: str) -> ChatSeen | None:
        """A chat's line and health; None where Linq does not show it. Raises PartUnreachable, Misuse."""
        row = self._get(f"/v3/chats/{chat_id}", {})
        if not row:
            return None
        handles, health = row.get("handles"), row.get("health_status")
        ours = [one for one in handles if isinstance(one, dict)] if isinstance(handles, list) else []
        line = next((one.get("handle") for one in ours if one.get("is_me")), None)
        status = health.get("status") if isinstance(health, dict) else None
        return ChatSeen(line=str(line) if line else None, health=str(status) if status else None)

    def ping(self) -> None:
        """Ask for anything. Raises PartUnreachable (`linq-unreachable`), also where Linq does not take the key."""
        self._get("/v3/phone_numbers", {})

    def lines(self) -> tuple[Line, ...]:
        """The account's lines. Raises PartUnreachable (`linq-unreachable`), also where Linq does not take the key,
        and Misuse."""
        rows = (self._get("/v3/phone_numbers", {}) or {}).get("phone_numbers")
        return tuple(_line(row) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()

    def call(self, method: Method, path: str, body: Mapping[str, object] | None = None) -> Said:
        """One request to any other end of the API, made once.

        Raises PartUnreachable (`linq-unreachable`), Misuse, JobFailed (`linq-refused`)."""
        answer = self._answer(method, path, body=body)
        said = _json(answer)
        if answer.is_error:
            raise _refused(answer.status_code, said)
        return Said(body=said if isinstance(said, dict) else {}, at=date_of(answer.headers.get("date")))

    def _get(self, path: str, query: dict[str, Any]) -> dict[str, Any] | None:
        """The JSON object behind a GET; None where Linq says that there is none to be seen."""
        answer = self._answer("GET", path, query=query)
        if answer.is_error:
            return None
        body = _json(answer)
        return body if isinstance(body, dict) else {}

    def _answer(
        self,
        method: Method,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Response:
        """Linq's answer, a 4xx included. Raises PartUnreachable where it says nothing of what was asked for."""
        import linq
        from httpx import HTTPError, Response

        client = self._client()
        try:
            if method == "GET":
                return client.get(path, cast_to=Response, options={"params": query or {}, "timeout": 20})
            make = client.post if method == "POST" else client.put if method == "PUT" else client.delete
            return make(path, cast_to=Response, body=body, options={"timeout": 20})
        except linq.APIStatusError as error:
            if error.status_code >= 500 or error.status_code in _NOT_NOW:
                raise _unreachable(self._base_url, f"it answers {error.status_code}") from None
            return error.response
        except (linq.LinqApiv3Error, HTTPError, OSError, ValueError) as error:
            raise _unreachable(self._base_url, _named(error)) from None

    def _client(self) -> LinqAPIV3:
        from linq import LinqAPIV3

        if not self._api_key or not self._base_url:
            text = "LINQ_API_V3_API_KEY is not set and no local stack runs: run `memoline up`, or set it."
            raise Misuse("missing-setting", text, setting="LINQ_API_V3_API_KEY")
        if self._made is None or self._made[0] != os.getpid():
            client = LinqAPIV3(
                api_key=self._api_key, base_url=self._base_url, max_retries=0, http_client=make_client(self._base_url)
            )
            self._made = (os.getpid(), client)
        return self._made[1]


def _line(row: dict[str, Any]) -> Line:
    """health: Linq's status of the line where it tells one, else its reputation, which is a word or has one."""
    said = row.get("reputation")
    reputation = said.get("status") if isinstance(said, dict) else said
    status = row.get("status")
    words = [str(word) for word in (status, reputation) if word]
    return Line(number=str(row.get("phone_number") or ""), health=", ".join(words) or "unknown")


def _listed(row: dict[str, Any]) -> ListedMessage:
    """file_names is None where the list hides the parts, or a file's name: then it cannot prove an absence."""
    parts = row.get("parts")
    rows = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    names = [part.get("filename") for part in rows if part.get("type") not in _NO_FILE]
    known = [name.partition("?")[0] for name in names if isinstance(name, str)]
    return ListedMessage(
        message_id=str(row.get("id")),
        created_at=_seconds(row.get("created_at")),
        status=str(row.get("delivery_status") or ""),
        file_names=tuple(known) if rows and len(known) == len(names) else None,
    )


def _from(cursors: list[str]) -> dict[str, str]:
    return {"cursor": cursors[-1]} if cursors else {}


def _seconds(text: object) -> float:
    """Unix seconds of an ISO 8601 time; now-ish (infinity) where it cannot be read, so that nothing is passed over."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return float("inf")


def _json(answer: Any) -> object:
    content = answer.read()
    try:
        parsed: object = answer.json() if content else None
    except ValueError:
        return None
    return parsed


def _named(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}".removesuffix(": ")


def _refused(status: int, body: object) -> JobFailed:
    error = body.get("error") if isinstance(body, dict) else None
    said = error if isinstance(error, dict) else {}
    text = f"Linq refused it ({status}, code {said.get('code')}): {said.get('message') or 'it does not say why'}."
    return JobFailed("linq-refused", text, status=status)


def _unreachable(base_url: str | None, why: str) -> PartUnreachable:
    return PartUnreachable("linq-unreachable", f"Linq cannot be reached at {base_url} ({why}): try again.")
