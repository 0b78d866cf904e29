"""The HTTP door under schemathesis: `python -m tests.fuzz.http --cases 5000`.

Requests are made from the door's own description, right ones and wrong ones, against a real server with a real ledger
and a real S3. Every answer must be described, of the described form, and no 5xx; what is wrong must be refused; without
the token there is no answer."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from pipeline.settings import Settings
from tests.support.local_stack import running_stack, s3_client
from tests.support.web import TOKEN, Served, serving
from workers.web import follow

EXAMPLE = ("inbox", "2026/note.ogg")
"""The object that the description's example names."""
WEBHOOK_SECRET = "whsec_c2VjcmV0LW9uZQ=="
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
_MADE = re.compile(r"(\d[\d,]*) generated")


def main(arguments: list[str] | None = None) -> int:
    """Run until so many cases were sent. 0 where all answers conform."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.http", description=__doc__)
    parser.add_argument("--cases", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="memoline-fuzz-") as folder, door(Path(folder)) as served:
        cases, seed = 0, asked.seed
        while cases < asked.cases:
            per_operation = max(5, min(100, (asked.cases - cases) // 12))
            status, made = run(served.url, Path(folder), seed=seed, per_operation=per_operation)
            cases += made
            print(f"seed {seed}: {made} cases, {cases} in all", flush=True)
            if status:
                return status
            seed += 1
    return 0


@contextmanager
def door(folder: Path) -> Iterator[Served]:
    """A server whose waits are short, with the object of the examples in its inbox."""
    with running_stack(folder / "stack", "s3") as stack:
        client = s3_client(stack)
        client.create_bucket(Bucket=EXAMPLE[0])
        client.put_object(Bucket=EXAMPLE[0], Key=EXAMPLE[1], Body=b"sound")
        fields = {"home": folder / "home", "inbox_bucket": EXAMPLE[0], "api_token": SecretStr(TOKEN)}
        settings = stack.model_copy(
            update=fields
            | {"http_rate": "999999/second", "broker_url": None, "webhook_secret": SecretStr(WEBHOOK_SECRET)}
        )
        with _short_waits(), serving(Settings.model_validate(settings.as_environment())) as served:
            yield served


def run(url: str, folder: Path, *, seed: int, per_operation: int) -> tuple[int, int]:
    """(status, cases) of one run of schemathesis, whose report goes to standard output where something is wrong."""
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--seed", str(seed), "--max-examples", str(per_operation)),
        *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing,stateful", "--request-timeout", "30"),
        *("--suppress-health-check", "all", "--continue-on-failure", "--no-color", "--warnings", "off"),
    ]
    log = folder / f"schemathesis-{seed}.log"
    with log.open("w") as file:
        done = subprocess.run(command, cwd=folder, stdout=file, stderr=file, check=False)
    told = log.read_text()
    made = _MADE.search(told)
    if done.returncode or made is None:
        print(told)
    return done.returncode or int(made is None), int(made[1].replace(",", "")) if made else 0


@contextmanager
def _short_waits() -> Iterator[None]:
    """A request that would wait a minute for news waits a moment."""
    changed, stream_s = follow._changed, follow.MAX_STREAM_S

    async def soon(office: object, job: object, seen: int, wait_s: float) -> object:
        return await changed(office, job, seen, wait_s / 600)  # type: ignore[arg-type]

    follow._changed, follow.MAX_STREAM_S = soon, 0.1  # type: ignore[assignment]
    try:
        yield
    finally:
        follow._changed, follow.MAX_STREAM_S = changed, stream_s


if __name__ == "__main__":
    sys.exit(main())
