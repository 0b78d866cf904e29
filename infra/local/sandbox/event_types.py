"""The webhook event types that can be subscribed to, as listed by `linq-python` 0.65.0 (`WebhookEventType`)."""

from __future__ import annotations

_BY_SUBJECT = {
    "message": "sent received read delivered failed edited",
    "reaction": "added removed",
    "poll": "received failed sent delivered read updated vote.added vote.removed reaction.added",
    "participant": "added removed",
    "chat": "created group_name_updated group_icon_updated group_name_update_failed group_icon_update_failed "
    "background_updated background_update_failed typing_indicator.started typing_indicator.stopped",
    "phone_number": "status_updated assigned released forwarding_updated",
    "contact_card": "received created updated deleted",
    "call": "initiated ringing answered ended failed declined no_answer",
    "location": "sharing.started sharing.stopped",
    "payment": "succeeded canceled expired declined authorized",
    "connection": "created revoked",
    "zero_day_retention": "updated",
    "environment": "line_moved created renamed deleted",
    "api_token": "created renamed expiry_scheduled expired activated deleted",
    "webhook_subscription": "created deleted target_url_changed enabled disabled events.updated "
    "phone_numbers.updated routing_headers_set routing_headers_cleared",
    "team_member": "added signed_in signed_out",
}

EVENT_TYPES = tuple(f"{subject}.{verb}" for subject, verbs in _BY_SUBJECT.items() for verb in verbs.split())
