"""The audio step from end to end: probe, listen, plan, make, prove. Files are made in `place` and nowhere else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.audio import child, downmix, fit, pause, plan, probe, prove, report, sniff, tags, transcode
from pipeline.audio.formats import M4A
from pipeline.errors import RecordingRejected, ToolFailed
from pipeline.model import Action, AudioSettings, Memo, Plan, Probe

Progress = Callable[[float], None]
MAX_ENCODES = 3
MAX_PARTS = 99


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


def study(path: Path, ffmpeg: str, settings: AudioSettings, *, thorough: bool = True) -> Study:
    """Probe and plan. thorough: measure all that may be kept of several channels, which an encode needs.

    Raises RecordingRejected where the file holds no sound; a plan to reject is returned, not raised.
    """
    facts = probe.probe(path, ffmpeg)
    heard = _listen(facts, ffmpeg, settings, thorough)
    if facts.duration_s is None and not heard.whole:
        facts = replace(facts, duration_s=probe.run_length_s(facts, ffmpeg))
    facts = replace(facts, truncated=_is_truncated(facts, heard))
    return Study(facts=facts, heard=heard, plan=plan.decide(facts, heard, settings))


def _listen(facts: Probe, ffmpeg: str, settings: AudioSettings, thorough: bool) -> probe.Heard:
    """Decode as much as the plan depends on: all of what may pass as it is, the beginning of what will be encoded."""
    stream = facts.audio[0]
    may_copy = facts.size_bytes < settings.max_bytes and plan.accepted_type(facts) is not None
    if may_copy or plan.copyable(facts):
        return probe.hear(facts, ffmpeg, None)
    if thorough and stream.channels == 2:
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


def make(
    known: Study, place: Path, ffmpeg: str, settings: AudioSettings, on_progress: Progress | None = None
) -> tuple[Memo, ...]:
    """Do what the plan says, in the empty folder `place`. on_progress gets the share that is done, 0 to 1.

    Raises RecordingRejected for a plan to reject, ToolFailed where the result is not what was planned.
    """
    action = known.plan.action
    if action is Action.REJECT:
        raise RecordingRejected(known.plan.code, known.plan.reason)
    if action is Action.TRANSCODE:
        return _Encoder(known, place, ffmpeg, settings, on_progress).memos()
    memo = _rewrap(known, place, ffmpeg) if known.plan.code == "rewrapped" else _pass(known, place, ffmpeg)
    if memo and memo.size_bytes < settings.max_bytes:
        return (memo,)
    encode = plan.transcode(known.facts, known.heard, settings, "Its frames cannot be used as they are.")
    return make(replace(known, plan=encode), place, ffmpeg, settings, on_progress)


def _is_still(container: str, path: Path) -> bool:
    """Whether a file is recognised without the tags: damaged sound may be held together by them."""
    try:
        return sniff.look(path).container == container
    except RecordingRejected:
        return False


def _pass(known: Study, place: Path, ffmpeg: str) -> Memo | None:
    """The recording as it is, without its tags; None where that is no recognisable file any more."""
    facts, to = known.facts, place / f"memo.{known.plan.extension}"
    pictures = facts.container == "m4a" and facts.has_other_streams
    if not facts.has_tags and not pictures:
        shutil.copyfile(facts.path, to)
        return _memo(known, to, prove.as_is(to, known.duration_s))
    if not tags.strip(facts.path, facts.container or "", to):
        return _rewrap(known, place, ffmpeg)
    if facts.container in ("mp3", "aac"):
        if not _is_still(facts.container, to):
            return None
        return _memo(known, to, prove.sliced(to, ffmpeg, facts, known.heard.samples, known.duration_s))
    return _memo(known, to, prove.copied(to, ffmpeg, facts, known.duration_s))


def _rewrap(known: Study, place: Path, ffmpeg: str) -> Memo:
    to = place / f"memo.{known.plan.extension}"
    done = child.run(ffmpeg, transcode.copy_args(known.facts, to), child.Limits())
    if done.returncode:
        raise ToolFailed(done.argv, done.returncode, done.report)
    return _memo(known, to, prove.copied(to, ffmpeg, known.facts, known.duration_s))


def _memo(known: Study, path: Path, proof: prove.Proof, *, trimmed: bool = False) -> Memo:
    return Memo(
        action=known.plan.action, path=path, size_bytes=proof.size_bytes, duration_s=proof.duration_s,
        bitrate_kbps=round(proof.size_bytes / 125 / proof.duration_s, 2) if proof.duration_s else 0.0,
        mime_type=known.plan.mime_type or M4A.mime_type, extension=known.plan.extension or M4A.extension,
        sha256=proof.sha256, reason=known.plan.reason, trimmed=trimmed, source_duration_s=known.duration_s,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """One encode. used_s: how much of the recording it took; whole: nothing of it was left out at the end."""

    path: Path
    size_bytes: int
    samples: int
    used_s: float
    whole: bool
    coding: fit.Coding


class _Encoder:
    """Predict, encode, measure, at most three times a memo: the best result under the limit stays."""

    def __init__(
        self, known: Study, place: Path, ffmpeg: str, settings: AudioSettings, on_progress: Progress | None
    ) -> None:
        self.known, self.place, self.ffmpeg, self.settings = known, place, ffmpeg, settings
        self.on_progress = on_progress
        stream = known.facts.audio[0]
        self.source_rate_hz = stream.sample_rate_hz
        self.mix = downmix.choose(stream.channels, stream.layout, known.heard.levels)
        self.most_kbps = plan.most_kbps(known.facts, settings)
        self.least_kbps = min(settings.min_bitrate_kbps, self.most_kbps)

    def memos(self) -> tuple[Memo, ...]:
        if self.known.plan.code == "split":
            return self._parts()
        made = self._best(self._planned(), 0.0, self.known.duration_s, "memo")
        return (self._proven(made),)

    def _planned(self) -> fit.Coding:
        row = self.known.plan
        return fit.Coding(
            bitrate_kbps=row.bitrate_kbps or self.most_kbps, sample_rate_hz=row.sample_rate_hz or 32_000,
            cutoff_hz=row.cutoff_hz, keep_s=row.keep_s,
        )  # fmt: skip

    def _best(self, first: fit.Coding, from_s: float, length_s: float, name: str) -> _Made:
        """Encode up to three times; raises RecordingRejected `too-long` where nothing came out under the limit."""
        best: _Made | None = None
        coding: fit.Coding | None = first
        for number in range(MAX_ENCODES):
            if coding is None:
                break
            made = self._encode(coding, from_s, length_s, self.place / f"{name}-{number}.m4a")
            if made.size_bytes < self.settings.max_bytes and (best is None or _is_better(made, best)):
                best = made
            # The measured length takes the place of what a header claimed.
            length_s = made.used_s if made.whole else length_s
            measured = replace(made.coding, keep_s=None if made.whole else made.used_s)
            coding = fit.again(
                measured, made.size_bytes, self.settings.max_bytes, length_s, source_rate_hz=self.source_rate_hz,
                most_kbps=self.most_kbps, least_kbps=self.least_kbps,
            )  # fmt: skip
            if coding is not None and coding.careful and not made.coding.careful:
                best = None
        if best is None:
            raise RecordingRejected("too-long", "The recording does not fit under the limit: shorten it.")
        return best

    def _encode(self, coding: fit.Coding, from_s: float, length_s: float, to: Path) -> _Made:
        cut = self._cut(from_s, coding.keep_s) if coding.keep_s is not None else None
        args = transcode.encode_args(self.known.facts, self.mix, coding, to, cut=cut, from_s=from_s)
        seconds = cut.at_s if cut else length_s
        limits = child.Limits(
            wall_s=120 + (from_s + seconds) / 5, file_bytes=max(2 * self.settings.max_bytes, 1 << 25)
        )  # fmt: skip
        done = child.run(self.ffmpeg, args, limits, self._share(from_s, seconds))
        samples = report.counts(done.report).written_samples
        if done.out_of_time or not to.exists() or not samples:
            raise ToolFailed(done.argv, done.returncode, done.report)
        used_s = samples / coding.sample_rate_hz
        return _Made(
            path=to, size_bytes=to.stat().st_size, samples=samples, used_s=used_s, coding=coding,
            whole=cut is None or used_s < cut.at_s - 0.1,
        )  # fmt: skip

    def _cut(self, from_s: float, keep_s: float) -> pause.Cut:
        """Seek a pause in the last seconds that fit: 20 of them, but at most 5 % of what is kept."""
        window_s = min(pause.WINDOW_S, 0.05 * keep_s)
        to = self.place / "window.wav"
        start_s = max(keep_s - window_s, 0.0)
        args = transcode.window_args(self.known.facts, self.mix, from_s + start_s, window_s, to)
        child.run(self.ffmpeg, args, child.Limits(wall_s=120 + (from_s + keep_s) / 10))
        if not to.exists() or to.stat().st_size <= 44:
            return pause.Cut(at_s=keep_s, depth_db=0.0, fade_s=0.15)
        levels = pause.frame_levels(to, self.ffmpeg)
        to.unlink()
        return pause.valley(levels, min(keep_s, start_s + len(levels) * pause.FRAME_S))

    def _share(self, from_s: float, seconds: float) -> Progress | None:
        """Progress of one encode as a share of the recording, or of what is kept of it."""
        tell = self.on_progress
        if tell is None:
            return None
        whole_s = max(self.known.duration_s, 0.001) if self.known.plan.code == "split" else max(seconds, 0.001)
        return lambda done_s: tell(min((from_s + done_s) / whole_s, 1.0))

    def _proven(self, made: _Made, source_s: float | None = None) -> Memo:
        proof = prove.encoded(made.path, self.ffmpeg, samples=made.samples, sample_rate_hz=made.coding.sample_rate_hz)
        memo = _memo(self.known, made.path, proof, trimmed=not made.whole and source_s is None)
        return replace(memo, source_duration_s=source_s) if source_s is not None else memo

    def _parts(self) -> tuple[Memo, ...]:
        """Parts of about equal length, each cut at a pause; each gets the bits that its own length allows."""
        total_s = self.known.duration_s
        rate = fit.coding_at(self.least_kbps, self.source_rate_hz).sample_rate_hz
        most_s = 0.95 * fit.seconds_that_fit(self.settings.max_bytes, self.least_kbps, rate)
        count = int(total_s // most_s) + 1
        if count > MAX_PARTS:
            raise RecordingRejected("too-long", f"The recording would need {count} memos: shorten it.")
        memos: list[Memo] = []
        from_s = 0.0
        for number in range(1, count + 1):
            left_s = total_s - from_s
            length_s = left_s / (count - number + 1)
            keep_s = length_s if number < count else None
            coding = fit.whole(
                self.settings.max_bytes, length_s, self.source_rate_hz, self.most_kbps, self.least_kbps
            ) or fit.coding_at(self.least_kbps, self.source_rate_hz)  # fmt: skip
            made = self._part(replace(coding, keep_s=keep_s), from_s, length_s, f"part{number}")
            memos.append(self._proven(made, source_s=total_s))
            from_s += made.used_s
        return tuple(memos)

    def _part(self, coding: fit.Coding, from_s: float, length_s: float, name: str) -> _Made:
        """One part of a split; its length stays, so only its bits are lowered when it came out too large."""
        for number in range(MAX_ENCODES):
            made = self._encode(coding, from_s, length_s, self.place / f"{name}-{number}.m4a")
            if made.size_bytes < self.settings.max_bytes:
                return made
            kbps = coding.bitrate_kbps * fit.GOAL * self.settings.max_bytes / made.size_bytes
            coding = replace(fit.coding_at(kbps, self.source_rate_hz), keep_s=coding.keep_s)
        raise RecordingRejected("too-long", "A part of the recording does not fit under the limit: shorten it.")


def _is_better(made: _Made, best: _Made) -> bool:
    """More of the recording wins, then more bits."""
    return (made.whole, made.used_s, made.size_bytes) > (best.whole, best.used_s, best.size_bytes)
