"""Telling our processes from others."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from infra.local.processes import Identity, alive, gone_within, identify, kill_session, members


@contextmanager
def sleeper(home: Path | None = None, session: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing, with its child, in a session of its own."""
    env = {"PATH": os.environ["PATH"]} | ({"MEMOLINE_HOME": str(home)} if home else {})
    script = "sleep 600 & echo; wait"
    process = subprocess.Popen(["sh", "-c", script], env=env, start_new_session=session, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        if session:
            for pid in members(process.pid):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
        process.stdout.close()


def known(pid: int) -> Identity:
    """The identity of a process that runs."""
    identity = identify(pid)
    assert identity is not None
    return identity


def test_an_identity_is_of_one_process_only(tmp_path: Path) -> None:
    """The same number with another birth is another process; an ended or unreaped one is none."""
    with sleeper() as process:
        identity = known(process.pid)
        assert alive(identity)
        assert not alive(replace(identity, birth="another"))
        process.kill()
        assert gone_within([identity], 5)
        assert not alive(identity)


def test_a_session_is_killed_with_its_children(tmp_path: Path) -> None:
    """Leader and child end; both are counted."""
    with sleeper(tmp_path) as process:
        leader, children = known(process.pid), [known(pid) for pid in members(process.pid)]
        assert kill_session(leader, tmp_path) == len(children) == 2
        assert gone_within(children, 5)


def test_a_stranger_with_our_number_is_left_alone(tmp_path: Path) -> None:
    """The number lives, but was given to another process: nothing is hit."""
    with sleeper(tmp_path) as process:
        assert kill_session(replace(known(process.pid), birth="earlier"), tmp_path) == 0
        assert process.poll() is None


def test_orphans_are_hit_only_when_started_with_this_home(tmp_path: Path) -> None:
    """The leader is dead: its child is ours by its environment, or somebody else's."""
    for home, hit in ((tmp_path, 1), (tmp_path / "other", 0), (None, 0)):
        with sleeper(home) as process:
            leader = known(process.pid)
            process.kill()
            process.wait()
            assert len(members(leader.pid)) == 1
            assert kill_session(leader, tmp_path) == hit
