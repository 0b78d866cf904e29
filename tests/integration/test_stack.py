"""`up`, `down` and what lies between, with the parts that need no Celery: real processes, real kills."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from infra.local import stack
from infra.local.processes import identify, members
from infra.local.status import read_report
from pipeline.errors import Misuse, PartUnreachable
from pipeline.settings import Settings, load_settings
from tests.support.local_stack import part, running_stack, s3_client, sqs_client
from tests.support.signals import HEEDS_INTERRUPTS
from tests.support.waiting import eventually

PARTS = ("broker", "s3", "cdn", "linq")
ONLY = frozenset(PARTS)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose stack is ended whatever happens."""
    yield tmp_path / "home"
    stack.down(tmp_path / "home")


def pids(home: Path) -> dict[str, int]:
    """Main process by name, of what runs."""
    return {status.name: status.pid for status in stack.status(home) if status.pid is not None}


def ports(home: Path) -> dict[str, int]:
    """Port by name."""
    return {status.name: urlsplit(status.url).port or 0 for status in stack.status(home) if status.url}


def listens(port: int) -> bool:
    """Whether anybody does on this port of the machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def started_with(home: Path) -> list[int]:
    """Every process of the machine whose environment or arguments name this home."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            where = str((entry / "cwd").readlink())
        except OSError:
            continue
        if str(home).encode() in told or where.startswith(str(home)):
            found.append(int(entry.name))
    return found


def test_up_starts_and_down_leaves_nothing(home: Path) -> None:
    """All parts run, each in a session of its own; after `down` there is neither a process nor a port, and a second
    `down` has nothing to do."""
    told: list[str] = []
    result = stack.up({}, home, on_progress=told.append, only=ONLY)
    assert result.started
    assert {status.name for status in result.parts if status.state == "running"} == {"supervisor", *PARTS}
    assert sorted(line.split()[0] for line in told) == sorted(PARTS)
    running, served = pids(home), ports(home)
    assert set(running) == {"supervisor", *PARTS}
    assert all(running[name] in members(running[name]) for name in PARTS)
    assert all(listens(port) for port in served.values())
    assert set(running.values()) <= set(started_with(home))
    assert stack.down(home)
    assert started_with(home) == []
    assert not any(identify(pid) for pid in running.values())
    assert not any(listens(port) for port in served.values())
    assert {status.state for status in stack.status(home)} == {"stopped"}
    assert not stack.down(home)


def test_up_twice_changes_nothing(home: Path) -> None:
    """The second `up` finds all healthy and keeps every process."""
    stack.up({}, home, only=ONLY)
    before = pids(home)
    assert not stack.up({}, home, only=ONLY).started
    assert pids(home) == before


def test_two_at_once_start_one_stack(home: Path) -> None:
    """Of two `up` at the same time one starts the stack and both return when it is healthy."""
    results: list[stack.StackStatus] = []
    threads = [
        threading.Thread(target=lambda: results.append(stack.up({}, home, only=frozenset({"broker"}))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(result.started for result in results) == [False, True]
    assert len({result.parts for result in results}) == 1


def test_what_was_stored_is_there_after_a_restart(home: Path) -> None:
    """Objects, their metadata, ports, keys, token and signing secret outlive `down`, and so do URLs."""
    with running_stack(home, *PARTS) as before:
        s3_client(before).put_object(Bucket=before.bucket, Key="m/kept.m4a", Body=b"kept", ContentType="audio/mp4")
    with running_stack(home, *PARTS) as after:
        assert after.as_environment() == before.as_environment()
        answer = httpx.get(f"{after.cdn_url}/m/kept.m4a", verify=str(after.ca_bundle), trust_env=False)
        assert (answer.content, answer.headers["content-type"]) == (b"kept", "audio/mp4")


def test_a_killed_part_is_started_again(home: Path) -> None:
    """Each part, killed, is back under another process id and the same URL, and the others were left alone."""
    with running_stack(home, *PARTS) as settings:
        s3_client(settings).put_object(Bucket=settings.bucket, Key="m/a.m4a", Body=b"a", ContentType="audio/mp4")
        first, urls = pids(home), ports(home)
        for name in PARTS:
            os.kill(first[name], signal.SIGKILL)
            eventually(lambda name=name: _again(home, name, first[name]), f"{name} runs again")
        assert ports(home) == urls
        assert len({*first.values(), *pids(home).values()}) == len(first) + len(PARTS)
        answer = httpx.get(f"{settings.cdn_url}/m/a.m4a", verify=str(settings.ca_bundle), trust_env=False)
        assert (answer.content, answer.headers["content-type"]) == (b"a", "audio/mp4")


def _again(home: Path, name: str, old_pid: int) -> bool:
    status = part(home, name)
    return status.state == "running" and status.pid != old_pid


def test_parts_end_with_a_killed_supervisor_and_the_next_up_is_clean(home: Path) -> None:
    """kill -9 of the supervisor ends every part by itself; `status` says so, and `up` starts a whole new stack."""
    stack.up({}, home, only=ONLY)
    before, served = pids(home), ports(home)
    os.kill(before["supervisor"], signal.SIGKILL)
    eventually(lambda: not any(identify(pid) for pid in before.values()), "all parts have ended", deadline_s=10)
    assert {status.state for status in stack.status(home)} == {"stopped"}
    assert stack.up({}, home, only=ONLY).started
    assert ports(home) == served
    assert not set(pids(home).values()) & set(before.values())


def test_down_ends_what_a_dead_supervisor_left(home: Path) -> None:
    """A recorded process that outlived its supervisor is ended by `down`; one that took over a recorded number, but
    was born at another time, is not."""
    stack.up({}, home, only=frozenset({"broker"}))
    report = read_report(home)
    env = {**os.environ, "MEMOLINE_HOME": str(home)}
    ours = subprocess.Popen(["sleep", "600"], env=env, start_new_session=True)
    stranger = subprocess.Popen(["sleep", "600"], env=env, start_new_session=True)
    try:
        os.kill(pids(home)["supervisor"], signal.SIGKILL)
        eventually(lambda: not read_report(home).alive, "the supervisor is dead")
        recorded = (identify(ours.pid), replace(identify(stranger.pid) or report.recorded[0], birth="another"))
        _rewrite(home, [identity for identity in recorded if identity])
        assert stack.down(home)
        assert ours.wait(10) == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        for process in (ours, stranger):
            process.kill()
            process.wait()


def _rewrite(home: Path, recorded: list[object]) -> None:
    path = home / "run" / "status.json"
    raw = json.loads(path.read_text())
    raw["recorded"] = [{"pid": identity.pid, "birth": identity.birth} for identity in recorded]  # type: ignore[attr-defined]
    path.write_text(json.dumps(raw))


def test_two_stacks_live_side_by_side(home: Path, tmp_path: Path) -> None:
    """Two homes share neither port nor process nor object, and ending one leaves the other."""
    with running_stack(tmp_path / "other home", "broker", "s3") as other, running_stack(home, "broker", "s3") as one:
        assert not set(ports(home).values()) & set(ports(other.home).values())
        s3_client(one).put_object(Bucket=one.bucket, Key="m/one", Body=b"1")
        assert s3_client(other).list_objects_v2(Bucket=other.bucket)["KeyCount"] == 0
        stack.down(home)
        assert part(other.home, "broker").state == part(other.home, "s3").state == "running"


def test_up_returns_when_its_output_is_captured(home: Path) -> None:
    """No part holds a descriptor of the caller's: a shell's `out=$(… up)` returns while the stack goes on."""
    program = "from pathlib import Path; from infra.local import stack; import sys\n"
    program += "print(stack.up({}, Path(sys.argv[1]), only=frozenset({'broker', 's3'})).started)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(home)],
        capture_output=True, text=True, timeout=60, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout == "True\n"
    assert part(home, "s3").state == "running"


def test_the_settings_are_told_and_private(home: Path) -> None:
    """`environment` gives what every client needs, files with secrets are the owner's only, and without a stack it
    raises."""
    with running_stack(home, *PARTS):
        told = stack.environment(home, {})
        assert {"AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "MEMOLINE_API_TOKEN", "LINQ_WEBHOOK_SECRET"} <= set(told)
        assert stack.environment(home, told) == told
        for name in ("stack.env", "secrets.json", "tls/cdn.pem", "broker/valkey.conf", "log/broker.log"):
            assert (home / name).stat().st_mode & 0o077 == 0, name
        assert "@" not in str(stack.status(home))
    with pytest.raises(PartUnreachable) as raised:
        stack.environment(home, {})
    assert raised.value.code == "stack-not-running"


def test_after_eval_env_nothing_counts_as_outside(home: Path) -> None:
    """`eval "$(memoline env)"`, then `down` and `up`: the same parts are ours again."""
    with running_stack(home, *PARTS):
        told = stack.environment(home, {})
    stack.up(told, home, only=ONLY)
    assert set(pids(home)) == {"supervisor", *PARTS}


def test_a_dropped_recording_is_told_by_the_queue(home: Path) -> None:
    """The inbox bucket's events reach the queue, which keeps a message hidden for 60 s and gives up after 5 tries."""
    with running_stack(home, "s3") as settings:
        s3, sqs, url = s3_client(settings), sqs_client(settings), settings.inbox_queue_url
        s3.put_object(Bucket=settings.inbox_bucket, Key="chat/a b.ogg", Body=b"x")
        received: list[str] = []
        eventually(lambda: _receive(sqs, url, received) and any("ObjectCreated:Put" in m for m in received), "an event")
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert attributes["VisibilityTimeout"] == "60"
        assert json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] in (5, "5")


def _receive(sqs: object, url: str | None, into: list[str]) -> bool:
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)  # type: ignore[attr-defined]
    into.extend(message["Body"] for message in answer.get("Messages", []))
    return True


def test_the_sandbox_has_one_subscription_whatever_happens(home: Path) -> None:
    """Restarts keep the subscription and its secret; where the secret was lost, there is a new one, and still one."""
    with running_stack(home, "linq") as first:
        assert len(_subscriptions(first)) == 1
        assert first.webhook_secret is not None
    with running_stack(home, "linq") as second:
        assert second.webhook_secret == first.webhook_secret
    (home / "secrets.json").write_text(
        json.dumps({**json.loads((home / "secrets.json").read_text()), "webhook_secret": ""})
    )
    with running_stack(home, "linq") as third:
        assert third.webhook_secret != first.webhook_secret
        assert [one["target_url"] for one in _subscriptions(third)] == [
            f"http://127.0.0.1:{third.http_port}/webhooks/linq?version=2026-02-03"
        ]


def _subscriptions(settings: Settings) -> list[dict[str, str]]:
    headers = {"authorization": f"Bearer {settings.need('linq_api_key')}"}
    url = f"{settings.linq_base_url}/v3/webhook-subscriptions"
    found: list[dict[str, str]] = httpx.get(url, headers=headers, trust_env=False).json()["subscriptions"]
    return found


def test_an_outside_part_is_used_and_not_started(home: Path, tmp_path: Path) -> None:
    """A broker that was set is not started here and has no process id; its password is not shown."""
    with running_stack(tmp_path / "other", "broker") as other:
        assert other.broker_url is not None
        explicit = {"MEMOLINE_BROKER_URL": other.broker_url}
        with running_stack(home, "broker", "s3", explicit=explicit) as settings:
            shown = part(home, "broker")
            assert (shown.state, shown.pid) == ("outside", None)
            assert shown.url == part(other.home, "broker").url
            assert settings.broker_url == other.broker_url
            assert "MEMOLINE_BROKER_URL" not in (home / "stack.env").read_text()


def test_an_outside_linq_gets_no_subscription(home: Path, tmp_path: Path) -> None:
    """With another Linq, `up` only sees that it answers: the subscriptions there stay as they were."""
    with running_stack(tmp_path / "other", "linq") as other:
        before = _subscriptions(other)
        explicit = {"LINQ_API_V3_BASE_URL": str(other.linq_base_url), "LINQ_API_V3_API_KEY": "any"}
        with running_stack(home, "linq", "broker", explicit=explicit) as settings:
            assert part(home, "linq").state == "outside"
            assert settings.webhook_secret is None
        assert _subscriptions(other) == before


def test_an_outside_part_that_is_away_is_one_sentence(home: Path) -> None:
    """The part's own code, the address without its password, and nothing left running."""
    explicit = {"MEMOLINE_BROKER_URL": "redis://:hidden@127.0.0.1:9/0"}
    with pytest.raises(PartUnreachable) as raised:
        stack.up(explicit, home, only=ONLY)
    assert raised.value.code == "redis-unreachable"
    assert "hidden" not in raised.value.message
    eventually(lambda: started_with(home) == [], "nothing is left")


def test_a_demanded_port_in_use_is_one_sentence(home: Path) -> None:
    """MEMOLINE_HTTP_PORT taken by somebody else: `port-in-use`, exit 4, and nothing left running."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        with pytest.raises(PartUnreachable) as raised:
            stack.up({"MEMOLINE_HTTP_PORT": str(port)}, home, only=ONLY)
    assert (raised.value.code, raised.value.exit_status) == ("port-in-use", 4)
    assert str(port) in raised.value.message
    eventually(lambda: started_with(home) == [], "nothing is left")


def test_a_remembered_port_in_use_is_replaced(home: Path) -> None:
    """Nobody asked for that port, so another one is chosen and told."""
    with running_stack(home, "broker"):
        port = ports(home)["broker"]
    with socket.create_server(("127.0.0.1", port)), running_stack(home, "broker") as settings:
        assert ports(home)["broker"] != port
        assert urlsplit(settings.broker_url or "").port == ports(home)["broker"]


def test_a_broken_part_is_told_with_its_log_and_nothing_stays(home: Path, tmp_path: Path) -> None:
    """A part that dies at each start: `part-failed` with its last words and where to read more; the others end."""
    venv = tmp_path / "broken"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text("#!/bin/sh\necho out of luck today\nexit 1\n")
    (venv / "bin" / "python").chmod(0o755)
    with pytest.raises(PartUnreachable) as raised:
        stack.up({}, home, only=ONLY, ministack_venv=venv)
    error = raised.value
    assert (error.code, error.facts["part"], error.facts["last_line"]) == ("part-failed", "s3", "out of luck today")
    assert Path(str(error.facts["log"])).read_text().count("out of luck today") == 3
    eventually(lambda: started_with(home) == [], "nothing is left")


def test_a_missing_part_says_how_to_install_it(home: Path, tmp_path: Path) -> None:
    """Without ministack's environment: one sentence with the command that makes it."""
    with pytest.raises(PartUnreachable, match="make setup"):
        stack.up({}, home, only=ONLY, ministack_venv=tmp_path / "absent")


def test_a_home_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    """A file where the home should be: the setting is wrong, as for every other command."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Misuse) as raised:
        stack.up({}, tmp_path / "file" / "home", only=ONLY)
    assert raised.value.code == "home-unusable"


def test_a_bad_setting_stays_a_bad_setting(home: Path) -> None:
    """What the supervisor finds wrong with a setting reaches the caller as such."""
    with pytest.raises(Misuse) as raised:
        stack.up({"MEMOLINE_MAX_BYTES": "many"}, home, only=ONLY)
    assert (raised.value.code, raised.value.facts["setting"]) == ("bad-setting", "MEMOLINE_MAX_BYTES")


def test_the_callers_environment_does_not_bend_the_parts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Foreign keys, authorities, proxies and Celery variables of the caller reach no part."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "stray",
        "AWS_PROFILE": "stray",
        "LINQ_API_V3_API_KEY": "stray",
        "SSL_CERT_FILE": "/nowhere",
        "AWS_CA_BUNDLE": "/nowhere",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    stack.up({}, home, only=ONLY)
    for name in PARTS[1:]:
        environ = Path(f"/proc/{pids(home)[name]}/environ").read_bytes()
        assert b"stray" not in environ
        assert b"/nowhere" not in environ
    monkeypatch.undo()
    settings = load_settings({"MEMOLINE_HOME": str(home)}, folder=home / "run")
    s3_client(settings).put_object(Bucket=settings.bucket, Key="m/a.m4a", Body=b"a")
    assert httpx.get(f"{settings.cdn_url}/m/a.m4a", verify=str(settings.ca_bundle), trust_env=False).content == b"a"


def test_settings_that_a_running_stack_ignores_are_named(home: Path) -> None:
    """The second `up` says which settings it does not take over; those that it was started with are no difference."""
    explicit = {"MEMOLINE_HOME": str(home), "MEMOLINE_MAX_BYTES": "60000"}
    stack.up(explicit, home, only=frozenset({"broker"}))
    told: list[str] = []
    stack.up(explicit, home, on_progress=told.append, only=frozenset({"broker"}))
    assert not [line for line in told if "taken over" in line]
    own = stack.environment(home, explicit)
    stack.up({**own, "MEMOLINE_MAX_BYTES": "70000"}, home, on_progress=told.append, only=frozenset({"broker"}))
    assert [line.split(":")[0] for line in told if "taken over" in line] == ["MEMOLINE_MAX_BYTES"]


def test_a_host_that_is_not_ours_is_one_sentence(home: Path) -> None:
    """Told at once, and by the setting's name."""
    with pytest.raises(PartUnreachable) as caught:
        stack.up({"MEMOLINE_HTTP_HOST": "192.0.2.1"}, home, only=frozenset({"broker"}))
    assert caught.value.code == "port-unusable"
    assert "MEMOLINE_HTTP_HOST" in caught.value.message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_up_that_is_stopped_while_it_launches_leaves_nothing(home: Path, number: signal.Signals) -> None:
    """The home is taken, but there is no report yet: what was begun is ended all the same."""
    process = subprocess.Popen(
        [*HEEDS_INTERRUPTS, "-m", "workers", "up"],
        env={**os.environ, "MEMOLINE_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually((home / "run" / "supervisor.lock").exists, "the home is taken", every_s=0.001)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert started_with(home) == []
