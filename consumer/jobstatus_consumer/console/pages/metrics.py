"""What Prometheus scrapes: the newest comparison of the table with the log."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.background import Verified
from jobstatus_consumer.console.context import Context, context_of
from jobstatus_consumer.console.watch import Seen
from jobstatus_consumer.telemetry.console_metrics import ConsoleMetrics


async def metrics(request: Request) -> Response:
    """`GET /metrics`, in Prometheus' text format or in OpenMetrics, as the request wants it."""
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry_of(context_of(request))), headers={"Content-Type": kind})


def registry_of(context: Context) -> CollectorRegistry:
    """What is known now, and nothing that has to be asked for. Never blocks."""
    found = ConsoleMetrics(context.settings.topic, context.settings.group_id)
    found.started_at.show({(): context.live.started_at})
    watch, every = context.live.verified, context.options.verify_every
    if watch is not None and every is not None:
        found.interval.show({(): every})
        _show(found, watch.seen)
    return found.registry


def _show(found: ConsoleMetrics, seen: Seen[Verified]) -> None:
    """One answer for all series, so that no scrape falls between two comparisons."""
    if seen.asked:
        found.complete.show({(): float(seen.problem is None)})
    if seen.value is None or seen.at is None:
        return
    report = seen.value.report
    found.findings.show({(kind,): rows for kind, rows in report.kinds().items()})
    found.explained.show({(): report.explained.total()})
    found.compared_at.show({(): seen.at})
    found.duration.show({(): report.seconds})
    found.events.show({(): report.counts.events})
