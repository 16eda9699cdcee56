"""The tests with a real Prometheus are never skipped: where it is missing, one message says what to install."""

from __future__ import annotations

import os
import shutil

import pytest
from support import prometheus
from support.parts import MissingPartError


def test_without_prometheus_and_without_the_right_to_install_it_the_package_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingPartError, match="apt-get install --no-install-recommends prometheus"):
        prometheus.tool("promtool")


def test_only_durations_are_shortened() -> None:
    text = (
        'expr: >-\n  rate(a[10m]) > 0.8 and b{le="10.0"} > 2 * 60\n'
        "for: 5m\nsummary: in 10 minutes\nrecord: a:ratio_rate1h\nexpr: x[6h] * 0.01\n"
    )
    assert prometheus.shortened(text) == (
        'expr: >-\n  rate(a[10s]) > 0.8 and b{le="10.0"} > 2 * 1\n'
        "for: 5s\nsummary: in 10 minutes\nrecord: a:ratio_rate1h\nexpr: x[360s] * 0.01\n"
    )
