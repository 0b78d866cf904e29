"""One part while it runs: started, seen ready, started again after it died, ended."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from pathlib import Path

from infra.local.home import last_line, log_path, open_log
from infra.local.parts import PartSpec, ready_file
from infra.local.processes import Identity, identify, kill_session, start
from infra.local.status import PartStatus, State
from pipeline.errors import MemolineError, PartUnreachable

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
STEADY_AFTER_S = 10.0
"""A part that ran this long is started again without a wait that grows."""
READY_WITHIN_S = 40.0
DEATHS_BEFORE_READY = 3
"""A part that dies this often before it was ever ready is broken, not unlucky."""


class Part:
    """All times are those of `time.monotonic()`. `step` is called often, from the thread that starts processes."""

    def __init__(self, spec: PartSpec, home: Path, executor: Executor) -> None:
        self.spec = spec
        self.state: State = "stopped"
        self.identity: Identity | None = None
        self.was_ready = False
        self._home = home
        self._executor = executor
        self._process: subprocess.Popen[bytes] | None = None
        self._looking: Future[Mapping[str, str] | None] | None = None
        self._complaint = ""
        self._started_s = 0.0
        self._again_s = 0.0
        self._wait_s = FIRST_WAIT_S
        self._deaths = 0

    def start(self, environment: Mapping[str, str], now_s: float) -> None:
        """Start the process. Raises PartUnreachable (`part-failed`) and OSError (the log cannot be written)."""
        ready_file(self._home, self.spec.name).unlink(missing_ok=True)
        log = open_log(self._home, self.spec.name)
        merged = {**environment, **self.spec.environment}
        self._process = start(self.spec.argv, env=merged, cwd=self.spec.cwd, log=log)
        # Not None: the process is our child and not waited for yet, so its number cannot be anybody else's.
        self.identity = identify(self._process.pid) or Identity(pid=self._process.pid, birth="gone")
        self.state, self._started_s, self._looking = "starting", now_s, None

    def step(self, environment: Mapping[str, str], now_s: float) -> Mapping[str, str]:
        """Look after the part. Returns the settings that it found out when it became ready, else nothing.

        Raises PartUnreachable (`part-failed`) where it never became ready and will not."""
        if self._process is not None and self._process.poll() is not None:
            self._died(now_s)
        if self.state == "backoff" and now_s >= self._again_s:
            self._start_again(environment, now_s)
        if self.state == "starting":
            return self._look(now_s)
        return {}

    def terminate(self) -> None:
        """Ask the main process, and only that one, to end: a pool's children are its own to end."""
        if self._process is not None:
            self._process.terminate()

    def ended(self) -> bool:
        """Whether the main process has ended, or was never started."""
        return self._process is None or self._process.poll() is not None

    def put_away(self) -> None:
        """Kill what is left of the part, its children included, and forget it."""
        if self._process is not None and self.identity is not None:
            self._process.send_signal(signal.SIGKILL)
            kill_session(self.identity, self._home)
            self._process.wait()
            kill_session(self.identity, self._home)
        self.state, self._process, self.identity = "stopped", None, None

    def status(self) -> PartStatus:
        """For the report."""
        pid = self.identity.pid if self.identity else None
        return PartStatus(name=self.spec.name, pid=pid, url=self.spec.url, state=self.state)

    def _died(self, now_s: float) -> None:
        steady = self.state == "running" and now_s - self._started_s > STEADY_AFTER_S
        self.put_away()
        self._deaths += 1
        if not self.was_ready and self._deaths >= DEATHS_BEFORE_READY:
            raise self._failed("ended each time it was started")
        if steady:
            self._wait_s = FIRST_WAIT_S
        self._back_off(now_s)

    def _back_off(self, now_s: float) -> None:
        self.state, self._again_s = "backoff", now_s + self._wait_s
        self._wait_s = min(LONGEST_WAIT_S, self._wait_s * 2)

    def _start_again(self, environment: Mapping[str, str], now_s: float) -> None:
        try:
            self.start(environment, now_s)
        except (OSError, PartUnreachable):
            # A disk that is full for a while, say, must not end a stack that was healthy.
            if not self.was_ready:
                raise
            self._back_off(now_s)

    def _look(self, now_s: float) -> Mapping[str, str]:
        if self._looking is None:
            self._looking = self._executor.submit(self._become_ready)
        elif self._looking.done():
            found = self._looking.result()
            self._looking = None
            if found is not None:
                self.state, self.was_ready = "running", True
                return found
        if now_s - self._started_s > READY_WITHIN_S:
            self._give_up()
        return {}

    def _give_up(self) -> None:
        if not self.was_ready:
            raise self._failed(f"was not ready within {READY_WITHIN_S:g} s")
        self.terminate()
        self.put_away()
        self.state, self._again_s = "backoff", 0.0

    def _become_ready(self) -> Mapping[str, str] | None:
        """In a thread: ask once, and furnish the part when it is ready."""
        if not self.spec.ready():
            return None
        try:
            return self.spec.furnish() if self.spec.furnish else {}
        except MemolineError as error:
            self._complaint = error.message
            return None

    def _failed(self, what: str) -> PartUnreachable:
        name, log = self.spec.name, log_path(self._home, self.spec.name)
        said = self._complaint or last_line(self._home, name) or "it said nothing"
        return PartUnreachable(
            "part-failed", f"The part {name} {what}: {said} (see {log})", part=name, log=str(log), last_line=said
        )
