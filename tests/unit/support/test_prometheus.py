"""The rules of the live test are the shipped ones, with shorter durations."""

from __future__ import annotations

from support import prometheus


def test_only_durations_are_shortened() -> None:
    text = (
        'expr: >-\n  rate(a[10m]) > 0.8 and b{le="10.0"} > 2 * 60\n'
        "for: 5m\nsummary: in 10 minutes\nrecord: a:ratio_rate1h\nexpr: x[6h] * 0.01\n"
    )
    assert prometheus.shortened(text) == (
        'expr: >-\n  rate(a[10s]) > 0.8 and b{le="10.0"} > 2 * 1\n'
        "for: 5s\nsummary: in 10 minutes\nrecord: a:ratio_rate1h\nexpr: x[360s] * 0.01\n"
    )
