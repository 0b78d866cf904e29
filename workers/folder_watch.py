"""`memoline watch DIR`: watches a folder, by the kernel's events and by a look at all of it now and then."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from watchfiles import watch

from pipeline.errors import MemolineError, Misuse
from pipeline.ledger.inbox import InboxBook
from pipeline.sending.pacing import backoff_s
from pipeline.settings import Settings
from workers.doors import open_desk
from workers.folder_door import FolderDoor, place_of_folder, text_of
from workers.folder_files import Look, files_in, is_being_written, is_folder, look_at
from workers.folder_place import FolderPlace, FolderWishes
from workers.hints import open_hints
from workers.log import logger
from workers.teller import Teller, tell_for_ever
from workers.wiring import open_book, open_news_book

SETTLED_S = 2.0
"""So long a file must have stayed as it is before it is taken."""
LOOK_EVERY_S = 60.0
PAGE = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    look: Look
    since_s: float


class FolderWatcher:
    """Files that were seen and are not whole yet. now_s: of a clock that only counts."""

    def __init__(self, root: Path, book: InboxBook, door: FolderDoor) -> None:
        self._root = root
        self._book = book
        self._door = door
        self._waiting: dict[str, _Waiting] = {}

    def notice(self, path: Path, now_s: float) -> None:
        """Something happened to a file: it is waited for from now on, or forgotten where it is gone."""
        if look := look_at(self._root, path):
            self._wait_for(look, now_s)

    def look_around(self, now_s: float) -> int:
        """Notice every file that is not known as it is. Returns how many; what is gone is forgotten."""
        found, after = 0, ""
        for page, last in self._pages():
            to = None if last else text_of(page[-1].key)
            known = self._book.seen(after, to)
            new = [look for look in page if known.get(text_of(look.key)) != look.seen]
            for look in new:
                self._wait_for(look, now_s)
            self._book.note({}, known.keys() - {text_of(look.key) for look in page})
            found, after = found + len(new), to or after
        return found

    def take_whole(self, now_s: float) -> int:
        """Register the files that have stayed as they are long enough and that nobody writes to. Returns how many jobs
        are new. Raises PartUnreachable, JobFailed (`disk-full`), Misuse: they are taken later."""
        whole = [one.look for one in list(self._waiting.values()) if self._is_whole(one, now_s)]
        new = self._door.take(whole)
        for look in whole:
            self._waiting.pop(look.key, None)
        return new

    def _is_whole(self, one: _Waiting, now_s: float) -> bool:
        now = look_at(self._root, self._root / one.look.key)
        if now is None:
            self._waiting.pop(one.look.key, None)
            return False
        if now != one.look:
            self._waiting[now.key] = _Waiting(look=now, since_s=now_s)
            return False
        return now_s - one.since_s >= SETTLED_S and not is_being_written(self._root / now.key)

    def _wait_for(self, look: Look, now_s: float) -> None:
        before = self._waiting.get(look.key)
        if before is None or before.look != look:
            self._waiting[look.key] = _Waiting(look=look, since_s=now_s)

    def _pages(self) -> Iterator[tuple[tuple[Look, ...], bool]]:
        looks = sorted(files_in(self._root), key=lambda look: text_of(look.key))
        for start in range(0, max(len(looks), 1), PAGE):
            yield tuple(looks[start : start + PAGE]), start + PAGE >= len(looks)


def watch_folder(settings: Settings, root: Path, wishes: FolderWishes, stopped: threading.Event) -> None:
    """Watch a folder until told to stop. Raises Misuse (`no-such-folder`), PartUnreachable when the ledger is away at
    the start; what goes wrong later costs a wait and a line in the log."""
    root = root.absolute()
    if not is_folder(root):
        raise Misuse("no-such-folder", f"There is no folder {root}: make it, or name another.", path=str(root))
    if threading.current_thread() is threading.main_thread():
        # Sent to whoever holds a lease when another opens the file (`is_being_written`); it would end the process.
        signal.signal(signal.SIGIO, signal.SIG_IGN)
    desk, place = open_desk(settings, "watch"), place_of_folder(root)
    book = open_book(settings, place)
    watcher = FolderWatcher(root, book, FolderDoor(desk, open_hints(settings.broker_url), book, root))
    here = FolderPlace(desk.parts, root, wishes)
    teller = Teller(desk.parts, open_news_book(settings, place, here.name_of), here)
    telling = threading.Thread(target=tell_for_ever, args=(teller, stopped), name="tell", daemon=True)
    telling.start()
    logger().info("watch.folder", folder=str(root))
    try:
        _watch(root, watcher, stopped)
    finally:
        stopped.set()
        telling.join()


def _watch(root: Path, watcher: FolderWatcher, stopped: threading.Event) -> None:
    next_look_s, tries = 0.0, 0
    for changes in _changes(root, stopped):
        now_s = time.monotonic()
        try:
            for path in changes:
                watcher.notice(path, now_s)
                if is_folder(path):  # moved here with all that is in it
                    next_look_s = now_s
            if now_s >= next_look_s:
                next_look_s = now_s + LOOK_EVERY_S
                watcher.look_around(now_s)
            watcher.take_whole(now_s)
            tries = 0
        except (MemolineError, OSError) as error:
            tries += 1
            code = error.code if isinstance(error, MemolineError) else "unreadable"
            logger().warning("watch.put-off", code=code, error=str(error))
            stopped.wait(min(backoff_s(tries), 30))


def _changes(root: Path, stopped: threading.Event) -> Iterator[set[Path]]:
    """Paths that changed, at least once a second, if only none. A folder that goes away is waited for."""
    while not stopped.is_set():
        try:
            for changes in watch(
                root,
                watch_filter=None,
                stop_event=stopped,
                debounce=400,
                rust_timeout=500,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                yield {Path(path) for _, path in changes}
                if not is_folder(root):
                    break
        except OSError as error:
            logger().warning("watch.no-events", folder=str(root), error=str(error))
            if is_folder(root):
                yield set()  # without the kernel's events, the look now and then goes on
                stopped.wait(LOOK_EVERY_S / 10)
        if not stopped.is_set() and not is_folder(root):
            logger().warning("watch.no-folder", folder=str(root))
            stopped.wait(LOOK_EVERY_S / 10)
