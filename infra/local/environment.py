"""The environment that parts run in: complete settings, and nothing of the user's that could bend them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pipeline.settings import Settings

OURS = ("LINQ_", "AWS_", "MEMOLINE_", "CELERY_", "REMAP_SIGTERM")
AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def without_our_names(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without any setting of ours."""
    return {name: value for name, value in environ.items() if not name.startswith(OURS)}


def part_environment(
    base: Mapping[str, str], settings: Settings, explicit: Mapping[str, str], outside: frozenset[str]
) -> dict[str, str]:
    """What a part is started with.

    base: the caller's environment; explicit: the settings that were set; outside: parts that are not ours."""
    values = without_our_names(base)
    if not outside & {"linq", "cdn", "s3"}:
        # They would replace the authorities that a client was told to trust; nothing here needs a public one.
        values = {name: value for name, value in values.items() if name not in AUTHORITIES}
    values |= _aws(explicit) if "s3" in outside else _no_aws()
    values["NO_PROXY"] = values["no_proxy"] = _no_proxy(values)
    values["PYTHONUNBUFFERED"] = "1"
    return values | told_environment(settings)


def told_environment(settings: Settings) -> dict[str, str]:
    """Settings by their official names; the region by both names in use, since boto3 reads only the second."""
    values = settings.as_environment()
    return values | {"AWS_DEFAULT_REGION": values["AWS_REGION"]}


def _aws(explicit: Mapping[str, str]) -> dict[str, str]:
    """Everything that decides how boto3 finds the keys for an S3 of the user's, profile and role included."""
    return {name: value for name, value in explicit.items() if name.startswith("AWS_")}


def _no_aws() -> dict[str, str]:
    """No profile of the user's may change how the embedded S3 is talked to."""
    return {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _no_proxy(values: Mapping[str, str]) -> str:
    """Parts on this machine are never asked through a proxy."""
    said = values.get("no_proxy") or values.get("NO_PROXY") or ""
    return ",".join([*filter(None, said.split(",")), "127.0.0.1", "localhost"])
