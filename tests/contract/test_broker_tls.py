"""A broker behind TLS: whoever speaks to it verifies who it is, without anything in the URL asking for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from kombu.exceptions import OperationalError

from pipeline.errors import PartUnreachable
from tests.support.local_stack import running_stack
from tests.support.tls_front import tls_front
from workers.app import make_app
from workers.broker import ping
from workers.pacer import RedisPacer


@dataclass(frozen=True)
class Broker:
    """A `rediss://` URL, and the authority that vouches for its server."""

    url: str
    bundle: Path

    @property
    def trusted_url(self) -> str:
        """The URL for those who do not trust the authority anyhow."""
        return f"{self.url}?ssl_ca_certs={self.bundle}"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A Redis with TLS in front of it, by an authority that nobody trusts."""
    folder = tmp_path_factory.mktemp("broker-tls")
    with running_stack(folder / "home", "broker") as running:
        plain = urlsplit(running.need("broker_url"))
        with tls_front(plain.port or 0, folder) as (port, bundle):
            yield Broker(f"rediss://:{plain.password}@localhost:{port}/0", bundle)


def publish(url: str) -> None:
    """One message by the way that Celery takes, without the retries of a worker."""
    with make_app(url, socket_timeout_s=2).connection_for_write() as connection:
        connection.connect()
        connection.SimpleQueue("tls-test").put({})


def take(url: str) -> None:
    """One place in the pace."""
    assert RedisPacer(url).take("a-chat") == 0.0


REFUSED = (PartUnreachable, OperationalError, redis.ConnectionError)
SPEAKERS = pytest.mark.parametrize("speak", [publish, take, ping])


@SPEAKERS
def test_a_server_that_nobody_vouches_for_gets_nothing(broker: Broker, speak: Callable[[str], None]) -> None:
    """Celery by itself would encrypt and not verify: whoever sits in between would be given the password."""
    with pytest.raises(REFUSED):
        speak(broker.url)


@SPEAKERS
def test_another_name_than_the_certificates_gets_nothing(broker: Broker, speak: Callable[[str], None]) -> None:
    """A good certificate of somebody else."""
    with pytest.raises(REFUSED):
        speak(broker.trusted_url.replace("@localhost:", "@127.0.0.1:"))


@SPEAKERS
def test_a_server_that_is_who_it_says_is_spoken_to(broker: Broker, speak: Callable[[str], None]) -> None:
    """With an authority named in the URL; that of a public one needs no naming."""
    speak(broker.trusted_url)
