"""What systemd would do with our units, as far as a test needs it: `ExecStart`, `Environment`, `EnvironmentFile`,
`User`, `Restart=always` after `RestartSec`, and a stop by `KillMode=mixed` within `TimeoutStopSec`."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What a unit file says."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    environment_file: str
    restart_s: float
    stop_within_s: float


def read_unit(path: Path) -> Unit:
    """The unit of a file. Fails the test where a directive is missing that a process of ours needs."""
    rows = [line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
    said = dict(rows)
    assert (said["Restart"], said["KillMode"], said["Type"]) == ("always", "mixed", "exec")
    return Unit(
        name=path.stem,
        command=tuple(shlex.split(said["ExecStart"])),
        environment=dict(value.split("=", 1) for name, value in rows if name == "Environment"),
        environment_file=said["EnvironmentFile"],
        restart_s=float(said["RestartSec"]),
        stop_within_s=float(said["TimeoutStopSec"]),
    )


def unprivileged(user: str) -> list[str]:
    """The words before a command by which root becomes a user who may do nothing but read any file (a test's
    interpreter may lie in root's home); nothing where we are nobody in particular."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    may = "-all,+dac_read_search"
    rights = [f"--inh-caps={may}", f"--bounding-set={may}", "--ambient-caps=+dac_read_search", "--no-new-privs"]
    return ["setpriv", f"--reuid={user}", "--clear-groups", *rights]


def command_as_unit(unit: Unit, places: Mapping[str, str], words: Sequence[str], user: str = "nobody") -> list[str]:
    """The unit's program with these words, as its user may run it."""
    return [*unprivileged(user), _placed(unit.command[0], places), *words]


def environment_of(unit: Unit, places: Mapping[str, str]) -> dict[str, str]:
    """What the unit sets, and nothing else."""
    named = {name: _placed(value, places) for name, value in unit.environment.items()}
    lines = Path(_placed(unit.environment_file, places)).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line) | named | {"PATH": "/usr/bin:/bin"}


class Service:
    """One unit, kept running until it is stopped. places: the paths of the unit file, and what they are here."""

    def __init__(self, unit: Unit, places: Mapping[str, str], *, log: Path, user: str = "nobody") -> None:
        self.unit = unit
        self._command = command_as_unit(unit, places, unit.command[1:], user)
        self._environment = environment_of(unit, places)
        self._log = log
        self._stopping = threading.Event()
        self._process = self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    @property
    def pid(self) -> int:
        """Of the main process as it is now."""
        return self._process.pid

    def stop(self) -> int:
        """SIGTERM to the main process; what is left of its group when time is up gets SIGKILL. Returns its status, as
        `subprocess` counts it."""
        self._stopping.set()
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(self.unit.stop_within_s)
        finally:
            self._kill_group()
            self._keeper.join(10)

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self._process.wait()
            self._kill_group()
            if not self._stopping.wait(self.unit.restart_s):
                self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._environment["MEMOLINE_HOME"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _kill_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def _placed(text: str, places: Mapping[str, str]) -> str:
    for there, here in places.items():
        text = text.replace(there, here)
    return text
