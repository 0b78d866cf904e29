"""A run: orders come in, faults strike, then it is calm; and what came of it."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from tests.chaos.faults import Scene, kinds
from tests.chaos.jumps import jumping
from tests.chaos.systems import NOT_SENT, SENT, Belief, Memoline, Order, System, Truth, chats, truth_of
from tests.support.recordings import make_ogg, make_wav

TMPFS_MB = 600
"""And half a megabyte a job."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a run is. settle_s: how long all may take to settle after the last fault."""

    jobs: int
    faults: int
    seed: int = 1
    chats: int = 20
    fault_every_s: float = 4.0
    settle_s: float = 900.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a run. lost: accepted, not in the chat, and nobody says why. twice: memos beyond the first of an
    order. untrue: what is said of an order is not so. held: left to a person; needless: of these, the memo is in the
    chat, or no answer was lost. refused: ended without a memo, and said so. overtaken: memos that came before an
    earlier one of their chat."""

    system: str
    accepted: int
    arrived: int
    lost: int
    twice: int
    untrue: int
    held: int
    needless: int
    refused: int
    overtaken: int
    posts: int
    settled_after_s: float | None
    struck: Counter[str]
    states: Counter[str]

    @property
    def kept(self) -> bool:
        """Whether the promise held."""
        return not (self.lost or self.twice or self.untrue or self.overtaken or self.needless)


def run(make: Callable[[Path], System], size: Size, say: Callable[[str], None]) -> Verdict:
    """Start a system, give it orders, break things, wait until it has settled, and look."""
    with (
        ExitStack() as stack,
        ground(TMPFS_MB + size.jobs // 2) as (folder, small),
        jumping(folder) as clock,
    ):
        system = make(folder / "home")
        _put_elsewhere(folder / "home", stack.enter_context(tempfile.TemporaryDirectory(prefix="memoline-elsewhere-")))
        recordings = make_recordings(folder)
        dice = random.Random(size.seed)
        scene = Scene(system=system, dice=dice, chats=chats(size.chats, size.seed), scratch=folder, clock=clock)
        orders = [
            Order(
                number=number, recording=recordings[number % len(recordings)], chat_id=scene.chats[number % size.chats]
            )
            for number in range(size.jobs)
        ]
        system.start()
        try:
            return _run(scene, orders, size, small, say)
        finally:
            scene.stopped.set()
            system.stop()


def _put_elsewhere(home: Path, folder: str) -> None:
    """S3 and Linq do not lie on our disk. (The embedded S3 answers 200 to what its own full disk does not take.)"""
    home.mkdir(mode=0o700)
    for part in ("s3", "linq"):
        (Path(folder) / part).mkdir(mode=0o700)
        (home / part).symlink_to(Path(folder) / part)


def _run(scene: Scene, orders: Sequence[Order], size: Size, small: bool, say: Callable[[str], None]) -> Verdict:
    known = kinds(scene.system, tmpfs=small)
    say(f"{scene.system.name}: {len(orders)} orders, {size.faults} faults of {len(known)} kinds")
    storm_s = size.faults * size.fault_every_s
    caller = threading.Thread(target=_order_all, args=(scene, orders, storm_s / max(len(orders), 1)), daemon=True)
    caller.start()
    struck: Counter[str] = Counter()
    names = sorted(known)
    for name in islice(cycle(scene.dice.sample(names, len(names))), size.faults):
        begun_s = time.monotonic()
        say(f"  {name}")
        known[name](scene)
        struck[name] += 1
        scene.stopped.wait(max(0.0, size.fault_every_s * scene.dice.uniform(0.5, 1.5) - (time.monotonic() - begun_s)))
    calm_at_s = time.monotonic()
    caller.join(size.settle_s)
    settled = _until_settled(scene.system, calm_at_s + size.settle_s)
    settled_after_s = time.monotonic() - calm_at_s if settled else None
    accepted = list(scene.orders)
    beliefs = scene.system.beliefs(accepted)
    truth = truth_of(scene.system)
    if isinstance(scene.system, Memoline):
        for order in accepted:
            late = order.number in _overtaken(truth.by_chat[order.chat_id], beliefs)
            if why := "came after a later one" if late else broken(order, beliefs.get(order.number), truth):
                say("\n      ".join([f"order {order.number}, {why}:", *scene.system.story(order)]))
    return judge(scene.system, accepted, beliefs, truth, settled_after_s, struck)


def broken(order: Order, belief: Belief | None, truth: Truth) -> str | None:
    """What went wrong with an order; None where nothing did."""
    there = truth.all.count(order.number)
    if there > 1:
        return f"there {there} times"
    if belief is None or not belief.ended:
        return None if there else "lost"
    if belief.state == "HELD" and (there or not belief.doubt):
        return "held without need"
    if belief.state in SENT and not there:
        return "said to be there"
    return "said not to be there" if belief.state in NOT_SENT and there and belief.code != "not-delivered" else None


def judge(
    system: System,
    orders: Sequence[Order],
    beliefs: dict[int, Belief],
    truth: Truth,
    settled_after_s: float | None,
    struck: Counter[str],
) -> Verdict:
    """Compare what is said with what is so."""
    there = Counter(number for number in truth.all if number is not None)
    states: Counter[str] = Counter()
    lost = untrue = held = needless = refused = 0
    for order in orders:
        belief = beliefs.get(order.number)
        states[f"{belief.state} {belief.code or ''}".strip() if belief else "unknown"] += 1
        arrived = there[order.number] > 0
        if belief is None or not belief.ended:
            lost += not arrived
        elif belief.state == "HELD":
            held += 1
            needless += arrived or not belief.doubt
        elif belief.state in SENT:
            untrue += not arrived
        elif belief.state in NOT_SENT:
            refused += not arrived
            untrue += arrived and belief.code != "not-delivered"
    stray = sum(number is None for number in truth.all)
    return Verdict(
        system=system.name,
        accepted=len(orders),
        arrived=sum(1 for order in orders if there[order.number]),
        lost=lost,
        twice=sum(count - 1 for count in there.values()) + stray,
        untrue=untrue,
        held=held,
        needless=needless,
        refused=refused,
        overtaken=sum(len(_overtaken(numbers, beliefs)) for numbers in truth.by_chat.values()),
        posts=truth.posts,
        settled_after_s=settled_after_s,
        struck=struck + Counter({f"fired: {kind}": count for kind, count in truth.faults.items()}),
        states=states,
    )


def _overtaken(numbers: Sequence[int | None], beliefs: dict[int, Belief]) -> list[int]:
    """Those that came after one that was registered later. The second and further memos of an order do not count."""
    latest, late, seen = 0, list[int](), set[int]()
    for number in numbers:
        if number is None or number in seen or number not in beliefs:
            continue
        seen.add(number)
        if beliefs[number].sequence < latest:
            late.append(number)
        latest = max(latest, beliefs[number].sequence)
    return late


def _order_all(scene: Scene, orders: Sequence[Order], every_s: float) -> None:
    """A caller asks until it is accepted, then for the next one, all through the storm."""
    for order in orders:
        while not scene.stopped.is_set():
            begun_s = time.monotonic()
            with scene.asking:
                accepted = scene.system.accept(order)
                if accepted:
                    scene.orders.append(order)
            if accepted:
                break
            scene.stopped.wait(0.5)
        scene.stopped.wait(max(0.0, every_s * 0.9 - (time.monotonic() - begun_s)))


def _until_settled(system: System, ends_s: float) -> bool:
    """Until nothing has been under way for a while."""
    quiet = 0
    while time.monotonic() < ends_s:
        quiet = 0 if system.busy() else quiet + 1
        if quiet == 5:
            return True
        time.sleep(0.5)
    return False


def make_recordings(folder: Path) -> list[Path]:
    """Short ones: nine that pass through and one that is transcoded."""
    recordings = [make_wav(folder / f"{number}.wav", duration_s=1 + number / 10) for number in range(9)]
    return [*recordings, make_ogg(folder / "9.ogg", duration_s=3)]


@contextmanager
def ground(size_mb: int) -> Iterator[tuple[Path, bool]]:
    """A folder for a run, on a small file system of its own, which can be full, where that may be mounted (True)."""
    with tempfile.TemporaryDirectory(prefix="memoline-chaos-") as name:
        folder = Path(name)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", name]
        try:
            small = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            small = False
        try:
            yield folder, small
        finally:
            if small:
                subprocess.run(["umount", "--lazy", name], check=False)


def table(verdicts: Sequence[Verdict]) -> str:
    """One line a system."""
    names = ("accepted", "arrived", "lost", "twice", "untrue", "held", "refused", "overtaken", "POSTs", "settled after")
    lines = [" | ".join(("| system", *names)) + " |", "|---" * (len(names) + 1) + "|"]
    for v in verdicts:
        after = "never" if v.settled_after_s is None else f"{v.settled_after_s:.0f} s"
        cells = (v.accepted, v.arrived, v.lost, v.twice, v.untrue, v.held, v.refused, v.overtaken, v.posts, after)
        lines.append(" | ".join((f"| {v.system}", *map(str, cells))) + " |")
    return "\n".join(lines)


def to_stderr(text: str) -> None:
    """A line of progress."""
    with suppress(BrokenPipeError):
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
