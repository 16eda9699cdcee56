"""The alert rules, the dashboards and the runbooks agree with the metrics and with each other.

What each alert does in a real fault is in tests/integration/observability; what takes hours is shown here, by promtool.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jobstatus_consumer.telemetry.console_metrics import ConsoleMetrics
from jobstatus_consumer.telemetry.declaring import Declaring, Described
from jobstatus_consumer.telemetry.metrics import Metrics
from jobstatus_producer.prometheus import COUNTERS, GAUGES, PREFIX
from jobstatus_producer.settings import ProducerSettings
from prometheus_client import generate_latest
from support.dashboards import DASHBOARDS, load, names_in, panels, queries
from support.installing import ROOT
from support.pages import blocks
from support.prometheus import RULE_FILES, alerts, promtool, rules, shortened

CONSOLE_PAGE: Final = ROOT / "docs" / "how-to" / "console.md"
RUNBOOK: Final = ROOT / "docs" / "how-to" / "alerts.md"
HISTOGRAM: Final = ("_bucket", "_sum", "_count")
ALERTS: Final = {rule["alert"]: rule for rule in alerts()}


def described() -> list[Described]:
    """The metrics of the consumer and of the console."""
    return Metrics().described + ConsoleMetrics().described


def known_names() -> set[str]:
    """Every name that a scrape of a consumer, a console or a worker may have, and that a rule records."""
    ours = {item.name for item in described()}
    parts = {item.name + end for item in described() if item.type == "histogram" for end in HISTOGRAM}
    process = set(re.findall(r"^(process_\w+)", generate_latest(Metrics().registry).decode(), re.MULTILINE))
    worker = {f"{PREFIX}{name}_total" for name in COUNTERS} | {f"{PREFIX}{name}" for name in GAUGES}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    return ours | parts | process | worker | recorded | {f"{PREFIX}build_info"}


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_promtool_accepts_the_rules_as_they_are_and_shortened(path: Path, tmp_path: Path) -> None:
    short = tmp_path / path.name
    short.write_text(shortened(path.read_text("utf-8")))
    done = promtool("check", "rules", path, short)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == 2
    assert not re.search(r"\[\d+[mhd]|for: \d+[mhd]|\* 60$", short.read_text("utf-8"), re.MULTILINE)


def test_prometheus_accepts_the_configuration_of_the_compose_file(tmp_path: Path) -> None:
    text = (ROOT / "infra" / "prometheus" / "prometheus.yml").read_text("utf-8")
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/etc/prometheus/", f"{ROOT / 'infra' / 'prometheus'}/"))
    done = promtool("check", "config", config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


def test_prometheus_accepts_the_scrape_of_the_console_with_its_token(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(CONSOLE_PAGE) if block.language == "yaml"]
    token, config = tmp_path / "console-token", tmp_path / "prometheus.yml"
    token.write_text("a-token-of-some-length")
    config.write_text(block.text.replace("/etc/prometheus/console-token", str(token)))
    done = promtool("check", "config", config)
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = yaml.safe_load(block.text)["scrape_configs"]
    assert job["authorization"] == {"type": "Bearer", "credentials_file": "/etc/prometheus/console-token"}
    assert "metrics_path" not in job, "the console answers at the usual path"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_metric_in_a_rule_exists(rule: Mapping[str, Any]) -> None:
    names = names_in(rule["expr"])
    assert names
    assert names <= known_names()


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.dashboard}: {query.panel}")
def test_every_metric_in_a_panel_exists(query: Any) -> None:
    assert names_in(query.expression)
    assert names_in(query.expression) <= known_names()


def test_every_metric_of_ours_is_in_a_panel() -> None:
    shown = {name for query in queries() for name in names_in(query.expression)}
    plain = {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    left = {item.name for item in described()} - plain
    assert left == {
        "jobstatus_unreadable_headers_total",  # it is counted for a person who looks for it
        "jobstatus_certificate_expiry_timestamp_seconds",  # it has an alert; most deployments have no such certificate
    }
    assert {f"{PREFIX}{name}_total" for name in COUNTERS} | {f"{PREFIX}{name}" for name in GAUGES} <= shown


def test_each_alert_has_its_section_and_each_section_its_alert() -> None:
    text = RUNBOOK.read_text("utf-8")
    sections = re.findall(r"^## (Jobstatus\w+)$", text, re.MULTILINE)
    assert sections == list(ALERTS), "in the same order"
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"{RUNBOOK.relative_to(ROOT)}#{name.lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        section = text.split(f"## {name}\n")[1].split("\n## ")[0]
        assert "- " in section, f"{name} says what to do"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_a_dashboard_is_complete(path: Path) -> None:
    found = load(path)
    variables = {item["name"] for item in found["templating"]["list"]}
    for panel in panels(found):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables, panel["title"]
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids))


def test_the_dashboards_have_different_names() -> None:
    assert len({load(path)["uid"] for path in DASHBOARDS}) == len(DASHBOARDS) == 2


@pytest.mark.parametrize("of", [Metrics, ConsoleMetrics])
def test_promtool_finds_no_fault_in_the_names_of_the_metrics(of: Callable[[str, str], Declaring]) -> None:
    text = generate_latest(of(ProducerSettings.topic, "jobstatus").registry).decode()
    done = promtool("check", "metrics", given=text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# -- hours, by promtool ------------------------------------------------------------------------------------------------

OF: Final = 'topic="t",group="g"'
ON: Final = f'{OF},job="jobstatus-consumer",instance="c:1"'
CONSOLE: Final = f'{OF},job="jobstatus-console",instance="v:1"'
WORKER: Final = 'topic="t",instance="w:1",job="jobstatus-worker"'
MINUTES: Final = 480
START: Final = 60
"""The faults begin after an hour in which nothing is wrong."""

HEALTHY: Final[Mapping[str, str]] = {
    f'jobstatus_build_info{{{ON},version="0.1.0"}}': f"1x{MINUTES}",
    f"jobstatus_assigned_partitions{{{ON}}}": f"4x{MINUTES}",
    f"jobstatus_topic_partitions{{{ON}}}": f"4x{MINUTES}",
    f'jobstatus_lag_seconds{{{ON},partition="0"}}': f"2x{MINUTES}",
    f'jobstatus_freshness_seconds_bucket{{{ON},le="10.0"}}': f"0+998x{MINUTES}",
    f"jobstatus_freshness_seconds_count{{{ON}}}": f"0+1000x{MINUTES}",
    f"jobstatus_waiting_seconds{{{ON}}}": f"0x{MINUTES}",
    f'jobstatus_waiting_for{{{ON},reason="database"}}': f"0x{MINUTES}",
    f'jobstatus_waiting_for{{{ON},reason="lock"}}': f"0x{MINUTES}",
    f"jobstatus_brokers_reachable{{{ON}}}": f"3x{MINUTES}",
    f'jobstatus_events_total{{{ON},outcome="applied"}}': f"0+1000x{MINUTES}",
    f'jobstatus_events_total{{{ON},outcome="dead_letter"}}': f"0x{MINUTES}",
    f"jobstatus_certificate_expiry_timestamp_seconds{{{ON}}}": f"{30 * 86400}x{MINUTES}",
    f"jobstatus_dead_letter_budget_used_ratio{{{ON}}}": f"0x{MINUTES}",
    f'jobstatus_overdue_jobs{{{ON},status="processing"}}': f"0x{MINUTES}",
    f"jobstatus_target_oldest_waiting_seconds{{{ON}}}": f"0x{MINUTES}",
    f'jobstatus_verify_findings{{{CONSOLE},kind="different"}}': f"0x{MINUTES}",
    f'jobstatus_verify_findings{{{CONSOLE},kind="missing"}}': f"0x{MINUTES}",
    f"jobstatus_verify_interval_seconds{{{CONSOLE}}}": f"3600x{MINUTES}",
    f"jobstatus_verify_timestamp_seconds{{{CONSOLE}}}": f"0+60x{MINUTES}",
    f"jobstatus_console_start_timestamp_seconds{{{CONSOLE}}}": f"0x{MINUTES}",
    f"jobstatus_producer_spool_depth{{{WORKER}}}": f"0x{MINUTES}",
    f"jobstatus_producer_oldest_undelivered_seconds{{{WORKER}}}": f"1x{MINUTES}",
    f"jobstatus_producer_rejected_total{{{WORKER}}}": f"0x{MINUTES}",
}


def name_of(series: str) -> str:
    return series.split("{")[0] + "".join(re.findall(r'(?:reason|outcome|le|kind)="[^"]*"', series))


def faulty(**changed: str) -> dict[str, str]:
    """The healthy series with these values from `START` on; `_` means that there is none."""
    replaced = {series: changed.pop(key) for series in HEALTHY if (key := _key(series)) in changed}
    assert not changed, changed
    return {
        series: f"{_until_start(values)} {replaced[series]}" if series in replaced else values
        for series, values in HEALTHY.items()
    }


def _key(series: str) -> str:
    words = re.findall(r'(?:reason|outcome|le|kind)="([^"]*)"', series)
    return "__".join([series.split("{")[0].removeprefix("jobstatus_"), *(word.partition(".")[0] for word in words)])


def _until_start(values: str) -> str:
    return values.replace(f"x{MINUTES}", f"x{START - 1}")


def case(name: str, series: Mapping[str, str], firing: Mapping[int, set[str]]) -> dict[str, Any]:
    """A test for promtool: at each minute exactly these alerts fire."""
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(wanted)],
            }
            for minute, wanted in firing.items()
        ],
    }


NONE: Final[set[str]] = set()
LAGS: Final = {"JobstatusLag", "JobstatusLagCritical"}
UNASSIGNED: Final = "JobstatusPartitionsUnassigned"
BURNS: Final = {"JobstatusFreshnessBurnFast", "JobstatusFreshnessBurnSlow"}


def cases() -> Iterator[dict[str, Any]]:
    yield case("eight healthy hours", HEALTHY, dict.fromkeys(range(0, MINUTES, 10), NONE))
    yield case(
        "an hour in which the age of the oldest event grows",
        faulty(lag_seconds="60+60x59 2x60"),
        {60: NONE, 64: NONE, 66: {"JobstatusLag"}, 74: {"JobstatusLag"}, 77: LAGS, 119: LAGS, 121: NONE},
    )
    yield from burns()
    yield from waits()
    yield from members()
    yield from what_needs_a_person()
    yield from comparisons()


def burns() -> Iterator[dict[str, Any]]:
    # a fifth of the events is late for two hours
    late = "59682+800x119 155880+998x240"
    total = "60000+1000x360"
    yield case(
        "a fast burn",
        faulty(freshness_seconds_bucket__10=late, freshness_seconds_count=total),
        {60: NONE, 80: NONE, 120: BURNS, 178: BURNS, 186: {"JobstatusFreshnessBurnSlow"}, 220: NONE},
    )
    # a twelfth is late: too few for the fast alert, and enough for the slow one
    yield case(
        "a slow burn",
        faulty(freshness_seconds_bucket__10="59799+917x360", freshness_seconds_count=total),
        {60: NONE, 120: NONE, 400: {"JobstatusFreshnessBurnSlow"}},
    )


def waits() -> Iterator[dict[str, Any]]:
    yield case(
        "the database is unavailable for ten minutes",
        faulty(waiting_seconds="60+60x9 0x60", waiting_for__database="1x9 0x60"),
        {60: NONE, 61: NONE, 63: {"JobstatusWaitingForDatabase"}, 71: NONE},
    )
    yield case(
        "another session has locked the table for ten minutes",
        faulty(waiting_seconds="60+60x9 0x60", waiting_for__lock="1x9 0x60"),
        {61: NONE, 63: {"JobstatusWaitingForLock"}, 71: NONE},
    )


def members() -> Iterator[dict[str, Any]]:
    yield case(
        "no broker answers for ten minutes",
        faulty(brokers_reachable="0x9 3x60", assigned_partitions="0x9 4x60"),
        {61: NONE, 63: {"JobstatusBrokersUnreachable"}, 66: {"JobstatusBrokersUnreachable", UNASSIGNED}, 71: NONE},
    )
    yield case(
        "one of four partitions belongs to nobody",
        faulty(assigned_partitions="3x9 4x60"),
        {64: NONE, 66: {UNASSIGNED}, 71: NONE},
    )
    yield case(
        "every consumer is gone for a quarter of an hour",
        {series: f"{_until_start(values)} _x15 {_until_start(values)}" for series, values in HEALTHY.items()},
        {60: NONE, 66: NONE, 71: {"JobstatusNoConsumer"}, 77: NONE},
    )


def what_needs_a_person() -> Iterator[dict[str, Any]]:
    yield case(
        "three dead letters",
        faulty(events_total__dead_letter="3x60"),
        {59: NONE, 61: {"JobstatusDeadLettersGrowing"}, 75: NONE},
    )
    yield case(
        "the budget of dead letters is used up to nine tenths",
        faulty(dead_letter_budget_used_ratio="0.9x9 0x60"),
        {61: {"JobstatusDeadLetterBudgetNearlyUsed"}, 71: NONE},
    )
    yield case(
        "a certificate is not renewed before its last three days",
        faulty(certificate_expiry_timestamp_seconds=f"{2 * 86400}x9 {30 * 86400}x60"),
        {64: NONE, 66: {"JobstatusCertificateExpires"}, 71: NONE},
    )
    yield case("jobs are overdue", faulty(overdue_jobs="2x9 0x60"), {63: NONE, 66: {"JobstatusOverdueJobs"}, 71: NONE})
    yield case(
        "a job waits for its row",
        faulty(target_oldest_waiting_seconds="60+60x29 0x60"),
        {74: NONE, 76: {"JobstatusTargetWaiting"}, 92: NONE},
    )
    worker = faulty(
        producer_spool_depth="100+100x29 0x60",
        producer_oldest_undelivered_seconds="60+60x29 0x60",
        producer_rejected_total="0x19 5x70",
    )
    yield case(
        "a worker's broker is unavailable for half an hour",
        worker,
        {
            63: NONE,
            66: {"JobstatusSpoolGrowing"},
            72: {"JobstatusSpoolGrowing", "JobstatusEventsUndelivered"},
            82: {"JobstatusSpoolGrowing", "JobstatusEventsUndelivered", "JobstatusEventsRejected"},
            105: NONE,
        },
    )


def comparisons() -> Iterator[dict[str, Any]]:
    differs, overdue = {"JobstatusTableDiffers"}, {"JobstatusVerifyOverdue"}
    yield case(
        "three rows differ from the log until they are repaired",
        faulty(verify_findings__different="2x29 0x60", verify_findings__missing="1x29 0x60"),
        {59: NONE, 61: differs, 85: differs, 91: NONE},
    )
    # the newest result is of the minute 59; the interval is an hour
    yield case(
        "no comparison has ended for four hours",
        faulty(verify_timestamp_seconds="3540x240 18060+60x60"),
        {200: NONE, 238: NONE, 241: overdue, 299: overdue, 301: NONE},
    )
    yield case(
        "the console has ended",
        {key: f"{_until_start(values)} _x420" if CONSOLE in key else values for key, values in HEALTHY.items()},
        {61: NONE, 238: NONE, 241: overdue, 420: overdue},
    )
    never = {series: values for series, values in HEALTHY.items() if "verify_timestamp" not in series}
    yield case("the first comparison never ends", never, {0: NONE, 178: NONE, 181: overdue, 420: overdue})
    without = {series: values for series, values in HEALTHY.items() if "jobstatus_verify_" not in series}
    yield case("a console without --verify-every", without, {0: NONE, 181: NONE, 420: NONE})


def test_no_alert_fires_in_healthy_hours_and_each_fires_for_its_fault(tmp_path: Path) -> None:
    whole = tmp_path / "rules.test.yml"
    found = list(cases())
    document = {"rule_files": [str(path) for path in RULE_FILES], "evaluation_interval": "1m", "tests": found}
    whole.write_text(yaml.safe_dump(document))
    done = promtool("test", "rules", whole)
    assert done.returncode == 0, done.stdout + done.stderr
    fired = {
        re.findall('"(.*)"', sample["labels"])[0]
        for item in found
        for asked in item["promql_expr_test"]
        for sample in asked["exp_samples"]
    }
    assert fired == set(ALERTS), "every alert is shown to fire, and to end"
