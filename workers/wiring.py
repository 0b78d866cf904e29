"""The one place where real parts are put behind the ports."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.disk import disk_trouble
from pipeline.model import Job
from pipeline.ports import Parts, Rules
from pipeline.settings import Settings
from workers.clock import SteadyClock

if TYPE_CHECKING:
    from pipeline.hosting.aws import S3Config
    from pipeline.hosting.inbox_wiring import QueueState
    from pipeline.hosting.s3 import S3
    from pipeline.hosting.spool import Spool
    from pipeline.hosting.store import MemoStore
    from pipeline.ledger.inbox import InboxBook
    from pipeline.ledger.ledger import SqlLedger
    from pipeline.ledger.news import NewsBook
    from pipeline.ledger.refusals import RefusalBook
    from pipeline.ledger.tokens import TokenBook
    from pipeline.sending.messenger import LinqMessenger


def connect(settings: Settings, by: str) -> Parts:
    """All parts of the pipeline for one process. Nothing is contacted but the ledger, which is migrated if need be.

    by: who acts, for the history. Raises PartUnreachable (`ledger-unreachable`)."""
    from pipeline.audio import AudioRunner
    from pipeline.hosting.journal import S3Journal
    from workers.pacer import RedisPacer

    ledger = open_ledger(settings)
    return Parts(
        ledger=ledger,
        store=open_store(settings, ledger.install_secret()),
        journal=S3Journal(open_s3(settings)),
        messenger=open_messenger(settings),
        runner=AudioRunner(settings.ffmpeg),
        pacer=RedisPacer(settings.broker_url, settings.line_daily_limit),
        clock=steady_clock(settings),
        rules=rules(settings),
        secret=ledger.install_secret(),
        work_dir=work_dir(settings.home / "work"),
        by=by,
    )


def rules(settings: Settings) -> Rules:
    """The numbers of the story."""
    return Rules(
        send_timeout_s=settings.send_timeout_s,
        confirm_after_s=settings.confirm_after_s,
        audio_lease_s=settings.audio_lease_s,
        max_audio_attempts=settings.max_audio_attempts,
        max_age_s=settings.max_age_s,
        resend_if_absent=settings.resend_if_absent,
        line_daily_limit=settings.line_daily_limit,
        quiet=settings.quiet,
        audio=settings.audio,
    )


def open_ledger(settings: Settings) -> SqlLedger:
    """The ledger, at its newest schema."""
    from pipeline.ledger.ledger import SqlLedger
    from pipeline.ledger.migrate import migrate

    if settings.ledger_url.startswith("sqlite"):
        make_home(settings.home)
    migrate(settings.ledger_url)
    return SqlLedger(settings.ledger_url, steady_clock(settings))


def steady_clock(settings: Settings) -> SteadyClock:
    """The clock that the processes of this home share."""
    return SteadyClock(settings.home / "run")


def open_tokens(settings: Settings) -> TokenBook:
    """The tokens of the HTTP door."""
    from pipeline.ledger.tokens import TokenBook

    return TokenBook(open_ledger(settings).database, steady_clock(settings))


def open_refusals(settings: Settings) -> RefusalBook:
    """The calls of the Celery door that were refused."""
    from pipeline.ledger.refusals import RefusalBook

    return RefusalBook(open_ledger(settings).database)


def open_inbox_book(settings: Settings) -> InboxBook:
    """What watchers have seen of the inbox bucket."""
    return open_book(settings, f"s3://{settings.need('inbox_bucket')}")


def open_book(settings: Settings, place: str) -> InboxBook:
    """What watchers have seen of a place."""
    from pipeline.ledger.inbox import InboxBook

    return InboxBook(open_ledger(settings).database, place)


def open_news_book(settings: Settings, place: str, name_of: Callable[[Job], str | None]) -> NewsBook:
    """What a place is to be told of its jobs."""
    from pipeline.ledger.news import NewsBook

    return NewsBook(open_ledger(settings).database, place, name_of)


def open_s3(settings: Settings) -> S3:
    """The S3 client of this process; connects when first used."""
    from pipeline.hosting.s3 import S3

    return S3(s3_config(settings))


def s3_config(settings: Settings) -> S3Config:
    """What the S3 client needs."""
    from pipeline.hosting.aws import S3Config

    secret, token = settings.aws_secret_access_key, settings.aws_session_token
    return S3Config(
        endpoint_url=settings.s3_endpoint_url,
        region=settings.aws_region,
        access_key_id=settings.aws_access_key_id,
        secret_access_key=secret.get_secret_value() if secret else None,
        session_token=token.get_secret_value() if token else None,
        bucket=settings.bucket,
        inbox_bucket=settings.inbox_bucket,
    )


def inbox_queue_state(settings: Settings) -> QueueState | None:
    """What is in the queue of the inbox's events, and beside it; None where no queue is set. Raises PartUnreachable
    (`sqs-unreachable`), Misuse (`sqs-refused`)."""
    from pipeline.hosting.inbox_wiring import queue_state

    url = settings.inbox_queue_url
    return queue_state(s3_config(settings), url, settings.sqs_endpoint_url) if url else None


def open_store(settings: Settings, secret: bytes) -> MemoStore:
    """Recordings and memos."""
    from pipeline.hosting.erasing import Beside
    from pipeline.hosting.invalidation import Invalidation
    from pipeline.hosting.signing import load_signer
    from pipeline.hosting.store import MemoStore
    from workers.results import done_place, result_place

    def beside(job: Job) -> Beside:
        return Beside(result=result_place(settings, job), done=done_place(settings, job))

    key = settings.cdn_signing_key
    signer = load_signer(
        settings.cdn_signing_key_id,
        key.get_secret_value() if key else None,
        settings.cdn_signing_key_file,
        settings.cdn_url_ttl_s,
    )
    distribution_id, endpoint_url = settings.cdn_distribution_id, settings.cloudfront_endpoint_url
    return MemoStore(
        open_s3(settings),
        cdn_url=settings.cdn_url,
        ca_bundle=settings.ca_bundle,
        secret=secret,
        spool=spool_folder(settings),
        signer=signer,
        invalidate=Invalidation(s3_config(settings), distribution_id, endpoint_url) if distribution_id else None,
        beside=beside if settings.inbox_bucket else None,
    )


def open_messenger(settings: Settings) -> LinqMessenger:
    """Linq, or the sandbox."""
    from pipeline.sending.messenger import LinqMessenger

    key = settings.linq_api_key.get_secret_value() if settings.linq_api_key else None
    return LinqMessenger(base_url=settings.linq_base_url, api_key=key)


def open_spool(settings: Settings) -> Spool:
    """Where a recording waits for its worker: a folder where the ledger is SQLite and so all is on one host, else the
    bucket, since the worker may be on another."""
    from pipeline.hosting.spool import LocalSpool, S3Spool

    if settings.ledger_url.startswith("sqlite"):
        make_home(settings.home)
        return LocalSpool(spool_folder(settings))
    return S3Spool(open_s3(settings), settings.need("inbox_bucket"))


def open_spools(settings: Settings) -> tuple[Spool, ...]:
    """All places where copies of ours may lie: what is dropped into an unversioned inbox is copied within it,
    and large files are uploaded there directly."""
    from pipeline.hosting.spool import S3Spool

    ours = open_spool(settings)
    if settings.inbox_bucket is None or isinstance(ours, S3Spool):
        return (ours,)
    return ours, S3Spool(open_s3(settings), settings.inbox_bucket)


def spool_folder(settings: Settings) -> Path:
    """Where copies of recordings wait on a single host."""
    return settings.home / "spool"


def make_home(home: Path) -> Path:
    """The home folder, readable by its owner only. Raises Misuse (`home-unusable`), JobFailed (`disk-full`)."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise disk_trouble(home, error) from None
    return home


def work_dir(root: Path) -> Callable[[str], Path]:
    """A maker of empty folders for one attempt, named `{job_id}.{epoch}`; what earlier attempts left is removed."""

    def make(name: str) -> Path:
        mine = name.split(".", maxsplit=1)[0] + "."
        with suppress(FileNotFoundError):
            for old in root.iterdir():
                if old.name.startswith(mine):
                    shutil.rmtree(old, ignore_errors=True)
        folder = root / name
        try:
            folder.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise disk_trouble(folder, error) from None
        return folder

    return make
