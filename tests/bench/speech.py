"""Speech of any length for benchmarks: eSpeak NG's voices in a quiet room, for digital silence would cost nothing."""

from __future__ import annotations

import itertools
import subprocess
import wave
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

from tests.support.talk import RATE_HZ, Synthesiser

SENTENCES = {
    "en-us": "The quick brown fox jumps over the lazy dog. I will be there at half past seven, so please do not wait.",
    "de": "Guten Tag, hier spricht die Praxis am Markt. Ihr Termin ist am Dienstag um neun Uhr. Bis dann.",
    "it+f3": "Buongiorno, la sua prenotazione è confermata per domani sera alle otto. Grazie, a presto.",
    "fr": "Bonjour, je vous rappelle demain matin. Le train est en retard de vingt minutes.",
}
"""Voice and text. They are read in turn."""
ROOM = "anoisesrc=c=pink:a=0.002:r=48000:seed=1"


def spoken() -> dict[str, bytes]:
    """16-bit mono samples of each voice, at talk.RATE_HZ."""
    speaker = Synthesiser()
    return {voice: speaker.say(text, voice, words_per_minute=165, pitch=50) for voice, text in SENTENCES.items()}


def write(to: Path, pieces: dict[str, bytes], duration_s: float) -> Path:
    """Write as many seconds of speech, the voices in turn, as a WAV file."""
    missing = int(duration_s * RATE_HZ) * 2
    with wave.open(str(to), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        for piece in itertools.cycle(pieces.values()):
            file.writeframes(piece[:missing])
            missing -= len(piece)
            if missing <= 0:
                break
    return to


def record(voice: Path, to: Path, *encode: str) -> Path:
    """A recording of a voice in a quiet room, at 48 kHz unless the arguments say otherwise."""
    mix = "[0:a]aresample=48000[voice];[voice][1:a]amix=inputs=2:duration=first:normalize=0"
    inputs = ["-i", str(voice), "-f", "lavfi", "-i", ROOM]
    command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *inputs, "-filter_complex", mix, *encode, str(to)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return to
