"""Signed URLs: what CloudFront's own rules let pass, and nothing of them where texts are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infra.local.cdn_keys import is_signed
from pipeline.errors import Misuse
from pipeline.hosting.signing import UrlSigner, load_signer, unsigned

URL = "https://cdn.example/m/0a1b.m4a"
NOW = 1_800_000_000.7
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """As `openssl genrsa` writes it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def test_a_url_is_signed_as_botocore_signs_it() -> None:
    """Byte for byte; it ends when it should, and lets nobody in elsewhere."""
    url = UrlSigner("K1", pem(KEY), 60)(URL, NOW)
    theirs = CloudFrontSigner("K1", lambda message: KEY.sign(message, PKCS1v15(), SHA1()))
    assert url == theirs.generate_presigned_url(URL, date_less_than=datetime.fromtimestamp(int(NOW) + 60, UTC))
    keys = {"K1": KEY.public_key()}
    assert is_signed(url, keys, now=NOW, client_ip="203.0.113.9")
    assert not is_signed(url, keys, now=NOW + 60, client_ip="203.0.113.9")
    assert not is_signed(url.replace("0a1b", "0a1c"), keys, now=NOW, client_ip="203.0.113.9")


def test_a_key_comes_from_a_file_or_in_one_line(tmp_path: Path) -> None:
    """A secret store may give the ends of lines as `\\n`; without a key id nothing is signed."""
    (tmp_path / "key.pem").write_text(pem(KEY))
    signers = [
        load_signer("K1", pem(KEY).replace("\n", "\\n"), None, 60),
        load_signer("K1", None, tmp_path / "key.pem", 60),
    ]
    assert [signer and signer(URL, NOW) for signer in signers] == [UrlSigner("K1", pem(KEY), 60)(URL, NOW)] * 2
    assert load_signer(None, None, None, 60) is None


@pytest.mark.parametrize("wrong", ["", "secret", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_what_is_no_key_is_refused_without_being_shown(wrong: str) -> None:
    """The text names the setting, and nothing of the value."""
    with pytest.raises(Misuse, match="MEMOLINE_CDN_SIGNING_KEY must be an RSA private key") as told:
        UrlSigner("K1", wrong, 60)
    assert not wrong or wrong not in str(told.value)


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """By its setting."""
    with pytest.raises(Misuse, match=r"MEMOLINE_CDN_SIGNING_KEY_FILE .*none\.pem cannot be read"):
        load_signer("K1", None, tmp_path / "none.pem", 60)


def test_texts_lose_signatures_and_nothing_else() -> None:
    """Whatever stands round the URL stays."""
    url = UrlSigner("K1", pem(KEY), 60)(URL, NOW)
    assert unsigned(f'could not load "{url}" (404), {url}') == f'could not load "{URL}" (404), {URL}'
    assert unsigned("why? Policy=none; https://a.example/?page=2") == "why? Policy=none; https://a.example/?page=2"
