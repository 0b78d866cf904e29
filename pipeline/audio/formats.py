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
    _magic("sox", "sox", b"XoS."),
    _magic("dts", "dts", b"\x7f\xfe\x80\x01"),
    _magic("dts", "dts", b"\xfe\x7f\x01\x80"),
    _magic("dts", "dts", b"\x1f\xff\xe8\x00"),
    _magic("dts", "dts", b"\xff\x1f\x00\xe8"),
    _magic("dts", "dts", b"\x64\x58\x20\x25"),
    _magic("dts-hd", "dtshd", b"DTSHDHDR"),
    _magic("truehd", "truehd", b"\xf8\x72\x6f\xba", at=4),
    _magic("mlp", "mlp", b"\xf8\x72\x6f\xbb", at=4),
    _magic("spdif", "spdif", b"\x72\xf8\x1f\x4e"),
    _magic("ircam", "ircam", b"\x64\xa3", b"\x00", 3),
    _magic("ircam", "ircam", b"\x00", b"\xa3\x64", 2),
    _magic("paf", "epaf", b" paf\x00\x00\x00\x00"),
    _magic("paf", "epaf", b"fap \x00\x00\x00\x00"),
    _magic("avr", "avr", b"2BIT"),
    _magic("pvf", "pvf", b"PVF1\n"),
    _magic("hcom", "hcom", b"FSSD", b"HCOM", 128, at=65),
    _magic("sds", "sds", b"\xf0\x7e", b"\x01", 3),
    _magic("dss", "dss", b"\x02dss"),
    _magic("dss", "dss", b"\x03dss"),
    _magic("iff", "iff", b"FORM", b"16SV"),
    _magic("iff", "iff", b"FORM", b"MAUD"),
    _magic("wsd", "wsd", b"1bit\x00\x00\x00\x00"),
    _magic("oma", "oma", b"EA3", b"\x00", 4),
    _magic("smaf", "mmf", b"MMMD", b"CNTI"),
    _magic("bonk", "bonk", b"\x00BONK"),
    _magic("osq", "osq", b"OSQ "),
    _magic("rka", "rka", b"RKA"),
    _magic("qoa", "qoa", b"qoaf"),
    _magic("wavarc", "wavarc", b"RIFF", b"WAVE", 24, at=16),
    _magic("iamf", "iamf", b"iamf", at=2),
    _magic("nut", "nut", b"nut/multimedia container\x00"),
    _magic("mxf", "mxf", b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02"),
    _magic("gxf", "gxf", b"\x00\x00\x00\x00\x01\xbc"),
    _magic("wtv", "wtv", b"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e\x00\x07\xe9\x5e\xad\x8d"),
    _magic("dv", "dv", b"\x1f\x07\x00"),
    _magic("swf", "swf", b"FWS"),
    _magic("swf", "swf", b"CWS"),
    _magic("smjpeg", "smjpeg", b"\x00\nSMJPEG"),
    _magic("film", "film_cpk", b"FILM", b"FDSC", 16),
    _magic("roq", "roq", b"\x84\x10\xff\xff\xff\xff"),
    *(
        _magic("mov", "mov", box, at=4)
        for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof", b"uuid")
    ),
)
"""Looked through in order. MPEG audio, ADTS, LATM, AC-3, GSM, SBC and transport streams have no magic and are told by
their frames. Formats of games are left out: few of them tell where they end."""

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
    (b"\xc0\xde\xc2", 0, "unsupported", "Codec 2 speech"),
    (b"\x00\x00\x01\xb3", 0, "no-audio-stream", "video without a container"),
    (b"ICY 200", 0, "not-media", "the answer of a server with its head"),
    (b"HTTP/1.", 0, "not-media", "the answer of a server with its head"),
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
    "8svx_exp 8svx_fib aac aac_latm ac3 adpcm_adx adpcm_argo adpcm_ct adpcm_ima_acorn adpcm_ima_alp "
    "adpcm_ima_amv adpcm_ima_apm adpcm_ima_dat4 adpcm_ima_magix adpcm_ima_oki adpcm_ima_qt adpcm_ima_smjpeg "
    "adpcm_ima_ssi adpcm_ima_wav adpcm_ima_ws adpcm_ima_xbox adpcm_ms adpcm_sanyo adpcm_sbpro_2 adpcm_sbpro_3 "
    "adpcm_sbpro_4 adpcm_swf adpcm_yamaha alac als amrnb amrwb apac ape aptx aptx_hd atrac1 atrac3 atrac3al "
    "atrac3plus atrac3plusal bonk cook dca dfpwm dolby_e dsd_lsbf dsd_lsbf_planar dsd_msbf dsd_msbf_planar "
    "dss_sp dst dvaudio eac3 evrc flac ftr g722 g723_1 g726 g726le g729 gsm gsm_ms hcom iac ilbc imc "
    "libopencore_amrnb libopencore_amrwb libopus libvorbis mace3 mace6 metasound mlp mp1 mp1float mp2 "
    "mp2float mp3 mp3adu mp3adufloat mp3float mp3on4 mp3on4float mpc7 mpc8 msnsiren nellymoser on2avc opus "
    "osq pcm_alaw pcm_bluray pcm_dvd pcm_f16le pcm_f24le pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_lxf "
    "pcm_mulaw pcm_s16be pcm_s16be_planar pcm_s16le pcm_s16le_planar pcm_s24be pcm_s24daud pcm_s24le "
    "pcm_s24le_planar pcm_s32be pcm_s32le pcm_s32le_planar pcm_s64be pcm_s64le pcm_s8 pcm_s8_planar pcm_u16be "
    "pcm_u16le pcm_u24be pcm_u24le pcm_u32be pcm_u32le pcm_u8 pcm_vidc qcelp qdm2 qdmc qoa ra_144 ralf "
    "real_144 real_288 rka roq_dpcm s302m sbc sdx2_dpcm shorten sipr siren speex tak truehd truespeech tta "
    "twinvq vorbis wavarc wavpack wmalossless wmapro wmav1 wmav2 wmavoice xma1 xma2"
)
"""The decoders ffmpeg may use, for `-codec_whitelist`. None of them reads another file or loops by itself."""

READS_ID3 = frozenset({"mp3", "aac", "flac", "tta", "ac3", "eac3", "ape", "mpc"})
"""Demuxers that step over an ID3v2 tag in front by themselves; for others the bytes are skipped."""

COPIED_FROM = frozenset({"mov", "mp4", "3gp", "webm", "matroska", "flv", "mpeg-ts", "m4a", "aac", "caf"})
"""Containers whose AAC-LC frames are copied into an M4A."""

TELLS_LENGTH = frozenset({"m4a", "mp4", "mov", "3gp", "flac", "tta", "wavpack", "ape", "musepack", "tak", "caf"})
"""Containers whose header tells the exact length, whether or not all of it is there."""

SEEKABLE = frozenset(
    {"wav", "rf64", "w64", "aiff", "caf", "m4a", "mov", "mp4", "3gp", "webm", "matroska", "flac", "ogg", "au"}
)
"""Containers in which a jump lands on the right sample; in others the way there is decoded."""

RICH_CODECS: Mapping[str, float] = {"opus": 2.0, "amr_nb": 2.0, "amr_wb": 2.0, "speex": 2.0, "ilbc": 2.0, "gsm": 2.0}
"""How many kb/s of AAC-LC one kb/s of these is worth. Measured by PESQ on speech: Opus at 16 kb/s (3.80) equals
AAC-LC at 32 (3.86)."""

LOSSLESS = frozenset(
    {"flac", "alac", "ape", "wavpack", "tta", "tak", "shorten", "mp4als", "wmalossless", "truehd", "mlp"}
)
