"""Speech whose pauses are known, because they were put there: made-up words said by espeak-ng, phrase by phrase.

A phrase is 2 to 8 words of made-up syllables in one breath, so that each language's voice gives them its own sounds;
between two phrases lies a gap, a quarter of them too short to be a pause (60 to 140 ms), the others log-normal round
0.42 s (0.15 to 1.6 s). Pink room tone lies at -60 dBFS under it all, speech at -23. A true pause is every stretch of
150 ms or more in which the bare speech, before tone and noise, stays 35 dB below its loud parts: the longer gaps with
what fades out into them. The numbers of `pipeline.audio.pause` were chosen on other voices: TRAINING below, two diphone
voices and recorded telephone announcements in English and Spanish.
"""

from __future__ import annotations

import audioop
import ctypes
import math
import random
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

RATE_HZ = 22_050
TRAINING = ("en-us", "de", "es", "ru", "pl", "en-us+klatt2")
VOICES = ("fr", "it", "nl", "cmn", "hi", "en-gb-scotland")
SPEECH_DB, TONE_DB, QUIET_DB = -23.0, -60.0, 35.0
NOISY_QUIET_DB = 22.0
PAUSE_S = 0.15
_FRAME = RATE_HZ // 100
_FRAME_S = _FRAME / RATE_HZ
_FULL = 32768.0
_ONSETS = ("b", "d", "g", "k", "l", "m", "n", "p", "r", "s", "t", "f", "v", "sh", "ch", "st", "tr", "pl", "")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "oa", "ee")
_CODAS = ("", "", "n", "r", "s", "t", "l", "m", "k")
_SYNCHRONOUS, _RATE, _PITCH = 2, 1, 3  # AUDIO_OUTPUT_SYNCHRONOUS, espeakRATE, espeakPITCH of espeak-ng's speak_lib.h


@dataclass(frozen=True, kw_only=True, slots=True)
class Talk:
    """Samples (16 bits, mono, RATE_HZ) and the true pauses in them, in seconds."""

    samples: bytes
    pauses: tuple[tuple[float, float], ...]

    def in_pause(self, at_s: float) -> bool:
        """Whether a moment lies in a true pause."""
        return any(begin <= at_s <= end for begin, end in self.pauses)


class Synthesiser:
    """espeak-ng, in this process: text and a voice's name in, samples out."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        assert self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0) == RATE_HZ
        self._heard = bytearray()
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._hear)
        self._library.espeak_SetSynthCallback(self._callback)

    def _hear(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: int) -> int:
        if samples and count:
            self._heard += ctypes.string_at(samples, 2 * count)
        return 0

    def say(self, text: str, voice: str, *, words_per_minute: int, pitch: int) -> bytes:
        """The sound of a text."""
        self._heard.clear()
        assert self._library.espeak_SetVoiceByName(voice.encode()) == 0, voice
        self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        said = text.encode()
        self._library.espeak_Synth(said, len(said) + 1, 0, 0, 0, 1, None, None)
        return bytes(self._heard)


def talk(speaker: Synthesiser, voice: str, seconds: float, seed: int) -> Talk:
    """Phrases of one voice with known pauses."""
    chance = random.Random(seed)
    return _assembled(lambda: _phrase(speaker, voice, chance), seconds, chance)


def retold(recording: bytes, seconds: float, seed: int) -> Talk:
    """The phrases of a recorded voice, taken apart at its own pauses, in another order and with known ones."""
    chance = random.Random(seed)
    edges = [
        0.0,
        *(edge for pause in _quiet(recording, PAUSE_S, NOISY_QUIET_DB) for edge in pause),
        len(recording) / 2 / RATE_HZ,
    ]
    spans = zip(edges[::2], edges[1::2], strict=True)
    phrases = [recording[2 * int(begin * RATE_HZ) : 2 * int(end * RATE_HZ)] for begin, end in spans]
    phrases = [level(phrase, SPEECH_DB) for phrase in phrases if len(phrase) > RATE_HZ / 2]
    return _assembled(lambda: chance.choice(phrases), seconds, chance, NOISY_QUIET_DB)


def _assembled(phrase: Callable[[], bytes], seconds: float, chance: random.Random, below_db: float = QUIET_DB) -> Talk:
    said = bytearray()
    while len(said) < 2 * RATE_HZ * seconds:
        one = phrase()
        said += one + bytes(2 * round(_gap_s(chance) * RATE_HZ)) if one else b""
    return Talk(samples=bytes(said), pauses=tuple(_quiet(bytes(said), PAUSE_S, below_db)))


def _gap_s(chance: random.Random) -> float:
    if chance.random() < 0.25:
        return chance.uniform(0.06, 0.14)
    return min(max(chance.lognormvariate(math.log(0.42), 0.55), PAUSE_S), 1.6)


def _phrase(speaker: Synthesiser, voice: str, chance: random.Random) -> bytes:
    """One phrase at the usual loudness, without the silence around it; empty where it has a pause within."""
    words = (_word(chance) for _ in range(chance.randint(2, 8)))
    sound = speaker.say(" ".join(words), voice, words_per_minute=chance.randint(130, 200), pitch=chance.randint(20, 80))
    quiet = _quiet(sound, 0.0)
    begin = quiet[0][1] if quiet and quiet[0][0] == 0 else 0.0
    last = len(sound) / 2 / RATE_HZ
    end = quiet[-1][0] if quiet and quiet[-1][1] > last - 0.02 else last
    sound = sound[2 * int(begin * RATE_HZ) : 2 * int(end * RATE_HZ)]
    if not sound or any(True for _ in _quiet(sound, PAUSE_S)):
        return b""
    return level(sound, SPEECH_DB + chance.uniform(-2, 2))


def _word(chance: random.Random) -> str:
    syllables = chance.choice((1, 2, 2, 3, 3, 4))
    return "".join(chance.choice(_ONSETS) + chance.choice(_VOWELS) + chance.choice(_CODAS) for _ in range(syllables))


def _quiet(sound: bytes, least_s: float, below_db: float = QUIET_DB) -> list[tuple[float, float]]:
    """Stretches, in seconds, of 10 ms frames that lie far below the loud ones."""
    levels = [audioop.rms(sound[at : at + 2 * _FRAME], 2) for at in range(0, len(sound) - 2 * _FRAME + 1, 2 * _FRAME)]
    heard = sorted(level for level in levels if level > 1)
    bound = heard[int(0.95 * (len(heard) - 1))] * 10 ** (-below_db / 20) if heard else 0
    found: list[tuple[float, float]] = []
    begin: int | None = None
    for at, loudness in enumerate([*levels, math.inf]):
        if loudness < bound and begin is None:
            begin = at
        elif loudness >= bound and begin is not None:
            if (at - begin) * _FRAME_S >= least_s:
                found.append((begin * _FRAME_S, at * _FRAME_S))
            begin = None
    return found


def level(sound: bytes, to_db: float) -> bytes:
    """The sound with another loudness, in dBFS (root mean square)."""
    return audioop.mul(sound, 2, 10 ** (to_db / 20) * _FULL / max(audioop.rms(sound, 2), 1))


def loudness_db(sound: bytes) -> float:
    """The loudness of the speech alone: of the frames that are no pause."""
    frames = [audioop.rms(sound[at : at + 2 * _FRAME], 2) for at in range(0, len(sound), 2 * _FRAME)]
    heard = [frame * frame for frame in frames if frame > 10]
    return 10 * math.log10(sum(heard) / len(heard) / _FULL**2)


def mixed(*sounds: bytes) -> bytes:
    """Sounds on top of each other, as long as the first one; a shorter one is repeated."""
    total = sounds[0]
    for sound in sounds[1:]:
        fitting = (sound * (len(total) // len(sound) + 1))[: len(total)]
        total = audioop.add(total, fitting, 2)
    return total


def write(sound: bytes, to: Path) -> Path:
    """A WAV file of it."""
    with wave.open(str(to), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(sound)
    return to


def noises(speaker: Synthesiser, made: Callable[[str], bytes], seconds: float) -> Iterator[tuple[str, bytes]]:
    """(name, sound) of pink noise, of seven voices talking at once, and of chords with a beat. made: the sound of an
    ffmpeg source, at RATE_HZ."""
    yield "pink", made(f"anoisesrc=c=pink:r={RATE_HZ}:d={seconds}:seed=7")
    others = [talk(speaker, voice, seconds, 900 + at).samples for at, voice in enumerate((*TRAINING, "sv"))]
    yield "babble", mixed(*[audioop.mul(other, 2, 0.4) for other in others])
    chords = "+".join(
        f"sin(2*PI*t*{ratio}*(110+20*mod(floor(t*2)*3,5)))/{at + 2}" for at, ratio in enumerate((1, 1.25, 1.5, 2, 3))
    )
    beat = "random(0)*exp(-80*mod(t,0.5))"
    yield "music", made(f"aevalsrc='0.2*exp(-3*mod(t,0.5))*({chords})+0.3*{beat}':s={RATE_HZ}:d={seconds}")
