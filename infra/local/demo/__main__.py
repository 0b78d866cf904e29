"""`make demo`: start the embedded stack, send the recordings through all three doors, watch them arrive, stop.

Uses only what a user has: the `memoline` command, `from workers import enqueue`, and an S3 client. It clears every
setting first, and works in a folder without `.env`, so that it can never reach the real API.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from infra.local.demo.arrivals import Arrival, table, wait_for_all
from infra.local.demo.recordings import NOT_AUDIO, SAMPLES, make_recordings

DEADLINE_S = 240
INTERRUPTED = 130
CHATS = tuple(f"5e0d0000-0000-4000-8000-00000000000{n}" for n in range(1, 6))
BY_MANIFEST = ("studio.flac", "lecture-45min.ogg", "meeting-70min.mp3")
BY_PYTHON = "browser.webm"
BY_BUCKET = "voicemail.amr"
TWICE = "sent-twice.ogg"


def main() -> int:
    """Run the demonstration in the folder named by the first argument. Returns its exit status."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".memoline-demo").absolute()
    _clear_settings()
    shutil.rmtree(root / "stack", ignore_errors=True)
    recordings = root / "recordings"
    make_recordings(recordings, say)
    os.chdir(recordings)
    os.environ["MEMOLINE_HOME"] = str(root / "stack")
    try:
        memoline("up")
        started_s = time.monotonic()
        names = _send_everything(recordings)
        arrivals = wait_for_all(lambda: memoline_json("jobs"), names, say, deadline_s=DEADLINE_S)
        say(f"all settled {time.monotonic() - started_s:.0f} s after the first was handed in")
        return _report(arrivals, root)
    except KeyboardInterrupt:
        say("interrupted: the stack is stopped")
        return INTERRUPTED
    finally:
        memoline("down")


def _send_everything(recordings: Path) -> dict[str, str]:
    """Hand every recording in through one of the doors; returns recording name by job id."""
    names: dict[str, str] = {}
    say("backfill: three recordings by a manifest")
    for row in memoline_json("backfill", str(_manifest(recordings))):
        if "job_id" in row and "recording" in row:
            names[row["job_id"]] = Path(row["recording"]).name
    say(f"bucket: {BY_BUCKET} is dropped into the inbox")
    _drop(recordings / BY_BUCKET, CHATS[1])
    say(f"program: {BY_PYTHON} is enqueued from Python")
    names[_enqueue(recordings / BY_PYTHON, CHATS[2])] = BY_PYTHON
    elsewhere = (*BY_MANIFEST, BY_BUCKET, BY_PYTHON, TWICE)
    for name in [sample.name for sample in SAMPLES if sample.name not in elsewhere] + [NOT_AUDIO]:
        say(f"shell: memoline send {name}")
        names[memoline_json("send", name, "--chat", CHATS[3])[0]["job_id"]] = name
    for turn in ("once", "and again, with the same key"):
        say(f"shell: memoline send {TWICE} --key demo-twice, {turn}")
        names[memoline_json("send", TWICE, "--chat", CHATS[4], "--key", "demo-twice")[0]["job_id"]] = TWICE
    return names


def _manifest(recordings: Path) -> Path:
    path = recordings / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["recording", "chat_id"])
        writer.writerows([name, CHATS[0]] for name in BY_MANIFEST)
    return path


def _drop(path: Path, chat_id: str) -> None:
    """Put a file into the inbox bucket with any S3 client; here boto3, with the settings that `memoline env` tells."""
    import boto3
    from botocore.config import Config

    env = memoline_json("env")[0]
    s3 = boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    )
    s3.upload_file(str(path), env["MEMOLINE_INBOX_BUCKET"], f"{chat_id}/{path.name}")


def _enqueue(path: Path, chat_id: str) -> str:
    from workers import enqueue

    return enqueue(path, chat_id).job_id


def _report(arrivals: Sequence[Arrival], root: Path) -> int:
    say_plainly = partial(print, flush=True)
    table(arrivals)
    for arrival in arrivals:
        say_plainly(arrival.line())
    twice = [arrival for arrival in arrivals if arrival.name == TWICE]
    say_plainly(f"{TWICE} was sent twice with one key: {len(twice)} job, {sum(a.delivered for a in twice)} memo")
    expected = len(SAMPLES)
    delivered = sum(arrival.delivered for arrival in arrivals)
    rejected = [arrival for arrival in arrivals if arrival.state == "REJECTED"]
    good = delivered == expected and [a.name for a in rejected] == [NOT_AUDIO] and len(twice) == 1
    say_plainly(
        f"\n{delivered} of {expected} memos delivered, {len(rejected)} recording rejected."
        f"\nWhere to look next:"
        f"\n  MEMOLINE_HOME={root / 'stack'} .venv/bin/memoline jobs     (and: show JOB)"
        f"\n  {root / 'stack' / 'log'}     the logs of all parts"
        f"\n  README.md     a memo of your own, in five minutes"
    )
    return 0 if good else 1


def memoline(*arguments: str) -> None:
    """Run the memoline command with its output going where ours goes. Raises SystemExit where it fails."""
    done = subprocess.run([sys.executable, "-m", "workers", *arguments], check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(done.returncode)


def memoline_json(*arguments: str) -> list[dict[str, str]]:
    """The JSON lines that a memoline command prints."""
    command = [sys.executable, "-m", "workers", *arguments, "--json"]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def say(text: str) -> None:
    """One line of progress."""
    print(f"  {text}", flush=True)


def _clear_settings() -> None:
    for name in [name for name in os.environ if name.startswith(("LINQ_", "AWS_", "MEMOLINE_"))]:
        del os.environ[name]


if __name__ == "__main__":
    raise SystemExit(main())
