"""What is known of a recording before anything is made: probed, listened to, planned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.audio import downmix, fit, plan, probe, sniff
from pipeline.audio.formats import ACCEPTED, M4A, TELLS_LENGTH
from pipeline.audio.prove import Proof
from pipeline.errors import RecordingRejected
from pipeline.recordings import Action, AudioSettings, Memo, Plan, Probe

_TELL_NO_LENGTH = frozenset({"ogg", "aac", "amr", "mp3"})
"""Containers whose length is guessed from their beginning, or that follow each other in one file: it is counted."""
_SHORT_BYTES = 1 << 20
"""Up to this size starting ffmpeg costs as much as decoding, so that both are done at one start."""
_SHORT_S = 120.0
"""Below this two channels are not listened to before: an encode for nothing costs too little."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """All that is known before anything is made. heard: None where the first encode will tell."""

    facts: Probe
    heard: probe.Heard | None
    plan: Plan

    @property
    def duration_s(self) -> float:
        """How long the recording is: decoded where it was decoded to its end, else as its header says."""
        return plan.duration_s(self.facts, self.heard)

    def after(self, heard: probe.Heard) -> Study:
        """The same once an encode was listened to. Its plan stays, but for what it says about silence."""
        broken_off = heard.gave_up and not self.facts.truncated
        silent = heard.whole and heard.silent and not (self.heard and self.heard.silent)
        note = self.plan.why + (plan.TRUNCATION_NOTE if broken_off else "") + (f" {plan.ALL_SILENT}" if silent else "")
        facts = replace(self.facts, truncated=self.facts.truncated or heard.gave_up)
        return replace(self, facts=facts, heard=heard, plan=replace(self.plan, why=note))

    def memo(self, path: Path, proof: Proof, *, trimmed: bool = False) -> Memo:
        """The memo that was made of it by its plan."""
        row = self.plan
        cut_short = not trimmed and row.code != "split" and _falls_short(self.facts, proof.duration_s)
        said_late = cut_short and not self.facts.truncated
        return Memo(
            action=row.action, path=path, size_bytes=proof.size_bytes, duration_s=proof.duration_s,
            bitrate_kbps=round(proof.size_bytes / 125 / proof.duration_s, 2) if proof.duration_s else 0.0,
            mime_type=row.mime_type or M4A.mime_type, extension=row.extension or M4A.extension, sha256=proof.sha256,
            reason=row.reason + (plan.TRUNCATION_NOTE if said_late else ""), trimmed=trimmed,
            truncated=self.facts.truncated or cut_short, plan=row, source_duration_s=self.duration_s,
        )  # fmt: skip


def study(path: Path, ffmpeg: str, settings: AudioSettings, *, to_make: bool = False) -> Study:
    """Probe and plan. to_make: a memo will be made, so that what will be encoded need not be listened to before.

    Raises RecordingRejected where the file holds no sound; a plan to reject is returned, not raised.
    """
    facts, early = _look(path, ffmpeg, settings, to_make)
    if what := plan.beyond(facts):
        raise RecordingRejected("unsupported", f"Its header says {what}, which no sound has: export it again.")
    heard = _listen(facts, ffmpeg, settings, to_make, early)
    # The parts of a split are not measured one by one.
    if not (heard and heard.whole) and _must_count(facts, to_make and settings.overflow != "split"):
        facts = replace(facts, duration_s=probe.run_length_s(facts, ffmpeg) or facts.duration_s)
    if heard and (heard.gave_up or (heard.whole and _falls_short(facts, heard.duration_s))):
        facts = replace(facts, truncated=True)
    chosen = plan.decide(facts, heard, settings)
    if settings.loudness == "speech" and heard and chosen.action is Action.TRANSCODE:
        heard = _with_loudness(facts, heard, ffmpeg, settings)
        chosen = plan.decide(facts, heard, settings)
    return Study(facts=facts, heard=heard, plan=chosen)


def _must_count(facts: Probe, to_make: bool) -> bool:
    """Whether the header is not believed. An encode of Ogg finds out by itself that there is more."""
    return facts.duration_s is None or (
        facts.container in _TELL_NO_LENGTH and not (to_make and facts.container == "ogg")
    )


def _look(path: Path, ffmpeg: str, settings: AudioSettings, to_make: bool) -> tuple[Probe, probe.Heard | None]:
    """The header, and at the same start of ffmpeg as much of the sound of a short recording as will be asked for."""
    size_bytes, container = path.stat().st_size, sniff.look(path).container
    may_pass = container in ACCEPTED and size_bytes < settings.max_bytes
    if size_bytes > _SHORT_BYTES or settings.loudness == "speech" or not (may_pass or not to_make):
        return probe.probe(path, ffmpeg, settings.keep_tags), None
    return probe.probe_hearing(path, ffmpeg, None if may_pass else probe.SOUND_SHOWN_S, settings.keep_tags)


def _listen(
    facts: Probe, ffmpeg: str, settings: AudioSettings, to_make: bool, early: probe.Heard | None
) -> probe.Heard | None:
    """Decode as much as the plan depends on: all of what may pass as it is, of what will be encoded the beginning, or,
    where it is short and heard while it is encoded, nothing. early: what was heard already."""
    accepted = plan.accepted_type(facts) is not None
    fits = facts.size_bytes < settings.max_bytes
    may_be_copied = plan.copyable(facts) or (accepted and facts.has_tags)
    if (accepted and fits) or (may_be_copied and plan.may_fit(facts, settings)):
        return early if early and early.whole else probe.hear(facts, ffmpeg, None)
    if settings.loudness == "speech":
        return probe.hear(facts, ffmpeg, _most_s(settings))
    # What is cut by copy is heard where it was made, as the copy's proof.
    if (
        to_make
        and not accepted
        and (facts.audio[0].channels != 2 or (facts.duration_s and facts.duration_s < _SHORT_S))
    ):
        return None
    heard = early or probe.hear(facts, ffmpeg, probe.SOUND_SHOWN_S)
    return heard if heard.samples else probe.hear(facts, ffmpeg, None)


def _most_s(settings: AudioSettings) -> float | None:
    """The most that can be kept in one memo; None where it may be split."""
    most_s = fit.seconds_that_fit(settings.max_bytes, settings.min_bitrate_kbps, 32_000)
    return most_s if settings.overflow != "split" else None


def _with_loudness(facts: Probe, heard: probe.Heard, ffmpeg: str, settings: AudioSettings) -> probe.Heard:
    stream = facts.audio[0]
    mix = downmix.choose(stream.channels, stream.layout, heard.levels)
    return replace(heard, loudness_lufs=probe.loudness_lufs(facts, ffmpeg, mix, _most_s(settings)))


def _falls_short(facts: Probe, seconds: float) -> bool:
    """Whether half a second and 2 % of what an exact header promises is missing. Other headers only guess, and beside
    video the length may be the picture's."""
    if facts.container not in TELLS_LENGTH or facts.has_video or not facts.duration_s:
        return False
    return facts.duration_s - seconds > max(0.5, 0.02 * facts.duration_s)
