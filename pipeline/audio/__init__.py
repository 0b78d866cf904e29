"""What a recording is and what becomes of it. Public: `inspect`, `convert`, `draw`, `AudioRunner`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.audio.picture import draw
    from pipeline.audio.room import AudioRunner, Converted, Inspection, convert, inspect

__all__ = ["AudioRunner", "Converted", "Inspection", "convert", "draw", "inspect"]


def __getattr__(name: str) -> object:
    """Load the room when one of its names is asked for: importing the package costs nothing."""
    if name == "draw":
        from pipeline.audio import picture

        return picture.draw
    if name in __all__:
        from pipeline.audio import room

        return getattr(room, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
