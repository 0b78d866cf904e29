"""The ids of direct uploads."""

from __future__ import annotations

import pytest

from pipeline.hosting.direct import new_upload, read_upload_id, upload_id


@pytest.mark.parametrize("name", ["note.ogg", "🎙" * 255, "\ud83d.ogg"])
def test_an_id_stands_for_its_upload(name: str) -> None:
    """Also with a name of emoji, as long as a name may be, and with half a surrogate pair."""
    upload = new_upload(name, 10**12, "0" * 64)
    assert read_upload_id(b"secret", upload_id(b"secret", upload)) == upload
