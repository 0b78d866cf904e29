"""Many checks at once, within a bound: what each found, and what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.errors import MemolineError, Misuse, PartUnreachable
from pipeline.settings import Settings

WITHIN_S = 45.0
"""For all of them, which run side by side. One that takes longer is left behind; the process ends without it."""

Check = Callable[[Settings], str]
"""Says what is well. Raises MemolineError where something is wrong, Lesser where something lesser is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One check. level: ok, warn or fail."""

    part: str
    level: str
    message: str
    exit_status: int = 0


class Lesser(Exception):
    """It works, and something should be mended."""


def examined(checks: Mapping[str, Check], settings: Settings) -> Iterator[Finding]:
    """Run the checks side by side; their findings in the order of the checks, each as soon as it is there."""
    found: dict[str, Finding] = {}
    there = threading.Condition()

    def run(part: str, check: Check) -> None:
        finding = _run(part, check, settings)
        with there:
            found[part] = finding
            there.notify_all()

    for part, check in checks.items():
        threading.Thread(target=run, args=(part, check), name=f"check-{part}", daemon=True).start()
    ends_s = time.monotonic() + WITHIN_S
    for part in checks:
        with there:
            there.wait_for(lambda part=part: part in found, max(0.0, ends_s - time.monotonic()))  # type: ignore[misc]
        status = PartUnreachable.exit_status
        late = f"it did not answer within {WITHIN_S:g} s: is the way to it blocked, or is it frozen?"
        yield found.get(part) or Finding(part=part, level="fail", message=late, exit_status=status)


def _run(part: str, check: Check, settings: Settings) -> Finding:
    try:
        return Finding(part=part, level="ok", message=check(settings))
    except Lesser as warning:
        return Finding(part=part, level="warn", message=str(warning))
    except Misuse as error:
        status = PartUnreachable.exit_status if error.code == "missing-setting" else error.exit_status
        return Finding(part=part, level="fail", message=error.message, exit_status=status)
    except MemolineError as error:
        return Finding(part=part, level="fail", message=error.message, exit_status=PartUnreachable.exit_status)
    except Exception as error:  # a check that is wrong itself must not hide what the others found
        text = f"the check itself failed ({type(error).__name__}: {error}): report that, please"
        return Finding(part=part, level="fail", message=text, exit_status=PartUnreachable.exit_status)
