"""Cutting a recording by copy: its first frames as they are, up to a pause, in a file of the same kind.

Nothing is encoded, so there is no fade: the frames are the recording's own. How long a copy may be is found by making
copies and measuring them (`-fs` overshoots, in M4A by up to 294 kB). Only the window before the cut is decoded, and the
finished copy, once, as its proof.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.audio import child, downmix, pause, plan, prove, report, transcode
from pipeline.audio.study import Study, study
from pipeline.errors import ToolFailed
from pipeline.recordings import Action, AudioSettings, Memo

MAX_COPIES = 8
GOAL = 0.99
FULL = 0.98
"""Shares of the limit: what a copy aims at, and with what it is content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """The first frames of a recording in a file. until_s: where it was told to end. whole: nothing was left out."""

    path: Path
    until_s: float
    size_bytes: int
    packets: int
    whole: bool


def next_until_s(fits: tuple[float, int], over: tuple[float, int] | None, limit_bytes: int) -> float:
    """Seconds to try next, from the longest copy that fits and the shortest that does not, each (seconds, bytes)."""
    if over is None:
        return fits[0] * GOAL * limit_bytes / max(fits[1], 1)
    share = (GOAL * limit_bytes - fits[1]) / max(over[1] - fits[1], 1)
    # Not at the very ends: where the bitrate jumps, a straight line would come back to them again and again.
    return fits[0] + (over[0] - fits[0]) * min(max(share, 0.05), 0.95)


def shorten(known: Study, place: Path, ffmpeg: str, settings: AudioSettings) -> Memo:
    """The recording's own frames up to the last pause that fits. Raises ToolFailed where the copy is not what was
    planned: then the recording has to be encoded."""
    copier = _Copier(known=known, place=place, ffmpeg=ffmpeg, settings=settings)
    made, cut = copier.longest(), None
    if not made.whole:
        cut = copier.pause_before(made.until_s)
        # A copy ends with the frame in which its end lies: half a frame less, and the error goes both ways.
        made = copier.copy(cut.at_s - made.until_s / made.packets / 2)
    return copier.proven(made, cut)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Copier:
    known: Study
    place: Path
    ffmpeg: str
    settings: AudioSettings

    def longest(self) -> Copied:
        """The longest copy under the limit, or one that uses 98 % of it. Raises ToolFailed where there is none."""
        limit = self.settings.max_bytes
        best: Copied | None = None
        fits, over = (0.0, 0), None
        until_s = self.known.plan.keep_s or self.known.duration_s
        for _ in range(MAX_COPIES):
            made = self.copy(until_s)
            if made.size_bytes >= limit:
                over = (until_s, made.size_bytes)
            else:
                best, fits = made, (until_s, made.size_bytes)
                if made.whole or made.size_bytes >= FULL * limit:
                    break
            until_s = next_until_s(fits, over, limit)
        if best is None:
            raise ToolFailed((), 0, "No copy of the first frames comes out under the limit.")
        return best

    def copy(self, until_s: float, *, indexed: bool = True) -> Copied:
        """The frames that begin before until_s."""
        to = self.place / f"memo.{self.known.plan.extension}"
        args = transcode.copy_start_args(self.known.facts, until_s, to, indexed=indexed)
        done = child.run(self.ffmpeg, args, child.Limits(file_bytes=4 * self.settings.max_bytes + (1 << 26)))
        found = report.counts(done.report)
        if done.returncode or not found.written_packets:
            raise ToolFailed(done.argv, done.returncode, done.report[-400:])
        return Copied(
            path=to, until_s=until_s, size_bytes=to.stat().st_size, packets=found.written_packets,
            whole=(found.time_s or 0.0) < until_s - 0.5,
        )  # fmt: skip

    def pause_before(self, end_s: float) -> pause.Cut:
        """A pause in the last seconds that fit: 20 of them, but at most 5 % of what is kept."""
        facts = self.known.facts
        stream = facts.audio[0]
        mix = downmix.choose(stream.channels, stream.layout, self.known.heard.levels if self.known.heard else ())
        start_s, to = max(end_s - min(pause.WINDOW_S, 0.05 * end_s), 0.0), self.place / "window.wav"
        args = transcode.window_args(facts, mix, start_s, end_s - start_s, to, jump=True)
        child.run(self.ffmpeg, args, child.Limits())
        if not to.exists() or to.stat().st_size <= 44:
            return pause.Cut(at_s=end_s, depth_db=0.0, fade_s=0.0)
        levels = pause.frame_levels(to, self.ffmpeg)
        to.unlink()
        return pause.valley(levels, min(end_s, start_s + len(levels) * pause.FRAME_S))

    def proven(self, made: Copied, cut: pause.Cut | None) -> Memo:
        """The copy as a memo: its frames are the recording's, it begins with the same samples, and by itself it would
        pass as it is. Raises ToolFailed."""
        facts = self.known.facts
        if not prove.begins_alike(made.path, self.ffmpeg, facts):
            # An index of an MP3 also tells of the coder's delay: where the recording's has none, ours must not either.
            made = self.copy(made.until_s, indexed=False)
            if not prove.begins_alike(made.path, self.ffmpeg, facts):
                raise ToolFailed((), 0, "The copy does not begin as the recording does.")
        again = study(made.path, self.ffmpeg, replace(self.settings, overflow="reject"))
        if again.plan.action is not Action.PASS_THROUGH:
            raise ToolFailed((), 0, f"The copy is no memo: {again.plan.reason}")
        proof = prove.copied(made.path, self.ffmpeg, facts, again.duration_s, packets=made.packets)
        memo = self.known.memo(made.path, proof, trimmed=not made.whole)
        kept = "All of it fits." if made.whole else plan.copied_note(again.duration_s, self.known.duration_s)
        planned = plan.copied_note(self.known.plan.keep_s or 0, self.known.duration_s)
        return replace(
            memo, reason=memo.reason.replace(planned, kept), pause_confidence_db=round(cut.depth_db, 1) if cut else None
        )
