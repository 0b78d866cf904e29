"""What an engine would do with our image, as far as a test needs it: a read-only root with the folders that the compose
file lets it write, the image's user without capabilities, entry point, health check, stop signal."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCRIPT = """
for place in "$HOME_HERE" /tmp; do mount -t tmpfs -o mode=1777 tmpfs "$place" || exit 90; done
mount -o remount,bind,ro / || exit 91
chown "$OWNER" "$HOME_HERE" && chmod 0700 "$HOME_HERE" || exit 92
cd "$HOME_HERE" && exec "$@"
"""


def may_mount() -> bool:
    """Whether we may give a process a view of the file system of its own."""
    tried = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    known = all(shutil.which(name) for name in ("unshare", "mount", "setpriv"))
    return known and subprocess.run(tried, check=False, stderr=subprocess.DEVNULL).returncode == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """What the image file says, and where its environment was installed here. venv: `/opt/memoline` of the image."""

    venv: Path
    user: str
    entry_point: tuple[str, ...]
    health: tuple[str, ...]
    env: Mapping[str, str]


def read_image(file: Path, venv: Path) -> Image:
    """The last stage of an image file."""
    stage = file.read_text().rsplit("\nFROM ", 1)[1].replace("\\\n", " ")
    said = dict(re.findall(r"^(USER|ENTRYPOINT|ENV|HEALTHCHECK) (.*)$", stage, re.MULTILINE))
    env = dict(word.split("=", 1) for word in said["ENV"].split())
    return Image(
        venv=venv,
        user=said["USER"],
        entry_point=tuple(json.loads(said["ENTRYPOINT"])),
        health=tuple(json.loads(said["HEALTHCHECK"].split(" CMD ", 1)[1])),
        env={name: value.replace("/opt/memoline", str(venv)) for name, value in env.items()},
    )


class Container:
    """One service of the compose file, running. home: an empty folder where its own one is mounted."""

    def __init__(
        self, image: Image, service: Mapping[str, Any], env: Mapping[str, str], *, home: Path, log: Path
    ) -> None:
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        self._image = image
        self._env = {**env, **image.env, "MEMOLINE_HOME": str(home)}
        self._stop_within_s = (
            float(service["stop_grace_period"].removesuffix("s")) if "stop_grace_period" in service else 10
        )
        inside = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _SCRIPT, "sh"]
        command = [*inside, *self._as_user(), *image.entry_point, *service["command"]]
        outer = self._env | {"HOME_HERE": str(home), "OWNER": image.user}
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, env=outer, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def is_healthy(self) -> bool:
        """Whether the health check of the image says so, asked inside."""
        assert self._process.poll() is None, f"ended with {self._process.returncode}"
        command = [*self._inside(), *self._as_user(), *self._image.health]
        done = subprocess.run(command, env=self._env, check=False, capture_output=True, timeout=60)
        return done.returncode == 0

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """A command of ours inside."""
        command = [*self._inside(), *self._as_user(), *self._image.entry_point, *words]
        return subprocess.run(command, env=self._env, check=False, capture_output=True, timeout=60)

    def stop(self) -> int:
        """SIGTERM, and the status; fails the test where it takes longer than the service is given."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(self._stop_within_s)

    def _inside(self) -> Sequence[str]:
        return ["nsenter", f"--mount=/proc/{self._process.pid}/ns/mnt", f"--wd={self._env['MEMOLINE_HOME']}", "--"]

    def _as_user(self) -> list[str]:
        user, group = self._image.user.split(":")
        # A test's interpreter may lie in root's home: reading what is there is the one right more than in a container.
        may = "-all,+dac_read_search"
        who = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
        rights = [f"--inh-caps={may}", f"--bounding-set={may}", "--ambient-caps=+dac_read_search"]
        return [*who, *rights] if os.geteuid() == 0 else []
