"""The waveform of what was made of a recording, as an SVG or PNG file. ffmpeg gives the levels: the sound itself never
comes into Python, and a picture costs as much memory for ten hours as for ten seconds."""

from __future__ import annotations

import os
from pathlib import Path
from xml.sax.saxutils import escape

from pipeline.audio import child, probe, report, transcode, waveform
from pipeline.audio.room import Converted
from pipeline.errors import Misuse
from pipeline.recordings import AudioSettings, Probe

FORMATS = (".svg", ".png")
_LEVEL_HZ = 16_000
_CLOSE_STEP_S = 0.02


def draw(recording: str | Path, made: Converted, to: Path, settings: AudioSettings) -> Path:
    """Draw the waveform of a recording that was converted; an older picture of the name is replaced. Returns its path.

    Raises Misuse for the picture's name or folder (`bad-waveform`), and where PNG needs a package that is not installed
    (`no-pillow`); RecordingRejected, ToolFailed.
    """
    if to.suffix.lower() not in FORMATS:
        raise Misuse("bad-waveform", f"{to} is neither .svg nor .png: name one of them.")
    ffmpeg = child.find_ffmpeg(settings.ffmpeg)
    facts = probe.probe(probe.checked_path(recording), ffmpeg)
    parts = [_part(row) for row in made.parts or (made,)]
    total_s = max(made.source_duration_s or 0.0, parts[-1].end_s)
    step = max(round(total_s / waveform.POINTS * _LEVEL_HZ), 1)
    levels = _levels(facts, ffmpeg, 0.0, total_s, step)
    close = [_close(facts, ffmpeg, part.end_s) for part in parts if part.cut]
    title = f"{Path(recording).name}: {_told(made)}"
    picture = waveform.drawn(title, levels, step / _LEVEL_HZ, parts, close)
    return _write(picture, to)


def _part(row: Converted) -> waveform.Part:
    end_s = row.starts_at_s + row.kept_s
    cut = row.trimmed or row.pause_confidence_db is not None
    return waveform.Part(begin_s=row.starts_at_s, end_s=end_s, cut=cut, confidence_db=row.pause_confidence_db)


def _told(made: Converted) -> str:
    kept, dropped = waveform.clock(made.kept_s), waveform.clock(made.dropped_s)
    if made.parts:
        return f"{kept} in {len(made.parts)} memos"
    return f"{kept} kept, {dropped} dropped" if made.trimmed else f"{kept}, all kept"


def _close(facts: Probe, ffmpeg: str, cut_s: float) -> waveform.Close:
    begin_s = max(cut_s - waveform.CLOSE_S, 0.0)
    step = round(_CLOSE_STEP_S * _LEVEL_HZ)
    found = _levels(facts, ffmpeg, begin_s, cut_s + waveform.CLOSE_S - begin_s, step)
    return waveform.Close(begin_s=begin_s, step_s=_CLOSE_STEP_S, levels_db=found)


def _levels(facts: Probe, ffmpeg: str, from_s: float, length_s: float, step_samples: int) -> tuple[float, ...]:
    args = transcode.level_args(facts, from_s, length_s, step_samples)
    done = child.run(ffmpeg, args, child.Limits(wall_s=120 + (from_s + length_s) / 10))
    return report.level_each_step(done.report)


def _write(picture: waveform.Picture, to: Path) -> Path:
    """Whole or not at all: under another name first."""
    target = to.absolute()
    half = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if to.suffix.lower() == ".png":
            from pipeline.audio.png import write_png

            write_png(picture, half)
        else:
            half.write_text(svg(picture), encoding="utf-8")
        half.replace(target)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise Misuse("bad-waveform", f"{to} cannot be written ({error.strerror}): name another file.") from error
    return target


def svg(picture: waveform.Picture) -> str:
    """The picture as SVG 1.1."""
    size = f'width="{picture.width}" height="{picture.height}" viewBox="0 0 {picture.width} {picture.height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        f'<rect width="100%" height="100%" fill="{waveform.PAPER}"/>',
        *(_element(shape) for shape in picture.shapes),
        "</svg>\n",
    ]
    return "\n".join(lines)


def _element(shape: waveform.Shape) -> str:
    if shape.words:
        words = escape("".join(letter if letter.isprintable() else "?" for letter in shape.words))
        return f'<text x="{shape.left:.1f}" y="{shape.top:.1f}" fill="{shape.colour}">{words}</text>'
    return (
        f'<rect x="{shape.left:.1f}" y="{shape.top:.1f}" width="{shape.width:.2f}" height="{shape.height:.1f}" '
        f'fill="{shape.colour}"/>'
    )
