"""Files of the home: written whole, for the owner only, and read back as they were."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local import home as homes
from infra.local.credentials import load_credentials
from infra.local.ports import LISTENERS, choose_ports
from pipeline.errors import PartUnreachable
from pipeline.precedence import read_stack_file

VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("C",)), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(value=VALUES.filter(lambda text: text.strip() == text))
def test_what_the_stack_tells_is_read_as_it_was(tmp_path: Path, value: str) -> None:
    """Quotes, backslashes, hashes and dollars in a password or path survive `stack.env`."""
    homes.write_stack_env(tmp_path, {"MEMOLINE_API_TOKEN": value, "MEMOLINE_BUCKET": "b"})
    assert read_stack_file(tmp_path) == {"MEMOLINE_API_TOKEN": value, "MEMOLINE_BUCKET": "b"}


def test_private_files_are_the_owners_only_and_replaced_in_one_step(tmp_path: Path) -> None:
    """Mode 0600, no draft left behind, and a name that is a file already gets a new one."""
    path = tmp_path / "secret"
    for text in ("one", "two"):
        homes.write_private(path, text)
        assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_large_log_is_moved_aside_at_the_next_start(tmp_path: Path) -> None:
    """Over 10 MB: kept once as `.log.1`; a smaller one is continued."""
    homes.make_folders(tmp_path)
    path = homes.log_path(tmp_path, "broker")
    for size, expected in ((10, 14), (homes.MAX_LOG_BYTES + 1, 4)):
        path.write_bytes(b"x" * size)
        with open(homes.open_log(tmp_path, "broker"), "w") as log:  # noqa: PTH123 -- a descriptor
            log.write("more")
        assert path.stat().st_size == expected
    assert path.with_suffix(".log.1").stat().st_size == homes.MAX_LOG_BYTES + 1


@pytest.mark.parametrize(
    ("text", "line"), [("one\ntwo\n\n", "two"), ("", ""), ("x" * 5000, "x" * 300)], ids=["last", "empty", "long"]
)
def test_the_last_line_of_a_log(tmp_path: Path, text: str, line: str) -> None:
    """Blank lines do not count, long ones are cut, and no log is no line."""
    homes.make_folders(tmp_path)
    assert homes.last_line(tmp_path, "s3") == ""
    homes.log_path(tmp_path, "s3").write_text(text)
    assert homes.last_line(tmp_path, "s3") == line


def test_a_disk_without_room_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less free than the stack needs: `disk-full`, exit 4. The need is raised, since the disk cannot be filled."""
    monkeypatch.setattr(homes, "MIN_FREE_BYTES", 2**62)
    with pytest.raises(PartUnreachable) as raised:
        homes.make_folders(tmp_path)
    assert (raised.value.code, raised.value.exit_status) == ("disk-full", 4)


def test_credentials_are_made_once_and_hidden(tmp_path: Path) -> None:
    """The same at the second start, a lost one made anew, none in the repr."""
    first = load_credentials(tmp_path)
    assert load_credentials(tmp_path) == first
    assert first.broker_password not in repr(first)
    homes.write_private(tmp_path / "secrets.json", '{"broker_password": "kept"}')
    second = load_credentials(tmp_path)
    assert second.broker_password == "kept"
    assert second.api_token != first.api_token


def test_ports_are_chosen_once_and_apart(tmp_path: Path) -> None:
    """Each listener has its own, below the range for outgoing connections, and the same the next time."""
    first = choose_ports(tmp_path, set_ports={})
    assert set(first) == set(LISTENERS)
    assert len(set(first.values())) == len(LISTENERS)
    assert max(first.values()) < 32_768
    assert choose_ports(tmp_path, set_ports={}) == first


def test_a_demanded_port_is_taken_and_not_remembered(tmp_path: Path) -> None:
    """What somebody set holds as long as it is set."""
    first = choose_ports(tmp_path, set_ports={})
    free = first["serve"] + 1
    assert choose_ports(tmp_path, set_ports={"serve": free})["serve"] == free
    assert choose_ports(tmp_path, set_ports={}) == first


def test_a_port_is_free_where_it_is_served(tmp_path: Path) -> None:
    """A remembered port that is taken at the host of `serve`, and only there, is replaced."""
    first = choose_ports(tmp_path, set_ports={}, host="127.0.0.2")
    assert choose_ports(tmp_path, set_ports={}, host="127.0.0.2") == first
    with socket.create_server(("127.0.0.2", first["serve"])):
        second = choose_ports(tmp_path, set_ports={}, host="127.0.0.2")
    assert second["serve"] != first["serve"]
    assert second | {"serve": 0} == first | {"serve": 0}
