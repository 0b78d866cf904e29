"""What a plan will come to, before anything is encoded. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.audio import fit, split
from pipeline.recordings import Action, AudioSettings, Plan

_COPIED_SHARE = 0.98
"""A cut by copy ends at a pause: about so much of the limit is used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreseen:
    """memo_bytes: of all memos; 0 for a reject. bitrate_kbps: of what is encoded. keep_s: seconds that are kept; None
    where all are, or nobody knows. parts: how many memos are made."""

    memo_bytes: int
    bitrate_kbps: float | None = None
    keep_s: float | None = None
    parts: int = 1


def foresee(plan: Plan, duration_s: float, size_bytes: int, most_kbps: float, settings: AudioSettings) -> Foreseen:
    """About what comes of a plan for a recording of this length and size. most_kbps: where no limit binds."""
    if plan.action is Action.REJECT:
        return Foreseen(memo_bytes=0, parts=0)
    if plan.action is not Action.TRANSCODE:
        whole = size_bytes if plan.keep_s is None else min(size_bytes, int(_COPIED_SHARE * settings.max_bytes))
        return Foreseen(memo_bytes=whole, keep_s=plan.keep_s)
    kbps, rate = plan.bitrate_kbps or 0.0, plan.sample_rate_hz or 0
    parts, keep_s = 1, plan.keep_s
    if plan.code == "split":
        parts, keep_s = split.parts(duration_s, fit.seconds_that_fit(settings.max_bytes, kbps, rate)), None
        # Each part has its own bitrate: the best that fits.
        kbps = max(min(most_kbps, fit.kbps_that_fits(settings.max_bytes, duration_s / parts, rate)), kbps)
    made_s = min(duration_s, keep_s) if keep_s else duration_s
    made = fit.predicted_bytes(kbps / fit.OVERSHOOT, made_s, rate) + (parts - 1) * fit.CONTAINER_BYTES
    most = parts * settings.max_bytes - 1
    return Foreseen(memo_bytes=min(int(made), most), bitrate_kbps=kbps, keep_s=keep_s, parts=parts)
