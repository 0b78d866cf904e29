"""The command lines."""

from __future__ import annotations

from pathlib import Path

from pipeline.audio import downmix, fit
from pipeline.audio.pause import Cut
from pipeline.audio.transcode import encode_args
from pipeline.recordings import Probe

FACTS = Probe(path=Path("/in/-x:%d.wav"), size_bytes=1, container="wav", demuxer="wav", duration_s=100)


def test_an_encode_is_clean_contained_and_never_mixed_by_ffmpeg() -> None:
    """One known demuxer, local files only, no metadata, moov first, and no `-ac`."""
    args = encode_args(FACTS, downmix.MID, fit.coding_at(24, 48000), Path("/out/memo.m4a"))
    text = " ".join(args)
    assert "-f wav -format_whitelist wav -codec_whitelist" in text
    assert "-protocol_whitelist file,pipe -i file:/in/-x:%d.wav" in text
    assert "-map_metadata -1 -map_chapters -1" in text and "-movflags +faststart" in text
    assert "-ac" not in args and "-aac_coder" not in args and "-b:a 24000" in text


def test_a_cut_ends_with_a_fade_and_a_part_begins_later() -> None:
    """The fade ends at the cut; a part starts by a jump where the container has an index."""
    args = encode_args(
        FACTS,
        downmix.MONO,
        fit.coding_at(64, 48000),
        Path("/o.m4a"),
        cut=Cut(at_s=50, depth_db=30, fade_s=0.02),
        from_s=10,
    )
    text = " ".join(args)
    assert "atrim=end=50.000000,afade=t=out:st=49.980000:d=0.02:curve=hsin" in text
    assert args.index("-ss") < args.index("-i") and "-aac_coder fast" in text
