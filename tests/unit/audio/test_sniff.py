"""Recordings are recognised by their bytes."""

from __future__ import annotations

import pytest

from pipeline.audio.sniff import id3_end, is_text, recognise
from pipeline.errors import RecordingRejected

MP3_FRAME = b"\xff\xfb\x90\x64" + bytes(413)
ADTS_FRAME = b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)
TS_PACKET = b"\x47\x40\x00\x10" + bytes(184)

KNOWN = {
    "wav": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "rf64": b"RF64\xff\xff\xff\xffWAVEds64",
    "aiff": b"FORM\x00\x00\x00\x9cAIFFCOMM",
    "caf": b"caff\x00\x01\x00\x00desc",
    "flac": b"fLaC\x00\x00\x00\x22",
    "ogg": b"OggS\x00\x02" + bytes(20),
    "webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01\x42\x82\x84webm",
    "matroska": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01\x42\x82\x88matroska",
    "amr": b"#!AMR\n\x3c",
    "mov": b"\x00\x00\x00\x1cftypM4A ",
    "mp3": MP3_FRAME * 3,
    "aac": ADTS_FRAME * 3,
    "mpeg-ts": TS_PACKET * 8,
    "asf": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9",
}

LATM_FRAME = b"\x56\xe0\x0a" + bytes(10)
SBC_FRAME = b"\x9c\x31\x35" + bytes(111)
GSM_FRAME = b"\xd5" + bytes(32)
KNOWN |= {
    "latm": LATM_FRAME * 4,
    "sbc": SBC_FRAME * 8,
    "gsm": GSM_FRAME * 8,
    "truehd": b"\xf1\xd0\x00\x00\xf8\x72\x6f\xba",
    "mlp": b"\xf1\xd0\x00\x00\xf8\x72\x6f\xbb",
    "dts": b"\xfe\x7f\x01\x80",
    "dts-hd": b"DTSHDHDR",
    "ircam": b"\x64\xa3\x04\x00",
    "paf": b" paf" + bytes(8),
    "dss": b"\x03dss",
    "hcom": bytes(65) + b"FSSD" + bytes(59) + b"HCOM",
    "iamf": b"\xf8\x06iamf",
    "oma": b"EA3\x03\x00\x00",
    "au": b".snd\x00\x00\x00\x18",
    "voc": b"Creative Voice File\x1a",
    "ape": b"MAC \x96\x0f",
    "tta": b"TTA1",
    "wavpack": b"wvpk",
    "w64": b"riff\x2e\x91\xcf\x11",
    "nist": b"NIST_1A\n   1024",
}

REFUSED = {
    "m3u": (b"#EXTM3U\n#EXTINF:3,\nother.mp3\n", "playlist"),
    "m3u-with-bom": (b"\xef\xbb\xbf#EXTM3U\r\nx.mp3", "playlist"),
    "ffconcat": (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
    "sdp": (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "playlist"),
    "url-list": (b"https://example.com/a.mp3\nhttps://example.com/b.mp3\n", "playlist"),
    "dash": (b'<?xml version="1.0"?><MPD type="static">', "playlist"),
    "midi": (b"MThd\x00\x00\x00\x06", "midi"),
    "midi-in-riff": (b"RIFF\x00\x00\x00\x00RMIDdata", "midi"),
    "text": (b"Dear Anna,\nthe recording follows.\n", "not-media"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(30), "not-media"),
    "vgm": (b"Vgm \x00\x00\x00\x00" + bytes(60), "unsupported"),
    "tracker": (b"Extended Module: song", "unsupported"),
    "zeros": (bytes(500), "not-media"),
    "nothing": (b"", "empty-file"),
}


@pytest.mark.parametrize("container", KNOWN)
def test_known_beginnings_are_recognised(container: str) -> None:
    """Each container is told by how it begins, without a name."""
    assert recognise(KNOWN[container]).container == container


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_sound_is_refused_with_its_code(name: str) -> None:
    """Playlists, notes, text and pictures are refused with a code that says which they are."""
    head, code = REFUSED[name]
    with pytest.raises(RecordingRejected) as caught:
        recognise(head)
    assert caught.value.code == code


def test_mp3_is_found_behind_garbage() -> None:
    """A foreign beginning does not hide four MPEG frames in a row."""
    assert recognise(b"\x01\x02\x03garbage\xfe" * 50 + MP3_FRAME * 4).container == "mp3"


def test_random_bytes_are_not_taken_for_mp3() -> None:
    """A lone sync word in noise is no MP3."""
    with pytest.raises(RecordingRejected):
        recognise(bytes(range(256)) * 20 + MP3_FRAME + bytes(range(256)) * 20)


def test_id3_size_is_read_with_its_footer() -> None:
    """The size in an ID3v2 header is syncsafe, and a footer adds ten bytes."""
    assert id3_end(b"ID3\x04\x00\x00\x00\x00\x02\x01") == 10 + 257
    assert id3_end(b"ID3\x04\x00\x10\x00\x00\x02\x01") == 20 + 257
    assert id3_end(b"RIFF") == 0


def test_text_in_other_alphabets_is_text() -> None:
    """Cyrillic in UTF-8 and Latin in UTF-16 are text; PCM is not."""
    assert is_text("Дорогая Анна, запись следует".encode())
    assert is_text("Dear Anna".encode("utf-16"))
    assert not is_text(bytes(range(256)))


def test_a_transport_stream_is_found_behind_foreign_bytes() -> None:
    """The sync byte that returns every 188 bytes tells it."""
    assert recognise(bytes(range(0x48, 0xE0)) + TS_PACKET * 9).container == "mpeg-ts"


def test_a_container_behind_a_foreign_header_is_found() -> None:
    """A Macintosh file in a MacBinary wrapping begins 128 bytes later."""
    found = recognise(b"\x00\x09recording" + bytes(range(117)) + KNOWN["aiff"])
    assert (found.container, found.skip_bytes) == ("aiff", 128)


def test_old_wavpack_is_not_taken_for_a_wav() -> None:
    """Before version 4 a WAV header stood in front of compressed sound, which nobody here can read."""
    header = b"RIFF\x84\x43\x62\x00WAVEfmt \x10\x00\x00\x00" + bytes(16) + b"data\x60\x43\x62\x00"
    with pytest.raises(RecordingRejected) as caught:
        recognise(header + b"wvpk\x04\x00")
    assert caught.value.code == "unsupported"
