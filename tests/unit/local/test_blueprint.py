"""Which parts are ours, and what they and their environment say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.local.blueprint import Blueprint, draw
from infra.local.environment import part_environment
from infra.local.home import make_folders, write_stack_env
from infra.local.parts import COMMANDS, NEEDS
from infra.local.probes import shown_url
from infra.local.status import PARTS
from infra.local.subscription import webhook_target
from pipeline.errors import Misuse

ALL = frozenset(PARTS)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with its folders."""
    make_folders(tmp_path / "home")
    return tmp_path / "home"


def drawn(home: Path, explicit: Mapping[str, str] | None = None) -> Blueprint:
    """A stack of all parts."""
    return draw(explicit or {}, home, None)


def test_without_settings_every_part_is_ours(home: Path) -> None:
    """All parts wanted, none outside, and settings that name each of them."""
    plan = drawn(home)
    settings = plan.settings()
    assert (plan.wanted, plan.outside) == (ALL, frozenset())
    assert None not in (settings.broker_url, settings.bucket, settings.cdn_url, settings.linq_base_url)
    assert settings.ca_bundle == home / "tls" / "ca.pem"


@pytest.mark.parametrize(
    ("explicit", "outside", "not_wanted"),
    [
        ({"MEMOLINE_BROKER_URL": "redis://elsewhere/0"}, {"broker"}, {"broker"}),
        ({"MEMOLINE_DATABASE_URL": "postgresql://elsewhere/db"}, set(), set()),
        ({"MEMOLINE_BUCKET": "mine"}, {"s3"}, {"s3", "watch"}),
        ({"MEMOLINE_BUCKET": "mine", "MEMOLINE_INBOX_BUCKET": "in"}, {"s3"}, {"s3"}),
        ({"MEMOLINE_CDN_URL": "https://cdn.example"}, {"cdn"}, {"cdn"}),
        ({"LINQ_API_V3_API_KEY": "key"}, {"linq"}, {"linq"}),
        ({"AWS_ACCESS_KEY_ID": "stray", "AWS_REGION": "eu-west-1"}, set(), set()),
    ],
    ids=["broker", "ledger", "s3-without-inbox", "s3", "cdn", "linq", "stray"],
)
def test_what_is_outside_is_not_started(
    home: Path, explicit: dict[str, str], outside: set[str], not_wanted: set[str]
) -> None:
    """The deciding names of the settings page, and no other; the watcher needs an inbox."""
    plan = drawn(home, explicit)
    assert plan.outside == outside
    assert ALL - plan.wanted == not_wanted
    told = plan.settings().as_environment()
    kept = {name for name, value in explicit.items() if told.get(name) == value}
    assert kept == set(explicit) - {"AWS_ACCESS_KEY_ID", "AWS_REGION"}


def test_the_stacks_own_values_are_not_outside_at_the_next_start(home: Path) -> None:
    """What `env` told and the caller set again changes nothing, also where a port had to be chosen anew."""
    told = drawn(home).settings().as_environment()
    write_stack_env(home, drawn(home).own)
    (home / "ports.json").unlink()
    plan = drawn(home, {name: value for name, value in told.items() if name != "MEMOLINE_HTTP_PORT"})
    assert plan.wanted == ALL
    assert plan.settings().broker_url != told["MEMOLINE_BROKER_URL"]


def test_a_set_token_and_address_win(home: Path) -> None:
    """The caller's token and port are the receiver's, and the next start without them is as before."""
    before = drawn(home)
    port = before.ports["serve"] + 1
    plan = drawn(home, {"MEMOLINE_API_TOKEN": "mine", "MEMOLINE_HTTP_PORT": str(port)})
    assert (plan.own["MEMOLINE_API_TOKEN"], plan.own["MEMOLINE_HTTP_PORT"]) == ("mine", str(port))
    assert drawn(home).own == before.own


def test_a_port_that_is_no_number_is_a_bad_setting(home: Path) -> None:
    """Not silently replaced by a chosen one."""
    with pytest.raises(Misuse, match="MEMOLINE_HTTP_PORT"):
        drawn(home, {"MEMOLINE_HTTP_PORT": "http"})


def test_parts_see_settings_and_nothing_that_bends_them(home: Path) -> None:
    """Foreign settings, profiles and authorities are left out; the rest of the environment stays."""
    plan = drawn(home)
    base = {"PATH": "/bin", "AWS_PROFILE": "x", "LINQ_X": "x", "SSL_CERT_FILE": "/ca", "NO_PROXY": "a.example"}
    made = part_environment(base, plan.settings(), plan.explicit, plan.outside)
    assert made["PATH"] == "/bin"
    assert not {"AWS_PROFILE", "LINQ_X", "SSL_CERT_FILE"} & set(made)
    assert made["NO_PROXY"] == made["no_proxy"] == "a.example,127.0.0.1,localhost"
    assert made["AWS_CONFIG_FILE"] == "/dev/null"
    assert made["MEMOLINE_HOME"] == str(home)
    assert made["AWS_DEFAULT_REGION"] == made["AWS_REGION"]


def test_an_outside_s3_keeps_its_profile_and_authorities(home: Path) -> None:
    """Where boto3 must find the user's keys, whatever decides that is passed on."""
    explicit = {"MEMOLINE_BUCKET": "mine", "AWS_PROFILE": "work"}
    plan = drawn(home, explicit)
    made = part_environment({"SSL_CERT_FILE": "/ca"}, plan.settings(), plan.explicit, plan.outside)
    assert (made["AWS_PROFILE"], made["SSL_CERT_FILE"]) == ("work", "/ca")
    assert "AWS_ACCESS_KEY_ID" not in made
    assert "AWS_CONFIG_FILE" not in made


def test_the_webhook_target_is_reachable_from_here() -> None:
    """A receiver that listens everywhere is reached by loopback; the payload's version is asked for."""
    wanted = "http://127.0.0.1:8/webhooks/linq?version=2026-02-03"
    assert {webhook_target(host, 8) for host in ("127.0.0.1", "0.0.0.0", "localhost", "::")} == {wanted}
    assert webhook_target("::1", 8).startswith("http://[::1]:8/")


def test_no_password_is_shown() -> None:
    """A URL for people has neither user nor password."""
    assert shown_url("redis://user:secret@host:1/0?a=b") == "redis://host:1/0?a=b"


def test_every_command_part_says_what_it_needs() -> None:
    """The tables name the same parts, and only existing ones."""
    assert set(COMMANDS) == set(NEEDS)
    assert {*COMMANDS, *(name for needs in NEEDS.values() for name in needs)} <= ALL
