"""OpenTelemetry traces: off unless one of its own settings asks for them and `memoline[otel]` is installed.

A job's id has the 128 bits of a trace id, so it is the trace's: whatever process works on the job, on whatever host,
adds its spans to the same trace, and nothing need be carried along. All spans hang below one whose id comes from the
job's, too, which is told when the job is registered."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import SpanContext

_ASKED_BY = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_NAME = "memoline"
_first_of: ContextVar[str | None] = ContextVar("first_of", default=None)
"""The job whose first span is about to begin."""


def wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the official settings ask for traces."""
    values = os.environ if environ is None else environ
    if values.get("OTEL_SDK_DISABLED", "").lower() == "true" or values.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(values.get(name) for name in _ASKED_BY)


def set_up_tracing(process: str) -> str | None:
    """Begin to export this process's spans, as `OTEL_*` say; call it after any fork. Returns why that cannot be, where
    traces are wanted. process: `audio`, `send` …, told as the service's instance."""
    if not wanted():
        return None
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        name = _exporter()
        found = metadata.entry_points(group="opentelemetry_traces_exporter", name=name)
        if not found:
            return f"there is no exporter {name!r}: pip install 'memoline[otel]', or correct OTEL_TRACES_EXPORTER"
        exporter = next(iter(found)).load()()
    except ImportError as error:
        return f"{error.name} is not installed: pip install 'memoline[otel]'"
    given = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or _NAME, "memoline.process": process}
    provider = TracerProvider(resource=Resource.create(given), id_generator=_own_ids())
    simple = name == "console"
    provider.add_span_processor(SimpleSpanProcessor(exporter) if simple else BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return None


def _exporter() -> str:
    """The exporter's name among the installed ones; `otlp` is several, told apart by the protocol."""
    named = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if named != "otlp":
        return named
    asked = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((os.environ[name] for name in asked if os.environ.get(name)), "http/protobuf")
    return f"otlp_proto_{'grpc' if protocol == 'grpc' else 'http'}"


def begin_tracing(process: str) -> None:
    """`set_up_tracing`, and a line in the log where it cannot be: nobody waits for a memo because of a trace."""
    if why := set_up_tracing(process):
        from workers.log import logger

        logger().warning("tracing.off", why=why)


def end_tracing() -> None:
    """Send what was not sent yet, for a few seconds at most: an exporter that does not answer holds up no stop."""
    if wanted():
        from opentelemetry import trace

        flush = getattr(trace.get_tracer_provider(), "force_flush", None)
        if flush is not None:
            flush(2_000)


class Told:
    """The span of a block; does nothing where there are no traces."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def tell(self, **facts: object) -> None:
        """Facts about it: states, codes and figures, never what a person said or who he is."""
        if self._span is not None:
            for name, value in facts.items():
                if value is not None:
                    self._span.set_attribute(f"memoline.{name}", value)


@contextmanager
def span(name: str) -> Iterator[Told]:
    """A span within the one that the thread is in. Costs a look at the environment where traces are off."""
    if not wanted():
        yield Told()
        return
    from opentelemetry import trace

    with trace.get_tracer(_NAME).start_as_current_span(name) as current:
        yield Told(current)


@contextmanager
def job_span(name: str, job_id: str, *, first: bool = False) -> Iterator[Told]:
    """A span of a job's trace. first: the one below which all others are."""
    if not wanted() or not _is_trace_id(job_id):
        yield Told()
        return
    from opentelemetry import trace
    from opentelemetry.context import Context

    tracer = trace.get_tracer(_NAME)
    attributes = {"memoline.job_id": job_id}
    if first:
        token = _first_of.set(job_id)
        try:
            begun = tracer.start_span(name, Context(), attributes=attributes)
        finally:
            _first_of.reset(token)
        with trace.use_span(begun, end_on_exit=True):
            yield Told(begun)
        return
    above = trace.set_span_in_context(trace.NonRecordingSpan(_first_span(job_id)), Context())
    with tracer.start_as_current_span(name, above, attributes=attributes) as current:
        yield Told(current)


def mark_registered(job_ids: Iterable[str]) -> None:
    """Begin the traces of jobs that were registered together."""
    if wanted():
        for job_id in job_ids:
            with job_span("register", job_id, first=True):
                continue


def _is_trace_id(job_id: str) -> bool:
    return len(job_id) == 32 and job_id.isalnum() and int(job_id, 16) != 0


def _span_id(job_id: str) -> int:
    return int.from_bytes(sha256(job_id.encode()).digest()[:8]) or 1


def _first_span(job_id: str) -> SpanContext:
    """The span below which all of a job's are, as another process began it: sampled where the sampler, asked for its
    trace, says so now, as it did there."""
    from opentelemetry import trace
    from opentelemetry.context import Context

    trace_id = int(job_id, 16)
    sampler = getattr(trace.get_tracer_provider(), "sampler", None)
    sampled = sampler is not None and sampler.should_sample(Context(), trace_id, "job").decision.is_sampled()
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)
    return trace.SpanContext(trace_id, _span_id(job_id), is_remote=True, trace_flags=flags)


def _own_ids() -> IdGenerator:
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class JobIds(RandomIdGenerator):
        """The ids of a job's first span are the job's; others are random."""

        def generate_trace_id(self) -> int:
            job_id = _first_of.get()
            return int(job_id, 16) if job_id else super().generate_trace_id()

        def generate_span_id(self) -> int:
            job_id = _first_of.get()
            return _span_id(job_id) if job_id else super().generate_span_id()

    return JobIds()
