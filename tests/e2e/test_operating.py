"""A stack as it is operated: its metrics, its logs and its traces, of one run with secrets planted everywhere."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.embedded import Embedded, memoline, start, stop
from tests.support.local_stack import s3_client
from tests.support.recordings import make_wav
from tests.support.waiting import eventually

PHONE = "+4915112345678"
OURS = ("audio", "send", "watch", "sweep", "serve")


@dataclass
class Collector:
    """Takes spans by OTLP over HTTP."""

    spans: list[Any] = field(default_factory=list)

    def of(self, trace_id: str) -> dict[str, list[Any]]:
        """Spans of one trace, by name: a hint that comes twice makes two of one name."""
        found: dict[str, list[Any]] = {}
        for span in list(self.spans):
            if span.trace_id.hex() == trace_id:
                found.setdefault(span.name, []).append(span)
        return found


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    """A collector, and its address."""
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            kept.spans += [s for r in said.resource_spans for scope in r.scope_spans for s in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kept, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: tuple[Collector, str]) -> Iterator[Embedded]:
    """A stack that logs JSON at the finest level and exports traces."""
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector[1], "OTEL_BSP_SCHEDULE_DELAY": "200"}
    asked |= {"MEMOLINE_LOG_FORMAT": "json", "MEMOLINE_LOG_LEVEL": "debug"}
    # However busy the machine is, an answer is waited for and a lease kept.
    asked |= {"MEMOLINE_SEND_TIMEOUT_S": "60", "MEMOLINE_AUDIO_LEASE_S": "60"}
    running = start(tmp_path_factory.mktemp("operated") / "home", **asked)
    yield running
    stop(running)


def metrics(stack: Embedded) -> dict[tuple[str, str], float]:
    """The samples of one scrape: (name, the labels' values) to value."""
    url = f"http://{stack.env['MEMOLINE_HTTP_HOST']}:{stack.env['MEMOLINE_HTTP_PORT']}/metrics"
    families = text_string_to_metric_families(httpx.get(url, trust_env=False, timeout=20).text)
    return {(s.name, ",".join(s.labels.values())): s.value for family in families for s in family.samples}


def sent(stack: Embedded, folder: Path) -> Mapping[str, Any]:
    """A job that went all the way."""
    recording = make_wav(folder / f"call from {PHONE}.wav", duration_s=2)
    job_id = stack.run("send", str(recording), "--chat", str(uuid4())).row["job_id"]
    assert stack.ended(job_id)["state"] == "DELIVERED"
    return stack.show(job_id)


def test_one_scrape_shows_what_all_processes_did(stack: Embedded, tmp_path: Path) -> None:
    """All families with their labels at 0 before anything happened; then each step of a job that two workers made."""
    before = metrics(stack)
    assert before["memoline_sends_total", "probably-not-sent"] == 0
    assert before["memoline_step_seconds_count", "encode"] == before["memoline_step_seconds_count", "send"] == 0
    assert before["memoline_queue_length", "inbox-dead"] == before["memoline_queue_length", "audio"] == 0
    assert {name: before["memoline_processes", name] for name in OURS} == dict.fromkeys(OURS, 1)
    assert {before["memoline_part_up", part] for part in ("ledger", "broker", "inbox-queue")} == {1}
    sent(stack, tmp_path)
    rejected = tmp_path / "no sound.wav"
    rejected.write_text("nothing")
    job_id = stack.run("send", str(rejected), "--chat", str(uuid4())).row["job_id"]
    assert stack.ended(job_id)["state"] == "REJECTED"
    after = metrics(stack)
    assert after["memoline_jobs", "DELIVERED"] >= 1
    assert after["memoline_sends_total", "accepted"] - before["memoline_sends_total", "accepted"] == 1
    assert after["memoline_moves_total", "REJECTED"] - before["memoline_moves_total", "REJECTED"] == 1
    assert after["memoline_step_seconds_count", "wait-for-audio"] == 2
    for step in ("prepare", "wait-to-send", "send", "deliver", "fetch", "encode", "store"):
        assert after["memoline_step_seconds_count", step] == 1, step
    assert after["memoline_step_seconds_sum", "encode"] <= after["memoline_step_seconds_sum", "prepare"]
    assert after["memoline_encode_speed_ratio_sum", ""] > 0.1
    assert after["memoline_bytes_total", "memos"] > 5_000
    assert after["memoline_webhook_lag_seconds_count", ""] >= 1


def test_a_429_is_counted(stack: Embedded, tmp_path: Path) -> None:
    """As an outcome to wait after, and as one of Linq's limits."""
    chat = str(uuid4())
    stack.inject("rate-limited", chat, count=1, seconds=1)
    before = metrics(stack)
    recording = make_wav(tmp_path / "a.wav", duration_s=1)
    job_id = stack.run("send", str(recording), "--chat", chat).row["job_id"]
    assert stack.ended(job_id)["state"] == "DELIVERED"
    after = metrics(stack)
    assert after["memoline_rate_limited_total", ""] - before["memoline_rate_limited_total", ""] == 1
    assert after["memoline_sends_total", "wait"] - before["memoline_sends_total", "wait"] == 1


def test_a_trace_follows_a_job_over_both_workers(
    stack: Embedded, collector: tuple[Collector, str], tmp_path: Path
) -> None:
    """One trace with the job's id: registered by the watcher, prepared and sent by the workers, all below one span."""
    chat, key = str(uuid4()), f"note-{uuid4().hex}.wav"
    settings = _settings(stack)
    recording = make_wav(tmp_path / "a.wav", duration_s=1)
    s3_client(settings).upload_file(str(recording), settings.inbox_bucket, f"{chat}/{key}")
    rows = eventually(lambda: [r for r in stack.run("jobs").rows if r["chat_id"] == chat], "the job is there")
    job_id = rows[0]["job_id"]
    stack.ended(job_id)
    wanted = {"register", "prepare", "fetch", "encode", "store", "check", "deliver", "intent", "post"}
    spans = eventually(lambda: _all(collector[0].of(job_id), wanted), f"{wanted} of {job_id} were exported")
    assert [span.parent_span_id for span in spans["register"]] == [b""]
    for parent, names in (("register", ("prepare", "deliver")), ("prepare", ("fetch", "encode", "store", "check"))):
        above = {span.span_id for span in spans[parent]}
        for name in names:
            assert {span.parent_span_id for span in spans[name]} <= above, name
    assert len(spans["post"]) == 1
    facts = {one.key: one.value.string_value for one in spans["post"][0].attributes}
    assert facts["memoline.outcome"] == "accepted"
    assert PHONE not in str(collector[0].spans)


def _all(spans: dict[str, list[Any]], wanted: set[str]) -> dict[str, list[Any]] | None:
    return spans if wanted <= spans.keys() else None


def _settings(stack: Embedded) -> Any:
    from pipeline.settings import load_settings

    return load_settings({"MEMOLINE_HOME": str(stack.home)}, folder=stack.home / "run")


def test_the_logs_are_json_about_the_job_and_have_nothing_private(stack: Embedded, tmp_path: Path) -> None:
    """A real run at the finest level: every line of ours is JSON, those of both workers name the job and its trace; no
    secret that the stack knows, no telephone number (of a file's name, of a line) and no query of a URL is in any."""
    job = sent(stack, tmp_path)
    memoline(stack.home, "send", "s3://nowhere/x", "--chat", str(uuid4()))
    lines = {name: (stack.home / "log" / f"{name}.log").read_text().splitlines() for name in OURS}
    parsed = [json.loads(line) for name in OURS for line in lines[name]]
    assert all({"timestamp", "level", "event"} <= line.keys() for line in parsed)
    about = [line for line in parsed if line.get("job_id") == job["job_id"]]
    assert {line["action"] for line in about if line["event"] == "step.done"} == {"prepare", "deliver"}
    assert all(line["trace_id"] == line["job_id"] for line in parsed if "job_id" in line)
    unnamed = [line for line in parsed if job["job_id"] in json.dumps(line) and "job_id" not in line]
    assert unnamed == []
    text = "\n".join("\n".join(some) for some in lines.values())
    secrets = json.loads((stack.home / "secrets.json").read_text())
    for name, secret in secrets.items():
        assert not isinstance(secret, str) or len(secret) < 6 or secret not in text, name
    assert not re.findall(r"(?:\+|%2B)\d{7,}", text)
    assert not re.findall(r"https?://[^\s\"]+\?\S+", text)


def test_doctor_finds_a_whole_stack_well_and_leaves_nothing(stack: Embedded) -> None:
    """Every part is tried, exit 0, and no trial object stays in the bucket."""
    settings = _settings(stack)
    before = _keys(settings)
    ran = stack.run("doctor")
    assert {row["part"]: row["level"] for row in ran.rows if row["level"] == "fail"} == {}
    assert ran.status == 0
    told = {row["part"]: row["message"] for row in ran.rows}
    assert "synchronous=FULL" in told["ledger"] and "makes memos" in told["ffmpeg"]
    assert "condition" in told["s3"] and "without a redirect" in told["cdn"] and "tells its queue" in told["inbox"]
    assert "1 line well" in told["linq"]
    assert {key for key in _keys(settings) - before if "doctor" in key} == set()


def test_doctor_finds_an_inbox_that_tells_nobody(stack: Embedded) -> None:
    """The wiring is looked at, not believed."""
    settings = _settings(stack)
    s3 = s3_client(settings)
    wired = s3.get_bucket_notification_configuration(Bucket=settings.inbox_bucket)
    wired.pop("ResponseMetadata")
    s3.put_bucket_notification_configuration(Bucket=settings.inbox_bucket, NotificationConfiguration={})
    try:
        ran = stack.run("doctor")
    finally:
        s3.put_bucket_notification_configuration(Bucket=settings.inbox_bucket, NotificationConfiguration=wired)
    found = {row["part"]: row for row in ran.rows}
    assert (ran.status, found["inbox"]["level"]) == (4, "fail")
    assert "tells nobody" in found["inbox"]["message"]


def _keys(settings: Any) -> set[str]:
    found = s3_client(settings).list_objects_v2(Bucket=settings.bucket)
    return {one["Key"] for one in found.get("Contents", [])}
