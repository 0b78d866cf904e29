"""What will be done with a recording, and why. Pure: facts in, a plan out."""

from __future__ import annotations

from pipeline.audio import downmix, fit
from pipeline.audio.formats import ACCEPTED, COPIED_FROM, LOSSLESS, M4A, RICH_CODECS, Accepted
from pipeline.audio.probe import Heard
from pipeline.recordings import Action, AudioSettings, AudioStream, Plan, Probe

ALL_SILENT = "It is all digital silence."
_SURELY = 1.1
"""By how much more than the limit frames must seem to take, for there to be no doubt."""
NO_SOUND = "The recording has an audio stream but no sound in it: record it again."
LEAST_RATE_HZ, MOST_RATE_HZ, MOST_CHANNELS = 500, 6_000_000, 64
SHORTEST_PAIR_S = 0.5
"""Below this, two channels that seem to cancel each other may do so by chance."""

_SHORT_FRAME_BYTES = 6
TRUNCATION_NOTE = " It breaks off before its end: what is there is used."


def accepted_type(facts: Probe) -> Accepted | None:
    """The accepted type that a recording is, whatever its size; None where it is none."""
    row = ACCEPTED.get(facts.container or "")
    if row is None or facts.has_video or facts.fragmented or len(facts.audio) != 1:
        return None
    stream = facts.audio[0]
    plays = stream.codec in row.codecs and 1 <= stream.channels <= 2 and _is_plain(stream)
    return row if plays else None


def _is_plain(stream: AudioStream) -> bool:
    """Whether AAC is of a profile that players know: LC, and HE-AAC, which the older ones play as its LC half."""
    return stream.codec != "aac" or stream.profile in ("LC", "HE-AAC")


def duration_s(facts: Probe, heard: Heard | None) -> float:
    """How long a recording is: decoded where it was decoded to its end, else as its header says."""
    if heard and heard.whole:
        return heard.duration_s
    return facts.duration_s or (heard.duration_s if heard else 0.0)


def beyond(facts: Probe) -> str | None:
    """What no sound has, in a header: a rate or a number of channels that would only cost computing. Real recordings go
    from 1,000 Hz to 5.6 MHz (as ffmpeg names DSD1024), and to 64 channels (ambisonics of order 7)."""
    stream = facts.audio[0]
    if stream.sample_rate_hz and not LEAST_RATE_HZ <= stream.sample_rate_hz <= MOST_RATE_HZ:
        return f"{stream.sample_rate_hz} Hz"
    return f"{stream.channels} channels" if stream.channels > MOST_CHANNELS else None


def decide(facts: Probe, heard: Heard | None, settings: AudioSettings) -> Plan:
    """The plan for a recording that was probed, and listened to unless it will be encoded anyway. Codes of a reject:
    `no-sound`, `too-long`."""
    accepted = accepted_type(facts)
    fits = facts.size_bytes < settings.max_bytes
    if heard is None:
        return transcode(facts, None, settings, _why_transcode(facts, accepted, fits), accepted)
    if heard.samples == 0:
        return _reject("no-sound", NO_SOUND)
    fits = fits or _fits_without_tags(facts, heard, settings)
    why_not = _damage(facts, heard)
    if accepted and fits and not why_not:
        return _pass_through(facts, heard, accepted)
    if not why_not and copyable(facts) and heard.whole and _copy_bytes(heard) < settings.max_bytes:
        return Plan(
            action=Action.REMUX, code="rewrapped",
            reason=f"AAC-LC sound is taken as it is out of {facts.container}." + truncation_note(facts),
            accepted_as=accepted.name if accepted else None, extension=M4A.extension, mime_type=M4A.mime_type,
        )  # fmt: skip
    reason = why_not or _why_transcode(facts, accepted, fits)
    encoded = transcode(facts, heard, settings, reason, accepted)
    if accepted and not why_not and _is_shortened(facts, encoded, settings):
        return _shortened(facts, settings, reason, accepted)
    return encoded


def _is_shortened(facts: Probe, encoded: Plan, settings: AudioSettings) -> bool:
    """Whether an accepted recording that is too large is cut by copy: where that is asked for, and where a copy keeps
    at least as many seconds as the encode would."""
    if settings.overflow == "cut":
        return True
    copy_s = copied_s(facts, settings)
    return encoded.code == "cut" and copy_s is not None and copy_s >= (encoded.keep_s or 0)


def copied_s(facts: Probe, settings: AudioSettings) -> float | None:
    """About how many seconds of a recording's own frames fit; None where its length is unknown."""
    return facts.duration_s and facts.duration_s * settings.max_bytes / facts.size_bytes


def _shortened(facts: Probe, settings: AudioSettings, reason: str, accepted: Accepted) -> Plan:
    keep_s = copied_s(facts, settings)
    # ffmpeg writes no AAC into CAF.
    kind = M4A if accepted.name == "caf" and facts.audio[0].codec == "aac" else accepted
    note = copied_note(keep_s or 0, facts.duration_s or 0)
    return Plan(
        action=Action.REMUX, code="shortened", reason=f"{reason} {note}", accepted_as=accepted.name,
        extension=kind.extension, mime_type=kind.mime_type, keep_s=keep_s,
    )  # fmt: skip


def copied_note(keep_s: float, duration_s: float) -> str:
    """What is said about a cut by copy: as planned, and again once it was made."""
    return f"Its frames stay as they are: {cut_note(keep_s, duration_s)[:-1]}, between two of them, without a fade."


def _reject(code: str, sentence: str) -> Plan:
    return Plan(action=Action.REJECT, code=code, reason=sentence)


def _damage(facts: Probe, heard: Heard) -> str | None:
    """Why sound cannot be used as it is although its type is right."""
    # Where a recording breaks off, its last packet is not whole.
    errors = heard.decode_errors - (1 if facts.truncated else 0) - foreign_frames(facts)
    if errors * 50 > heard.packets:
        return f"{heard.decode_errors} of {heard.packets} packets are damaged, so the sound is encoded anew."
    if heard.duration_s >= SHORTEST_PAIR_S and downmix.cancels(heard.levels):
        return "Its two channels cancel each other on one speaker, so one channel is made of them."
    if facts.truncated and facts.demuxer == "mov":
        return "Less is there than its headers promise, so the sound is encoded anew."
    return None


def _pass_through(facts: Probe, heard: Heard, accepted: Accepted) -> Plan:
    notes = [f"It is {accepted.name.upper()} and under the limit"]
    stripped = facts.has_tags or (accepted is M4A and facts.has_other_streams)
    late_index = accepted is M4A and facts.moov_first is False
    if facts.wrong_size:
        notes.append("its header gets the size of its sound")
    if stripped:
        kept = "".join(f" (but {name})" for name, _ in facts.kept_tags)
        notes.append(f"its tags{kept} are taken out, its frames stay as they are")
    if late_index:
        notes.append("its index is moved to the front, so that it plays while it is fetched")
    if heard.silent:
        notes.append("it is all digital silence")
    return Plan(
        action=Action.REMUX if stripped or late_index or facts.wrong_size else Action.PASS_THROUGH,
        code="stripped" if stripped else "index-first" if late_index else "sized" if facts.wrong_size else "accepted",
        reason="; ".join(notes) + "." + truncation_note(facts),
        accepted_as=accepted.name,
        extension=accepted.extension,
        mime_type=accepted.mime_type,
    )


def foreign_frames(facts: Probe) -> int:
    """How many frames a decoder may take tags behind or between the frames for."""
    return 2 + facts.foreign_bytes // _SHORT_FRAME_BYTES if facts.foreign_bytes else 0


def truncation_note(facts: Probe) -> str:
    """What is said about a recording that breaks off; nothing about a whole one."""
    return TRUNCATION_NOTE if facts.truncated else ""


def copyable(facts: Probe) -> bool:
    stream = facts.audio[0]
    right = stream.codec == "aac" and stream.profile == "LC" and 1 <= stream.channels <= 2
    return right and facts.container in COPIED_FROM


def may_fit(facts: Probe, settings: AudioSettings) -> bool:
    """Whether the frames alone may be under the limit, as far as the headers tell."""
    kbps, seconds = facts.audio[0].bitrate_kbps, facts.duration_s
    return not kbps or not seconds or kbps * 125 * seconds < _SURELY * settings.max_bytes


def _fits_without_tags(facts: Probe, heard: Heard, settings: AudioSettings) -> bool:
    """Whether only tags, a picture say, take it over the limit."""
    return facts.has_tags and heard.whole and _copy_bytes(heard) < settings.max_bytes


def _copy_bytes(heard: Heard) -> float:
    """The most that the frames take in an M4A of their own."""
    return heard.packet_bytes + fit.FRAME_BYTES * (heard.packets + 2) + fit.CONTAINER_BYTES


def _why_transcode(facts: Probe, accepted: Accepted | None, fits: bool) -> str:
    stream = facts.audio[0]
    if accepted and not fits:
        return f"It is {accepted.name.upper()}, but {facts.size_bytes:,} bytes are over the limit."
    inside = f"{stream.codec}{f' ({stream.profile})' if stream.profile else ''}"
    many = f", {stream.channels} channels" if stream.channels > 2 else ""
    return f"{inside}{many} in {facts.container} is not an accepted type."


def most_kbps(facts: Probe, settings: AudioSettings) -> float:
    """The bitrate where no limit binds: the setting, but nothing above what the source carries."""
    stream = facts.audio[0]
    lossless = stream.codec in LOSSLESS or stream.codec.startswith(("pcm_", "dsd_"))
    source_kbps = None if lossless else stream.bitrate_kbps or _average_kbps(facts)
    richness = RICH_CODECS.get(stream.codec, 1.5 if (stream.profile or "").startswith("HE") else 1.0)
    useful = fit.useful_kbps(stream.sample_rate_hz, source_kbps, richness, settings.min_bitrate_kbps)
    return min(settings.bitrate_kbps, useful)


def _average_kbps(facts: Probe) -> float | None:
    """kb/s of the whole file, for streams that do not name theirs; None beside video or where the length is unknown."""
    if facts.has_video or not facts.duration_s:
        return None
    return facts.size_bytes / facts.duration_s / 125


def transcode(
    facts: Probe, heard: Heard | None, settings: AudioSettings, reason: str, accepted: Accepted | None = None
) -> Plan:
    """The plan to encode: as many bits as fit, then the overflow rule."""
    most, least = most_kbps(facts, settings), settings.min_bitrate_kbps
    rate, limit = facts.audio[0].sample_rate_hz, settings.max_bytes
    length_s = duration_s(facts, heard)
    coding = fit.whole(limit, length_s, rate, most, min(least, most))
    code = "transcoded" if coding and coding.bitrate_kbps >= most - 0.001 else "fitted"
    if code == "fitted" and settings.overflow == "cut":
        coding, code = fit.cut_to(limit, most, rate), "cut"
    elif coding is None and settings.overflow == "reject":
        return _reject("too-long", too_long(length_s, settings))
    elif coding is None and settings.overflow == "split":
        coding, code = fit.cut_to(limit, least, rate), "split"
    elif coding is None:
        coding, code = fit.cut_to(limit, least, rate), "cut"
    gain_db = downmix.speech_gain_db(heard.loudness_lufs) if heard else 0.0
    silent = [ALL_SILENT] if heard and heard.silent and heard.whole else []
    quiet = (
        [f"It is quiet ({heard.loudness_lufs:.0f} LUFS) and raised by {gain_db:.0f} dB."] if heard and gain_db else []
    )
    why = " ".join([reason + truncation_note(facts), *silent, *quiet])
    return Plan(
        action=Action.TRANSCODE, code=code, why=why, reason=f"{why} {what_gives(code, coding, length_s)}".rstrip(),
        gain_db=gain_db, accepted_as=accepted.name if accepted else None,
        extension=M4A.extension, mime_type=M4A.mime_type, bitrate_kbps=coding.bitrate_kbps,
        sample_rate_hz=coding.sample_rate_hz, cutoff_hz=coding.cutoff_hz, keep_s=coding.keep_s,
    )  # fmt: skip


def too_long(duration_s: float, settings: AudioSettings) -> str:
    """What is said of a recording that does not fit and may not be cut."""
    return (
        f"{_minutes(duration_s)} do not fit into {settings.max_bytes:,} bytes at {settings.min_bitrate_kbps:g} kb/s: "
        "shorten the recording, or let it be cut or split."
    )


def cut_note(keep_s: float, duration_s: float) -> str:
    """What is said about a cut."""
    return f"About {_minutes(keep_s)} of {_minutes(duration_s)} fit; the cut is made at a pause."


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.1f} seconds"


def what_gives(code: str, coding: fit.Coding, length_s: float) -> str:
    """What is said about bits and seconds: as planned, and again, by what was made of it."""
    if code == "fitted":
        return f"To fit the limit, {coding.bitrate_kbps:.0f} kb/s are used."
    if code == "cut" and coding.keep_s is None:
        return "All of it fits."
    if code == "cut":
        return cut_note(coding.keep_s or 0, length_s)
    if code == "split":
        return "It does not fit whole and is split at pauses."
    return ""
