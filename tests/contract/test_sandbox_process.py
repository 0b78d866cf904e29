"""The sandbox as a process of its own: how it starts, stops, and what it still knows after it was killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from infra.local.sandbox.companions import MemoServer, WebhookReceiver
from infra.local.sandbox.pytest_plugin import LinqSandbox

pytest_plugins = ("infra.local.sandbox.pytest_plugin",)

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """One `python -m infra.local.sandbox` that has said it is ready."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "infra.local.sandbox", "--api-key-env", "KEY", *options]
        self.out = folder / f"{uuid.uuid4()}.out"
        with self.out.open("wb") as out:
            environment = {**os.environ, "KEY": "k"}
            self.child = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=ROOT)

    def sandbox(self, http: httpx.Client) -> LinqSandbox:
        """The running sandbox. Raises TimeoutError with what it printed."""
        deadline = time.monotonic() + 20
        while not (said := self.out.read_text()).endswith("\n"):
            if time.monotonic() > deadline or self.child.poll() is not None:
                raise TimeoutError(f"The sandbox did not start: {said}")
            time.sleep(0.02)
        return LinqSandbox(base_url=said.strip(), api_key="k", http=http)

    def end(self, number: signal.Signals) -> int:
        """The exit status after this signal."""
        self.child.send_signal(number)
        return self.child.wait(10)


@contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[Process, LinqSandbox]]:
    """A sandbox process, ended with the block if it has not ended before."""
    process = Process(folder, *options)
    try:
        with httpx.Client(trust_env=False, timeout=60) as http:
            yield process, process.sandbox(http)
    finally:
        if process.child.poll() is None:
            process.end(signal.SIGKILL)


def test_kill_9_loses_nothing_that_was_answered(
    tmp_path: Path, linq_memos: MemoServer, linq_sandbox_ca: Path, linq_webhooks: WebhookReceiver
) -> None:
    """Messages, counts and subscriptions are there after a restart, and webhooks that were due go out then."""
    options = ("--data-dir", str(tmp_path / "data"), "--ca-bundle", str(linq_sandbox_ca), "--webhook-retry-s", "0.05")
    chat_id = str(uuid.uuid4())
    with started(tmp_path, *options, "--delivery-delay-s", "60") as (process, sandbox):
        client = sandbox.client()
        made = client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=["message.sent"])
        memo = client.chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host()).voice_memo
        sandbox.inject("message-failed", chat_id=chat_id)
        sandbox.inject("answer-lost", chat_id=chat_id)
        with pytest.raises(Exception, match="Connection"):
            client.chats.send_voicememo(chat_id, voice_memo_url=linq_memos.host())
        process.end(signal.SIGKILL)
    with started(tmp_path, *options) as (process, sandbox):
        client = sandbox.client()
        listed = {message.id for message in client.chats.messages.list(chat_id)}
        assert memo.id in listed and len(listed) == 2
        assert sandbox.post_count(chat_id) == 2
        assert [subscription.id for subscription in client.webhook_subscriptions.list().subscriptions] == [made.id]
        assert client.messages.retrieve(memo.id).delivery_status == "queued"


def test_webhooks_outlive_the_process(
    tmp_path: Path, linq_memos: MemoServer, linq_sandbox_ca: Path, linq_webhooks: WebhookReceiver
) -> None:
    """A webhook that was refused with 503 is tried again by the next process, with the same id."""
    options = ("--data-dir", str(tmp_path / "data"), "--ca-bundle", str(linq_sandbox_ca), "--delivery-delay-s", "0.02")
    linq_webhooks.statuses.append(503)
    with started(tmp_path, *options, "--webhook-retry-s", "1") as (process, sandbox):
        client = sandbox.client()
        client.webhook_subscriptions.create(target_url=linq_webhooks.url, subscribed_events=["message.sent"])
        client.chats.send_voicememo(str(uuid.uuid4()), voice_memo_url=linq_memos.host())
        linq_webhooks.wait_for(1)
        process.end(signal.SIGKILL)
    with started(tmp_path, *options):
        first, again = linq_webhooks.wait_for(2)
    assert first.headers["webhook-id"] == again.headers["webhook-id"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT are the ordinary end: status 0, quickly, and the port is free again."""
    with started(tmp_path) as (process, sandbox):
        assert sandbox.http.get(f"{sandbox.base_url}/healthz").status_code == 200
        port = int(sandbox.base_url.rpartition(":")[2])
        assert process.end(number) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    """Exit 4 and a sentence that names the port, without a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = Process(tmp_path, "--port", str(port))
        assert process.child.wait(20) == 4
    said = process.out.read_text()
    assert str(port) in said and said.count("\n") == 1 and "Traceback" not in said
