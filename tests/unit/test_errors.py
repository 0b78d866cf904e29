"""The error tree: every error passes from one process to another as it is."""

from __future__ import annotations

import pickle

import pytest

from pipeline.errors import (
    Fenced,
    JobFailed,
    KeyReused,
    MemolineError,
    Misuse,
    NoSuchJob,
    PartUnreachable,
    RecordingRejected,
    ToolFailed,
    Unconfirmed,
)


@pytest.mark.parametrize(
    "error",
    [
        Misuse("no-such-file", "There is none.", path="a"),
        RecordingRejected("broken", "It is."),
        PartUnreachable("s3-unreachable", "No."),
        Unconfirmed("still-open", "Yes.", job_id="j"),
        JobFailed("internal", "Oh."),
        KeyReused("k", "j"),
        NoSuchJob("j"),
        Fenced("j"),
        ToolFailed(("ffmpeg",), 1, "it said this"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_the_way_to_another_process(error: MemolineError) -> None:
    """Kind, code, sentence, facts and exit status."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (again.as_json(), str(again), again.exit_status) == (error.as_json(), str(error), error.exit_status)
