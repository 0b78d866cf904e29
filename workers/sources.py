"""What a backfill may be given: a folder, a bucket prefix, a manifest; read row by row, in its order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.errors import Misuse
from workers.doors import Desk
from workers.folders import files_under
from workers.manifest import COLUMNS, BadRow, Row, is_manifest, read_manifest
from workers.s3_events import is_recording
from workers.wishes import is_text


def rows_of(desk: Desk, source: str, names: Mapping[str, str]) -> Iterator[Row | BadRow]:
    """The rows of a source, in its order. names: as `read_manifest` takes them.

    Raises Misuse where the source itself cannot be used (`no-such-file`, `bad-source`, `unreadable`,
    `bucket-not-allowed`)."""
    if source.startswith("s3://"):
        return _bucket_rows(desk, source)
    path = Path(source).absolute()
    if path.is_dir():
        return _folder_rows(path)
    if not path.exists():
        text = f"There is no {source}: name a folder, a manifest or s3://bucket/prefix."
        raise Misuse("no-such-file", text, path=str(path))
    if not is_manifest(path):
        text = f"{source} is neither a folder nor a manifest (.csv, .jsonl): `memoline send` sends a single file."
        raise Misuse("bad-source", text, path=str(path))
    return (_beside(path.parent, row) for row in read_manifest(path, names))


def absolute(source: str) -> str:
    """A source by the name that it has from everywhere."""
    return source if source.startswith("s3://") else str(Path(source).absolute())


def column_names(given: tuple[str, ...]) -> dict[str, str]:
    """`chat_id=Conversation` as what `read_manifest` takes. Raises Misuse (`bad-column`)."""
    names: dict[str, str] = {}
    for text in given:
        ours, equals, theirs = text.partition("=")
        if ours.strip() not in COLUMNS or not equals or not theirs.strip():
            example = f"say for instance chat_id=Conversation; ours are {', '.join(COLUMNS)}"
            raise Misuse("bad-column", f"{text[:100]!r} maps no column: {example}.", column=text[:100])
        if theirs.strip() in names or ours.strip() in names.values():
            raise Misuse("bad-column", f"{text[:100]!r} names a column a second time.", column=text[:100])
        names[theirs.strip()] = ours.strip()
    return names


def _beside(folder: Path, row: Row | BadRow) -> Row | BadRow:
    """A manifest names its recordings from where it lies."""
    if not row.recording or "://" in row.recording:
        return row
    return replace(row, recording=str(folder / row.recording))


def _folder_rows(folder: Path) -> Iterator[Row | BadRow]:
    """A row a file; a folder inside that cannot be read is one to report, and the others go on."""
    for number, found in enumerate(files_under(folder), start=1):
        if isinstance(found, Path):
            yield Row(line=number, recording=str(found))
        elif found.facts["path"] == str(folder):
            raise found
        else:
            yield BadRow(line=number, code=found.code, message=found.message, recording=str(found.facts["path"]))


def _bucket_rows(desk: Desk, source: str) -> Iterator[Row]:
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if bucket not in desk.settings.readable_buckets:
        text = f"Bucket {bucket!r} may not be read: MEMOLINE_SOURCE_BUCKETS names the buckets that may be read."
        raise Misuse("bucket-not-allowed", text, bucket=bucket)
    if not is_text(prefix):
        raise Misuse("bad-source", f"{source!r} is no s3://bucket/prefix.")
    # Elsewhere than in the inbox no prefix is ours, and no name means anything.
    wanted = is_recording if bucket == desk.settings.inbox_bucket else _is_object
    listed = (item.key for item in desk.s3.list(bucket, prefix) if wanted(item.key))
    return (Row(line=number, recording=f"s3://{bucket}/{key}") for number, key in enumerate(listed, start=1))


def _is_object(key: str) -> bool:
    return not key.endswith("/")
