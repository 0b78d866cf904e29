"""The running sandbox: what the endpoints share."""

from __future__ import annotations

import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .codes import ApiError
from .config import SandboxConfig
from .faults import FaultBook
from .model import Chat, LineStatus, Message, Post, Service
from .store import Store
from .wire import is_group

if TYPE_CHECKING:
    from .fetch import Fetcher
    from .webhooks import Postman

NOT_FOUND_PREFIX = "00000404"
OPTED_OUT_PREFIX = "00002024"
SMS_PREFIX = "00000535"
WINDOW_S = 60.0
WINDOW_MESSAGES = 30


@dataclass(slots=True, kw_only=True)
class World:
    """base_url: how clients reach this sandbox. posts_seen: how many POSTs each chat has met."""

    config: SandboxConfig
    base_url: str
    store: Store
    faults: FaultBook
    fetcher: Fetcher
    postman: Postman
    line_status: LineStatus = "ACTIVE"
    posts_seen: Counter[str] = field(default_factory=Counter)
    messages_of: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    taken_at: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.posts_seen.update(post.chat_id for post in self.store.posts.all())
        for message in self.store.messages.all():
            self.remember(message)

    @property
    def cdn(self) -> str:
        """Where media URLs point to."""
        return f"{self.base_url}/_sandbox/cdn"

    def chat(self, chat_id: str) -> Chat:
        """The chat; by default any UUID is one. Raises ApiError 1005 (not a UUID) or 2001."""
        try:
            chat_id = str(uuid.UUID(chat_id))
        except ValueError:
            raise ApiError(1005, "chat_id must be a UUID") from None
        known = self.store.chats.get(chat_id)
        if known is not None:
            return known
        if self.config.strict_chats or chat_id.startswith(NOT_FOUND_PREFIX):
            raise ApiError(2001)
        return self.store.chats.put(newcomer(chat_id))

    def check_opt_out(self, chat: Chat) -> None:
        """A recipient who opted out in one chat is blocked in all; groups never are. Raises ApiError 2024."""
        if is_group(chat):
            return
        mine = set(chat.handles)
        if any(other.opted_out and mine & set(other.handles) for other in self.store.chats.all()):
            raise ApiError(2024)

    def check_line(self) -> None:
        """A flagged line sends nothing. Raises ApiError 2027."""
        if self.line_status != "ACTIVE":
            raise ApiError(2027)

    def count_post(self, post: Post) -> int:
        """Keeps the POST; the answer is its number within its chat, from 1."""
        self.store.posts.put(post)
        self.posts_seen[post.chat_id] += 1
        return self.posts_seen[post.chat_id]

    def check_rate(self, chat: Chat) -> None:
        """30 messages in any 60 s a chat. Raises ApiError 1007 with the wait until the next may be sent."""
        now = time.time()
        recent = [at for at in self.taken_at[chat.id] if at > now - WINDOW_S]
        self.taken_at[chat.id] = recent
        if len(recent) >= WINDOW_MESSAGES:
            raise ApiError(1007, retry_after_s=max(1, round(recent[0] + WINDOW_S - now + 0.5)))

    def remember(self, message: Message) -> None:
        """Enters a new message in the indexes that are made of the store."""
        self.messages_of[message.chat_id].append(message.id)
        self.taken_at[message.chat_id].append(message.created_at)

    def reset(self) -> None:
        """Back to the first day: no chats, messages, subscriptions, counts or faults."""
        self.postman.cancel_all()
        self.store.clear()
        self.faults.clear()
        self.faults.seed = self.config.seed
        self.line_status = "ACTIVE"
        for index in (self.posts_seen, self.messages_of, self.taken_at):
            index.clear()


def newcomer(chat_id: str) -> Chat:
    """The chat that an unknown id stands for. Its handle is made of the id, in a country code that is not in use."""
    service: Service = "SMS" if chat_id.startswith(SMS_PREFIX) else "iMessage"
    handle = f"+999{uuid.UUID(chat_id).int % 10**9:09d}"
    opted_out = chat_id.startswith(OPTED_OUT_PREFIX)
    return Chat(id=chat_id, handles=(handle,), created_at=time.time(), service=service, opted_out=opted_out)
