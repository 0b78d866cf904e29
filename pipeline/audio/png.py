"""A picture as PNG, by Pillow: it brings a font of its own, so that it looks alike on every machine."""

from __future__ import annotations

from pathlib import Path

from pipeline.audio.waveform import PAPER, Picture
from pipeline.errors import Misuse

SCALE = 2
"""Dots a point, for sharp letters."""


def write_png(picture: Picture, to: Path) -> None:
    """Draw it into a file. Raises Misuse `no-pillow` where Pillow is not installed, OSError."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        text = "A PNG needs Pillow: install memoline[png], or name an .svg."
        raise Misuse("no-pillow", text) from error
    image = Image.new("RGB", (picture.width * SCALE, picture.height * SCALE), PAPER)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13 * SCALE)
    for shape in picture.shapes:
        left, top = shape.left * SCALE, shape.top * SCALE
        if shape.words:
            pen.text((left, top), shape.words, fill=shape.colour, font=font, anchor="ls")
        else:
            right, bottom = left + shape.width * SCALE, top + shape.height * SCALE
            pen.rectangle(
                (round(left), round(top), max(round(right) - 1, round(left)), round(bottom) - 1), shape.colour
            )
    image.save(to, format="PNG", optimize=True)
