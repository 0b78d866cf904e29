"""Callbacks to a real receiver: signed, repeated, bounded, and to no address that may not be told."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from sqlalchemy import update
from standardwebhooks import Webhook

from pipeline.ledger.callbacks import CallbackBook
from pipeline.ledger.door_tables import callbacks
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Job, State
from pipeline.sending import callback as sending
from pipeline.sending.callback import tell
from pipeline.settings import Settings
from tests.support.embedded import ROOT
from tests.support.ledger import add, bring
from tests.support.receiver import Receiver, receiving, respond
from tests.support.waiting import eventually
from workers.callbacks import AT_ONCE_EACH, make_tellers, secrets_of
from workers.clock import SteadyClock
from workers.wiring import open_ledger

CONTEXT = ssl.create_default_context()
SECRETS = "whsec_c2VjcmV0LW9uZQ==,whsec_c2VjcmV0LXR3bw=="


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, callback_allow_private=True, callback_secret=SECRETS)  # type: ignore[arg-type]


@pytest.fixture
def ledger(settings: Settings) -> SqlLedger:
    return open_ledger(settings)


@contextmanager
def telling(settings: Settings, ledger: SqlLedger) -> Iterator[None]:
    """The tellers of `memoline sweep`, in a thread."""
    stopped = threading.Event()
    thread = threading.Thread(target=make_tellers(settings, ledger, SteadyClock()).run, args=(stopped,))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(30)


def sent(ledger: SqlLedger, name: str, url: str, to: State = State.DELIVERED) -> Job:
    return bring(ledger, add(ledger, name, callback_url=url), to)


def let_time_pass(ledger: SqlLedger) -> None:
    """Whatever waits for its next attempt is due now."""
    with ledger.database.write() as connection:
        connection.execute(update(callbacks).where(callbacks.c.done_at == 0).values(next_at=0))


def closed(ledger: SqlLedger, job: Job) -> Callable[[], bool]:
    return lambda: all(one.done_at for one in CallbackBook(ledger.database).of_job(job.job_id))


def test_each_move_is_told_once_in_order_and_signed_by_each_secret(
    settings: Settings, ledger: SqlLedger, receiver: Receiver
) -> None:
    """Any library of Standard Webhooks verifies it, by the old secret as by the new one."""
    job = sent(ledger, "a", receiver.url)
    with telling(settings, ledger):
        eventually(closed(ledger, job), "all is told")
    bodies = [json.loads(body) for body in receiver.bodies]
    assert [body["type"] for body in bodies] == ["memo.sent", "memo.delivered"]
    assert [body["data"]["state"] for body in bodies] == ["SENT", "DELIVERED"]
    assert {body["data"]["job_id"] for body in bodies} == {job.job_id}
    for secret in secrets_of(settings, b""):
        for body, headers in zip(receiver.bodies, receiver.headers, strict=True):
            Webhook(secret).verify(body, headers)


def test_without_a_setting_the_secret_is_the_installs(tmp_path: Path, receiver: Receiver) -> None:
    """Every process makes the same one of it."""
    settings = Settings(home=tmp_path, callback_allow_private=True)
    ledger = open_ledger(settings)
    job = sent(ledger, "a", receiver.url, State.SENT)
    with telling(settings, ledger):
        eventually(closed(ledger, job), "it is told")
    (secret,) = secrets_of(settings, ledger.install_secret())
    Webhook(secret).verify(receiver.bodies[0], receiver.headers[0])


def test_what_is_not_taken_comes_again_under_its_name(
    settings: Settings, ledger: SqlLedger, receiver: Receiver
) -> None:
    """A 500, a redirect, then 200: three requests with one id, nobody followed the redirect, and `show` can tell."""
    answers = [(500, {}), (302, {"Location": receiver.url}), (200, {})]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        status, headers = answers[len(receiver.bodies) - 1]
        respond(handler, status, **headers)

    receiver.answer = answer
    job = sent(ledger, "a", receiver.url, State.SENT)
    book = CallbackBook(ledger.database)
    with telling(settings, ledger):
        for status in (500, 302):
            eventually(lambda: book.of_job(job.job_id)[0].outcome == f"answered {status}", f"{status} is noted")  # noqa: B023
            let_time_pass(ledger)
        eventually(closed(ledger, job), "it is told")
    assert receiver.ids() == [f"{job.job_id}.{job.rev}"] * 3
    assert (book.of_job(job.job_id)[0].attempts, book.of_job(job.job_id)[0].outcome) == (3, "answered 200")


def test_a_receiver_that_is_gone_is_left_alone(settings: Settings, ledger: SqlLedger, receiver: Receiver) -> None:
    """410 says that nobody wants it any more."""
    receiver.answer = lambda handler: respond(handler, 410)
    job = sent(ledger, "a", receiver.url, State.SENT)
    with telling(settings, ledger):
        eventually(closed(ledger, job), "it is given up")
    assert CallbackBook(ledger.database).of_job(job.job_id)[0].outcome == "given up: answered 410"


def test_a_slow_receiver_keeps_no_other_waiting(settings: Settings, ledger: SqlLedger, receiver: Receiver) -> None:
    """Many callbacks to one that does not answer, then one to another: the other one is told meanwhile."""
    go = threading.Event()
    with receiving() as slow:

        def answer(handler: BaseHTTPRequestHandler) -> None:
            go.wait(30)
            respond(handler, 204)

        slow.answer = answer
        for number in range(50):
            sent(ledger, f"slow{number}", slow.url, State.SENT)
        job = sent(ledger, "quick", receiver.url, State.SENT)
        with telling(settings, ledger):
            eventually(closed(ledger, job), "the other one is told")
            assert len(slow.bodies) <= AT_ONCE_EACH
            go.set()
            eventually(lambda: len(slow.bodies) == 50, "all are told")
    assert len(set(slow.ids())) == 50


def test_no_address_of_this_machine_is_told_unless_allowed(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by number nor by a name that means it, at whichever lookup."""
    port = receiver.url.rsplit(":", 1)[1].removesuffix("/hook")
    assert tell(receiver.url, b"{}", {}, allow_private=False, context=CONTEXT).outcome.startswith("refused")
    asked: list[str] = []

    def lookup(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        shown = "127.0.0.1" if len(asked) > 1 else "192.0.2.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (shown, port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    for _ in range(2):
        told = tell(f"https://rebind.example:{port}/", b"{}", {}, allow_private=False, context=CONTEXT)
        assert told.outcome == "refused: rebind.example means no address that may be told"
    assert asked == ["rebind.example"] * 2
    assert not receiver.bodies


def test_the_name_is_not_looked_up_again_after_it_was_judged(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means the receiver at first and another address later: the one that was judged is spoken to."""
    asked: list[str] = []
    port = int(receiver.url.rsplit(":", 1)[1].removesuffix("/hook"))

    def lookup(host: str, _port: int, **_: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port if len(asked) == 1 else 1))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    told = tell(f"http://rebind.example:{port}/hook", b"{}", {}, allow_private=True, context=CONTEXT)
    assert (told.taken, asked) == (True, ["rebind.example"])
    assert receiver.headers[0]["host"] == f"rebind.example:{port}"


def test_an_answer_without_end_is_cut_off(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header after header, each within the time-out of a read: the deadline of the whole counts."""
    monkeypatch.setattr(sending, "DEADLINE_S", 0.5)
    stop = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.02):
            try:
                handler.wfile.write(b"X: y\r\n"[:1])
            except OSError:
                return

    receiver.answer = drip
    try:
        told = tell(receiver.url, b"{}", {}, allow_private=True, context=CONTEXT)
    finally:
        stop.set()
    assert not told.taken
    assert told.outcome.startswith("no answer")


def test_proxies_of_the_environment_see_nothing(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect to whatever address it likes."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert tell(receiver.url, b"{}", {}, allow_private=True, context=CONTEXT).taken


def test_a_killed_sweeper_leaves_it_to_the_next_one(tmp_path: Path, receiver: Receiver) -> None:
    """Killed while the receiver had the callback and had not answered: it comes again, with the same id."""
    env = {"MEMOLINE_CALLBACK_ALLOW_PRIVATE": "true", "MEMOLINE_BROKER_URL": "redis://127.0.0.1:1/0"}
    env |= {"MEMOLINE_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    ledger = open_ledger(Settings(home=tmp_path / "home"))
    go = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if len(receiver.bodies) == 1:
            go.wait(60)
        respond(handler, 204)

    receiver.answer = answer
    job = sent(ledger, "a", receiver.url, State.SENT)
    command = [sys.executable, "-m", "workers", "sweep"]
    with (tmp_path / "log").open("w") as log:
        options = {"env": os.environ | env, "stdout": log, "stderr": log}
        first = subprocess.Popen(command, **options)  # type: ignore[call-overload]
        eventually(lambda: receiver.bodies, "the receiver has it")
        first.kill()
        first.wait()
        let_time_pass(ledger)
        second = subprocess.Popen(command, **options)  # type: ignore[call-overload]
        try:
            eventually(closed(ledger, job), "it is told")
        finally:
            go.set()
            second.send_signal(signal.SIGTERM)
            assert second.wait(30) == 0
    assert receiver.ids() == [f"{job.job_id}.{job.rev}"] * 2
    assert receiver.bodies[0] == receiver.bodies[1]
