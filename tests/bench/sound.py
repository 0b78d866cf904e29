"""`make bench-sound`: what each bitrate of the ladder sounds like, by PESQ (wide band) and STOI: a table for the docs.

The voices are the speech in the corpus that MEMOLINE_TEST_CORPUS names, else eSpeak NG's. Each is encoded by the very
command line that the audio step uses, and compared with itself. Bare ffmpeg's encode stands beside them.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray
from pesq import PesqError, pesq
from pystoi import stoi

from pipeline.audio import downmix, fit, transcode
from pipeline.recordings import AudioStream, Probe
from tests.bench.speech import spoken
from tests.support import talk

RATE_HZ = 16_000
RUNGS_KBPS = (96, 64, 48, 40, 32, 28, 24, 20, 16)
SPEECH = (
    "SYSTRAN-faster-whisper/jfk.flac",
    "SYSTRAN-faster-whisper/stereo_diarization.wav",
    "snakers4-silero-vad/test.opus",
    "apache-tika/ko-KR_(We_Are_Having_Class_x2).mp3",
    "apache-tika/it-IT_(We_Are_Having_Class_x2).mp3",
    "apache-tika/ko-KR_(Annyeonghaseyo).mp4",
    "Canardoux-flutter_sound/sample.flac",
)
"""Files of the corpus in which somebody speaks."""


def run(*args: str) -> bytes:
    """What ffmpeg writes to its output."""
    command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *args]
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def samples(path: Path) -> NDArray[np.float64]:
    """A file's sound at 16 kHz."""
    raw = run("-i", str(path), "-ar", str(RATE_HZ), "-f", "s16le", "-")
    return np.frombuffer(raw, dtype=np.int16).astype(np.float64) / 32768


def voices(folder: Path) -> list[Path]:
    """Mono WAV files of 48 kHz, one a voice."""
    corpus = os.environ.get("MEMOLINE_TEST_CORPUS")
    found = [Path(corpus, "files", name) for name in SPEECH] if corpus else []
    if not found:
        for voice, said in spoken().items():
            raw = folder / f"{voice}.s16"
            raw.write_bytes(said)
            found.append(folder / f"{voice}-spoken.wav")
            run("-f", "s16le", "-ar", str(talk.RATE_HZ), "-ac", "1", "-i", str(raw), str(found[-1]))
    made = []
    for number, path in enumerate(found):
        made.append(folder / f"voice-{number}.wav")
        run("-i", str(path), "-map", "0:a:0", "-af", "aformat=channel_layouts=mono", "-ar", "48000", str(made[-1]))
    return made


def ours(voice: Path, coding: fit.Coding, to: Path) -> None:
    """Encode as the audio step does."""
    stream = AudioStream(
        index=0, codec="pcm_s16le", profile=None, sample_rate_hz=48000, channels=1, layout="mono", bitrate_kbps=None
    )
    facts = Probe(
        path=voice, size_bytes=1, container="wav", demuxer="wav", duration_s=None, audio=(stream,)
    )  # fmt: skip
    run(*transcode.encode_args(facts, downmix.MONO, coding, to))


def scores(voice: Path, memo: Path) -> tuple[float | None, float]:
    """(PESQ, STOI); PESQ finds no utterance in some very short files."""
    before, after = samples(voice), samples(memo)
    length = min(len(before), len(after))
    before, after = before[:length], after[:length]
    try:
        heard = float(pesq(RATE_HZ, before, after, "wb"))
    except PesqError:
        heard = None
    return heard, float(stoi(before, after, RATE_HZ))


def line(name: str, found: list[tuple[float | None, float]]) -> str:
    """A row of the table: means, and the worst voice in brackets."""
    heard = [value for value, _ in found if value is not None]
    clear = [value for _, value in found]
    return f"| {name} | {np.mean(heard):.2f} ({min(heard):.2f}) | {np.mean(clear):.3f} ({min(clear):.3f}) |"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="memoline-sound-") as name:
        folder = Path(name)
        heard, memo = voices(folder), folder / "memo.m4a"
        print(f"{len(heard)} voices\n\n| kb/s, rate, edge, coder | PESQ (worst voice) | STOI (worst) |\n|---|---|---|")
        for kbps in RUNGS_KBPS:
            coding = fit.coding_at(kbps, 48000)
            found = []
            for voice in heard:
                ours(voice, coding, memo)
                found.append(scores(voice, memo))
            coder = "fast" if fit.is_fast(coding) else "two-loop"
            print(line(f"{kbps}, {coding.sample_rate_hz / 1000:g} kHz, {coding.cutoff_hz or 'own'}, {coder}", found))
        found = []
        for voice in heard:
            run("-i", str(voice), "-ac", "1", "-c:a", "aac", "-b:a", "64k", str(memo))
            found.append(scores(voice, memo))
        print(line("bare ffmpeg, 64", found))


if __name__ == "__main__":
    main()
