"""Every metric of the console, declared once; docs/metrics.md is made from this file.

Its names are its own: `jobstatus_build_info` says that a consumer runs, and a console must not say that.
"""

from __future__ import annotations

from jobstatus_consumer.telemetry.declaring import Declaring


class ConsoleMetrics(Declaring):
    """What a console knows of the table. Each has the labels `topic` and `group` beside its own.

    What `jobstatus_verify_...` says is the newest result of `--verify-every`: without the flag there is no series.
    """

    def __init__(self, topic: str = "", group: str = "") -> None:
        super().__init__(topic, group)
        self.findings = self._gauge(
            "verify_findings",
            "rows that differ from the log, by kind, in the newest comparison; no series before the first one",
            "kind",
        )
        self.explained = self._gauge(
            "verify_explained_rows", "rows that the newest comparison could explain and does not count as findings"
        )
        self.complete = self._gauge(
            "verify_complete",
            "1 if the newest comparison has read all that the group has written; 0 if it has failed, and the other "
            "series are those of the comparison before",
        )
        self.compared_at = self._gauge(
            "verify_timestamp_seconds",
            "the end of the newest complete comparison, in seconds since 1970-01-01 UTC; no series before it",
        )
        self.duration = self._gauge("verify_duration_seconds", "seconds that the newest complete comparison took")
        self.events = self._gauge("verify_events", "events of the log that the newest complete comparison has read")
        self.interval = self._gauge("verify_interval_seconds", "seconds between two comparisons (--verify-every)")
        self.started_at = self._gauge(
            "console_start_timestamp_seconds", "the start of the console, in seconds since 1970-01-01 UTC"
        )
        self._build("console_build", "1; the version of the console that runs")
