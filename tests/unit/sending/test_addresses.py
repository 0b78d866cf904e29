"""Which addresses a callback may go to."""

from __future__ import annotations

import pytest

from pipeline.sending.addresses import may_be_told, why_not

PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8", "64:ff9b::808:808")
PRIVATE = ("127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.3.4", "192.168.1.1", "::1", "fd12::1", "::ffff:10.0.0.1")
NEVER = (
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.0.8",
    "192.0.0.192",
    "168.63.129.16",
    "::ffff:168.63.129.16",
    "64:ff9b::a83f:8110",
    "fd20:ce::254",
    "64:ff9b:1::a9fe:a9fe",
    "fec0::1",
    "192.88.99.1",
    "no address",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_may_be_told(address: str) -> None:
    """Whatever the setting says."""
    assert may_be_told(address, allow_private=False)
    assert may_be_told(address, allow_private=True)


@pytest.mark.parametrize("address", [*PRIVATE, "64:ff9b::7f00:1", "2002:7f00:1::"])
def test_private_addresses_only_where_allowed(address: str) -> None:
    """Also where an IPv6 address stands for one of them."""
    assert not may_be_told(address, allow_private=False)
    assert may_be_told(address, allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_some_are_never_told(address: str) -> None:
    """Link-local, metadata, multicast, reserved."""
    assert not may_be_told(address, allow_private=False)
    assert not may_be_told(address, allow_private=True)


@pytest.mark.parametrize(
    ("url", "usual", "allowed"),
    [
        ("https://example.com/hook", True, True),
        ("http://example.com/hook", False, True),
        ("https://127.0.0.1/", False, True),
        ("https://[::1]:8443/", False, True),
        ("https://localhost./", False, True),
        ("https://169.254.169.254/latest", False, False),
    ],
)
def test_what_is_refused_before_anybody_connects(url: str, usual: bool, allowed: bool) -> None:
    """Plain http, and addresses that are there to read."""
    assert (why_not(url, allow_private=False) is None) is usual
    assert (why_not(url, allow_private=True) is None) is allowed
