"""Every format this room knows, as data: how it begins, who demuxes it, and what a receiver takes as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Magic:
    """Bytes that open a container. also: bytes that must stand at `also_at`. demuxer: ffmpeg's name for `-f`."""

    container: str
    demuxer: str
    starts: bytes
    also: bytes = b""
    also_at: int = 8
    at: int = 0


def _magic(container: str, demuxer: str, starts: bytes, also: bytes = b"", also_at: int = 8, *, at: int = 0) -> Magic:
    return Magic(container=container, demuxer=demuxer, starts=starts, also=also, also_at=also_at, at=at)


MAGIC: tuple[Magic, ...] = (
    _magic("wav", "wav", b"RIFF", b"WAVE"),
    _magic("rf64", "wav", b"RF64", b"WAVE"),
    _magic("rf64", "wav", b"BW64", b"WAVE"),
    _magic("rifx", "wav", b"RIFX", b"WAVE"),
    _magic("w64", "w64", b"riff\x2e\x91\xcf\x11"),
    _magic("avi", "avi", b"RIFF", b"AVI "),
    _magic("xwma", "xwma", b"RIFF", b"XWMA"),
    _magic("qcp", "qcp", b"RIFF", b"QLCM"),
    _magic("aiff", "aiff", b"FORM", b"AIFF"),
    _magic("aiff", "aiff", b"FORM", b"AIFC"),
    _magic("iff", "iff", b"FORM", b"8SVX"),
    _magic("dff", "iff", b"FRM8", b"DSD ", 12),
    _magic("caf", "caf", b"caff\x00\x01"),
    _magic("flac", "flac", b"fLaC"),
    _magic("ogg", "ogg", b"OggS\x00"),
    _magic("webm", "matroska", b"\x1aE\xdf\xa3"),
    _magic("amr", "amr", b"#!AMR"),
    _magic("au", "au", b".snd"),
    _magic("asf", "asf", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    _magic("ape", "ape", b"MAC "),
    _magic("wavpack", "wv", b"wvpk"),
    _magic("tta", "tta", b"TTA1"),
    _magic("musepack", "mpc8", b"MPCK"),
    _magic("musepack", "mpc", b"MP+"),
    _magic("dsf", "dsf", b"DSD "),
    _magic("shorten", "shn", b"ajkg"),
    _magic("tak", "tak", b"tBaK"),
    _magic("flv", "flv", b"FLV\x01"),
    _magic("realmedia", "rm", b".RMF"),
    _magic("realaudio", "rm", b".ra\xfd"),
    _magic("voc", "voc", b"Creative Voice File\x1a"),
    _magic("mpeg-ps", "mpeg", b"\x00\x00\x01\xba"),
    _magic("ilbc", "ilbc", b"#!iLBC"),
    _magic("nist", "nistsphere", b"NIST_1A"),
    _magic("sox", "sox", b".SoX"),
    _magic("dts", "dts", b"\x7f\xfe\x80\x01"),
    *(
        _magic("mov", "mov", box, at=4)
        for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof", b"uuid")
    ),
)
"""Looked through in order. MPEG audio, ADTS, AC-3 and transport streams have no magic and are told by their frames."""

NOT_AUDIO: tuple[tuple[bytes, int, str, str], ...] = (
    (b"MThd", 0, "midi", "MIDI notes"),
    (b"RMID", 8, "midi", "MIDI notes"),
    (b"#EXTM3U", 0, "playlist", "a playlist"),
    (b"ffconcat", 0, "playlist", "a list of other files"),
    (b"[playlist]", 0, "playlist", "a playlist"),
    (b"[Reference]", 0, "playlist", "a playlist"),
    (b"v=0\r\n", 0, "playlist", "a session description"),
    (b"v=0\n", 0, "playlist", "a session description"),
    (b"RTSPtext", 0, "playlist", "a playlist"),
    (b"SMIL", 0, "playlist", "a playlist"),
    (b"OFR ", 0, "unsupported", "OptimFROG sound"),
    (b"ADIF", 0, "unsupported", "AAC with an ADIF header"),
    (b"#!SILK", 0, "unsupported", "SILK sound"),
    (b"\x02#!SILK", 0, "unsupported", "SILK sound"),
    (b"\xac\x40", 0, "unsupported", "AC-4 sound"),
    (b"\xac\x41", 0, "unsupported", "AC-4 sound"),
    (b"Extended Module:", 0, "unsupported", "tracker music"),
    (b"IMPM", 0, "unsupported", "tracker music"),
    (b"SCRM", 44, "unsupported", "tracker music"),
    (b"M.K.", 1080, "unsupported", "tracker music"),
    (b"Vgm ", 0, "unsupported", "game music"),
    (b"PSID", 0, "unsupported", "game music"),
    (b"RSID", 0, "unsupported", "game music"),
    (b"NESM\x1a", 0, "unsupported", "game music"),
    (b"\x89PNG", 0, "not-media", "a picture"),
    (b"GIF8", 0, "not-media", "a picture"),
    (b"\xff\xd8\xff", 0, "not-media", "a picture"),
    (b"BM", 0, "not-media", "a picture"),
    (b"%PDF", 0, "not-media", "a document"),
    (b"PK\x03\x04", 0, "not-media", "an archive or a document"),
    (b"\x1f\x8b", 0, "not-media", "a compressed file"),
    (b"FWS", 0, "not-media", "a Flash animation"),
    (b"CWS", 0, "not-media", "a Flash animation"),
    (b"\x00\x00\x01\xb3", 0, "no-audio-stream", "video without a container"),
    (b"MZ", 0, "not-media", "a program"),
    (b"\x7fELF", 0, "not-media", "a program"),
)
"""(bytes, offset, reject code, what it is). Game music stays out although ffmpeg plays it: it never ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """A type the Linq voice memo endpoint takes. codecs: what may be inside for it to play."""

    name: str
    extension: str
    mime_type: str
    codecs: frozenset[str]


_PCM_LE = frozenset(
    {"pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw"}
)
_PCM_BE = frozenset({"pcm_s8", "pcm_s16be", "pcm_s24be", "pcm_s32be"})
_PCM_CAF = _PCM_LE | _PCM_BE | {"pcm_f32be", "pcm_f64be"}

ACCEPTED: Mapping[str, Accepted] = {
    row.name: row
    for row in (
        Accepted(name="m4a", extension="m4a", mime_type="audio/x-m4a", codecs=frozenset({"aac"})),
        Accepted(name="mp3", extension="mp3", mime_type="audio/mpeg", codecs=frozenset({"mp3"})),
        Accepted(name="aac", extension="aac", mime_type="audio/aac", codecs=frozenset({"aac"})),
        Accepted(name="caf", extension="caf", mime_type="audio/x-caf", codecs=_PCM_CAF | {"aac", "adpcm_ima_qt"}),
        Accepted(name="wav", extension="wav", mime_type="audio/wav", codecs=_PCM_LE),
        Accepted(name="aiff", extension="aiff", mime_type="audio/aiff", codecs=_PCM_BE | {"pcm_s16le"}),
        Accepted(name="amr", extension="amr", mime_type="audio/amr", codecs=frozenset({"amr_nb", "amr_wb"})),
    )
}
M4A = ACCEPTED["m4a"]

DECODERS = (
    "8svx_exp 8svx_fib aac ac3 eac3 adpcm_ima_qt adpcm_ima_wav adpcm_ms adpcm_yamaha adpcm_swf adpcm_ct "
    "adpcm_sbpro_2 adpcm_sbpro_3 adpcm_sbpro_4 g722 g726 g726le g723_1 g729 alac als amrnb amrwb "
    "libopencore_amrnb libopencore_amrwb ape atrac3 atrac3plus cook dca dsd_lsbf dsd_lsbf_planar dsd_msbf "
    "dsd_msbf_planar dst flac gsm gsm_ms iac ilbc mace3 mace6 metasound mp1 mp1float mp2 mp2float mp3 mp3float "
    "mlp mpc7 mpc8 nellymoser opus libopus pcm_vidc pcm_alaw pcm_dvd pcm_f16le pcm_f24le pcm_f32be pcm_f32le "
    "pcm_f64be pcm_f64le pcm_mulaw pcm_s16be pcm_s16be_planar pcm_s16le pcm_s16le_planar pcm_s24be pcm_s24le "
    "pcm_s24le_planar pcm_s32be pcm_s32le pcm_s32le_planar pcm_s64be pcm_s64le pcm_s8 pcm_s8_planar pcm_u16be "
    "pcm_u16le pcm_u24be pcm_u24le pcm_u32be pcm_u32le pcm_u8 pcm_bluray qcelp qdm2 qdmc ra_144 real_144 real_288 "
    "ralf shorten sipr speex tak truehd truespeech tta twinvq vorbis libvorbis wavpack wmalossless wmapro wmav1 "
    "wmav2 wmavoice xma1 xma2 adpcm_ima_ws"
)
"""The decoders ffmpeg may use, for `-codec_whitelist`. None of them reads another file or loops by itself."""

COPIED_FROM = frozenset({"mov", "mp4", "3gp", "webm", "flv", "mpeg-ts", "m4a", "aac", "caf"})
"""Containers whose AAC-LC frames are copied into an M4A."""

SEEKABLE = frozenset({"wav", "rf64", "w64", "aiff", "caf", "m4a", "mov", "mp4", "3gp", "webm", "flac", "ogg", "au"})
"""Containers in which a jump lands on the right sample; in others the way there is decoded."""

RICH_CODECS: Mapping[str, float] = {"opus": 2.0, "amr_nb": 2.0, "amr_wb": 2.0, "speex": 2.0, "ilbc": 2.0, "gsm": 2.0}
"""How many kb/s of AAC-LC one kb/s of these is worth. Measured by PESQ on speech: Opus at 16 kb/s (3.80) equals
AAC-LC at 32 (3.86)."""

LOSSLESS = frozenset(
    {"flac", "alac", "ape", "wavpack", "tta", "tak", "shorten", "mp4als", "wmalossless", "truehd", "mlp"}
)
