"""Figures and warnings of a server's requests alone: failures, token counts, and a client that may be late."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from llenergymeasure.config.energy_sources import basis_of
from llenergymeasure.domain.figures import Distribution
from llenergymeasure.domain.requests import RequestRecord
from llenergymeasure.metrics.latency import distribution
from llenergymeasure.metrics.measurement import Measurement
from llenergymeasure.metrics.untimed import untimed_warnings

MAX_FAILED_SHARE = 0.01
SHORT_SHARE = 0.5
"""A mean answer of less than this share of the limit is worth a remark."""

MAX_LATE_MS = 10.0
"""The most that the 99th percentile may be: a person, and most times to a first token, do not notice 10 ms."""


def failures_by_kind(kinds: Iterable[str]) -> dict[str, int]:
    """The number of failures of each kind, the most frequent first."""
    return dict(Counter(kinds).most_common())


def request_failures(measurement: Measurement) -> dict[str, int]:
    """The failures of a measurement by kind."""
    return failures_by_kind(failed.kind for failed in measurement.failed)


def client_lateness_ms(measurement: Measurement) -> Distribution | None:
    """Milliseconds from when each request was due to when it was sent; None where nothing is ever due."""
    late_s = [request.lateness_s for batch in measurement.batches for request in batch.requests]
    late_s += [failed.lateness_s for failed in measurement.failed]
    return distribution([each * 1e3 for each in late_s if each is not None])


def serving_warnings(measurement: Measurement) -> Iterator[str]:
    """A line for each reason to read a server's figures with care."""
    if not measurement.config.is_server:
        return
    yield from _failure_warnings(measurement)
    late = client_lateness_ms(measurement)
    if late is not None and late.p99 is not None and late.p99 > MAX_LATE_MS:
        what = "its request rate" if measurement.config.load.in_flight is None else "the requests that ended"
        yield (
            f"The client fell behind {what}: one request in a hundred was sent {late.p99:.0f} ms late or more, so the "
            "server had less to do than was asked; close what else runs here, or send from another machine."
        )
    requests = [request for batch in measurement.batches for request in batch.requests]
    yield from untimed_warnings(requests)
    if not measurement.config.ignores_eos:
        yield from _short_answer_remarks(requests, measurement.config.output_limit)
    if measurement.model.device == "remote":
        yield "The server is on another machine: the environment snapshot is of the client's."
    elif not measurement.model.on_accelerator and _cpu_was_metered(measurement):
        yield "The processor that was metered ran the client too: its energy is in these figures."


def _short_answer_remarks(requests: Sequence[RequestRecord], asked: int) -> Iterator[str]:
    ended = [request.output_tokens for request in requests if request.finish_reason != "length"]
    known = [tokens for tokens in ended if tokens is not None]
    if len(known) > len(requests) / 2 and (mean := sum(known) / len(known)) < SHORT_SHARE * asked:
        yield (
            f"{len(ended)} of {len(requests)} answers ended of themselves, after {mean:,.1f} output tokens on average, "
            f"of the {asked:,} that were asked at most; to have all as long as that, set decoder.ignore_eos: true."
        )


def _cpu_was_metered(measurement: Measurement) -> bool:
    devices = measurement.energy.devices
    return any(device.kind == "cpu" and basis_of(device.source) == "sensor" for device in devices)


def _failure_warnings(measurement: Measurement) -> Iterator[str]:
    failed = len(measurement.failed)
    asked = failed + sum(len(batch.requests) for batch in measurement.batches)
    if failed > MAX_FAILED_SHARE * asked:
        kinds = ", ".join(f"{count} {kind}" for kind, count in request_failures(measurement).items())
        yield (
            f"{failed} of {asked} requests failed ({failed / asked:.1%}: {kinds}); the last: "
            f"{measurement.failed[-1].message}. They are in no other figure, and the server had their work too: lower "
            "the load, or fix the server."
        )
