"""What is known of a recording before anything is made: probed, listened to, planned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.audio import fit, plan, probe
from pipeline.audio.formats import M4A
from pipeline.audio.prove import Proof
from pipeline.model import AudioSettings, Memo, Plan, Probe

_TELL_NO_LENGTH = frozenset({"ogg", "aac", "amr", "mp3"})
"""Containers whose length is guessed from their beginning, or that follow each other in one file: it is counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """All that is known before anything is made."""

    facts: Probe
    heard: probe.Heard
    plan: Plan

    @property
    def duration_s(self) -> float:
        """How long the recording is: decoded where it was decoded to its end, else as its header says."""
        return self.heard.duration_s if self.heard.whole else self.facts.duration_s or self.heard.duration_s

    def memo(self, path: Path, proof: Proof, *, trimmed: bool = False) -> Memo:
        """The memo that was made of it by its plan."""
        row = self.plan
        return Memo(
            action=row.action, path=path, size_bytes=proof.size_bytes, duration_s=proof.duration_s,
            bitrate_kbps=round(proof.size_bytes / 125 / proof.duration_s, 2) if proof.duration_s else 0.0,
            mime_type=row.mime_type or M4A.mime_type, extension=row.extension or M4A.extension, sha256=proof.sha256,
            reason=row.reason, trimmed=trimmed, source_duration_s=self.duration_s,
        )  # fmt: skip


def study(path: Path, ffmpeg: str, settings: AudioSettings, *, thorough: bool = True) -> Study:
    """Probe and plan. thorough: measure all that may be kept of several channels, which an encode needs.

    Raises RecordingRejected where the file holds no sound; a plan to reject is returned, not raised.
    """
    facts = probe.probe(path, ffmpeg)
    heard = _listen(facts, ffmpeg, settings, thorough)
    if not heard.whole and (facts.duration_s is None or facts.container in _TELL_NO_LENGTH):
        facts = replace(facts, duration_s=probe.run_length_s(facts, ffmpeg))
    facts = replace(facts, truncated=_is_truncated(facts, heard))
    return Study(facts=facts, heard=heard, plan=plan.decide(facts, heard, settings))


def _listen(facts: Probe, ffmpeg: str, settings: AudioSettings, thorough: bool) -> probe.Heard:
    """Decode as much as the plan depends on: all of what may pass as it is, the beginning of what will be encoded."""
    stream = facts.audio[0]
    accepted = plan.accepted_type(facts) is not None
    fits = facts.size_bytes < settings.max_bytes
    if (accepted and fits) or (plan.copyable(facts) and plan.may_fit(facts, settings)):
        return probe.hear(facts, ffmpeg, None)
    # What is cut by copy is heard where it was made, as the copy's proof.
    if thorough and stream.channels == 2 and not (accepted and settings.overflow == "cut"):
        most_s = fit.seconds_that_fit(settings.max_bytes, settings.min_bitrate_kbps, 32_000)
        return probe.hear(facts, ffmpeg, most_s if settings.overflow != "split" else None)
    heard = probe.hear(facts, ffmpeg, probe.SOUND_SHOWN_S)
    return heard if heard.samples else probe.hear(facts, ffmpeg, None)


def _is_truncated(facts: Probe, heard: probe.Heard) -> bool:
    """Whether half a second and 2 % of what an MP4 promises is missing. Other headers only guess, and beside video the
    length may be the picture's."""
    if facts.demuxer != "mov" or facts.has_video or not heard.whole or not facts.duration_s:
        return False
    return facts.duration_s - heard.duration_s > max(0.5, 0.02 * facts.duration_s)
