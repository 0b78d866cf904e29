"""The processes of an installation, each with the real code over simulated parts, and those around it: callers, a
person who decides, the network that brings webhooks, and somebody who breaks things."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import decisions, jobs
from pipeline.backfills import BackfillState
from pipeline.errors import MemolineError, PartUnreachable
from pipeline.hosting.journal import S3Journal
from pipeline.hosting.names import identity_of_key
from pipeline.model import Job, Request, State, StoredRecording
from pipeline.ports import Parts, Rules
from pipeline.sending.messenger import LinqMessenger
from pipeline.sending.webhooks import parse
from tests.simulate.auditor import Auditor
from tests.simulate.ledger import Door, Storage
from tests.simulate.linq import PACE, Linq, iso
from tests.simulate.makers import INBOX, MEMOS, SECRET, Runner, Store
from tests.simulate.redis import Pacer, Redis
from tests.simulate.s3 import Bucket
from tests.simulate.scheduler import Process, Scheduler
from tests.simulate.world import Message, World
from workers import tasks
from workers.hints import QUEUES, Hints
from workers.sweeper import sweep_once

SWEEP_EVERY_S = 15.0
BACKFILL = "b1"
"""The backfill that all requests of that lane belong to."""


class Cast:
    """Everybody. folder: for work folders. registered: job id → chat of each accepted request."""

    def __init__(self, sim: Scheduler, world: World, folder: Path) -> None:
        self.sim, self.world, self.folder = sim, world, folder
        self.auditor = Auditor(world, PACE)
        self.storage = Storage(world)
        self.auditor.rows = self.storage.rows
        self.bucket, self.redis, self.linq = Bucket(world), Redis(world), Linq(world, self.auditor)
        self.nature = Process("world", mortal=False)
        self.linq.process, self.linq.on_event = self.nature, self._report
        self.registered: dict[str, str] = {}
        self.requests: list[Request] = []
        self.running = {"audio-1": self._audio, "audio-2": self._audio, "sweep": self._sweep, "serve": lambda _: None}
        self.running |= {f"send-{n}": self._send for n in (1, 2, 3)}
        self.processes = {name: Process(name) for name in self.running}
        self.parts: dict[str, Parts] = {}
        self._folders = 0
        sim.on_death = self._bury
        sim.on_freeze = lambda process: self.auditor.on_trouble(process, forgets=False)

    # ------------------------------------------------------------------------------------------------ processes

    def start_all(self) -> None:
        """`up`."""
        for process in self.processes.values():
            self._start(process)

    def parts_of(self, name: str) -> Parts:
        """The parts of one process, as `workers/wiring.py` would connect them."""
        store = Store(self.world, self.bucket)
        return Parts(
            ledger=Door(self.world, self.storage.ledger, self.auditor),
            store=store,
            journal=S3Journal(store._s3),
            messenger=LinqMessenger(base_url="http://linq.test", api_key="k"),
            runner=Runner(self.world, self.auditor),
            pacer=Pacer(self.redis, PACE),
            clock=self.sim,
            rules=Rules(),
            secret=SECRET,
            work_dir=self._work_dir,
            by=name,
        )

    def _start(self, process: Process) -> None:
        process.dead = False
        self.parts[process.name] = self.parts_of(process.name)
        self.running[process.name](process)

    def _bury(self, process: Process) -> None:
        self.auditor.on_trouble(process)
        wait_s = self.sim.random.choice((0.2, 5, 60)) * self.sim.random.uniform(0.5, 1.5)
        self.sim.spawn(self.nature, f"restarts {process.name}", lambda: self._start(process), after_s=wait_s)

    def _audio(self, process: Process) -> None:
        self._worker(process, "audio", jobs.prepare, threads=1)

    def _send(self, process: Process) -> None:
        self._worker(process, "send", jobs.deliver, threads=2)

    def _worker(self, process: Process, queue: str, step: Callable[[Parts, str], Job | None], threads: int) -> None:
        parts, hints = self.parts[process.name], Hints(self.redis)  # type: ignore[arg-type]

        def loop() -> None:
            while True:
                job_id = self.redis.next_hint(*QUEUES[queue])
                if job_id is not None:
                    tasks._run(job_id, step, lambda: parts, hints)
                    self.auditor.on_done()

        for number in range(threads):
            self.sim.spawn(process, f"{queue}-{number}", loop)

    def _sweep(self, process: Process) -> None:
        parts, hints = self.parts[process.name], Hints(self.redis)  # type: ignore[arg-type]

        def loop() -> None:
            while True:
                with suppress(MemolineError):
                    sweep_once(parts.ledger, hints, now=self.sim.now(), ttl_s=30)  # type: ignore[arg-type]
                self.sim.pause("sleeps", SWEEP_EVERY_S)

        self.sim.spawn(process, "sweep", loop)

    def _work_dir(self, name: str) -> Path:
        self._folders += 1
        folder = self.folder / f"{self._folders}.{name}"
        folder.mkdir()
        return folder

    # ----------------------------------------------------------------------------------------------- the callers

    def plan_requests(self, count: int, chats: int) -> None:
        """Recordings for a few chats, in both lanes, some for later, some broken."""
        self.storage.ledger.begin_backfill(BACKFILL, "/archive", {}, None)
        dice, weather = self.sim.random, self.world.weather
        for number in range(count):
            kind = "bad" if dice.random() < weather.bad_recording else "good"
            kind = "poison" if dice.random() < weather.poison else kind
            kind = "long" if kind == "good" and number % 6 == 4 else kind
            body = f"{kind} {number}".encode()
            key = f"uploads/{number}"
            self.bucket._put((INBOX, key), body, {})
            sha256 = hashlib.sha256(body).hexdigest()
            recording = StoredRecording(uri=f"s3://{INBOX}/{key}", name="a.ogg", size_bytes=len(body), sha256=sha256)
            later = self.sim.now() + dice.uniform(0, 1500) if dice.random() < 0.1 else 0.0
            request = Request(
                identity=identity_of_key(f"key-{number}"),
                fingerprint=sha256,
                recording=recording,
                source=key,
                chat_id=f"5e0d0000-0000-4000-8000-{number % chats:012d}",
                key=f"key-{number}",
                lane="live" if dice.random() < 0.6 else "backfill",
                not_before=later,
            )
            if request.lane == "backfill":
                request = replace(request, backfill_id=BACKFILL)
            self.requests.append(request)

    def call(self, over_s: float) -> None:
        """Register every request at some time; a caller repeats his until he is told that it was accepted."""
        times = sorted(self.sim.random.uniform(0, over_s) for _ in self.requests)
        for at, request in zip(times, self.requests, strict=True):
            self.sim.spawn(self.nature, "caller", lambda request=request: self._register(request), after_s=at)

    def _register(self, request: Request) -> None:
        parts, hints = self.parts_of("caller"), Hints(self.redis)  # type: ignore[arg-type]
        while True:
            try:
                job = jobs.register(parts, request)
            except PartUnreachable:
                self.sim.pause("tries again", self.sim.random.uniform(1, 20))
                continue
            self.registered[job.job_id] = job.chat_id or ""
            hints.wake(job)
            if self.sim.chance(0.9):
                return
            self.sim.pause("asks a second time", self.sim.random.uniform(1, 100))

    # ------------------------------------------------------------------------------------------------- webhooks

    def _report(self, message: Message, status: str, extra: dict[str, object]) -> None:
        self._announce(lambda: self._event(message, status, extra))

    def _announce(self, event: Callable[[], bytes]) -> None:
        for _ in range(2 if self.sim.chance(self.world.weather.webhook_doubled) else 1):
            if not self.sim.chance(self.world.weather.webhook_lost):
                body = event()
                self.sim.spawn(self.nature, "webhook", lambda body=body: self._bring(body))

    def _event(self, message: Message, status: str, extra: dict[str, object]) -> bytes:
        parts = [{"type": "media", "filename": message.file_name}]
        if status == "failed":
            ids = {"message_id": message.message_id, "chat_id": message.chat_id} if extra.get("with_ids") else {}
            data: dict[str, Any] = {"code": 4001, "failed_at": iso(self.sim.now()), **ids}
        elif self.sim.chance(0.5):
            chat = {"id": message.chat_id}
            data = {"id": message.message_id, "direction": "outbound", "chat": chat, "parts": parts}
        else:
            nested = {"id": message.message_id, "is_from_me": True, "parts": parts}
            data = {"chat_id": message.chat_id, "message": nested}
        return self._envelope(f"message.{status}", data, trace_id=message.trace_id)

    def _heard(self, chat_id: str, text: str) -> None:
        parts = [{"type": "text", "value": text}]
        data = {"id": self.world.new_id(), "direction": "inbound", "chat": {"id": chat_id}, "parts": parts}
        self._announce(lambda: self._envelope("message.received", data))

    def _envelope(self, event_type: str, data: dict[str, Any], **more: str) -> bytes:
        about = {"event_type": event_type, "event_id": self.world.new_id(), "created_at": iso(self.sim.now())}
        return json.dumps(about | more | {"data": data}).encode()

    def _bring(self, body: bytes) -> None:
        """Linq's side of a webhook: again after anything but a 2xx, for half an hour."""
        sim, begun_at, wait_s = self.sim, self.sim.now(), 1.0
        sim.pause("on its way", sim.random.expovariate(1 / 0.5))
        while sim.now() < begun_at + 1800:
            answered: list[bool] = []
            serve, me = self.processes["serve"], sim.task
            if not serve.dead:
                sim.spawn(serve, "webhook", lambda to=answered, me=me: self._take_in(body, to, me))
                sim.pause("waits for an answer", 10.0)
            if answered == [True]:
                return
            sim.pause("tries again later", wait_s * sim.random.uniform(0.8, 1.2))
            wait_s = min(wait_s * 2, 300)

    def _take_in(self, body: bytes, answered: list[bool], sender: Any) -> None:
        report = parse(body)
        try:
            if report:
                jobs.settle(self.parts["serve"], report)
        except PartUnreachable:
            answered.append(False)
        else:
            answered.append(True)
        self.sim.wake(sender)

    # ---------------------------------------------------------------------------------- a person, and bad luck

    def meddle(self, until_s: float) -> None:
        """A person cancels, tries again, and decides about what nobody knows, after looking into the chat."""
        parts = self.parts_of("person")

        def loop() -> None:
            while self.sim.now() < until_s:
                self.sim.pause("thinks", self.sim.random.uniform(5, 200))
                if self.sim.chance(self.world.weather.meddling):
                    with suppress(MemolineError):
                        self._decide(parts)

        self.sim.spawn(self.nature, "person", loop)

    def _decide(self, parts: Parts) -> None:
        dice = self.sim.random
        kind = dice.choice(("cancel", "retry", "resolve", "resolve", "backfill"))
        if kind == "backfill":
            self.pause_or_resume(dice.random() < 0.5)
            return
        wanted = {"cancel": (State.RECEIVED, State.HOSTED), "retry": (State.FAILED, State.REJECTED)}
        found = self.storage.ledger.jobs(states=wanted.get(kind, (State.HELD,)))
        if not found:
            return
        job = dice.choice(found)
        if kind == "cancel":
            decisions.cancel(parts, job)
        elif kind == "retry":
            self.auditor.reopened |= {job.job_id, *self._parts_of(job)}
            decisions.retry(parts, job)
        else:
            self._resolve(parts, job)

    def pause_or_resume(self, pause: bool) -> None:
        """The backfill stands still for a while, or goes on."""
        one = self.storage.ledger.backfill(BACKFILL)
        self.sim.note(f"the backfill is {'paused' if pause else 'resumed'}")
        self.storage.ledger.move_backfill(one, BackfillState.PAUSED if pause else BackfillState.RUNNING)

    def _resolve(self, parts: Parts, job: Job) -> None:
        """What he sees in the chat is the truth, and he has waited until nothing can come any more."""
        held = next((part for part in self.storage.ledger.parts_of(job.job_id) if part.state is State.HELD), job)
        if any(self.world.open_posts(one) for one in (held.job_id, *self._parts_of(job))):
            return
        seen = self.world.arrived(held.job_id)
        self.auditor.reopened |= {job.job_id, held.job_id}
        if held is job and any(self.world.arrived(part_id) for part_id in self._parts_of(job)):
            decisions.resolve(parts, job, resend=True)  # the ledger forgot that it went in parts, and finds them again
        elif seen:
            decisions.resolve(parts, job, sent=seen[0].message_id)
        elif self.sim.chance(0.7):
            decisions.resolve(parts, job, resend=True)
        else:
            decisions.resolve(parts, job, give_up=True)

    def _parts_of(self, job: Job) -> list[str]:
        return [part_id for part_id, whole_id in self.auditor.splits.wholes.items() if whole_id == job.job_id]

    def bad_luck(self, until_s: float) -> None:
        """Redis wiped, memos that vanish from the bucket, people who opt out."""
        dice, weather = self.sim.random, self.world.weather
        length_s = until_s - self.sim.now()

        def at(what: str, do: Callable[[], None]) -> None:
            self.sim.spawn(self.nature, what, do, after_s=dice.uniform(0, length_s))

        for _ in range(int(weather.wipes)):
            at("wipes Redis", self._wipe)
        for _ in range(20):
            if dice.random() < weather.memo_lost:
                at("loses a memo", self._lose_memo)
        for _ in range(int(weather.restores)):
            at("restores the ledger", self._restore)
        for _ in range(int(weather.opt_outs)):
            at("opts out", self._opt_out)

    def _wipe(self) -> None:
        self.redis.wipe()
        self.auditor.wiped_at = self.sim.now()

    def _lose_memo(self) -> None:
        memos = sorted(where for where in self.bucket.objects if where[0] == MEMOS and where[1].startswith("m/"))
        if memos:
            del self.bucket.objects[self.sim.random.choice(memos)]

    def _opt_out(self) -> None:
        chat_id = self.sim.random.choice(self.requests).chat_id or ""
        self.world.opted_out.add(chat_id)
        self._heard(chat_id, "STOP")
        self.sim.pause("stays away", self.sim.random.uniform(60, 600))
        self.world.opted_out.discard(chat_id)
        self._heard(chat_id, "hello again")

    def _restore(self) -> None:
        """Copy the ledger; some time later stop everything, put the copy back, start everything. Callers who were told
        "accepted" ask again, as they do when their job is not known any more."""
        copy = self.storage.copy()
        self.sim.pause("works on", self.sim.random.uniform(5, 300))
        for process in self.processes.values():
            self.sim.kill(process)
        self.storage.restore(copy)
        self.sim.note("the ledger is an older copy")
        self.auditor.on_restore()
        for request in self.requests:
            if any(job_id for job_id in self.registered):
                self.sim.spawn(self.nature, "caller again", lambda request=request: self._register(request), after_s=90)
