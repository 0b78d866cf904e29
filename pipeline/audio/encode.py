"""Predict, encode, measure: the best memo under the limit, mostly in one encode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.audio import downmix, fit, plan, probe, prove, split
from pipeline.audio.study import Study
from pipeline.audio.transcode import Progress
from pipeline.audio.trial import Bench, Cut, Made
from pipeline.errors import RecordingRejected, ToolFailed
from pipeline.recordings import Action, AudioSettings, Memo

MAX_ENCODES = 4
"""Two are enough but where the sound is very uneven, such as an hour of silence before a speech."""
MAX_PARTS = 99
_SAID_TOO_LITTLE = 1.05
"""So much longer than its header says a recording may be before another plan is made for it."""


class LongerThanSaid(Exception):
    """The plan was made for a shorter recording: the header says too little."""

    def __init__(self, duration_s: float) -> None:
        super().__init__(f"{duration_s:.1f} s")
        self.duration_s = duration_s


class Encoder:
    """Predict, encode, measure, at most four times a memo: the best result under the limit stays."""

    def __init__(
        self, known: Study, place: Path, ffmpeg: str, settings: AudioSettings, on_progress: Progress | None
    ) -> None:
        self.known, self.place, self.ffmpeg, self.settings = known, place, ffmpeg, settings
        self.on_progress = on_progress
        stream = known.facts.audio[0]
        self.source_rate_hz = stream.sample_rate_hz
        most_kbps = plan.most_kbps(known.facts, settings)
        self.bounds = fit.Bounds(
            limit_bytes=settings.max_bytes, most_kbps=most_kbps,
            least_kbps=min(settings.min_bitrate_kbps, most_kbps), source_rate_hz=stream.sample_rate_hz,
        )  # fmt: skip
        self.bench = self._bench()
        self.listens = not (known.heard and (known.heard.whole or known.heard.loudness_lufs is not None))

    def _bench(self) -> Bench:
        """What trials are made of, by all that is known now."""
        known = self.known
        stream, levels = known.facts.audio[0], known.heard.levels if known.heard else ()
        mix = downmix.raised(downmix.choose(stream.channels, stream.layout, levels), known.plan.gain_db)
        return Bench(
            facts=known.facts, mix=mix, ffmpeg=self.ffmpeg, place=self.place, limit_bytes=self.settings.max_bytes
        )

    def memos(self) -> tuple[Memo, ...]:
        """The memo, or the parts. Raises RecordingRejected `too-long` or as `plan.decide` does, LongerThanSaid,
        ToolFailed."""
        if self.known.plan.code == "split":
            self._hear_all()
            return self._parts()
        return (self._proven(self._best()),)

    def _hear_all(self) -> None:
        """Listen to two channels before anything is encoded: all parts get the same downmix."""
        if self.known.facts.audio[0].channels == 2 and not (self.known.heard and self.known.heard.whole):
            self.known = self.known.after(probe.hear(self.known.facts, self.ffmpeg, None))
            self.bench = self._bench()

    def _planned(self) -> fit.Coding:
        row = self.known.plan
        return fit.Coding(
            bitrate_kbps=row.bitrate_kbps or self.bounds.most_kbps, sample_rate_hz=row.sample_rate_hz or 32_000,
            cutoff_hz=row.cutoff_hz, keep_s=row.keep_s,
        )  # fmt: skip

    def _best(self) -> Made:
        """Encode until it is good, at most four times; the best under the limit stays."""
        best: Made | None = None
        length_s = self.known.duration_s
        coding: fit.Coding | None = self._planned()
        for number in range(MAX_ENCODES):
            if coding is None:
                break
            made = self._tried(coding, length_s, f"memo-{number}")
            self._check_length(made, length_s)
            # The measured length takes the place of what a header claimed.
            length_s = made.used_s if made.whole else length_s
            measured = made.measured(self.settings.max_bytes)
            coding = fit.again(measured, self.bounds, length_s)
            self._check_cut(coding, length_s)
            last = number + 1 == MAX_ENCODES and made.size_bytes >= self.settings.max_bytes
            if last and measured.fits_s is not None:
                coding = replace(made.coding, keep_s=measured.fits_s, not_before_s=measured.enough_s or 0.0)
            if (made.coding.fill or last) and coding is not None and coding.keep_s is not None:
                made = self._filled(made, coding, at_all_events=last) or made
                coding = None if made.size_bytes < self.settings.max_bytes else coding
            if coding is not None and coding.careful and fit.is_fast(made.coding):
                continue  # what overran is not worth keeping, even where it fits
            if made.size_bytes < self.settings.max_bytes and (best is None or _is_better(made, best)):
                best = made
        if best is None:
            raise RecordingRejected("too-long", "The recording does not fit under the limit: shorten it.")
        return best

    def _tried(self, coding: fit.Coding, length_s: float, name: str) -> Made:
        """One encode, listened to unless all was heard before; once more where that shows that another downmix is
        right."""
        listen, self.listens = self.listens, False
        try:
            made = self._encode(coding, self.bench.cut(coding, 0.0), length_s, name, listen=listen)
        except ToolFailed:
            self._check_sound()
            raise
        if made.heard is None:
            return made
        self.known, before = self.known.after(made.heard), self.bench.mix
        self.bench = self._bench()
        if self.bench.mix == before:
            return made
        return self._encode(coding, self.bench.cut(coding, 0.0), length_s, name)

    def _check_sound(self) -> None:
        """Raises RecordingRejected where there is nothing to encode, which was not known before."""
        if self.known.heard is None:
            decided = plan.decide(self.known.facts, probe.hear(self.known.facts, self.ffmpeg, None), self.settings)
            if decided.action is Action.REJECT:
                raise RecordingRejected(decided.code, decided.reason)

    def _filled(self, made: Made, coding: fit.Coding, *, at_all_events: bool) -> Made | None:
        """An encode that filled the limit, cut by copy; None where a cut would be heard, so that it needs a fade, and
        another encode is left for that."""
        cut = self.bench.cut(coding, 0.0)
        if cut is None or not (cut.hush or at_all_events):
            return None
        return self.bench.cut_by_copy(made, cut.at, made.path.with_name("memo-cut.m4a"))

    def _encode(
        self, coding: fit.Coding, cut: Cut | None, length_s: float, name: str, *, from_s: float = 0.0,
        listen: bool = False,
    ) -> Made:  # fmt: skip
        tell = self._share(from_s, cut.at.at_s if cut else length_s)
        to = self.place / f"{name}.m4a"
        return self.bench.encode(
            coding, cut, to, from_s=from_s, length_s=length_s, listen=listen, on_progress=tell
        )  # fmt: skip

    def _check_length(self, made: Made, length_s: float) -> None:
        """Raises LongerThanSaid where a memo of the whole came out too large because there is more of it."""
        if made.size_bytes < self.settings.max_bytes or made.coding.keep_s is not None or made.coding.fill:
            return
        found_s = made.used_s
        if made.stopped:
            found_s = max(found_s, probe.run_length_s(self.known.facts, self.ffmpeg) or 0.0)
        if found_s > _SAID_TOO_LITTLE * length_s + 1:
            raise LongerThanSaid(found_s)

    def _check_cut(self, coding: fit.Coding | None, length_s: float) -> None:
        """Raises RecordingRejected `too-long` where what was planned to be kept whole would have to be cut, and that is
        not wanted."""
        cuts = coding is not None and (coding.fill or coding.keep_s is not None)
        if cuts and self.known.plan.keep_s is None and self.settings.overflow == "reject":
            raise RecordingRejected("too-long", plan.too_long(length_s, self.settings))

    def _share(self, from_s: float, seconds: float) -> Progress | None:
        """Progress of one encode as a share of the recording, or of what is kept of it."""
        tell = self.on_progress
        if tell is None:
            return None
        whole_s = max(self.known.duration_s, 0.001) if self.known.plan.code == "split" else max(seconds, 0.001)
        return lambda done_s: tell(min((from_s + done_s) / whole_s, 1.0))

    def _proven(self, made: Made, source_s: float | None = None, from_s: float = 0.0) -> Memo:
        proof = prove.encoded(made.path, self.ffmpeg, samples=made.samples, sample_rate_hz=made.coding.sample_rate_hz)
        kept = replace(made.coding, keep_s=None if made.whole else made.used_s)
        code = self.known.plan.code if made.whole or source_s is not None else "cut"
        told = plan.what_gives(code, kept, self.known.duration_s)
        said = replace(self.known.plan, reason=f"{self.known.plan.why} {told}".rstrip())
        memo = replace(self.known, plan=said).memo(made.path, proof, trimmed=not made.whole and source_s is None)
        if made.pause_db is not None and not made.whole:
            memo = replace(memo, pause_confidence_db=round(made.pause_db, 1))
        return replace(memo, source_duration_s=source_s, starts_at_s=from_s) if source_s is not None else memo

    def _parts(self) -> tuple[Memo, ...]:
        """Parts of about equal length, each cut at a pause; each gets the bits that its own length allows."""
        total_s = self.known.duration_s
        rate = fit.coding_at(self.bounds.least_kbps, self.source_rate_hz).sample_rate_hz
        most_s = 0.95 * fit.seconds_that_fit(self.settings.max_bytes, self.bounds.least_kbps, rate)
        count = split.parts(total_s, most_s)
        if count > MAX_PARTS:
            raise RecordingRejected("too-long", f"The recording would need {count} memos: shorten it.")
        memos: list[Memo] = []
        from_s = 0.0
        for number in range(1, count + 1):
            piece = split.next_piece(total_s - from_s, count - number + 1, most_s)
            length_s = piece.share_s
            keep_s = length_s if number < count else None
            coding = fit.whole(
                self.settings.max_bytes, length_s, self.source_rate_hz, self.bounds.most_kbps, self.bounds.least_kbps
            ) or fit.coding_at(self.bounds.least_kbps, self.source_rate_hz)  # fmt: skip
            cut = self.bench.cut(replace(coding, keep_s=keep_s), from_s, piece.window_s)
            made = self._part(replace(coding, keep_s=keep_s), cut, from_s, length_s, f"part{number}")
            memos.append(self._proven(made, source_s=total_s, from_s=from_s))
            from_s += made.used_s
            if made.whole:
                break  # the recording is shorter than its header says
        return tuple(memos)

    def _part(self, coding: fit.Coding, cut: Cut | None, from_s: float, length_s: float, name: str) -> Made:
        """One part of a split; its length stays, so only its bits are lowered when it came out too large."""
        for number in range(MAX_ENCODES):
            made = self._encode(coding, cut, length_s, f"{name}-{number}", from_s=from_s)
            if made.size_bytes < self.settings.max_bytes:
                return made
            kbps = coding.bitrate_kbps * fit.GOAL * self.settings.max_bytes / made.size_bytes
            coding = replace(fit.coding_at(kbps, self.source_rate_hz), keep_s=coding.keep_s)
        raise RecordingRejected("too-long", "A part of the recording does not fit under the limit: shorten it.")


def _is_better(made: Made, best: Made) -> bool:
    """More of the recording wins, then more bits."""
    return (made.whole, made.used_s, made.size_bytes) > (best.whole, best.used_s, best.size_bytes)
