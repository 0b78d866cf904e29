"""From what a command was given, files and folders, to the recordings it works on, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import MemolineError, Misuse
from workers.folders import files_under


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One recording. path: as it was given; below a folder, that folder as it was given and the way in it. into: the
    folder under DIR that its memo goes to, the same way. name: of its memo, without extension. error: why there is
    none."""

    path: str
    into: Path = Path()
    name: str = ""
    error: MemolineError | None = None


def gather(arguments: Sequence[str], out_dir: Path | None = None) -> tuple[Found, ...]:
    """The files named, and all files under the folders named (by the rule of `files_under`), in the order given.

    out_dir: where memos go; they are no recordings, so it is not looked into. No two different recordings get the same
    memo name in the same folder: the second one gets `-2`, and so on."""
    found = [item for argument in arguments for item in _one(argument, out_dir)]
    return tuple(_named_apart(found))


def _one(argument: str, out_dir: Path | None) -> Iterator[Found]:
    folder = Path(argument)
    if not folder.is_dir():
        yield Found(path=argument, name=folder.stem)
        return
    count = 0
    for item in files_under(folder, out_dir):
        count += 1
        if isinstance(item, Path):
            yield Found(path=str(item), into=item.parent.relative_to(folder), name=item.stem)
        else:
            yield Found(path=str(item.facts["path"]), error=item)
    if not count:
        text = f"The folder {argument} holds no file that is not hidden."
        yield Found(path=argument, error=Misuse("empty-folder", text, path=argument))


def _named_apart(found: Sequence[Found]) -> Iterator[Found]:
    taken: dict[tuple[Path, str], Path] = {}
    for item in found:
        source, name, number = Path(item.path).absolute(), item.name, 1
        # Some file systems do not tell upper from lower case.
        while taken.setdefault((item.into, name.casefold()), source) != source:
            number += 1
            name = f"{item.name}-{number}"
        yield replace(item, name=name)


def pictures(named: Path | None, found: Sequence[Found]) -> Callable[[Found], Path | None]:
    """Where the picture of each recording goes: the file named, or, in a folder, the name of its memo as an SVG.

    Raises Misuse `bad-waveform` for a file that several recordings would share, or of another kind.
    """
    if named is None:
        return lambda _: None
    if named.is_dir() or not named.suffix:
        return lambda item: named / item.into / f"{item.name}.svg"
    if named.suffix.lower() not in (".svg", ".png"):
        raise Misuse("bad-waveform", f"{named} is neither .svg nor .png: name one of them, or a folder.")
    if len(found) != 1:
        raise Misuse("bad-waveform", f"{named} is one picture for {len(found)} recordings: name a folder.")
    return lambda _: named
