"""Starts a child in its cage, keeps it within its limits, and never lets it outlive its worker.

A thread of its own enters the cage, starts the child there and waits for it. The child dies with that thread, and so
with the worker, however it ends (`setpriv --pdeathsig`); the thread does nothing else, for it can open no file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.audio.cage import Cage

TICK_S = 0.25
ADDRESS_BYTES = 1 << 32
"""Address space: far above what is used, for threads reserve much that they never touch."""
OPEN_FILES = 64
_KILLED_AFTER_S = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """All that is needed to start a child. output: the descriptor that takes what it prints. inherited: descriptors
    that it gets besides. memory_bytes: of private memory. file_bytes: of each file that it writes."""

    argv: tuple[str, ...]
    cage: Cage
    output: int
    inherited: tuple[int, ...]
    wall_s: float
    cpu_s: int
    memory_bytes: int
    file_bytes: int


def supervise(order: Order, tick: Callable[[], None] | None) -> tuple[int, bool]:
    """(return code, whether the wall limit ended it). tick is called every quarter of a second. Raises OSError where
    the program cannot be started. Nothing of the child's process group runs afterwards, whatever happens."""
    deadline = time.monotonic() + order.wall_s
    keeper = _Keeper(order, Path(tempfile.mkdtemp(prefix="memoline-ffmpeg-")))
    try:
        keeper.start()
        keeper.born.wait()
        if keeper.error:
            raise keeper.error
        keeper.forget_place()
        in_time = keeper.wait_until(deadline, tick)
        if keeper.error:
            raise keeper.error
        return keeper.end(), not in_time
    finally:
        keeper.forget_place()
        keeper.end()


@cache
def dying() -> tuple[str, ...]:
    """The words before a command that let it die with the thread that starts it; none where util-linux's `setpriv` is
    missing, or another one is in its place."""
    setpriv = shutil.which("setpriv")
    words = (setpriv or "", "--pdeathsig", "KILL", "--no-new-privs")
    try:
        done = subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return words if done.returncode == 0 else ()


class _Keeper(threading.Thread):
    """born: the child was started, or could not be. ended: it has exited and waits to be reaped."""

    def __init__(self, order: Order, place: Path) -> None:
        super().__init__(name="ffmpeg-keeper", daemon=True)
        self.order, self.place = order, place
        self.born, self.ended = threading.Event(), threading.Event()
        self.child: subprocess.Popen[bytes] | None = None
        self.error: OSError | None = None
        self.dying = dying()

    def run(self) -> None:
        """Once inside the cage, nothing here may open a file."""
        with Path(os.devnull).open("rb") as nothing:
            try:
                with contextlib.suppress(OSError, AttributeError):
                    # Handing frames from thread to thread costs less where who wakes another is not interrupted.
                    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
                self.order.cage.enter()
                self.child = self._spawn(nothing.fileno())
                self._limit(self.child.pid)
            except Exception as error:  # a child that never ran must not seem to have ended well
                self.error = error if isinstance(error, OSError) else OSError(errno.ECANCELED, str(error))
            finally:
                self.born.set()
        if self.child:
            try:
                # Not reaped here: its number, and that of its group, stay taken until the group was killed.
                os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                self.error = OSError(errno.ECHILD, "this program ignores SIGCHLD or reaps what it did not start")
            finally:
                self.ended.set()

    def _spawn(self, nothing: int) -> subprocess.Popen[bytes]:
        order = self.order
        return subprocess.Popen(
            [*self.dying, *order.argv], stdin=nothing, stdout=order.output, stderr=order.output, cwd=self.place,
            pass_fds=order.inherited, start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(self.place), "TMPDIR": str(self.place)},
        )  # fmt: skip

    def _limit(self, pid: int) -> None:
        """Set the child's limits; one that is lower already stays."""
        order = self.order
        limits = {
            resource.RLIMIT_CPU: (order.cpu_s, order.cpu_s + _KILLED_AFTER_S),
            resource.RLIMIT_AS: (ADDRESS_BYTES, ADDRESS_BYTES),
            resource.RLIMIT_DATA: (order.memory_bytes, order.memory_bytes),
            resource.RLIMIT_FSIZE: (order.file_bytes, order.file_bytes),
            resource.RLIMIT_NOFILE: (OPEN_FILES, OPEN_FILES),
            resource.RLIMIT_CORE: (0, 0),
        }
        for what, (soft, hard) in limits.items():
            with contextlib.suppress(OSError):
                most = resource.getrlimit(what)[1]
                bound = hard if most == resource.RLIM_INFINITY else min(hard, most)
                resource.prlimit(pid, what, (min(soft, bound), bound))

    def wait_until(self, deadline: float, tick: Callable[[], None] | None) -> bool:
        """Whether the child ended by itself before the deadline."""
        while self.child and not self.ended.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if not self.ended.wait(min(left, TICK_S) if tick else left) and tick:
                tick()
        return True

    def forget_place(self) -> None:
        """A working folder without a name: nothing can be made in it, and nothing stays of it."""
        with contextlib.suppress(OSError):
            self.place.rmdir()

    def end(self) -> int:
        """Kill what is left of the group, and reap the child. Returns its code; 0 where it was never started."""
        if self.ident is None:
            return 0
        self.born.wait()
        if self.child is None:
            return 0
        if self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.ended.wait()
        return self.child.wait()
