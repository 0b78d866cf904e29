"""The audio step from end to end: study, make, prove. Files are made in `place` and nowhere else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from pipeline.audio import child, plan, prove, shorten, sniff, sound, tags, transcode
from pipeline.audio.encode import Encoder, LongerThanSaid
from pipeline.audio.study import Study, study
from pipeline.audio.transcode import Progress
from pipeline.errors import RecordingRejected, ToolFailed
from pipeline.recordings import Action, AudioSettings, Memo


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
        return _encoded(known, place, ffmpeg, settings, on_progress)
    try:
        memo = _copied(known, place, ffmpeg, settings)
    except (ToolFailed, RecordingRejected):
        memo = None  # a copy that cannot be proven is none
    if memo and memo.size_bytes < settings.max_bytes:
        return (memo,)
    if known.plan.code == "shortened":
        # Only its beginning was listened to.
        known = study(known.facts.path, ffmpeg, replace(settings, overflow="compress"))
    encode = plan.transcode(known.facts, known.heard, settings, "Its frames cannot be used as they are.")
    return make(replace(known, plan=encode), place, ffmpeg, settings, on_progress)


def _encoded(
    known: Study, place: Path, ffmpeg: str, settings: AudioSettings, on_progress: Progress | None
) -> tuple[Memo, ...]:
    """Encode; once more by another plan where the recording turned out to be longer than its header says."""
    try:
        return Encoder(known, place, ffmpeg, settings, on_progress).memos()
    except LongerThanSaid as found:
        facts = replace(known.facts, duration_s=found.duration_s)
        # What was heard is not the whole either, or the same plan would be made again.
        heard = replace(known.heard, whole=False) if known.heard else None
        again = plan.transcode(facts, heard, settings, "It is longer than its header says.")
        return make(replace(known, facts=facts, heard=heard, plan=again), place, ffmpeg, settings, on_progress)


def _copied(known: Study, place: Path, ffmpeg: str, settings: AudioSettings) -> Memo | None:
    """The recording's own frames: all of them, or the first ones."""
    if known.plan.code == "shortened":
        return shorten.shorten(known, place, ffmpeg, settings)
    return _rewrap(known, place, ffmpeg) if known.plan.code == "rewrapped" else _pass(known, place, ffmpeg)


def _is_still(container: str, path: Path) -> bool:
    """Whether a file is recognised without the tags: damaged sound may be held together by them."""
    try:
        return sniff.look(path).container == container
    except RecordingRejected:
        return False


def _pass(known: Study, place: Path, ffmpeg: str) -> Memo | None:
    """The recording as it is, without its tags; None where that is no recognisable file any more."""
    facts, to = known.facts, place / f"memo.{known.plan.extension}"
    if known.plan.action is Action.PASS_THROUGH:
        shutil.copyfile(facts.path, to)
        return known.memo(to, prove.as_is(to, known.duration_s))
    container = facts.container or ""
    if not tags.strip(facts.path, container, facts.skip_bytes, to, facts.kept_tags):
        return _rewrap(known, place, ffmpeg)
    if not facts.kept_tags and tags.examine(to, container).personal:
        return None
    if container in sound.FRAMED and not _is_still(container, to):
        return None
    if container in sound.FRAMED or facts.truncated:
        samples = known.heard.samples if known.heard else 0
        return known.memo(to, prove.sliced(to, ffmpeg, facts, samples, plan.foreign_frames(facts)))
    return known.memo(to, prove.copied(to, ffmpeg, facts, known.duration_s))


def _rewrap(known: Study, place: Path, ffmpeg: str) -> Memo:
    to = place / f"memo.{known.plan.extension}"
    done = child.run(ffmpeg, transcode.copy_args(known.facts, to), child.Limits())
    if done.returncode:
        raise ToolFailed(done.argv, done.returncode, done.report)
    return known.memo(to, prove.copied(to, ffmpeg, known.facts, known.duration_s))
