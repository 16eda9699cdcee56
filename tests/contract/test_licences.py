"""Every dependency has a licence that requirements/licences.toml allows."""

from __future__ import annotations

import re
from email.message import Message

import pytest
from support.installing import ROOT
from support.licences import FOLDER, GROUPS, RULES, allows, complaints, licence, pinned, stated

VENDORED = ROOT / "consumer" / "jobstatus_consumer" / "console" / "static" / "vendor"


@pytest.mark.parametrize("group", GROUPS)
def test_every_package_has_a_licence_that_is_allowed(group: str) -> None:
    licences = {name: licence(name) for file in RULES[group]["files"] for name in pinned(file)}
    assert "\n".join(complaints(group, licences)) == ""
    assert licences


def test_every_requirement_file_is_in_one_group() -> None:
    files = [file for group in GROUPS for file in RULES[group]["files"]]
    assert sorted(files) == sorted(path.name for path in FOLDER.glob("*.txt"))


def test_no_rule_is_left_over() -> None:
    assert set(RULES["read"]) <= {name for group in GROUPS for file in RULES[group]["files"] for name in pinned(file)}
    for group in GROUPS:
        here = {name for file in RULES[group]["files"] for name in pinned(file)}
        needed = {name for name in here if not allows(licence(name), RULES[group]["allowed"])}
        assert set(RULES[group]["exceptions"]) == needed, group


def test_a_licence_that_is_not_allowed_is_named_with_its_package() -> None:
    found = list(complaints("shipped", {"click": "BSD-3-Clause", "evil": "AGPL-3.0-only", "new": "unknown"}))
    assert found == [
        "evil has the licence AGPL-3.0-only, which requirements/licences.toml does not allow in [shipped]",
        "new has the licence unknown, which requirements/licences.toml does not allow in [shipped]",
    ]


def test_an_exception_holds_for_its_licence_alone() -> None:
    assert list(complaints("shipped", {"psycopg": "LGPL-3.0-only"})) == []
    assert len(list(complaints("shipped", {"psycopg": "GPL-3.0-only"}))) == 1


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only AND (MIT OR Apache-2.0)", False),
        ("Apache-2.0 AND (MIT OR GPL-3.0-only)", True),
        ("GPL-3.0-only OR Apache-2.0 AND MIT", True),
    ],
)
def test_of_an_or_one_licence_must_be_allowed_and_of_an_and_all(expression: str, *, allowed: bool) -> None:
    assert allows(expression, ["MIT", "Apache-2.0"]) == allowed


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([("License-Expression", "MIT OR Apache-2.0"), ("License", "GPL")], "MIT OR Apache-2.0"),
        ([("License", "BSD-3-Clause"), ("Classifier", "License :: OSI Approved :: BSD License")], "BSD-3-Clause"),
        ([("Classifier", "License :: OSI Approved :: MIT License")], "MIT"),
        ([("License", "New BSD"), ("Classifier", "License :: OSI Approved :: BSD License")], "unknown"),
        (
            [
                ("Classifier", "License :: OSI Approved :: MIT License"),
                ("Classifier", "License :: OSI Approved :: GNU General Public License v2 (GPLv2)"),
            ],
            "unknown",
        ),
        ([("Name", "a")], "unknown"),
    ],
)
def test_metadata_that_names_no_one_licence_is_unknown(fields: list[tuple[str, str]], found: str) -> None:
    message = Message()
    for name, value in fields:
        message[name] = value
    assert stated(message) == found


def test_what_is_copied_into_the_wheel_brings_its_licence() -> None:
    copied = {path.name.split(".")[0] for path in VENDORED.iterdir()}
    assert copied == {"uplot"}
    assert "MIT License" in (VENDORED / "uplot.license.txt").read_text("utf-8")


def test_the_page_names_the_exceptions_of_what_is_shipped() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text("utf-8").partition("## Licences")[2]
    named = set(re.findall(r"`([a-z-]+)` \((?:LGPL|MPL)", text))
    assert named == set(RULES["shipped"]["exceptions"])
