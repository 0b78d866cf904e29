"""Signed URLs, made by botocore's own CloudFront signer: what CloudFront would let pass, and nothing else."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.local.cdn_keys import is_signed, load_verifier
from pipeline.errors import Misuse
from tests.support.local_stack import running_stack, s3_client

URL = "https://cdn.example/m/a.m4a"
NOW = 1_800_000_000
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {"K1": KEY.public_key()}
Edit = Callable[[str], str]


def signer(key: rsa.RSAPrivateKey = KEY, key_id: str = "K1") -> CloudFrontSigner:
    """Signs as a program on AWS would."""
    return CloudFrontSigner(key_id, lambda message: key.sign(message, PKCS1v15(), SHA1()))


def canned(url: str = URL, expires: float = NOW + 60, key: rsa.RSAPrivateKey = KEY, key_id: str = "K1") -> str:
    """A URL that ends at a time."""
    return str(signer(key, key_id).generate_presigned_url(url, date_less_than=datetime.fromtimestamp(expires, UTC)))


def custom(resource: str, *, url: str = URL, begins: float | None = None, ip: str | None = None) -> str:
    """A URL under a policy of its own."""
    ends = datetime.fromtimestamp(NOW + 60, UTC)
    after = None if begins is None else datetime.fromtimestamp(begins, UTC)
    policy = signer().build_policy(resource, ends, date_greater_than=after, ip_address=ip)
    return str(signer().generate_presigned_url(url, policy=policy))


def seen(url: str, ip: str = "203.0.113.9", now: float = NOW) -> bool:
    """Whether the URL passes."""
    return is_signed(url, KEYS, now=now, client_ip=ip)


@pytest.mark.parametrize(
    "url",
    [
        canned(),
        canned(f"{URL}?size=large&x="),
        custom(URL),
        custom("https://cdn.example/m/*"),
        custom("https://cdn.example/m/?.m4a"),
        custom(URL, begins=NOW - 5, ip="203.0.113.0/24"),
        custom(URL, ip="203.0.113.9"),
    ],
)
def test_a_signed_url_passes(url: str) -> None:
    """Canned and custom policies, wildcards, a beginning, an address range."""
    assert seen(url)


@pytest.mark.parametrize(
    "url",
    [
        URL,
        canned(expires=NOW),
        canned(key=OTHER),
        canned(key_id="K2"),
        canned().replace("a.m4a", "b.m4a"),
        canned().replace("https://", "http://"),
        canned().replace(f"Expires={NOW + 60}", f"Expires={NOW + 61}"),
        canned() + "&Expires=99999999999",
        canned() + "&also=this",
        canned().replace("Signature=", "Signature=A"),
        canned().replace("Expires=", "Expired="),
        f"{URL}?Expires=soon&Signature=AA__&Key-Pair-Id=K1",
        f"{URL}?Policy=e30_&Signature=AA__&Key-Pair-Id=K1",
        f"{URL}?Policy={'A' * 9000}&Signature=AA__&Key-Pair-Id=K1",
        custom(URL, begins=NOW + 5),
        custom(URL, ip="198.51.100.0/24"),
        custom("https://cdn.example/other/*"),
        custom("https://cdn.example/m/?.m4a", url="https://cdn.example/m/ab.m4a"),
    ],
)
def test_anything_else_does_not(url: str) -> None:
    """Expired, another key, another path, a changed or repeated parameter, another client, too early."""
    assert not seen(url)


def test_keys_are_read_from_a_folder(tmp_path: Path) -> None:
    """No key: plain URLs. A file that is no RSA key stops the start, and is named."""
    assert load_verifier(tmp_path / "none") is None
    assert load_verifier(tmp_path) is None
    wrong = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "K1.pem").write_bytes(wrong.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(Misuse, match=r"K1\.pem is no RSA public key"):
        load_verifier(tmp_path)


def test_the_cdn_serves_only_signed_urls_once_it_has_a_key_group(tmp_path: Path) -> None:
    """Over real TLS: 200 for a signed URL, also for a range of it; 403 for the plain one."""
    folder = tmp_path / "cdn-keys"
    folder.mkdir()
    (folder / "K1.pem").write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with running_stack(tmp_path, "s3", "cdn") as settings:
        s3_client(settings).put_object(Bucket=settings.bucket, Key="m/a.m4a", Body=b"memo", ContentType="audio/mp4")
        url = f"{settings.need('cdn_url')}/m/a.m4a"
        context = ssl.create_default_context(cafile=str(settings.ca_bundle))
        with httpx.Client(verify=context, trust_env=False) as client:
            good = canned(url, time.time() + 60)
            assert client.get(url).status_code == 403
            assert client.get(good).content == b"memo"
            assert client.get(good, headers={"range": "bytes=0-1"}).content == b"me"
            assert client.get(canned(url, time.time() - 1)).status_code == 403
