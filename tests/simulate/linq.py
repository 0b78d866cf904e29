"""Linq as it may behave: below the real SDK and the real `once.py`, as an httpx transport.

It takes memos and loses the answer, answers before or after it has taken one, with its own envelope or a gateway's
page, lists late, in pages and in no order, and goes on with a request whose sender has given up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.simulate.auditor import Auditor
from tests.simulate.world import Message, Post, World

PACE = 4
"""Messages in any 60 s a chat, less than Linq's 30 so that short runs come to the limit."""

LINE = "+12025550100"

Answer = tuple[int, object, dict[str, str]]


class Socket:
    """What `once.py` cuts when the time is up; the transport keeps to the time by itself."""

    def shutdown(self, _how: int) -> None:
        return

    def get_extra_info(self, _name: str) -> Socket:
        return self


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will come of a POST. after_s: until the server decides; takes: whether it takes the memo; answer: what it
    says, None where it is what follows from that; lost: the sender never hears it; lag_s: until the list shows it."""

    after_s: float
    takes: bool = True
    ghost: bool = False
    answer: tuple[int, int | None] | None = None
    lost: bool = False
    lag_s: float = 0.0


class Linq:
    """The service. on_event: called with (message, event type, extra data) when something is to be reported."""

    def __init__(self, world: World, auditor: Auditor) -> None:
        self.world, self.sim, self.auditor = world, world.sim, auditor
        self.on_event: Callable[[Message, str, dict[str, object]], None] = lambda *_: None
        self.process: Any = None
        self._page = world.sim.random.choice((1, 2, 5, 100))

    # ------------------------------------------------------------------------------------------------------- POST

    def post(self, request: httpx.Request) -> httpx.Response:
        """One POST of a voice memo, from connecting to the answer. Runs in the sender's task."""
        sim, weather = self.sim, self.world.weather
        gives_up_at = sim.now() + request.extensions["timeout"]["read"]
        sim.pause("connects to Linq")
        if sim.chance(weather.linq_refused):
            raise httpx.ConnectError("refused", request=request)
        self._trace(request, "connection.connect_tcp.complete", {"return_value": Socket()})
        self.world.may_freeze()
        sim.pause("is connected", 0.001)
        self._trace(request, "http11.send_request_headers.started", {})
        chat_id = request.url.path.split("/")[-2]
        url = json.loads(request.content)["voice_memo_url"]
        file_name = url.rsplit("/", 1)[-1]
        post = Post(job_id=self.world.owners[file_name], chat_id=chat_id, file_name=file_name, at=sim.now())
        self.world.posts.append(post)
        self.auditor.on_post(post)
        plan, trace_id = self._plan(), sim.random.randbytes(16).hex()
        result: list[Answer] = []
        sim.spawn(self.process, "takes", lambda: self._decide(post, plan, trace_id, result), after_s=plan.after_s)
        self.world.may_freeze()
        done_at = sim.now() + plan.after_s + 0.01
        sim.pause("POST under way", max(min(done_at, gives_up_at) - sim.now(), 0.001))
        # Who wakes from a freeze finds the answer and the end of his time at once: either may be seen first.
        overslept = sim.now() >= gives_up_at and (done_at >= gives_up_at or sim.chance(0.5))
        if plan.lost or not result or overslept:
            self.auditor.on_doubt(post)
            raise sim.random.choice((httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError))(
                "lost", request=request
            )
        status, body, headers = result[0]
        post.told = (status == 202 and plan.answer is None) or (400 <= status < 500 and not isinstance(body, str))
        if message_id := _message_id(body):
            self.auditor.on_answer(post, message_id)
        if not post.told:
            self.auditor.on_doubt(post)
        return httpx.Response(
            status, content=body if isinstance(body, str) else json.dumps(body), headers=headers, request=request
        )

    def _plan(self) -> Plan:
        sim, weather = self.sim, self.world.weather
        lag_s = sim.random.uniform(0, weather.list_lag_s)
        after_s = sim.random.expovariate(1 / 0.5)
        if sim.chance(weather.linq_slow):
            after_s = sim.random.choice((5.0, 20.0, 59.0, 90.0, 200.0)) * sim.random.uniform(0.5, 1.2)
        if sim.chance(weather.linq_busy):
            return Plan(after_s=after_s, takes=False, answer=sim.random.choice(((429, 1007), (409, 2009), (404, 2007))))
        if sim.chance(weather.linq_error):
            return self._error(after_s, lag_s)
        takes = True
        lost = sim.chance(weather.linq_answer_lost)
        if lost:
            takes = sim.chance(0.6)
        return Plan(after_s=after_s, takes=takes, lost=lost, lag_s=lag_s)

    def _error(self, after_s: float, lag_s: float) -> Plan:
        sim = self.sim
        kind = sim.random.choice(("unknown", "probably", "probably", "html", "no-id", "plain-404"))
        if kind == "probably":
            answer = sim.random.choice(((500, 5001), (500, 5002), (500, 5003), (500, 4002), (503, 4004)))
            dice = sim.random.random()
            # Linq says that it failed, and it is done with it soon after: two complete looks see it, one may not.
            lag_s = sim.random.uniform(0, 110) if self.world.weather.list_lag_s else 0.0
            return Plan(after_s=min(after_s, 5.0), takes=dice < 0.5, ghost=dice > 0.8, answer=answer, lag_s=lag_s)
        answers = {"unknown": (500, 3001), "html": (502, None), "no-id": (202, None), "plain-404": (404, None)}
        takes = kind == "no-id" or sim.chance(0.5)
        return Plan(after_s=after_s, takes=takes, answer=answers[kind], lag_s=lag_s)

    def _decide(self, post: Post, plan: Plan, trace_id: str, result: list[Answer]) -> None:
        """The server's own time: it does not know whether anybody still listens."""
        sim, world = self.sim, self.world
        headers = {"x-trace-id": trace_id}
        refused = self._refusal(post)
        if refused and plan.takes:
            post.open = False
            result.append((refused[0], _envelope(*refused), headers))
            return
        message = None
        if plan.takes or plan.ghost:
            message = world.take(post, trace_id=trace_id, lag_s=plan.lag_s, ghost=plan.ghost)
            sim.note(f"Linq took {post.job_id[:6]} as {message.message_id[:6]}{' (ghost)' if plan.ghost else ''}")
            if not message.ghost:
                self.auditor.on_taken(post, message)
            self._go_on(message)
        post.open = False
        if plan.answer is None:
            result.append((202, _accepted(message), headers) if message else (500, _envelope(500, 3001), headers))
            return
        status, code = plan.answer
        if status == 429:
            headers["retry-after"] = str(sim.random.choice((1, 5, 40, 90)))
        if code is None:
            result.append((status, "<html>bad gateway</html>" if status != 202 else "{}", {}))
            return
        result.append((status, _envelope(status, code), headers))

    def _refusal(self, post: Post) -> tuple[int, int] | None:
        if post.chat_id in self.world.opted_out:
            return 403, 2024
        recent = [m for m in self.world.by_chat[post.chat_id] if m.at > self.sim.now() - 60]
        return (429, 1007) if len(recent) >= PACE else None

    def _go_on(self, message: Message) -> None:
        """What becomes of a message, and what is said about it."""
        sim = self.sim
        if message.ghost:
            self._later(message, "failed", sim.random.uniform(0, 150), with_ids=sim.chance(0.5))
            return
        self._later(message, "sent", sim.random.uniform(0, 3))
        fate = sim.random.random()
        if fate < 0.07:
            self._later(message, "failed", sim.random.uniform(1, 60), with_ids=sim.chance(0.6))
            if fate < 0.03:
                self._later(message, "delivered", sim.random.uniform(60, 120))
        elif fate < 0.9:
            self._later(message, "delivered", sim.random.uniform(0.5, 30))

    def _later(self, message: Message, status: str, after_s: float, **extra: object) -> None:
        def change() -> None:
            message.status = status
            if status == "failed":
                self.world.failed_once.add(message.message_id)
            self.on_event(message, status, extra)

        self.sim.spawn(self.process, f"message {status}", change, after_s=after_s)

    def _trace(self, request: httpx.Request, event: str, info: dict[str, object]) -> None:
        watch = request.extensions.get("trace")
        if watch:
            watch(event, info)

    # -------------------------------------------------------------------------------------------------------- GET

    def get(self, request: httpx.Request) -> httpx.Response:
        """A list of messages, or one message."""
        sim = self.sim
        sim.pause(f"asks Linq for {request.url.path.split('/')[-1][:8]}")
        if sim.chance(self.world.weather.linq_list_away):
            if sim.chance(0.5):
                raise httpx.ReadTimeout("away", request=request)
            return httpx.Response(503, content="busy", request=request)
        parts = request.url.path.strip("/").split("/")
        if parts[-1] == "messages":
            body = self._list(parts[-2], request.url.params.get("cursor"))
        elif parts[-2] == "chats":
            body = self._chat(parts[-1])
        else:
            body = self._one(parts[-1])
        sim.pause("reads Linq's answer")
        if body is None:
            return httpx.Response(404, json=_envelope(404, 2002), request=request)
        return httpx.Response(200, json=body, request=request)

    def _list(self, chat_id: str, cursor: str | None) -> dict[str, object]:
        """In an order that means nothing, and that does not change."""
        shown = [m for m in self.world.by_chat[chat_id] if m.shown_at <= self.sim.now()]
        shown.sort(key=_place)
        rest = [m for m in shown if cursor is None or _place(m) > cursor]
        page = rest[: self._page]
        return {
            "messages": [_row(m) for m in page],
            "next_cursor": _place(page[-1]) if len(rest) > len(page) else None,
        }

    def _chat(self, chat_id: str) -> dict[str, object]:
        health = "OPTED_OUT" if chat_id in self.world.opted_out else "HEALTHY"
        line = {"handle": LINE, "is_me": True}
        return {"id": chat_id, "is_group": False, "handles": [line], "health_status": {"status": health}}

    def _one(self, message_id: str) -> dict[str, object] | None:
        message = self.world.messages.get(message_id)
        return _row(message) if message else None


class Transport(httpx.BaseTransport):
    """httpx's way to the service; one for each client."""

    def __init__(self, linq: Linq) -> None:
        self._linq = linq

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._linq.post(request) if request.method == "POST" else self._linq.get(request)


def iso(at: float) -> str:
    """A time as Linq writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def _place(message: Message) -> str:
    return hashlib.sha256(message.message_id.encode()).hexdigest()


def _row(message: Message) -> dict[str, object]:
    return {
        "id": message.message_id,
        "chat_id": message.chat_id,
        "created_at": iso(message.at),
        "updated_at": iso(message.at),
        "delivery_status": message.status,
        "is_from_me": True,
        "parts": [{"type": "media", "id": f"a-{message.message_id}", "filename": message.file_name}],
    }


def _accepted(message: Message) -> dict[str, object]:
    memo = {"id": f"a-{message.message_id}", "filename": message.file_name, "mime_type": "audio/x-m4a"}
    return {
        "voice_memo": {
            "id": message.message_id,
            "status": "queued",
            "created_at": iso(message.at),
            "voice_memo": memo,
        }
    }


def _message_id(body: object) -> str | None:
    memo: Any = body.get("voice_memo") if isinstance(body, dict) else None
    return memo["id"] if memo else None


def _envelope(status: int, code: int) -> dict[str, object]:
    return {"success": False, "error": {"status": status, "code": code, "message": "simulated"}}
