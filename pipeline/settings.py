"""Typed settings: from the environment or `.env`, then from the stack that runs in `MEMOLINE_HOME`."""

from __future__ import annotations

import base64
import re
import shutil
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.environment import explicit_values
from pipeline.errors import Misuse
from pipeline.messages import QuietHours
from pipeline.model import Lane
from pipeline.precedence import merge, read_stack_file
from pipeline.recordings import TAG_NAMES, AudioSettings, Loudness, Overflow
from pipeline.sending.quiet import quiet_hours

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _listed(value: str) -> tuple[str, ...]:
    """The words of a comma list, each once."""
    return tuple(dict.fromkeys(word.strip().lower() for word in value.split(",") if word.strip()))


def _has_host(url: str) -> bool:
    """Whether a URL names a host, and no port or a possible one."""
    try:
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine."""
    return (urlsplit(url).hostname or "") in _LOOPBACK


class Settings(BaseModel):
    """All settings, checked. Every field's alias is its official name in the environment. Frozen."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    home: Path = Field(Path(".memoline"), alias="MEMOLINE_HOME")
    database_url: str = Field("", alias="MEMOLINE_DATABASE_URL")
    broker_url: str | None = Field(None, alias="MEMOLINE_BROKER_URL")

    bucket: str | None = Field(None, alias="MEMOLINE_BUCKET")
    inbox_bucket: str | None = Field(None, alias="MEMOLINE_INBOX_BUCKET")
    source_buckets: str = Field("", alias="MEMOLINE_SOURCE_BUCKETS")
    s3_endpoint_url: str | None = Field(None, alias="AWS_ENDPOINT_URL_S3")
    sqs_endpoint_url: str | None = Field(None, alias="AWS_ENDPOINT_URL_SQS")
    inbox_queue_url: str | None = Field(None, alias="MEMOLINE_INBOX_QUEUE_URL")
    inbox_done: Literal["keep", "tag", "move"] = Field("keep", alias="MEMOLINE_INBOX_DONE")
    results: str = Field("result/", alias="MEMOLINE_RESULTS")
    results_for: Literal["inbox", "all"] = Field("inbox", alias="MEMOLINE_RESULTS_FOR")
    aws_access_key_id: str | None = Field(None, alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = Field(None, alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr | None = Field(None, alias="AWS_SESSION_TOKEN")
    aws_region: str = Field("us-east-1", alias="AWS_REGION")

    cdn_url: str | None = Field(None, alias="MEMOLINE_CDN_URL")
    ca_bundle: Path | None = Field(None, alias="MEMOLINE_CA_BUNDLE")
    cdn_distribution_id: str | None = Field(None, alias="MEMOLINE_CDN_DISTRIBUTION_ID", pattern=r"^[A-Za-z0-9-]{1,64}$")
    cloudfront_endpoint_url: str | None = Field(None, alias="AWS_ENDPOINT_URL_CLOUDFRONT")
    cdn_signing_key_id: str | None = Field(None, alias="MEMOLINE_CDN_SIGNING_KEY_ID", pattern=r"^[A-Za-z0-9_-]{1,128}$")
    cdn_signing_key: SecretStr | None = Field(None, alias="MEMOLINE_CDN_SIGNING_KEY")
    cdn_signing_key_file: Path | None = Field(None, alias="MEMOLINE_CDN_SIGNING_KEY_FILE")
    cdn_url_ttl_s: float = Field(86_400, alias="MEMOLINE_CDN_URL_TTL_S", ge=60, le=31_536_000)

    linq_base_url: str | None = Field(None, alias="LINQ_API_V3_BASE_URL")
    linq_api_key: SecretStr | None = Field(None, alias="LINQ_API_V3_API_KEY")
    webhook_secret: SecretStr | None = Field(None, alias="LINQ_WEBHOOK_SECRET")
    webhook_secret_previous: SecretStr | None = Field(None, alias="LINQ_WEBHOOK_SECRET_PREVIOUS")

    max_bytes: int = Field(10_000_000, alias="MEMOLINE_MAX_BYTES", ge=50_000, le=100_000_000)
    overflow: Overflow = Field("compress", alias="MEMOLINE_OVERFLOW")
    bitrate_kbps: float = Field(64, alias="MEMOLINE_BITRATE_KBPS", ge=16, le=320)
    min_bitrate_kbps: float = Field(24, alias="MEMOLINE_MIN_BITRATE_KBPS", ge=16, le=320)
    loudness: Loudness = Field("off", alias="MEMOLINE_LOUDNESS")
    ffmpeg: str | None = Field(None, alias="MEMOLINE_FFMPEG")
    keep_tags: str = Field("", alias="MEMOLINE_KEEP_TAGS")

    http_host: str = Field("127.0.0.1", alias="MEMOLINE_HTTP_HOST")
    http_port: int = Field(0, alias="MEMOLINE_HTTP_PORT", ge=0, le=65535)
    api_token: SecretStr | None = Field(None, alias="MEMOLINE_API_TOKEN")
    http_rate: str = Field("200/second", alias="MEMOLINE_HTTP_RATE", pattern=r"^[1-9][0-9]{0,5}/(second|minute|hour)$")

    callback_secret: SecretStr | None = Field(None, alias="MEMOLINE_CALLBACK_SECRET")
    callback_allow_private: bool = Field(False, alias="MEMOLINE_CALLBACK_ALLOW_PRIVATE")

    log_format: Literal["console", "json"] = Field("console", alias="MEMOLINE_LOG_FORMAT")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", alias="MEMOLINE_LOG_LEVEL")

    send_timeout_s: float = Field(60, alias="MEMOLINE_SEND_TIMEOUT_S", gt=0, le=600)
    confirm_after_s: float = Field(60, alias="MEMOLINE_CONFIRM_AFTER_S", gt=0, le=86_400)
    sweep_every_s: float = Field(15, alias="MEMOLINE_SWEEP_EVERY_S", gt=0, le=3_600)
    audio_lease_s: float = Field(60, alias="MEMOLINE_AUDIO_LEASE_S", gt=0, le=3_600)
    max_audio_attempts: int = Field(3, alias="MEMOLINE_MAX_AUDIO_ATTEMPTS", ge=1, le=100)
    max_age_s: float = Field(604_800, alias="MEMOLINE_MAX_AGE_S", gt=0)
    line_daily_limit: int | None = Field(None, alias="MEMOLINE_LINE_DAILY_LIMIT", ge=1)
    quiet_hours: str = Field("", alias="MEMOLINE_QUIET_HOURS")
    quiet_zone: str = Field("", alias="MEMOLINE_QUIET_ZONE")
    quiet_for: Literal["backfill", "all"] = Field("backfill", alias="MEMOLINE_QUIET_FOR")
    resend_if_absent: bool = Field(False, alias="MEMOLINE_RESEND_IF_ABSENT")
    retention_days: float | None = Field(None, alias="MEMOLINE_RETENTION_DAYS", gt=0, le=36_500)

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator(
        "s3_endpoint_url", "sqs_endpoint_url", "cloudfront_endpoint_url", "linq_base_url", "inbox_queue_url"
    )
    @classmethod
    def _https_or_loopback(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        scheme = urlsplit(value).scheme
        if not _has_host(value) or scheme not in ("http", "https"):
            raise ValueError(f"must be an https:// URL (http:// for this machine alone), not {value!r}")
        # With an endpoint of its own, a queue's URL is only its name: nothing is sent to the host in it.
        named = info.data.get("sqs_endpoint_url") if info.field_name == "inbox_queue_url" else None
        if scheme == "http" and not is_loopback(named or value):
            raise ValueError(f"must be https:// for a host that is not this machine, not {value!r}")
        return value

    @field_validator("results")
    @classmethod
    def _place(cls, value: str) -> str:
        place = value if value in ("off", "beside") else f"{value.strip('/')}/"
        known = place in ("off", "beside") or re.fullmatch(r"([A-Za-z0-9_-][A-Za-z0-9._-]{0,99}/){1,5}", place)
        if not known or place.startswith(("m/", "cache/", "intent/", "receipt/")):
            raise ValueError(f"must be off, beside, or a prefix of the memo bucket such as result/, not {value!r}")
        return place

    @field_validator("cdn_url")
    @classmethod
    def _https(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme != "https" or not _has_host(value)):
            raise ValueError(f"must be an https:// URL, not {value!r}")
        return value.rstrip("/") if value else value

    @field_validator("broker_url")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in ("redis", "rediss") or not _has_host(value)):
            raise ValueError(f"must be a redis:// or rediss:// URL, not {_no_password(value)!r}")
        return value

    @field_validator("database_url")
    @classmethod
    def _sql(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in ("sqlite", "postgresql", "postgresql+psycopg"):
            raise ValueError(f"must be a sqlite:/// or postgresql:// URL, not {_no_password(value)!r}")
        return value

    @field_validator("ffmpeg")
    @classmethod
    def _executable(cls, value: str | None) -> str | None:
        if value is not None and not shutil.which(value):
            raise ValueError(f"must name an ffmpeg that can be run, not {value!r}")
        return value

    @field_validator("keep_tags")
    @classmethod
    def _tag_names(cls, value: str) -> str:
        unknown = [name for name in _listed(value) if name not in TAG_NAMES]
        if unknown:
            raise ValueError(f"must be a list of {', '.join(TAG_NAMES)}, not {unknown[0]!r}")
        return value

    @field_validator("ca_bundle")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        try:
            if value is not None:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
        except OSError:  # ssl.SSLError is one
            raise ValueError(f"must name a file with certificates that can be read, not {str(value)!r}") from None
        return value

    @field_validator("linq_api_key", "api_token")
    @classmethod
    def _sendable(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else ""
        if not (text.isascii() and text.isprintable()):
            raise ValueError("must be printable ASCII, as it is sent in a header")
        return value

    @field_validator("webhook_secret", "webhook_secret_previous", "callback_secret")
    @classmethod
    def _base64(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            if value is not None:
                for secret in value.get_secret_value().split(","):
                    base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
        except ValueError:
            raise ValueError("must be `whsec_` and base64, as Linq shows it when the subscription is made") from None
        return value

    @model_validator(mode="after")
    def _bitrates_in_order(self) -> Settings:
        if self.min_bitrate_kbps > self.bitrate_kbps:
            raise ValueError("MEMOLINE_MIN_BITRATE_KBPS must not be above MEMOLINE_BITRATE_KBPS")
        return self

    @model_validator(mode="after")
    def _signing_is_whole(self) -> Settings:
        keys = (self.cdn_signing_key, self.cdn_signing_key_file)
        if self.cdn_signing_key_id and keys == (None, None):
            raise ValueError(
                "MEMOLINE_CDN_SIGNING_KEY_ID needs MEMOLINE_CDN_SIGNING_KEY, or MEMOLINE_CDN_SIGNING_KEY_FILE"
            )
        if not self.cdn_signing_key_id and keys != (None, None):
            raise ValueError("MEMOLINE_CDN_SIGNING_KEY needs MEMOLINE_CDN_SIGNING_KEY_ID")
        return self

    @model_validator(mode="after")
    def _quiet_hours_with_their_zone(self) -> Settings:
        try:
            _ = self.quiet
        except Misuse as error:
            name = "MEMOLINE_QUIET_ZONE" if error.code == "bad-time-zone" else "MEMOLINE_QUIET_HOURS"
            raise ValueError(f"{name}: {error.message.rstrip('.')}") from None
        return self

    @property
    def quiet(self) -> QuietHours | None:
        """When nothing is sent; None where that is not set."""
        lanes: tuple[Lane, ...] = ("backfill",) if self.quiet_for == "backfill" else ("live", "backfill")
        return quiet_hours(self.quiet_hours, self.quiet_zone, lanes) if self.quiet_hours else None

    @property
    def ledger_url(self) -> str:
        """The ledger's URL: the one that was set, else SQLite under `home`."""
        return self.database_url or f"sqlite:///{self.home / 'ledger.db'}"

    @property
    def audio(self) -> AudioSettings:
        """The part that the audio step needs."""
        return AudioSettings(
            max_bytes=self.max_bytes,
            overflow=self.overflow,
            bitrate_kbps=self.bitrate_kbps,
            min_bitrate_kbps=self.min_bitrate_kbps,
            loudness=self.loudness,
            ffmpeg=self.ffmpeg,
            keep_tags=_listed(self.keep_tags),
        )

    @property
    def readable_buckets(self) -> frozenset[str]:
        """Buckets that an `s3://` recording may lie in."""
        named = {name.strip() for name in self.source_buckets.split(",") if name.strip()}
        return frozenset(named | ({self.inbox_bucket} if self.inbox_bucket else set()))

    def need(self, field: str) -> str:
        """The value of a field that must be set by now. Raises Misuse (`missing-setting`)."""
        value = getattr(self, field)
        if value is None or value == "":
            name = type(self).model_fields[field].alias
            raise Misuse(
                "missing-setting",
                f"{name} is not set and no local stack runs in {self.home}: run `memoline up`, or set it.",
                setting=name,
            )
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    def as_environment(self) -> dict[str, str]:
        """Every value that is set, by its official name, secrets in clear: for child processes and `memoline env`."""
        named = {name: field.alias or name for name, field in type(self).model_fields.items()}
        values = {alias: getattr(self, name) for name, alias in named.items()}
        return {alias: _plain(value) for alias, value in values.items() if value is not None and value != ""}


def load_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """The settings of this process. environ: the process's by default; folder: where `.env` lies, the working one by
    default. Raises Misuse (`bad-setting`) with one sentence that names the setting."""
    explicit = explicit_values(environ, folder)
    home = Path(explicit.get("MEMOLINE_HOME") or ".memoline").expanduser().absolute()
    return checked(merge(explicit, read_stack_file(home)) | {"MEMOLINE_HOME": str(home)})


def checked(values: Mapping[str, str]) -> Settings:
    """Settings of these values, by official name. Raises Misuse (`bad-setting`)."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _as_misuse(error) from None


def _plain(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)


def _no_password(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", ":***@") if parts.password else url


def _as_misuse(error: ValidationError) -> Misuse:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    text = str(first["msg"]).removeprefix("Value error, ")
    sentence = f"{name} {text[0].lower()}{text[1:]}." if name else f"{text}."
    return Misuse("bad-setting", sentence, setting=name or None)
