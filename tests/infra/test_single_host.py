"""A single host as `docs/single-host.md` sets it up: our units, PostgreSQL and Redis, all real. Only what AWS and Linq
would be is of the embedded stack."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support import postgres
from tests.support.local_stack import s3_client
from tests.support.outside import Outside, outside_of_host
from tests.support.recordings import make_ogg
from tests.support.units import Service, command_as_unit, environment_of, read_unit
from tests.support.waiting import eventually

UNITS = Path(__file__).parents[2] / "infra" / "systemd"
UNITS_HERE = sorted(UNITS.glob("*.service"))
TOKEN = "a-token-for-tests"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(postgres.binaries() is None, reason="PostgreSQL is not installed"),
]


@dataclass(frozen=True, kw_only=True)
class Host:
    """What runs. services: by the last word of their command (`audio`, `send`, …)."""

    services: dict[str, Service]
    places: dict[str, str]
    outside: Outside
    http: httpx.Client

    def send(self, recording: Path, key: str, chat_id: str) -> httpx.Response:
        """A recording, by the HTTP door."""
        with recording.open("rb") as file:
            return self.http.post(
                "/v1/memos",
                headers={"Idempotency-Key": key},
                data={"chat_id": chat_id},
                files={"recording": (recording.name, file)},
            )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command as the services' user, with their settings."""
        unit = read_unit(UNITS / "memoline-serve.service")
        return subprocess.run(
            command_as_unit(unit, self.places, words),
            env=environment_of(unit, self.places),
            cwd=self.places["/var/lib/memoline"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that other users may pass through, which pytest's own ones are not."""
    made = Path(tempfile.mkdtemp(prefix="memoline-host-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def host(folder: Path) -> Iterator[Host]:
    """All five units started, and healthy, and subscribed at Linq as the page says."""
    port = postgres.free_port()
    with outside_of_host(folder) as outside:
        places = _places(folder, outside.env | {"MEMOLINE_API_TOKEN": TOKEN, "MEMOLINE_HTTP_PORT": str(port)})
        with _services(folder, places) as services, _client(port) as http:
            state = Path(places["/var/lib/memoline"])
            eventually(lambda: _ready(state, http), "all five are ready", deadline_s=90, every_s=0.3)
            host = Host(services=services, places=places, outside=outside, http=http)
            subscribed = host.run("webhooks", "create", "--url", f"http://127.0.0.1:{port}")
            assert subscribed.returncode == 0, subscribed
            yield host


def _client(port: int) -> httpx.Client:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=30)


def _places(folder: Path, env: dict[str, str]) -> dict[str, str]:
    """What stands where the units look, and where that is here."""
    state, settings = folder / "state", folder / "memoline.env"
    state.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(state, "nobody")
    settings.write_text("".join(f"{name}={value}\n" for name, value in env.items()))
    return {
        "/opt/memoline/bin/memoline": str(Path(sys.executable).parent / "memoline"),
        "/etc/memoline/memoline.env": str(settings),
        "/var/lib/memoline": str(state),
    }


@contextmanager
def _services(folder: Path, places: dict[str, str]) -> Iterator[dict[str, Service]]:
    services: dict[str, Service] = {}
    try:
        for path in UNITS_HERE:
            unit = read_unit(path)
            services[unit.command[-1]] = Service(unit, places, log=folder / f"{unit.name}.log")
        yield services
    finally:
        with ThreadPoolExecutor(len(UNITS_HERE)) as stopping:
            statuses = dict(zip(services, stopping.map(Service.stop, services.values()), strict=True))
    assert set(statuses.values()) == {0}, statuses


def _ready(state: Path, http: httpx.Client) -> bool:
    try:
        answer = http.get("/readyz")
    except httpx.TransportError:
        return False
    ready = {path.stem for path in (state / "run").glob("*.ready")}
    return answer.status_code == 200 and ready >= {"audio", "send", "watch", "sweep", "serve"}


def _delivered(host: Host, job_id: str) -> bool:
    job = host.http.get(f"/v1/memos/{job_id}").json()
    assert job["state"] not in {"FAILED", "REJECTED", "HELD"}, str(job)
    return bool(job["state"] == "DELIVERED")


def test_a_dropped_and_an_uploaded_recording_arrive(host: Host, tmp_path: Path) -> None:
    """Two doors, five services that may do nothing but their work, PostgreSQL and Redis."""
    chats = [str(uuid.uuid4()), str(uuid.uuid4())]
    recording = make_ogg(tmp_path / "note.ogg")
    s3_client(host.outside.cloud).upload_file(
        str(recording), host.outside.cloud.need("inbox_bucket"), f"{chats[0]}/dropped/{recording.name}"
    )
    job_id = host.send(recording, "by-http", chats[1]).json()["job_id"]
    eventually(lambda: _delivered(host, job_id), "the uploaded one is delivered", deadline_s=60)
    eventually(lambda: host.outside.memos(chats[0]), "the dropped one is in its chat", deadline_s=60)
    assert [host.outside.memos(chat_id) for chat_id in chats] == [1, 1]


def test_doctor_finds_the_host_well(host: Host) -> None:
    """With the services' own settings, as their user."""
    ran = host.run("doctor")
    assert ran.returncode == 0, ran.stdout


def test_what_is_killed_is_started_again_and_nothing_is_lost_or_sent_twice(host: Host, tmp_path: Path) -> None:
    """Each main process in turn gets SIGKILL while memos are on their way."""
    recording, chat_id = make_ogg(tmp_path / "note.ogg"), str(uuid.uuid4())
    jobs: list[str] = []
    for number, name in enumerate(("audio", "send", "sweep", "watch", "serve", "audio")):
        jobs += [_sent_at_last(host, recording, f"kill-{number}-{copy}", chat_id) for copy in range(3)]
        before = host.services[name].pid
        os.kill(before, signal.SIGKILL)
        eventually(lambda name=name, before=before: host.services[name].pid != before, f"{name} is back")  # type: ignore[misc]
    for job_id in jobs:
        eventually(lambda job_id=job_id: _ended(host, job_id), f"{job_id} ends", deadline_s=90, every_s=0.3)  # type: ignore[misc]
    states = [host.http.get(f"/v1/memos/{job_id}").json()["state"] for job_id in jobs]
    held = states.count("HELD")  # a POST that died with its worker, and that the chat does not show
    assert host.outside.memos(chat_id) == len(set(jobs)) - held == len(jobs) - held
    assert set(states) <= {"SENT", "DELIVERED", "HELD"} and held <= 1, states


def _ended(host: Host, job_id: str) -> bool:
    try:
        return host.http.get(f"/v1/memos/{job_id}").json()["state"] in {
            "SENT",
            "DELIVERED",
            "HELD",
            "FAILED",
            "REJECTED",
        }
    except httpx.TransportError:
        return False


def _sent_at_last(host: Host, recording: Path, key: str, chat_id: str) -> str:
    """As a client does: asks again with the same key until it is answered."""

    def ask() -> str | None:
        try:
            answer = host.send(recording, key, chat_id)
        except httpx.TransportError:
            return None
        return str(answer.json()["job_id"]) if answer.status_code == 202 else None

    return eventually(ask, "the door takes it", deadline_s=60, every_s=0.3)
