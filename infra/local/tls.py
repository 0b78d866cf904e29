"""The CDN's certificate: an authority of our own, made once and kept, which nobody else is asked to trust."""

from __future__ import annotations

from pathlib import Path

from infra.local.home import write_private


def ca_bundle(home: Path) -> Path:
    """The authority's certificate, for `MEMOLINE_CA_BUNDLE`."""
    return home / "tls" / "ca.pem"


def certificate(home: Path) -> Path:
    """Private key and certificate chain of the CDN in one PEM file."""
    return home / "tls" / "cdn.pem"


def make_certificates(home: Path) -> None:
    """Make authority and certificate for this machine's loopback names, unless both are there."""
    if ca_bundle(home).is_file() and certificate(home).is_file():
        return
    import trustme

    authority = trustme.CA(organization_name="Memoline", organization_unit_name="embedded stack")
    issued = authority.issue_cert("localhost", "127.0.0.1", "::1", common_name="localhost")
    write_private(certificate(home), issued.private_key_and_cert_chain_pem.bytes().decode())
    write_private(ca_bundle(home), authority.cert_pem.bytes().decode())
