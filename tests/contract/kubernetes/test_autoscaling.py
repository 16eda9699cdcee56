"""The number of consumers that the rendered ScaledObject wants, with Prometheus' own evaluation of its question."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import pytest
import yaml
from jobstatus_consumer.telemetry.metrics import Metrics
from support.chart import GOLDEN, objects
from support.prometheus import promtool

(SCALED,) = [item for item in objects((GOLDEN / "full.yaml").read_text("utf-8")) if item["kind"] == "ScaledObject"]
(TRIGGER,) = SCALED["spec"]["triggers"]
THRESHOLD: Final = int(TRIGGER["metadata"]["threshold"])
GROUP: Final = 'topic="job-status", group="jobstatus", namespace="apps"'
LAG: Final = {f'jobstatus_lag_events{{{GROUP}, instance="a", partition="{number}"}}': "400000" for number in range(3)}
"""1,200,000 events in three partitions."""


def waiting(reason: str, value: str = "1", instance: str = "a") -> dict[str, str]:
    """A consumer that waits for this, and for nothing else."""
    return {
        f'jobstatus_waiting_for{{{GROUP}, instance="{instance}", reason="{name}"}}': value if name == reason else "0"
        for name in ("database", "lock", "broker")
    }


def writes(seconds: float) -> dict[str, str]:
    """Ten writes in each 30 s, which take so long."""
    return {
        f'jobstatus_write_seconds_sum{{{GROUP}, instance="a"}}': f"0+{10 * seconds:g}",
        f'jobstatus_write_seconds_count{{{GROUP}, instance="a"}}': "0+10",
    }


CALM: Final = waiting("nothing")
CASES: Final[Mapping[str, tuple[dict[str, str], float | None]]] = {
    "the consumers are the limit": ({**LAG, **CALM, **writes(0.02)}, 1_200_000),
    "a write takes four times as long as it should": ({**LAG, **CALM, **writes(0.4)}, 300_000),
    "a write takes a hundred times as long": ({**LAG, **CALM, **writes(10)}, 12_000),
    "the database is unreachable": ({**LAG, **waiting("database")}, 0),
    "another session has locked the rows": ({**LAG, **waiting("lock")}, 0),
    "one of two consumers waits for the database": (
        {**LAG, **waiting("database"), **waiting("nothing", instance="b"), **writes(0.02)},
        600_000,
    ),
    "nothing was written in the last minutes": ({**LAG, **CALM, **dict.fromkeys(writes(1), "100")}, 1_200_000),
    "two consumers name a partition while it moves": (
        {**LAG, **CALM, f'jobstatus_lag_events{{{GROUP}, instance="b", partition="0"}}': "400000"},
        1_200_000,
    ),
    "another group has a backlog": (
        {**LAG, **CALM, **{name.replace('group="jobstatus"', 'group="other"'): "9000000" for name in LAG}},
        1_200_000,
    ),
    "the group of this name in another namespace has a backlog": (
        {**LAG, **CALM, **{name.replace("apps", "staging"): "9000000" for name in LAG}},
        1_200_000,
    ),
    "the group of this name in another namespace waits for its database": (
        {**LAG, **CALM, **{name.replace("apps", "staging"): value for name, value in waiting("database").items()}},
        1_200_000,
    ),
    "no lag is known": (CALM, None),
    "no consumer answers": ({}, None),
}
"""What Prometheus has by name, and the answer; None is no answer."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What promtool says of all cases; empty if every answer is as wanted."""
    folder = tmp_path_factory.mktemp("autoscaling")
    rule = {"record": "wanted", "expr": TRIGGER["metadata"]["query"]}
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "keda", "rules": [rule]}]}))
    tests = [_test(name, series, answer) for name, (series, answer) in CASES.items()]
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "30s", "tests": tests}
    (folder / "test.yml").write_text(yaml.safe_dump(whole))
    done = promtool("test", "rules", folder / "test.yml")
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _test(name: str, series: Mapping[str, str], answer: float | None) -> dict[str, Any]:
    samples = [] if answer is None else [{"labels": "{}", "value": answer}]
    return {
        "interval": "30s",
        "input_series": [{"series": item, "values": _values(text)} for item, text in series.items()],
        "promql_expr_test": [{"expr": f"round(wanted) # {name}", "eval_time": "5m", "exp_samples": samples}],
    }


def _values(text: str) -> str:
    return f"{text}x20" if "+" in text else f"{text}+0x20"


@pytest.mark.parametrize("name", CASES)
def test_the_signal_rises_with_the_backlog_and_falls_when_the_database_is_the_limit(results: str, name: str) -> None:
    assert f'# {name}"' not in results, results


def test_every_case_is_as_wanted(results: str) -> None:
    assert results == ""


def test_more_consumers_are_wanted_only_where_consumers_are_the_limit() -> None:
    wanted = {name: math.ceil(answer / THRESHOLD) for name, (_, answer) in CASES.items() if answer is not None}
    assert wanted["the consumers are the limit"] == 4
    assert wanted["a write takes four times as long as it should"] == 1
    assert wanted["the database is unreachable"] == 0, "so the least number of replicas counts"


def test_the_threshold_is_what_one_consumer_writes_within_the_tolerated_time() -> None:
    assert THRESHOLD == 100 * 50 * 60
    assert TRIGGER["metricType"] == "AverageValue"


def test_no_answer_of_prometheus_keeps_the_consumers() -> None:
    spec = SCALED["spec"]
    # without this, KEDA takes an empty answer for 0
    assert TRIGGER["metadata"]["ignoreNullValues"] == "false"
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"}
    assert spec["minReplicaCount"] >= 1
    assert "idleReplicaCount" not in spec


def test_a_scale_down_is_slow_and_no_roll_out_resets_the_number() -> None:
    behavior = SCALED["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 600
    assert [policy["value"] for policy in behavior["scaleDown"]["policies"]] == [1]
    (scaled,) = [
        item
        for item in objects((GOLDEN / "full.yaml").read_text("utf-8"))
        if item["kind"] == "Deployment" and item["metadata"]["name"] == SCALED["spec"]["scaleTargetRef"]["name"]
    ]
    assert "replicas" not in scaled["spec"]


def test_every_metric_of_the_question_exists() -> None:
    names = {item.name for item in Metrics().described}
    asked = {"jobstatus_lag_events", "jobstatus_waiting_for", "jobstatus_write_seconds"}
    assert asked <= names
    assert all(name in TRIGGER["metadata"]["query"] for name in asked)
