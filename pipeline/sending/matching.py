"""Finding a memo in the list of a chat's messages, by the file name that only this job has. Pure.

That Linq's list shows the last segment of the sent URL as `filename` is likely, not proven."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.messages import MessageList


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


def shows(file_names: Iterable[str], names: Container[str]) -> bool:
    """Whether one of the files has one of the names. Without extension: Linq may make another container of a memo."""
    return any(file_name.partition(".")[0] in names for file_name in file_names)


def match(names: Container[str], listed: MessageList) -> Verdict:
    """Look for a file with one of a job's names. Own messages that show no files at all mean that the list cannot prove
    an absence."""
    for message in listed.messages:
        if shows(message.file_names or (), names):
            return Verdict(found=Found.YES, message_id=message.message_id)
    if any(message.file_names is None for message in listed.messages):
        return Verdict(found=Found.CANNOT_KNOW)
    return Verdict(found=Found.NO)
