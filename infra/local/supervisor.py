"""The process behind `memoline up`: starts the parts, starts again those that die, ends them all.

`python -m infra.local.supervisor`, with its order as JSON on standard input; it leaves the caller's session and
descriptors behind, and returns when the supervisor has taken the home. Exit status 3: another one has it.

Parts are started from the main thread alone: they die with the thread that started them.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from infra.local.credentials import save_credentials
from infra.local.home import unusable, write_stack_env
from infra.local.lock import LOCKED, end_leftovers, still_held, take_lock
from infra.local.part import Part
from infra.local.parts import LAST_TO_STOP, part_specs
from infra.local.processes import identify
from infra.local.status import NAMES, PARTS, PartStatus, Phase, Report, State, write_report
from pipeline.errors import MemolineError

GRACE_S = 10.0
BUSY_S = 0.05
IDLE_S = 1.0


class Supervisor:
    """One stack, from its start to its end."""

    def __init__(self, home: Path, order: Mapping[str, Any], wake: Wake, lock: int) -> None:
        self._home = home
        self._order = order
        self._wake = wake
        self._lock = lock
        self._me = identify(os.getpid())
        self._parts: list[Part] = []
        self._outside: tuple[PartStatus, ...] = ()
        self._phase: Phase = "starting"
        self._failure: dict[str, Any] = {}
        self._told: Report | None = None

    def run(self) -> int:
        """Until told to stop, or until the start has failed. Returns the exit status."""
        self.tell()
        with ThreadPoolExecutor(max_workers=4, thread_name_prefix="probe") as executor:
            try:
                self._open(executor)
                while not self._wake.told_to_stop and still_held(self._home, self._lock):
                    self._look_after()
                    self._wake.sleep(BUSY_S if self._unsettled() else IDLE_S)
            except MemolineError as error:
                self._failure = {"status": error.exit_status, **error.as_json()}
            except OSError as error:
                trouble = unusable(self._home, error)
                self._failure = {"status": trouble.exit_status, **trouble.as_json()}
            self._close()
        return 0 if not self._failure else 1

    def _open(self, executor: ThreadPoolExecutor) -> None:
        """Draw the stack and tell its settings. Imports here keep the supervisor's first answer fast."""
        from infra.local.blueprint import draw
        from infra.local.probes import check_outside, shown_url, url_of

        only = self._order["only"]
        self._plan = draw(self._order["explicit"], self._home, frozenset(only) if only else None)
        self._settings = self._plan.settings()
        outside = [name for name in PARTS if name in self._plan.outside]
        for name in outside:
            check_outside(name, self._settings)
        urls = {name: url_of(name, self._settings) for name in outside}
        self._outside = tuple(
            PartStatus(name=name, url=shown_url(url) if url else None, state="outside") for name, url in urls.items()
        )
        write_stack_env(self._home, self._plan.own)
        venv = self._order["ministack_venv"]
        specs = part_specs(self._plan, Path(venv) if venv else None)
        self._parts = [Part(spec, self._home, executor) for spec in specs]

    def _look_after(self) -> None:
        environment = self._environment()
        for part in self._parts:
            now_s = time.monotonic()
            if part.state == "stopped" and self._ready(part.spec.needs):
                part.start(environment, now_s)
            if found := part.step(environment, now_s):
                self._learn(found)
                environment = self._environment()
        if all(part.was_ready for part in self._parts):
            self._phase = "up"
        self.tell()

    def _environment(self) -> dict[str, str]:
        from infra.local.environment import part_environment

        return part_environment(os.environ, self._settings, self._plan.explicit, self._plan.outside)

    def _ready(self, names: frozenset[str]) -> bool:
        return all(part.was_ready for part in self._parts if part.spec.name in names)

    def _unsettled(self) -> bool:
        return any(part.state != "running" for part in self._parts)

    def _learn(self, found: Mapping[str, str]) -> None:
        """The sandbox has a new signing secret: keep it, tell it, and let the receiver start again with it."""
        secret = found["LINQ_WEBHOOK_SECRET"]
        if secret == self._plan.credentials.webhook_secret:
            return
        self._plan = self._plan.with_webhook_secret(secret)
        self._settings = self._plan.settings()
        save_credentials(self._home, self._plan.credentials)
        write_stack_env(self._home, self._plan.own)
        for part in self._parts:
            if part.spec.name == "serve":
                part.terminate()

    def _close(self) -> None:
        self._phase = "stopping"
        for names in reversed(LAST_TO_STOP):
            self.tell()
            self._end([part for part in self._parts if part.spec.name in names])
        self._phase = "failed" if self._failure else "down"
        self.tell()

    def _end(self, parts: list[Part]) -> None:
        for part in parts:
            part.terminate()
        ends_s = time.monotonic() + GRACE_S
        while time.monotonic() < ends_s and not all(part.ended() for part in parts):
            self._wake.sleep(BUSY_S)
        for part in parts:
            part.put_away()

    def tell(self) -> None:
        """Write the report, if anything changed. A disk that is full now must not end a stack that runs."""
        report = Report(
            supervisor=self._me,
            phase=self._phase,
            parts=self._statuses(),
            recorded=tuple(part.identity for part in self._parts if part.identity),
            failure=self._failure,
        )
        if report == self._told:
            return
        try:
            write_report(self._home, report)
            self._told = report
        except OSError as error:
            if self._phase == "starting":
                raise
            # The log lies on the same disk.
            with suppress(OSError):
                sys.stderr.write(f"supervisor: the report cannot be written: {error}\n")

    def _statuses(self) -> tuple[PartStatus, ...]:
        pid = self._me.pid if self._me else None
        known = {status.name: status for status in (*self._outside, *(part.status() for part in self._parts))}
        state: State = "starting" if self._phase == "starting" else "running"
        known["supervisor"] = PartStatus(name="supervisor", pid=pid, state=state)
        return tuple(known.get(name, PartStatus(name=name)) for name in NAMES)


class Wake:
    """Sleeping that a signal ends: SIGTERM and SIGINT ask to stop, SIGCHLD tells that a part died."""

    def __init__(self) -> None:
        self.told_to_stop = False
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def sleep(self, longest_s: float) -> None:
        """At most this long."""
        if select.select([self._ear], [], [], longest_s)[0]:
            self._ear.recv(4096)

    def _stop(self, *_: object) -> None:
        self.told_to_stop = True


def main() -> int:
    """In the foreground until the home is taken and a first report is there; the supervisor itself goes on alone."""
    order = json.load(sys.stdin)
    home = Path(order["home"])
    lock = take_lock(home)
    if lock is None:
        return LOCKED
    listen, say = os.pipe()
    if os.fork():
        os.close(say)
        return 0 if os.read(listen, 1) else 1
    os.close(listen)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return _alone(home, order, lock, say)


def _alone(home: Path, order: Mapping[str, Any], lock: int, say: int) -> int:
    wake = Wake()
    end_leftovers(home)
    supervisor = Supervisor(home, order, wake, lock)
    supervisor.tell()
    os.write(say, b"1")
    os.close(say)
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
