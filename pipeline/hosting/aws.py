"""The way to AWS: how a client of S3, SQS or CloudFront is made, and how what botocore raises becomes our errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.handlers import add_expect_header
from botocore.session import Session

from pipeline.errors import Misuse, PartUnreachable

_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})


_CONFLICT = frozenset({"412", "409", "PreconditionFailed", "ConditionalRequestConflict"})


_DENIED = frozenset({"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"})


_NOT_NOW = frozenset(
    {
        "408",
        "429",
        "BadDigest",
        "IncompleteBody",
        "OperationAborted",
        "OverLimit",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "SlowDown",
        "TokenRefreshRequired",
        "TooManyRequestsException",
        "XAmzContentSHA256Mismatch",
    }
)
"""Codes of a 4xx that may be gone at the next try, as those are that name a throttle (`KMS.ThrottlingException` …)."""


_THROTTLED = "throttl"


_NOTHING_OF_THE_MACHINE = {
    # (name in the config file, environment variable, default, conversion), as botocore's session reads them
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ca_bundle": (None, None, None, None),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Config:
    """Where S3 is. Without keys boto3's own chain finds them (profile, container, instance role)."""

    endpoint_url: str | None
    region: str
    access_key_id: str | None
    secret_access_key: str | None
    session_token: str | None = None
    bucket: str | None = None
    inbox_bucket: str | None = None


def make_client(config: S3Config, service: str, endpoint_url: str | None) -> Any:
    """A client for S3 or another AWS service. With explicit keys nothing of the machine's own AWS set-up is read: its
    profile, its config file and its CA bundle concern another S3 than ours."""
    session = Session(session_vars=_NOTHING_OF_THE_MACHINE if config.access_key_id else None)
    loopback = (urlsplit(endpoint_url or "").hostname or "") in ("127.0.0.1", "localhost", "::1")
    client = session.create_client(
        service,
        region_name=config.region,
        endpoint_url=endpoint_url,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
        aws_session_token=config.session_token,
        config=Config(
            signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": "path"} if loopback else {},
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 3},
            tcp_keepalive=True,
            max_pool_connections=16,
            proxies={} if loopback else None,
            # What botocore makes up of itself and the machine for each request took a fifth of a request's CPU.
            user_agent="memoline",
        ),
    )
    # Else each PUT first asks whether it may go on ("100 Continue"): one more way to S3 and back.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    return client


class Gone(Exception):
    """There is no such object."""


class Conflict(Exception):
    """A condition of the request did not hold."""


@contextmanager
def translated(what: str, endpoint_url: str | None) -> Iterator[None]:
    """Turn what botocore raises into our errors."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _GONE:
            raise Gone(code) from None
        if code in _CONFLICT:
            raise Conflict(code) from None
        passes = code in _NOT_NOW or _THROTTLED in code.lower()
        if code in _DENIED or (400 <= status < 500 and not passes):
            text = f"{what} cannot be used ({code}): check its name and the AWS credentials."
            raise Misuse("s3-refused", text, reason=code) from None
        raise PartUnreachable("s3-unreachable", f"S3 answers {status or code} ({code}): try again.") from None
    except NoCredentialsError:
        text = "No AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role."
        raise Misuse("s3-refused", text) from None
    except BotoCoreError as error:
        where = endpoint_url or "AWS"
        text = f"S3 at {where} cannot be reached ({type(error).__name__}): start it, or correct AWS_ENDPOINT_URL_S3."
        raise PartUnreachable("s3-unreachable", text) from None
