"""The Celery app and its settings. Each says why it is so; the figures were measured on Celery 5.7 with Redis."""

from __future__ import annotations

from urllib.parse import urlsplit

from celery import Celery

KEY_PREFIX = "memoline:"


CONSUMER_TIMEOUT_S = 15
"""Longer than a consumer's blocking read."""
PUBLISHER_TIMEOUT_S = 2
UNACKED_S = 120
"""After which time what a killed worker had taken is given out again. kombu keeps one list for all queues, and every
worker gives out what is over its own time: so all have one. Short, since no sweeper knows of a call that was not
registered yet. The price: the hint of a longer audio step comes once more, and finds the job at work."""


def make_app(broker_url: str | None, *, socket_timeout_s: int = CONSUMER_TIMEOUT_S) -> Celery:
    """A Celery app on the given broker. No result backend: a job's state is in the ledger.

    socket_timeout_s: how long a Redis that is there and does not answer may hold its caller."""
    app = Celery("memoline", broker=verifying(broker_url), set_as_current=False)
    app.conf.update(
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # Late acks with rejection recover fast from a killed worker; the ledger's count of attempts ends the loop.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        # True lost 1 to 6 of 200 jobs' hints in each run with a restarting broker.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=3,
        broker_pool_limit=10,
        worker_soft_shutdown_timeout=30,
        worker_enable_soft_shutdown_on_idle=False,
        worker_max_tasks_per_child=200,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        task_default_queue="audio",
        task_queues=None,
        task_create_missing_queues=True,
        broker_transport_options={
            "visibility_timeout": UNACKED_S,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            # The default of 300 s stops all redelivery that long when the worker holding the mutex is killed.
            "unacked_mutex_expire": 30,
            # Without these a frozen Redis holds a caller for ever.
            "socket_timeout": socket_timeout_s,
            "socket_connect_timeout": min(socket_timeout_s, 3),
            "socket_keepalive": True,
            "health_check_interval": 15,
            "queue_order_strategy": "priority",
            "global_keyprefix": KEY_PREFIX,
        },
    )
    return app


def verifying(broker_url: str | None) -> str | None:
    """The URL with which kombu verifies the server's certificate: by `rediss://` alone it would encrypt, and speak to
    anybody ("defaulting to insecure SSL behaviour", kombu 5.7)."""
    if broker_url is None or not broker_url.startswith("rediss://") or "ssl_cert_reqs=" in broker_url:
        return broker_url
    return f"{broker_url}{'&' if urlsplit(broker_url).query else '?'}ssl_cert_reqs=required"
