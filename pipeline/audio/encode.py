"""Predict, encode, measure: the best memo under the limit, in at most three encodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.audio import child, downmix, fit, pause, plan, probe, prove, report, transcode
from pipeline.audio.study import Study
from pipeline.errors import RecordingRejected, ToolFailed
from pipeline.model import AudioSettings, Memo

Progress = Callable[[float], None]
MAX_ENCODES = 3
MAX_PARTS = 99
_SAID_TOO_LITTLE = 1.05
"""So much longer than its header says a recording may be before another plan is made for it."""
_INDEX_BYTES = 1 << 25
"""Room for what M4A adds to the sound of many hours of silence."""


class LongerThanSaid(Exception):
    """The plan was made for a shorter recording: the header says too little."""

    def __init__(self, duration_s: float) -> None:
        super().__init__(f"{duration_s:.1f} s")
        self.duration_s = duration_s


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """One encode. used_s: how much of the recording it took; whole: nothing of it was left out at the end; stopped: at
    the bytes that it was allowed."""

    path: Path
    size_bytes: int
    samples: int
    used_s: float
    whole: bool
    stopped: bool
    coding: fit.Coding


class Encoder:
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
        """Encode up to three times. Raises RecordingRejected `too-long` where nothing came out under the limit, and
        LongerThanSaid."""
        best: _Made | None = None
        coding: fit.Coding | None = first
        number = 0
        while coding is not None and number < MAX_ENCODES:
            made = self._encode(coding, from_s, length_s, self.place / f"{name}-{number}.m4a")
            number += 1
            self._check_length(made, length_s)
            if made.size_bytes < self.settings.max_bytes and (best is None or _is_better(made, best)):
                best = made
            # The measured length takes the place of what a header claimed.
            length_s = made.used_s if made.whole else length_s
            coding = self._next(made, length_s)
            if coding is not None and coding.careful and not made.coding.careful:
                best = None
            if coding is not None and self._lengthens(made, coding) and number + 1 < MAX_ENCODES:
                tried = self._fill(coding, from_s, length_s, self.place / f"{name}-{number}.m4a")
                number += 1
                if tried.whole and tried.size_bytes < self.settings.max_bytes:
                    return tried
                coding = self._between(made, tried, length_s)
        if best is None:
            raise RecordingRejected("too-long", "The recording does not fit under the limit: shorten it.")
        return best

    def _next(self, made: _Made, length_s: float) -> fit.Coding | None:
        measured = replace(made.coding, keep_s=None if made.whole else made.used_s)
        return fit.again(
            measured, made.size_bytes, self.settings.max_bytes, length_s, source_rate_hz=self.source_rate_hz,
            most_kbps=self.most_kbps, least_kbps=self.least_kbps,
        )  # fmt: skip

    def _check_length(self, made: _Made, length_s: float) -> None:
        """Raises LongerThanSaid where a memo of the whole came out too large because there is more of it."""
        if made.size_bytes < self.settings.max_bytes or made.coding.keep_s is not None:
            return
        found_s = made.used_s
        if made.stopped:
            found_s = max(found_s, probe.run_length_s(self.known.facts, self.ffmpeg) or 0.0)
        if found_s > _SAID_TOO_LITTLE * length_s + 1:
            raise LongerThanSaid(found_s)

    @staticmethod
    def _lengthens(made: _Made, coding: fit.Coding) -> bool:
        """Whether more seconds come next: how many fit, only encoding on can tell."""
        return not made.whole and made.coding.keep_s is not None and (coding.keep_s or float("inf")) > made.used_s

    def _between(self, made: _Made, tried: _Made, length_s: float) -> fit.Coding:
        """What to keep after an encode that was stopped near the limit: a little more, or, where it stopped too late
        (by up to 250 kB, measured), what lies between the two that were measured."""
        limit_bytes = self.settings.max_bytes
        goal, longer_s = fit.GOAL * limit_bytes, tried.used_s - made.used_s
        if tried.size_bytes <= goal or longer_s <= 0 or tried.size_bytes <= made.size_bytes:
            return fit.filled(tried.coding, tried.used_s, tried.size_bytes, limit_bytes, length_s)
        share = (goal - made.size_bytes) / (tried.size_bytes - made.size_bytes)
        return replace(tried.coding, keep_s=made.used_s + longer_s * share)

    def _fill(self, coding: fit.Coding, from_s: float, length_s: float, to: Path) -> _Made:
        """Encode on until the limit is nearly full, wherever that is."""
        stop_bytes = fit.stop_bytes(self.settings.max_bytes, length_s, coding.sample_rate_hz)
        return self._encode(replace(coding, keep_s=None), from_s, length_s, to, stop_bytes=stop_bytes)

    def _encode(
        self, coding: fit.Coding, from_s: float, length_s: float, to: Path, *, stop_bytes: int | None = None
    ) -> _Made:
        cut = self._cut(from_s, coding.keep_s) if coding.keep_s is not None else None
        # Far above what is planned: only a recording that is much longer than it says comes to it.
        stop_bytes = stop_bytes or 4 * self.settings.max_bytes + (1 << 20)
        args = transcode.encode_args(
            self.known.facts, self.mix, coding, to, cut=cut, from_s=from_s, stop_bytes=stop_bytes
        )
        seconds = cut.at_s if cut else length_s
        limits = child.Limits(wall_s=120 + (from_s + seconds) / 5, file_bytes=stop_bytes + _INDEX_BYTES)
        done = child.run(self.ffmpeg, args, limits, self._share(from_s, seconds))
        samples = report.counts(done.report).written_samples
        if done.out_of_time or not to.exists() or not samples:
            raise ToolFailed(done.argv, done.returncode, done.report)
        used_s, size_bytes = samples / coding.sample_rate_hz, to.stat().st_size
        stopped = size_bytes >= stop_bytes
        return _Made(
            path=to, size_bytes=size_bytes, samples=samples, used_s=used_s, coding=coding, stopped=stopped,
            whole=not stopped and (cut is None or used_s < cut.at_s - 0.1),
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
        memo = self.known.memo(made.path, proof, trimmed=not made.whole and source_s is None)
        if self.known.plan.code == "cut":
            planned = plan.cut_note(self.known.plan.keep_s or 0, self.known.duration_s)
            kept = "All of it fits." if made.whole else plan.cut_note(made.used_s, self.known.duration_s)
            memo = replace(memo, reason=memo.reason.replace(planned, kept))
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
            if made.whole:
                break  # the recording is shorter than its header says
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
