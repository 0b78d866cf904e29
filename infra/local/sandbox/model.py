"""What the sandbox knows: frozen values. Times are Unix seconds; Linq's JSON is made of them in `wire.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Service = Literal["iMessage", "SMS", "RCS"]
LineStatus = Literal["ACTIVE", "FLAGGED"]
Health = Literal["HEALTHY", "AT_RISK", "CRITICAL", "OPTED_OUT"]
DeliveryStatus = Literal["queued", "sent", "delivered", "failed"]
LINE = "+12025550100"  # the account's one line; 555-01xx is reserved for fiction
PARTNER_ID = "sandbox-partner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A conversation between a line and one or more handles."""

    id: str
    handles: tuple[str, ...]
    created_at: float
    line: str = LINE
    service: Service = "iMessage"
    opted_out: bool = False
    health: Health = "HEALTHY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """An audio file as Linq holds it. id: the attachment's."""

    id: str
    filename: str
    mime_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that will happen to a message. event_after_s: how much later than the change its webhook leaves."""

    event_type: str
    due: float
    event_after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddities:
    """What faults do to a message after it was taken."""

    visible_at: float = 0.0
    without_parts: bool = False
    list_filename: str | None = None
    webhook_copies: int = 1
    failed_code: int = 4001
    failed_with_ids: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An own message: a voice memo (media) or the text that opened a chat. steps: what is still to happen to it."""

    id: str
    chat_id: str
    created_at: float
    updated_at: float
    trace_id: str
    service: Service
    steps: tuple[Step, ...] = ()
    media: Media | None = None
    text: str | None = None
    source: str | None = None
    idempotency_key: str | None = None
    status: DeliveryStatus = "queued"
    sent_at: float | None = None
    delivered_at: float | None = None
    oddities: Oddities = Oddities()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A pre-uploaded file, announced (sha256 None) or complete."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: float
    upload_token: str
    sha256: str | None = None
    extension: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Where webhooks go. secret: `whsec_` and base64 of the key."""

    id: str
    target_url: str
    events: tuple[str, ...]
    secret: str
    created_at: float
    updated_at: float
    phone_numbers: tuple[str, ...] = ()
    routing_key_header: str | None = None
    routing_id_header: str | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook on its way to one subscription. body: exactly what is signed and sent, on every try."""

    id: str
    subscription_id: str
    event_id: str
    event_type: str
    body: str
    due: float
    first_tried_at: float | None = None
    tries: int = 0
    outcome: Literal["pending", "answered", "refused", "given-up"] = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One POST to `voicememo`, counted before anything is looked at. source: the URL or `attachment:` and its id.

    outcome: `begun`, then `taken`, `dropped`, `html`, or the status and code of the refusal (`404/2001`).
    """

    id: str
    chat_id: str
    at: float
    source: str | None
    outcome: str = "begun"
    override_optout: bool = False
