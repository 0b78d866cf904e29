"""The image, the compose file and the units of a single host: checked as far as that goes without an engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import Command, Context, Group

from infra.container.health import is_well
from pipeline.settings import Settings
from tests.infra.test_templates import read
from workers.cli.commands import app
from workers.pulse import Pulse

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "infra" / "container" / "Dockerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "container" / "compose.yaml").read_text())
UNITS = sorted((ROOT / "infra" / "systemd").glob("memoline*"))
PROCESSES = {"audio", "send", "watch", "sweep", "serve"}
SETTINGS = {field.alias for field in Settings.model_fields.values()}


def command_of(words: list[str]) -> Command:
    """The command that an argument list names. Fails the test where there is none."""
    assert isinstance(app, Group)
    found = app.get_command(Context(app), words[0])
    assert found is not None, words
    return found


def test_hadolint_finds_nothing() -> None:
    """The usual mistakes of image files."""
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_nobody_in_particular_and_gets_its_signals() -> None:
    """A user by number, so that orchestrators can see that it is not root; exec form, so that SIGTERM arrives."""
    last_stage = DOCKERFILE.read_text().rsplit("\nFROM ", 1)[1]
    said = dict(re.findall(r"^(USER|ENTRYPOINT|CMD|STOPSIGNAL) (.*)$", last_stage, re.MULTILINE))
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", said["USER"])
    assert json.loads(said["ENTRYPOINT"]) == ["memoline"]
    assert command_of(json.loads(said["CMD"]))
    assert said["STOPSIGNAL"] == "SIGTERM"


def test_compose_starts_each_process_without_privileges() -> None:
    """Read-only, no capabilities, and the command is one of ours."""
    ours = {name: service for name, service in COMPOSE["services"].items() if name in PROCESSES}
    assert ours.keys() == PROCESSES
    for service in ours.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert command_of(service["command"])
        assert set(service["environment"]) <= SETTINGS


def test_the_settings_that_hosts_are_given_exist() -> None:
    """In the example of `.env`, in the compose file, and in the cloud's task definitions."""
    named = {line.split("=")[0] for line in (ROOT / "infra/container/env.example").read_text().splitlines()}
    for key, resource in read("services.yaml")["Resources"].items():
        for container in resource.get("Properties", {}).get("ContainerDefinitions", []):
            if container["Name"] == "metrics":
                continue
            assert command_of(container["Command"]), key
            rows = [row for row in container["Environment"] + container["Secrets"] if "Name" in row]
            named |= {row["Name"] for row in rows}
    others = {"POSTGRES_PASSWORD", "VALKEY_PASSWORD", ""}
    assert {name for name in named if not name.startswith("#")} - others <= SETTINGS


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """As they are, but for the path of a program that is not installed here."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/memoline/bin/memoline", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    about_ours = [line for line in done.stderr.splitlines() if "memoline" in line]
    assert (done.returncode, about_ours) == (0, [])


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.stem)
def test_a_unit_starts_one_of_our_processes_and_lets_it_end(unit: Path) -> None:
    """The main process gets the signal alone, and longer than a POST may take where one may be under way."""
    said = dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line)
    words = said["ExecStart"].split()
    assert command_of(words[1:])
    assert said["KillMode"] == "mixed"
    assert (said["Restart"], said["StartLimitIntervalSec"]) == ("always", "0"), "it never gives up"
    assert int(said["TimeoutStopSec"]) > (60 if "send" in words else 20)


def test_health_is_what_the_process_says(tmp_path: Path) -> None:
    """Nothing ready yet; ready, and at work; not at work any more, but for one whose broker is away; a `serve` that
    does not answer."""
    assert not is_well(tmp_path, "1")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "audio.ready").touch()
    assert not is_well(tmp_path, "1")
    pulse = Pulse(tmp_path, "audio")
    pulse.beat()
    assert is_well(tmp_path, "1")
    pulse.end()
    assert not is_well(tmp_path, "1")
    assert is_well(tmp_path, "1", "redis://127.0.0.1:9/0")
    Pulse(tmp_path, "audio").beat()
    Pulse(tmp_path, "serve").beat()
    assert is_well(tmp_path, "1")
    (tmp_path / "run" / "serve.ready").touch()
    assert not is_well(tmp_path, "1")


def test_every_process_of_the_compose_file_has_the_time_that_its_unit_gives_it() -> None:
    """By itself a container engine kills after ten seconds."""
    for name in PROCESSES:
        unit = (ROOT / "infra" / "systemd" / f"memoline-{name}.service").read_text()
        given = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
        assert [COMPOSE["services"][name]["stop_grace_period"]] == [f"{seconds}s" for seconds in given]
