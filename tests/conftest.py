"""Tests see neither the settings of the machine nor a `.env` of the working folder."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["infra.local.sandbox.pytest_plugin"]

_KEPT = ("MEMOLINE_TEST_CORPUS", "MEMOLINE_TEST_POSTGRES_URL")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")


def pytest_configure() -> None:
    """Drop every setting of ours before anything reads one; child processes inherit the clean environment."""
    for name in list(os.environ):
        if name.startswith(("LINQ_", "AWS_", "MEMOLINE_")) and name not in _KEPT:
            del os.environ[name]
    for name in _CERTIFICATES:
        os.environ.pop(name, None)
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # How long an example takes says how busy the machine is, and nothing of the code.
    hypothesis.settings.register_profile("memoline", deadline=None)
    hypothesis.settings.load_profile("memoline")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
