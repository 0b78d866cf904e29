"""Which parts this stack has, and with which settings: drawn once a start, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from infra.local.credentials import Credentials, load_credentials
from infra.local.ports import choose_ports, remembered_port
from infra.local.s3 import S3Access
from infra.local.status import PARTS
from infra.local.tls import ca_bundle, make_certificates
from pipeline.errors import Misuse
from pipeline.precedence import BELONGS, outside_parts, read_stack_file
from pipeline.settings import Settings, load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """home; own: what the stack tells in `stack.env`; explicit: what was set and stays valid; outside: parts that are
    used and not started; wanted: parts that are started."""

    home: Path
    own: Mapping[str, str]
    explicit: Mapping[str, str]
    outside: frozenset[str]
    wanted: frozenset[str]
    ports: Mapping[str, int]
    credentials: Credentials

    @property
    def s3(self) -> S3Access:
        """Access to the embedded S3."""
        keys = self.credentials
        return S3Access(
            port=self.ports["s3"],
            access_key_id=keys.s3_access_key_id,
            secret_access_key=keys.s3_secret_access_key,
        )

    def settings(self) -> Settings:
        """The settings of every part. Raises Misuse (`bad-setting`)."""
        environ = {**self.explicit, **self.own, "MEMOLINE_HOME": str(self.home)}
        # The folder has no `.env`: the caller's was read already.
        return load_settings(environ, folder=self.home / "run")

    def with_webhook_secret(self, secret: str) -> Blueprint:
        """The same with the secret by which the sandbox signs."""
        credentials = replace(self.credentials, webhook_secret=secret)
        return replace(self, credentials=credentials, own={**self.own, "LINQ_WEBHOOK_SECRET": secret})


def draw(explicit: Mapping[str, str], home: Path, only: frozenset[str] | None) -> Blueprint:
    """Choose ports, make up what is missing, decide what is ours. The home's folders must be there.

    explicit: what environment and `.env` say; only: start just these parts.
    Raises PartUnreachable (`port-in-use`), Misuse."""
    earlier = read_stack_file(home)
    outside = outside_parts(explicit, earlier)
    kept = {name: value for name, value in explicit.items() if name not in _names_of_ours(outside)}
    host = kept.get("MEMOLINE_HTTP_HOST", "127.0.0.1")
    ports = choose_ports(home, set_ports=_demanded(kept, home), host=host)
    credentials = load_credentials(home)
    make_certificates(home)
    own = _own_values(home, outside, ports, credentials)
    own |= {
        "MEMOLINE_HTTP_HOST": host,
        "MEMOLINE_HTTP_PORT": str(ports["serve"]),
        "MEMOLINE_API_TOKEN": kept.get("MEMOLINE_API_TOKEN", credentials.api_token),
    }
    return Blueprint(
        home=home,
        own=own,
        explicit=kept,
        outside=outside & frozenset(PARTS),
        wanted=(only or frozenset(PARTS)) - outside - _without_purpose(kept, outside),
        ports=ports,
        credentials=credentials,
    )


def _own_values(
    home: Path, outside: frozenset[str], ports: Mapping[str, int], credentials: Credentials
) -> dict[str, str]:
    access = S3Access(
        port=ports["s3"],
        access_key_id=credentials.s3_access_key_id,
        secret_access_key=credentials.s3_secret_access_key,
    )
    by_part = {
        "broker": {"MEMOLINE_BROKER_URL": f"redis://:{credentials.broker_password}@127.0.0.1:{ports['broker']}/0"},
        "s3": access.settings(),
        "cdn": {
            "MEMOLINE_CDN_URL": f"https://127.0.0.1:{ports['cdn']}",
            "MEMOLINE_CA_BUNDLE": str(ca_bundle(home)),
        },
        "linq": {
            "LINQ_API_V3_BASE_URL": f"http://127.0.0.1:{ports['linq']}",
            "LINQ_API_V3_API_KEY": credentials.linq_api_key,
            "LINQ_WEBHOOK_SECRET": credentials.webhook_secret,
        },
    }
    ours = {name: value for part, values in by_part.items() if part not in outside for name, value in values.items()}
    return {name: value for name, value in ours.items() if value}


def _names_of_ours(outside: frozenset[str]) -> set[str]:
    """Settings that this stack decides itself, whatever the environment says about them."""
    ours = {name for part, names in BELONGS.items() if part not in outside and part != "ledger" for name in names}
    return ours - {name for part, names in BELONGS.items() if part in outside for name in names}


def _demanded(explicit: Mapping[str, str], home: Path) -> dict[str, int]:
    """The HTTP port, if somebody set it; a value that this stack chose itself earlier is not a demand."""
    text = explicit.get("MEMOLINE_HTTP_PORT", "0")
    if not text.isdigit():
        raise Misuse("bad-setting", f"MEMOLINE_HTTP_PORT must be a number, not {text!r}.", setting="MEMOLINE_HTTP_PORT")
    port = int(text)
    return {} if port == 0 or port == remembered_port(home, "serve") else {"serve": port}


def _without_purpose(explicit: Mapping[str, str], outside: frozenset[str]) -> frozenset[str]:
    """The watcher has nothing to watch where S3 is outside and no inbox was named."""
    return frozenset({"watch"} if "s3" in outside and "MEMOLINE_INBOX_BUCKET" not in explicit else ())
