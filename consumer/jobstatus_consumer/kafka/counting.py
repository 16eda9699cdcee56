"""What a member of the group reports of itself while it runs, for the metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, NamedTuple

STATISTICS_EVERY_MS: Final = 5_000
"""How often librdkafka reports the state of its connections. One report costs about a tenth of a millisecond."""
CONNECTED: Final = ("UP", "UPDATE")


def _ignore(*_: object) -> None:
    pass


class MemberCounts(NamedTuple):
    """Called as things happen, in the Kafka thread; by default nothing is counted."""

    unreadable_headers: Callable[[int], object] = _ignore
    commit: Callable[[str], object] = _ignore
    """with how it ended: `committed`, `refused` or `failed`"""
    rebalance: Callable[[], object] = _ignore


class BrokerStates:
    """librdkafka's `stats_cb`: it keeps what the last report says of the connections."""

    def __init__(self) -> None:
        self.reachable = 0
        """To how many brokers the client has a connection; 0 before the first report."""

    def __call__(self, report: str) -> None:
        """Take a report. Only brokers with a node id count: the others are further names of these."""
        brokers = json.loads(report).get("brokers", {}).values()
        self.reachable = sum(item["state"] in CONNECTED and item.get("nodeid", -1) >= 0 for item in brokers)
