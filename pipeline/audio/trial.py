"""One encode and what it came to; where it may be cut; cutting it by copy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.audio import boxes, child, fit, pause, report, transcode
from pipeline.audio.downmix import Downmix
from pipeline.audio.plan import NO_SOUND
from pipeline.audio.probe import Heard, hear, heard_in
from pipeline.errors import RecordingRejected, ToolFailed
from pipeline.recordings import Probe

_INDEX_BYTES = 1 << 25
"""Room for what M4A adds to the sound of many hours of silence."""
_HEAD_BYTES = 1024
"""More than an M4A has in front of its sound while it is written; ffmpeg counts it too."""
_AROUND = 6
"""Frames of 20 ms on either side of a cut that are listened to."""
HUSH_DB = -70.0
"""Below this a cut needs no fade: nobody hears where it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """One encode. samples: how many it must decode to; used_s: how much of the recording that is; whole: nothing of it
    was left out at the end; stopped: at the bytes that it was allowed. heard: where it was listened to as well.
    pause_db: depth of the pause that it ends in."""

    path: Path
    size_bytes: int
    samples: int
    used_s: float
    whole: bool
    stopped: bool
    coding: fit.Coding
    heard: Heard | None = None
    pause_db: float | None = None

    def measured(self, limit_bytes: int) -> fit.Measured:
        """The same for the rules of `fit`: its frames are looked at where more is to be found out."""
        rough = fit.Measured(
            coding=self.coding, size_bytes=self.size_bytes, used_s=self.used_s, whole=self.whole
        )  # fmt: skip
        if self.size_bytes < limit_bytes and (self.whole or self.size_bytes >= fit.USED * limit_bytes):
            return rough
        frames, rate = boxes.frame_bytes(self.path), self.coding.sample_rate_hz
        if self.size_bytes < limit_bytes:
            return replace(rough, even=fit.is_even(frames))
        fits_s = fit.seconds_of_frames(frames, fit.NEARLY * limit_bytes, rate)
        return replace(rough, fits_s=fits_s, enough_s=fit.seconds_of_frames(frames, fit.ENOUGH * limit_bytes, rate))


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A place to cut. hush: there is nothing to be heard in it."""

    at: pause.Cut
    hush: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """Where and of what trials are made."""

    facts: Probe
    mix: Downmix
    ffmpeg: str
    place: Path
    limit_bytes: int

    def encode(
        self, coding: fit.Coding, cut: Cut | None, to: Path, *, from_s: float, length_s: float,
        listen: bool = False, on_progress: transcode.Progress | None = None,
    ) -> Made:  # fmt: skip
        """Encode from from_s to the cut, to the end of the recording or, for a coding that fills, to the limit. Raises
        ToolFailed, and RecordingRejected `no-sound` where not one sample was decoded."""
        # What fills nothing comes to this only where a recording is much longer than it says.
        stop_bytes = self.limit_bytes if coding.fill else 2 * self.limit_bytes + (1 << 20)
        at = cut.at if cut else None
        args = transcode.encode_args(
            self.facts, self.mix, coding, to, cut=at, from_s=from_s, stop_bytes=stop_bytes, listen=listen
        )
        seconds = at.at_s if at else length_s
        limits = child.Limits(wall_s=120 + (from_s + seconds) / 5, file_bytes=2 * stop_bytes + _INDEX_BYTES)
        done = child.run(self.ffmpeg, args, limits, on_progress)
        found = report.counts(done.report)
        if done.out_of_time or not to.exists() or not found.written_samples:
            raise ToolFailed(done.argv, done.returncode, done.report)
        used_s = found.written_samples / coding.sample_rate_hz
        stopped = found.written_bytes + _HEAD_BYTES >= stop_bytes
        whole = not stopped and (at is None or used_s < at.at_s - 0.1)
        heard = self._heard(done.report, whole=whole) if listen else None
        if not found.samples and from_s <= 0:
            raise RecordingRejected("no-sound", NO_SOUND)  # what came out is the padding
        return Made(
            path=to, size_bytes=to.stat().st_size, samples=found.written_samples, used_s=used_s, coding=coding,
            stopped=stopped, whole=whole, heard=heard,
            pause_db=at.depth_db if at else None,
        )  # fmt: skip

    def _heard(self, text: str, *, whole: bool) -> Heard:
        """What was heard beside an encode; where the downmix came out silent, listened to once more, alone: two
        channels may have cancelled each other."""
        mixed = report.levels(text, "mixed")
        if self.facts.audio[0].channels == 2 and all(level.peak_db == float("-inf") for level in mixed):
            return hear(self.facts, self.ffmpeg, None)
        return heard_in(text, self.facts, whole=whole)

    def cut(self, coding: fit.Coding, from_s: float, window_s: float | None = None) -> Cut | None:
        """Seek a pause in the last seconds that fit: window_s, else 20, but at most 5 % of what is kept. A true pause
        is better than the few more seconds without one behind coding.not_before_s. None where all is kept."""
        if coding.keep_s is None:
            return None
        keep_s = coding.keep_s
        window_s = min(pause.WINDOW_S, 0.05 * keep_s) if window_s is None else window_s
        start_s = max(keep_s - window_s, 0.0)
        to = self.place / "window.wav"
        args = transcode.window_args(self.facts, self.mix, from_s + start_s, keep_s - start_s, to)
        child.run(self.ffmpeg, args, child.Limits(wall_s=120 + (from_s + keep_s) / 10))
        if not to.exists() or to.stat().st_size <= 44:
            return Cut(at=pause.Cut(at_s=keep_s, depth_db=0.0, fade_s=0.15), hush=False)
        levels = pause.frame_levels(to, self.ffmpeg)
        to.unlink()
        end_s = min(keep_s, start_s + len(levels) * pause.FRAME_S)
        late = [pause.valley(levels, end_s)]
        if coding.not_before_s > start_s:
            late.insert(0, pause.valley(levels[-max(int((end_s - coding.not_before_s) / pause.FRAME_S), 1) :], end_s))
        found = next((cut for cut in late if cut.depth_db >= pause.DEEP_DB), late[0])
        frame = len(levels) - round((end_s - found.at_s) / pause.FRAME_S)
        around = levels[max(frame - _AROUND, 0) : frame + _AROUND]
        return Cut(at=found, hush=bool(around) and max(around) <= HUSH_DB)

    def cut_by_copy(self, made: Made, at: pause.Cut, to: Path) -> Made:
        """The beginning of an encode, cut between two of its frames. Raises ToolFailed."""
        rate = made.coding.sample_rate_hz
        frames = int(at.at_s * rate / 1024) + 1  # the first one holds the coder's delay
        done = child.run(self.ffmpeg, transcode.first_frames_args(made.path, frames, to), child.Limits())
        if done.returncode or not to.exists():
            raise ToolFailed(done.argv, done.returncode, done.report)
        samples = (frames - 1) * 1024
        return Made(
            path=to, size_bytes=to.stat().st_size, samples=samples, used_s=samples / rate, coding=made.coding,
            stopped=False, whole=False, pause_db=at.depth_db,
        )  # fmt: skip
