"""Which addresses a callback may go to: those of the internet, unless the owner of this install says otherwise. Pure.

The rules judge the address that is connected to, not the name, which may mean another address a moment later."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})
"""Where clouds tell a machine its credentials, beside the link-local 169.254.169.254."""
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # of protocols; 192.0.0.192 tells credentials at Oracle's
        "168.63.129.16/32",  # Azure's own
        "fd20:ce::254/128",  # Google's metadata
        "64:ff9b:1::/48",  # local NAT64, whose inner address cannot be told
        "fec0::/10",  # site-local, given up
        "192.88.99.0/24",  # relays of 6to4, given up
    )
)


def may_be_told(text: str, *, allow_private: bool) -> bool:
    """Whether an address may be connected to. allow_private: loopback and private networks too; what is link-local,
    multicast, reserved or a cloud's metadata service never."""
    try:
        address = _inner(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return False
    if address in _METADATA or any(address in network for network in _NEVER):
        return False
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address.is_global:
        return True
    return allow_private and (address.is_loopback or (address.is_private and not address.is_reserved))


def why_not(url: str, *, allow_private: bool) -> str | None:
    """What speaks against a callback URL before anybody connects, as the end of a sentence; None where nothing does."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not allow_private:
        return "must be an https:// URL"
    literal = _literal(host)
    forbidden = literal is not None and not may_be_told(str(literal), allow_private=allow_private)
    if forbidden or (host.rstrip(".") == "localhost" and not allow_private):
        return "must not name an address of this machine or of a private network"
    return None


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where a gateway on the way would speak to that."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
