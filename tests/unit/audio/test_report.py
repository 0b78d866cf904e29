"""What ffmpeg prints is read, and nothing that a recording makes it print is taken for its own words."""

from __future__ import annotations

from pipeline.audio import report

REPORT = """[mov,mp4 @ 0x1] some warning
Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:/in/a.mp4':
  Metadata:
    major_brand     : isom
    title           : Input #0, wav, from 'x'
                    :   Stream #0:9: Audio: pcm_s16le, 8000 Hz, mono, s16
    encoder         : Lavf63.1.102
  Duration: 00:01:05.50, start: 0.000000, bitrate: 87 kb/s
  Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p, 64x64, 25 fps (default)
  Stream #0:1[0x2](und): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, 5.1(side), fltp, delay 1024, 69 kb/s (default)
    Metadata:
      handler_name    : SoundHandler
At least one output file must be specified
"""
SUMS = """[in#0/mov @ 0x2]   Input stream #0:1 (audio): 217 packets read (43558 bytes); 216 frames decoded; 2 decode errors (220500 samples); 
[out#0/ipod @ 0x3]   Output stream #0:0 (audio): 216 frames encoded (220499 samples); 217 packets muxed (441000 bytes); 
size=N/A time=00:00:05.25 bitrate=N/A speed= 384x elapsed=0:00:00.01    
"""  # noqa: E501, W291


def test_the_header_is_read() -> None:
    """Length, streams and tags come from the input's block; a title cannot add a stream."""
    found = report.header(REPORT)
    assert found.opened and found.has_video and found.duration_s == 65.5
    (stream,) = found.audio
    assert (stream.codec, stream.profile, stream.sample_rate_hz, stream.channels) == ("aac", "LC", 44100, 6)
    assert (stream.index, stream.layout, stream.bitrate_kbps) == (1, "5.1(side)", 69)
    assert found.tags == {"title": "Input #0, wav, from 'x'"}


def test_what_was_not_opened_has_no_header() -> None:
    """An error alone is no input."""
    assert not report.header("Error opening input: Invalid data found\n").opened


def test_the_sums_are_read() -> None:
    """Packets, bytes, errors and exact samples of a run."""
    found = report.counts(SUMS)
    assert (found.packets, found.packet_bytes, found.decode_errors) == (217, 43558, 2)
    assert (found.samples, found.written_samples, found.time_s) == (220500, 220499, 5.25)


def test_levels_are_read_in_order() -> None:
    """Each channel has its peak and RMS; silence is minus infinity."""
    text = "[astats@levels @ 0x1] Channel: 1\n[astats@levels @ 0x1] Peak level dB: -3.5\n"
    text += "[astats@levels @ 0x1] RMS level dB: -20.1\n[astats@mixed @ 0x2] Peak level dB: -1.0\n"
    text += "[astats@levels @ 0x1] Channel: 2\n[astats@levels @ 0x1] Peak level dB: -inf\n"
    loud, silent = report.levels(text + "[astats@levels @ 0x1] RMS level dB: -inf\n")
    assert (loud.peak_db, loud.rms_db, silent.rms_db) == (-3.5, -20.1, float("-inf"))
