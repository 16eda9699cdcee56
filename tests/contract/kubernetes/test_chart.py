"""The Helm chart: what Helm makes of it is valid, is what was reviewed, and bad values get a clear error."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jobstatus_consumer.config import Settings, env_name
from jobstatus_consumer.console import Access
from support import chart
from support.chart import (
    CHART,
    GOLDEN,
    MANIFESTS,
    SETS,
    VERSIONS,
    answers,
    manifests,
    objects,
    render_request,
    values_of,
    whole,
)
from support.pages import ROOT
from support.parts import MissingPartError
from support.prometheus import RULES

VERSION: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
SCHEMAS: Final = Path(__file__).parent / "schemas"
OWN: Final = {path.stem: json.loads(path.read_text("utf-8")) for path in SCHEMAS.glob("*.json")}
"""The schemas of objects that are not Kubernetes' own, by kind: of KEDA and the Prometheus operator."""
INFO: Final = 1
"""Helm's number of a remark that is no warning: the chart has no icon."""
OF_THE_CHART: Final = {
    "JOBSTATUS_TOPIC",
    "JOBSTATUS_GROUP_ID",
    "JOBSTATUS_TABLE",
    "JOBSTATUS_TARGET",
    "JOBSTATUS_DLQ_TOPIC",
    "JOBSTATUS_DATABASE_URL",
    "JOBSTATUS_DATABASE_URL_FILE",
    "JOBSTATUS_WAIT_FOR_DATABASE",
    "JOBSTATUS_HTTP_ADDRESS",
    "JOBSTATUS_CONSOLE_ADDRESS",
    "JOBSTATUS_CONSOLE_TOKEN",
    "JOBSTATUS_CONSOLE_TOKEN_FILE",
    "JOBSTATUS_CONSOLE_USER_HEADER",
    "JOBSTATUS_CONSOLE_HOSTS",
}
"""Settings that have a value of their own in the chart."""
BAD: Final[Mapping[str, tuple[dict[str, Any], str]]] = {
    "no brokers": ({"kafka": {"bootstrapServers": ""}}, "kafka.bootstrapServers is empty"),
    "no database": ({"database": {"urlSecret": {"name": ""}}}, "database.urlSecret.name is empty"),
    "an unknown name": ({"consumer": {"replica": 3}}, "additional properties 'replica' not allowed"),
    "an unknown setting": ({"settings": {"JOBSTATUS_BATCH_MAX": "5"}}, "invalid propertyName 'JOBSTATUS_BATCH_MAX'"),
    "a setting that has a value of its own": ({"settings": {"JOBSTATUS_TABLE": "jobs"}}, "invalid propertyName"),
    "a number where a text is wanted": ({"settings": {"JOBSTATUS_BATCH_MAX_EVENTS": 200}}, "want string"),
    "a secret among the properties": (
        {"kafka": {"properties": {"sasl.password": "x"}}},
        "has sasl.password, which is a secret: use kafka.saslSecret",
    ),
    "a property that has a value of its own": (
        {"kafka": {"properties": {"group.id": "x"}}},
        "has group.id, which has a value of its own",
    ),
    "a table that is no name": ({"table": "jobs; --"}, "/table"),
    "SASL without a mechanism": ({"kafka": {"securityProtocol": "SASL_SSL"}}, "kafka.saslMechanism is empty"),
    "SASL without a login": (
        {"kafka": {"securityProtocol": "SASL_SSL", "saslMechanism": "PLAIN"}},
        "kafka.saslSecret.name is empty",
    ),
    "a login that is not sent": ({"kafka": {"saslSecret": {"name": "kafka"}}}, "which does not log in: use SASL_SSL"),
    "a secret among the properties, under its other name": (
        {"kafka": {"properties": {"sasl_password": "x"}}},
        "has sasl_password, which is a secret",
    ),
    "a property of its own, under its other name": (
        {"kafka": {"properties": {"bootstrap_servers": "x:1"}}},
        "has bootstrap_servers, which has a value of its own",
    ),
    "a member id under its other name": (
        {"kafka": {"properties": {"group_instance_id": "a"}}},
        "all pods of a Deployment would have the same one",
    ),
    "a secret property that has a value of its own": (
        {"kafka": {"secretProperties": {"sasl.password": {"name": "a", "key": "b"}}}},
        "kafka.secretProperties has sasl.password, which has a value of its own",
    ),
    "a secret property without its Secret": (
        {"kafka": {"secretProperties": {"ssl.key.password": {"name": "a"}}}},
        "missing property 'key'",
    ),
    "a password with OAUTHBEARER": (
        {
            "kafka": {
                "securityProtocol": "SASL_SSL",
                "saslMechanism": "OAUTHBEARER",
                "saslSecret": {"name": "a"},
            }
        },
        "OAUTHBEARER has no user and password",
    ),
    "a login of the setup that is not sent": (
        {"setup": {"kafkaSaslSecret": {"name": "a"}}},
        "setup.kafkaSaslSecret is set, and kafka.securityProtocol is PLAINTEXT, which does not log in",
    ),
    "a certificate of the console that is not sent": (
        {"console": {"kafkaClientCertificate": {"name": "a"}}},
        "console.kafkaClientCertificate is set, and kafka.securityProtocol is PLAINTEXT, which does not encrypt",
    ),
    "two logins to the registry": (
        {"schemaRegistry": {"userInfoSecret": {"name": "a"}, "tokenSecret": {"name": "b"}}},
        "schemaRegistry.userInfoSecret and schemaRegistry.tokenSecret are both set",
    ),
    "an authority without encryption": ({"kafka": {"ca": {"name": "ca"}}}, "which does not encrypt"),
    "an authority that checks nothing": (
        {"database": {"ca": {"name": "ca"}}},
        "database.sslMode is empty, so the server's certificate would not be checked",
    ),
    "a certificate that may be sent to anybody": (
        {"database": {"clientCertificate": {"name": "c"}, "sslMode": "prefer"}},
        "database.sslMode is prefer, so the server's certificate would not be checked",
    ),
    "one member id for all pods": (
        {"kafka": {"properties": {"group.instance.id": "a"}}},
        "all pods of a Deployment would have the same one",
    ),
    "too many consumers": ({"consumer": {"replicas": 7}}, "consumer.replicas is 7, and topic.partitions is 6"),
    "more consumers than a topic that exists seems to have": (
        {"consumer": {"replicas": 7}, "setup": {"createTopics": False}},
        "If the topic has more, set topic.partitions to what it has",
    ),
    "a grace shorter than a stop": ({"consumer": {"terminationGracePeriodSeconds": 5}}, "minimum: got 5, want 20"),
    "two tables": ({"target": {"toml": "a", "configMap": {"name": "b"}}}, "target.toml and target.configMap.name"),
    "a console without a login of its own": (
        {"console": {"enabled": True, "tokenSecret": {"name": "t"}}},
        "console.databaseUrlSecret.name is empty",
    ),
    "a console with the consumers' login": (
        {"console": {"enabled": True, "databaseUrlSecret": {"name": "jobstatus-database"}}},
        "which can write",
    ),
    "a console without a log-in": (
        {"console": {"enabled": True, "databaseUrlSecret": {"name": "c"}}},
        "nobody would have to log in",
    ),
    "scaling beyond the partitions": (
        {"autoscaling": {"enabled": True, "maxReplicas": 9, "prometheus": {"serverAddress": "http://p:9090"}}},
        "autoscaling.maxReplicas is 9, and topic.partitions is 6",
    ),
    "a name that no Service may have": ({"fullnameOverride": "a.b"}, "/fullnameOverride"),
    "a batch that is no number": ({"settings": {"JOBSTATUS_BATCH_MAX_EVENTS": "abc"}}, "JOBSTATUS_BATCH_MAX_EVENTS"),
    "a policy that shuts out a broker": (
        {"kafka": {"bootstrapServers": "a:9092,b:9093"}, "networkPolicy": {"enabled": True}},
        "networkPolicy.kafka.ports lacks the port of b:9093",
    ),
    "a policy that shuts out the registry": (
        {"schemaRegistry": {"url": "https://registry.example.com"}, "networkPolicy": {"enabled": True}},
        "networkPolicy.schemaRegistry.ports lacks 443, the port of https://registry.example.com",
    ),
    "a policy that shuts out a registry on a port of its own": (
        {"schemaRegistry": {"url": "http://registry:8085/api"}, "networkPolicy": {"enabled": True}},
        "networkPolicy.schemaRegistry.ports lacks 8085",
    ),
    "a policy that shuts out the second registry": (
        {"schemaRegistry": {"url": "http://a:8081,http://b"}, "networkPolicy": {"enabled": True}},
        "networkPolicy.schemaRegistry.ports lacks 80, the port of http://b",
    ),
    "scaling to zero": ({"autoscaling": {"enabled": True, "minReplicas": 0}}, "minimum: got 0, want 1"),
    "scaling without Prometheus": ({"autoscaling": {"enabled": True}}, "autoscaling.prometheus.serverAddress is empty"),
}

GOOD: Final[Mapping[str, dict[str, Any]]] = {
    "a parent that switches the chart on": {"enabled": True},
    "no consumer at all, for a command that needs a group without members": {"consumer": {"replicas": 0}},
    "a policy that opens what is used": {
        "kafka": {"bootstrapServers": "a:9092,b:9093"},
        "schemaRegistry": {"url": "http://registry:8081/api"},
        "networkPolicy": {"enabled": True, "kafka": {"ports": [9092, 9093]}},
    },
}
"""Values that are near to a bad one, and right."""


def merged(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values with some of them changed, as Helm merges two files."""
    found = dict(values)
    for name, value in changes.items():
        old = found.get(name)
        found[name] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return found


@pytest.fixture(scope="module")
def helm() -> dict[str, dict[str, Any]]:
    """What Helm answers, all in one process: every set, every bad value, an upgrade, and its own check."""
    default = values_of("default")
    requests = {
        **{name: render_request(values_of(name)) for name in SETS},
        **{f"bad: {name}": render_request(merged(default, changes)) for name, (changes, _) in BAD.items()},
        **{f"good: {name}": render_request(merged(default, changes)) for name, changes in GOOD.items()},
        "no values": render_request({}),
        "upgrade": render_request(values_of("full"), is_install=False, is_upgrade=True, revision=2),
        "renamed": render_request(merged(default, {"nameOverride": "x" * 60}), name="r" * 53),
        "other target": render_request(merged(values_of("own-table"), {"target": {"toml": "[set]\n"}})),
        "numbers": render_request(
            merged(default, {"database": {"urlSecret": {"name": "12", "key": "34"}}, "serviceAccountName": "56"}),
            name="123",
        ),
        **{
            region: render_request(default, name=f"a-release-with-a-very-long-name-for-europe-{region}")
            for region in ("west", "east")
        },
        "IPv6": render_request(merged(values_of("full"), {"listenAddress": "[::]", "podLabels": {"mesh": "off"}})),
        "three copies": render_request(merged(default, {"topic": {"replication": 3}})),
        "without the setup": render_request(merged(values_of("own-table"), {"setup": {"enabled": False}})),
        "scaled with labels": render_request(
            merged(values_of("full"), {"autoscaling": {"prometheus": {"labels": {"namespace": "b", "cluster": "c"}}}})
        ),
        "lint": {"what": "lint", "values": values_of("full")},
    }
    return dict(zip(requests, answers(list(requests.values())), strict=True))


def texts(answer: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = answer["texts"]
    return found


# -- what Helm makes of it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_the_chart_renders_to_what_was_reviewed(helm: dict[str, dict[str, Any]], name: str) -> None:
    reviewed = (GOLDEN / f"{name}.yaml").read_text("utf-8")
    assert whole(texts(helm[name])) == reviewed, (
        "run: python -m tests.support.generate_chart, and review the difference"
    )


def test_the_plain_manifests_are_those_of_the_chart(helm: dict[str, dict[str, Any]]) -> None:
    made = manifests(whole(texts(helm["default"])))
    assert {path.name: path.read_text("utf-8") for path in MANIFESTS.glob("*.yaml")} == made
    kept = [item["kind"] for text in made.values() for item in objects(text)]
    assert kept == ["Job", "Deployment", "PodDisruptionBudget"]
    assert "helm" not in "".join(made.values()).lower()


def everything() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in (*GOLDEN.glob("*.yaml"), *MANIFESTS.glob("*.yaml")):
        for item in objects(path.read_text("utf-8")):
            yield f"{path.name}: {item['kind']} {item['metadata']['name']}", item


def test_every_object_is_valid_for_the_oldest_and_the_newest_kubernetes() -> None:
    found = [
        (f"{name} {version}", {"what": "validate", "object": item, "version": version, "schema": schema})
        for name, item in everything()
        for schema in [OWN.get(item["kind"].lower())]
        for version in (VERSIONS if schema is None else VERSIONS[:1])
    ]
    wrong = {"what": "validate", "object": {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [], "a": 1}}}
    *answered, refused = answers([*(request for _, request in found), {**wrong, "version": "1.37", "schema": None}])
    assert {name: answer["error"] for (name, _), answer in zip(found, answered, strict=True) if answer["error"]} == {}
    assert "'a' was unexpected" in refused["error"]
    assert set(OWN) <= {item["kind"].lower() for _, item in everything()}


def test_helms_own_check_finds_nothing(helm: dict[str, dict[str, Any]]) -> None:
    assert [item for item in helm["lint"]["found"]["messages"] if item["severity"] > INFO] == []


# -- bad values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD)
def test_a_value_that_is_near_to_a_bad_one_is_taken(helm: dict[str, dict[str, Any]], name: str) -> None:
    assert "error" not in helm[f"good: {name}"]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused_and_named(helm: dict[str, dict[str, Any]], name: str) -> None:
    assert BAD[name][1] in helm[f"bad: {name}"].get("error", "it was rendered")


def test_without_values_the_chart_says_what_it_needs(helm: dict[str, dict[str, Any]]) -> None:
    assert "such as --set kafka.bootstrapServers=kafka:9092" in helm["no values"]["error"]


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    missing, loose = list(_differences(schema, schema, values, "")), list(_loose(schema, ""))
    assert (missing, loose) == ([], [])


def _resolved(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = root["definitions"][name] if name else schema
    return found


def _differences(root: dict[str, Any], schema: dict[str, Any], values: Any, place: str) -> Iterator[str]:
    properties = _resolved(root, schema).get("properties", {})
    if isinstance(values, dict) and properties:
        # Helm gives every chart the values of its parent under `global`, and a parent may switch it off
        of_parents = set() if place else {"global", "enabled"}
        yield from (f"{place}.{name}" for name in set(properties) ^ set(values) if name not in of_parents)
        for name in set(properties) & set(values):
            if not place.endswith("resources"):
                yield from _differences(root, properties[name], values[name], f"{place}.{name}")


def _loose(schema: Any, place: str) -> Iterator[str]:
    if isinstance(schema, dict):
        if (
            "properties" in schema
            and isinstance(schema.get("type"), str)
            and schema.get("additionalProperties") is not False
        ):
            yield place
        for name, part in schema.items():
            yield from _loose(part, f"{place}/{name}")


def test_the_settings_of_the_schema_are_those_of_the_code() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    allowed = set(schema["properties"]["settings"]["propertyNames"]["enum"])
    ours = {env_name(name) for name in Settings.model_fields if name not in ("kafka", "kafka_files", "registry")}
    assert allowed == ours - OF_THE_CHART
    assert ours >= OF_THE_CHART


# -- versions, and what follows from a change --------------------------------------------------------------------------


def test_the_charts_versions_are_that_of_the_package() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert (described["version"], described["appVersion"]) == (VERSION, VERSION)
    assert described["kubeVersion"] == f">={VERSIONS[0]}.0-0"


def test_an_upgrade_makes_the_objects_of_an_install(helm: dict[str, dict[str, Any]]) -> None:
    installed, upgraded = (whole(texts(helm[name])) for name in ("full", "upgrade"))
    assert objects(installed) == objects(upgraded)
    (job,) = [item for item in objects(upgraded) if item["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_another_target_file_replaces_the_pods_and_a_rollback_takes_that_back(helm: dict[str, dict[str, Any]]) -> None:
    one, other = (objects(whole(texts(helm[name]))) for name in ("own-table", "other target"))
    changed = [a["metadata"]["name"] for a, b in zip(one, other, strict=True) if a != b]
    assert changed == ["jobstatus-consumer", "jobstatus-target-setup", "jobstatus-target"]
    pods = [item["spec"]["template"]["metadata"] for item in (*one, *other) if item["kind"] == "Deployment"]
    assert pods[0]["annotations"] != pods[1]["annotations"]
    assert pods[0]["labels"] == pods[1]["labels"]


def test_without_the_setup_nothing_of_it_is_made(helm: dict[str, dict[str, Any]]) -> None:
    made = objects(whole(texts(helm["without the setup"])))
    parts = [item["metadata"]["labels"]["app.kubernetes.io/component"] for item in made]
    assert "consumer" in parts
    assert "setup" not in parts


def test_labels_that_tell_deployments_apart_are_asked_for(helm: dict[str, dict[str, Any]]) -> None:
    (scaled,) = [i for i in objects(whole(texts(helm["scaled with labels"]))) if i["kind"] == "ScaledObject"]
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    assert query.count('topic="job-status",group="jobstatus",cluster="c",namespace="b"') == 5


def test_a_number_of_copies_that_is_given_is_used(helm: dict[str, dict[str, Any]]) -> None:
    assert "- --replication=3\n" in whole(texts(helm["three copies"]))


def test_long_names_are_cut_to_what_kubernetes_allows(helm: dict[str, dict[str, Any]]) -> None:
    names = [item["metadata"]["name"] for item in objects(whole(texts(helm["renamed"])))]
    assert max(len(name) for name in names) <= 63
    assert len(names) == len(objects((GOLDEN / "default.yaml").read_text("utf-8")))


def test_two_releases_with_long_names_have_other_names(helm: dict[str, dict[str, Any]]) -> None:
    west, east = ({item["metadata"]["name"] for item in objects(whole(texts(helm[name])))} for name in ("west", "east"))
    assert not west & east
    assert max(map(len, west | east)) <= 63


def test_a_name_of_digits_stays_a_text(helm: dict[str, dict[str, Any]]) -> None:
    for item in objects(whole(texts(helm["numbers"]))):
        assert {type(value) for value in item["metadata"]["labels"].values()} == {str}
        pod = item["spec"].get("template", item)["spec"]
        for volume in pod.get("volumes", []):
            secret = volume["secret"]
            assert (secret["secretName"], secret["items"][0]["key"], pod["serviceAccountName"]) == ("12", "34", "56")


def test_every_pod_has_the_labels_and_the_address_that_are_given(helm: dict[str, dict[str, Any]]) -> None:
    listening = []
    for item in objects(whole(texts(helm["IPv6"]))):
        if item["kind"] in ("Deployment", "Job", "Pod"):
            pod = item if item["kind"] == "Pod" else item["spec"]["template"]
            assert pod["metadata"]["labels"]["mesh"] == "off"
            given = [entry for entry in pod["spec"]["containers"][0]["env"] if entry["name"].endswith("_ADDRESS")]
            listening += [entry["value"] for entry in given]
    assert sorted(listening) == ["[::]:9464", "[::]:9465"]


def test_the_rules_are_the_files_of_infra_and_no_copy() -> None:
    for name in ("alerts", "recording"):
        assert (CHART / "files" / f"{name}.yml").resolve() == RULES / f"{name}.yml"
    found = {
        item["metadata"]["name"]: item["spec"]
        for item in objects((GOLDEN / "full.yaml").read_text("utf-8"))
        if item["kind"] == "PrometheusRule"
    }
    shipped = {
        f"jobstatus-{name}": yaml.safe_load((RULES / f"{name}.yml").read_text("utf-8"))
        for name in ("recording", "alerts")
    }
    assert found == shipped


def test_the_archive_of_a_release_renders_to_the_same(tmp_path: Path) -> None:
    (packed,) = answers([{"what": "package", "folder": str(tmp_path)}])
    (rendered,) = answers([render_request(values_of("full"), packed["path"])])
    assert whole(texts(rendered)) == (GOLDEN / "full.yaml").read_text("utf-8"), "the archive has what the links name"
    assert Path(packed["path"]).name == f"jobstatus-{VERSION}.tgz"


def test_the_notes_name_the_next_commands(helm: dict[str, dict[str, Any]]) -> None:
    notes = texts(helm["full"])["jobstatus/templates/NOTES.txt"]
    assert "helm test jobstatus --namespace apps --logs" in notes
    assert "port-forward --namespace apps service/console-jobstatus 9465:9465" in notes
    assert "not encrypted" in notes
    assert "every other pod could send X-Forwarded-User" in texts(helm["mutual-tls"])["jobstatus/templates/NOTES.txt"]


def _may_run(command: str) -> list[set[str]]:
    """Who may run a command, by docs/reference/rights.md: the roles in the database, and the clients of the broker."""
    tables = (ROOT / "docs" / "reference" / "rights.md").read_text("utf-8").split("## What each command needs")[0]
    header: list[str] = []
    found = []
    for line in tables.splitlines():
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if name == "command":
            header = cells
        elif name == f"`{command}`":
            found.append({role for role, cell in zip(header, cells, strict=True) if cell == "yes"})
    return found


@pytest.mark.parametrize("name", SETS)
def test_the_command_of_the_notes_may_be_run_by_the_login_of_its_pod(
    helm: dict[str, dict[str, Any]], name: str
) -> None:
    notes = texts(helm[name])["jobstatus/templates/NOTES.txt"]
    ((component, command),) = re.findall(r"deploy/\S+-(\w+) -- jobstatus (.*)", notes)
    allowed = _may_run(command)
    assert len(allowed) == 2
    assert all(component in roles for roles in allowed), f"{command} in the {component}'s pod"


def test_the_console_answers_under_every_name_that_the_notes_and_the_probes_use() -> None:
    rendered = objects((GOLDEN / "full.yaml").read_text("utf-8"))
    (pod,) = [
        item["spec"]["template"]["spec"]
        for item in rendered
        if item["kind"] == "Deployment" and item["metadata"]["name"].endswith("-console")
    ]
    given = {item["name"]: item.get("value", "") for item in pod["containers"][0]["env"]}
    host, _, port = given["JOBSTATUS_CONSOLE_ADDRESS"].rpartition(":")
    access = Access(host, int(port), token="t" * 16, hosts=frozenset(given["JOBSTATUS_CONSOLE_HOSTS"].split(",")))
    for name in ("statuses.example.com", "console-jobstatus:9465", "127.0.0.1:9465", "localhost:9465"):
        assert access.allows_host(name), name
    assert not access.allows_host("evil.example")


def test_the_notes_offer_no_token_where_a_proxy_logs_users_in(helm: dict[str, dict[str, Any]]) -> None:
    assert "port-forward" not in texts(helm["mutual-tls"])["jobstatus/templates/NOTES.txt"]


def test_where_helms_library_cannot_be_had_the_suite_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = tmp_path / "requirements.txt"
    missing.write_text(f"{tmp_path}/none-1-py3-none-any.whl\n")
    monkeypatch.setattr(chart, "REQUIREMENTS", missing)
    monkeypatch.setattr(chart, "TOOLS", tmp_path)
    with pytest.raises(MissingPartError, match="Helm's library and the schemas of Kubernetes, and pip could not fetch"):
        chart.tools.__wrapped__()
    assert list(tmp_path.glob("*/complete")) == []
