"""Starting a process again whenever it has ended, as a supervisor does."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.local.processes import members

ROOT = Path(__file__).parents[2]


class Keeper:
    """One process in a session of its own, which dies with the thread that started it."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._argv, self._env, self._log = list(argv), dict(env), log
        self.deaths = 0
        self._process = self._start()

    @property
    def pid(self) -> int:
        """Its main process."""
        return self._process.pid

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._argv],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )

    def look(self) -> None:
        """Start it again where it has ended."""
        if self._process.poll() is not None:
            self.deaths += 1
            self._process = self._start()

    def end(self) -> None:
        """Kill it, and all that it has started."""
        for pid in members(self._process.pid):
            if pid != self._process.pid:
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
