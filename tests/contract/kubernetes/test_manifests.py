"""What every rendered object must have: the checks of this project, on the golden files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.stream.app import CLOSE_SECONDS
from jobstatus_consumer.stream.pipeline import STOP_WAIT
from jobstatus_schemas.protocol import ALL_ENV, ENV_PREFIX, KAFKA_ENV_PREFIX
from support.chart import GOLDEN, MANIFESTS, SETS, objects, values_of
from support.command_line import parse
from support.docker_files import final_stage

Object = dict[str, Any]
LIBPQ: Final = {"PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"}
MOUNTED: Final = "/etc/jobstatus/"
ADDRESSES: Final = {"JOBSTATUS_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL"}
"""No secrets: where tokens are made."""
SECRET: Final = re.compile("password|secret|token|key", re.I)


@cache
def of(name: str) -> list[Object]:
    return objects((GOLDEN / f"{name}.yaml").read_text("utf-8"))


@cache
def everything() -> list[Object]:
    plain = [item for path in MANIFESTS.glob("*.yaml") for item in objects(path.read_text("utf-8"))]
    return [item for name in SETS for item in of(name)] + plain


def pod_of(item: Object) -> Object:
    found: Object = item["spec"] if item["kind"] == "Pod" else item["spec"]["template"]["spec"]
    return found


def pods() -> Iterator[Object]:
    for item in everything():
        if item["kind"] in ("Deployment", "Job", "Pod"):
            yield pod_of(item)


def containers() -> Iterator[Object]:
    for pod in pods():
        yield from pod.get("initContainers", [])
        yield from pod["containers"]


def deployments(component: str) -> Iterator[Object]:
    for item in everything():
        if item["kind"] == "Deployment" and item["metadata"]["labels"]["app.kubernetes.io/component"] == component:
            yield item


def variables(container: Object) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in container["env"]}


# -- it fits the code --------------------------------------------------------------------------------------------------


def test_every_command_line_exists() -> None:
    assert {parse(container["args"]).name for container in containers()} == {
        "create",
        "migrate",
        "consume",
        "console",
        "check",
    }


def test_every_variable_is_a_setting_or_one_of_libpq() -> None:
    for name in {name for container in containers() for name in variables(container)}:
        assert name in ALL_ENV or name.startswith(KAFKA_ENV_PREFIX) or name in {*LIBPQ, "POD_IP"}


def test_no_variable_is_given_twice() -> None:
    for container in containers():
        assert len(variables(container)) == len(container["env"])


def test_every_set_of_settings_is_accepted_by_the_code(tmp_path: Path) -> None:
    for container in containers():
        given = {}
        for name, value in variables(container).items():
            if value.startswith(MOUNTED):
                path = tmp_path / value.removeprefix(MOUNTED)
                path.parent.mkdir(exist_ok=True)
                path.write_text("user:password")
                value = str(path)
            if name.startswith(ENV_PREFIX):
                given[name] = value
        assert load_settings(given).bootstrap_servers == given["JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS"]


def test_every_file_that_a_variable_names_is_mounted() -> None:
    for pod in pods():
        volumes = {item["name"]: (item.get("secret") or item["configMap"])["items"] for item in pod["volumes"]}
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            folders = {item["mountPath"]: volumes[item["name"]] for item in container["volumeMounts"]}
            there = {f"{folder}/{item['path']}" for folder, items in folders.items() for item in items}
            named = {value for value in variables(container).values() if value.startswith("/")}
            assert named <= there
            assert len(folders) == len(volumes)
            # a file that is mounted by subPath never changes
            assert all("subPath" not in item and item["readOnly"] for item in container["volumeMounts"])


def test_no_secret_is_in_a_variable() -> None:
    for container in containers():
        secret = [name for name in variables(container) if SECRET.search(name) and name not in ADDRESSES]
        assert [name for name in secret if not name.endswith(("_FILE", "_LOCATION")) and name not in LIBPQ] == []
        assert "postgresql://" not in str(container["env"])


# -- nothing more than it needs ----------------------------------------------------------------------------------------


def test_every_pod_is_unprivileged() -> None:
    user, group = (int(part) for part in final_stage().only("USER").split(":"))
    for pod in pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (user, group, group)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


def test_every_container_is_unprivileged_and_bounded() -> None:
    for container in containers():
        security = container["securityContext"]
        assert security == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert "command" not in container, "the image's entry point is jobstatus"


def test_a_mounted_secret_is_readable_for_the_group_alone() -> None:
    modes = {item["secret"]["defaultMode"] for pod in pods() for item in pod["volumes"] if "secret" in item}
    assert modes == {0o440}


def test_no_service_has_a_name_that_would_set_our_variables() -> None:
    services = [item["metadata"]["name"] for item in everything() if item["kind"] == "Service"]
    assert services
    assert not [name for name in services if name.replace("-", "_").upper().startswith(ENV_PREFIX.rstrip("_"))]


def test_the_console_has_a_login_of_its_own() -> None:
    for name in ("full", "mutual-tls"):
        used = {
            item["metadata"]["name"]: [volume["secret"]["secretName"] for volume in pod_of(item)["volumes"][:1]]
            for item in of(name)
            if item["kind"] == "Deployment"
        }
        assert used["jobstatus-console"] != used["jobstatus-consumer"]


def test_each_network_policy_is_for_one_component_and_lets_in_only_who_is_named() -> None:
    policies = {item["metadata"]["name"]: item["spec"] for item in of("full") if item["kind"] == "NetworkPolicy"}
    assert {name: len(spec["ingress"]) for name, spec in policies.items()} == {
        "jobstatus-consumer": 1,
        "jobstatus-console": 1,
        "jobstatus-setup": 0,
        "jobstatus-test": 0,
    }
    for spec in policies.values():
        ports = [port["port"] for rule in spec["egress"] for port in rule["ports"]]
        assert ports == [53, 53, 9092, 5432, 443]
        assert spec["policyTypes"] == ["Ingress", "Egress"]


# -- probes, stops, and roll-outs --------------------------------------------------------------------------------------


def test_every_deployment_has_three_probes_of_its_own_port() -> None:
    for item in (*deployments("consumer"), *deployments("console")):
        (container,) = pod_of(item)["containers"]
        (port,) = container["ports"]
        address = variables(container)
        listens = {"http": "JOBSTATUS_HTTP_ADDRESS", "console": "JOBSTATUS_CONSOLE_ADDRESS"}[port["name"]]
        assert address[listens] == f"0.0.0.0:{port['containerPort']}"
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[kind]["httpGet"]["port"] == port["name"]


def test_a_consumer_that_waits_for_its_database_is_never_restarted() -> None:
    for item in deployments("consumer"):
        (container,) = pod_of(item)["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        probe, waits = container["startupProbe"], float(variables(container)["JOBSTATUS_WAIT_FOR_DATABASE"])
        assert probe["periodSeconds"] * probe["failureThreshold"] >= waits + 30
        assert item["spec"]["progressDeadlineSeconds"] > probe["periodSeconds"] * probe["failureThreshold"] - 60


def test_a_consumer_gets_the_time_that_a_clean_stop_takes() -> None:
    for item in deployments("consumer"):
        assert pod_of(item)["terminationGracePeriodSeconds"] >= STOP_WAIT + CLOSE_SECONDS + 5


def test_consumers_are_replaced_one_by_one_and_an_eviction_never_waits_for_a_sick_one() -> None:
    for item in deployments("consumer"):
        rolling = item["spec"]["strategy"]["rollingUpdate"]
        assert rolling["maxUnavailable"] == 1 - rolling["maxSurge"], "a surge would end the only old pod at once"
    budgets = [item["spec"] for item in everything() if item["kind"] == "PodDisruptionBudget"]
    assert len(budgets) == len(list(deployments("consumer")))
    for budget in budgets:
        assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_consumers_are_spread_over_machines_and_zones() -> None:
    for item in deployments("consumer"):
        found = {rule["topologyKey"]: rule for rule in pod_of(item)["topologySpreadConstraints"]}
        assert found.keys() == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        labels = item["spec"]["template"]["metadata"]["labels"]
        assert all(rule["labelSelector"]["matchLabels"].items() <= labels.items() for rule in found.values())


def test_every_selector_matches_the_pods_of_one_component() -> None:
    for name in SETS:
        labels = [item["spec"]["template"]["metadata"]["labels"] for item in of(name) if item["kind"] == "Deployment"]
        for item in of(name):
            selector = item.get("spec", {}).get("selector", {})
            wanted = selector.get("matchLabels", selector)
            matched = [found for found in labels if wanted.items() <= found.items()]
            assert not wanted or len(matched) == 1, item["metadata"]["name"]


@pytest.mark.parametrize("name", SETS)
def test_what_the_setup_needs_is_there_before_it(name: str) -> None:
    hooks = {
        (item["kind"], item["metadata"]["name"]): int(item["metadata"]["annotations"]["helm.sh/hook-weight"])
        for item in of(name)
        if "pre-install" in item["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    }
    (job,) = [item for item in of(name) if item["kind"] == "Job"]
    assert hooks[("Job", job["metadata"]["name"])] == 0
    maps = {volume["configMap"]["name"] for volume in pod_of(job)["volumes"] if "configMap" in volume}
    made = {item["metadata"]["name"] for item in of(name) if item["kind"] == "ConfigMap"}
    for needed in maps & made:
        assert hooks[("ConfigMap", needed)] < 0
    assert all(weight < 0 for (kind, _), weight in hooks.items() if kind != "Job")


def test_a_wrong_setting_ends_the_setup_at_once_and_nothing_else_does() -> None:
    for job in (item for item in everything() if item["kind"] == "Job"):
        (rule,) = job["spec"]["podFailurePolicy"]["rules"]
        assert (rule["action"], rule["onExitCodes"]) == (
            "FailJob",
            {"operator": "In", "values": [click.UsageError.exit_code]},
        )
        assert job["spec"]["backoffLimit"] > 0
        assert pod_of(job)["restartPolicy"] == "Never"


@pytest.mark.parametrize("name", SETS)
def test_no_policy_or_map_of_a_hook_outlives_its_hook(name: str) -> None:
    for item in of(name):
        annotations = item["metadata"].get("annotations", {})
        if "helm.sh/hook" in annotations and item["kind"] not in ("Job", "Pod"):
            policy = annotations["helm.sh/hook-delete-policy"].split(",")
            assert {"hook-succeeded", "hook-failed"} <= set(policy), item["metadata"]["name"]


def test_the_topics_are_made_as_the_values_say() -> None:
    arguments = next(
        container["args"]
        for item in of("own-table")
        if item["kind"] == "Job"
        for container in pod_of(item)["initContainers"]
    )
    topic = values_of("own-table")["topic"]
    assert f"--partitions={topic['partitions']}" in arguments
    assert f"--retention-days={topic['retentionDays']}" in arguments
    assert "--replication" not in " ".join(arguments), "a broker alone refuses three copies; the command adapts"
