"""Finding a memo in the list of a chat's messages, by the file name that only this job has. Pure.

That Linq's list shows the last segment of the sent URL as `filename` is likely, not proven."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.model import MessageList


class Found(StrEnum):
    """What a list can say."""

    YES = "yes"
    NO = "no"
    CANNOT_KNOW = "cannot-know"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the list said; message_id where it was found."""

    found: Found
    message_id: str | None = None


def match(file_name: str, listed: MessageList) -> Verdict:
    """Look for a file name. Own messages that show no files at all mean that the list cannot prove an absence."""
    for message in listed.messages:
        if message.file_names and file_name in message.file_names:
            return Verdict(found=Found.YES, message_id=message.message_id)
    if any(message.file_names is None for message in listed.messages):
        return Verdict(found=Found.CANNOT_KNOW)
    return Verdict(found=Found.NO)
