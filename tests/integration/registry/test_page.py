"""Every command of the page on the schema registry, in its order, and what it says that they print."""

from __future__ import annotations

import shlex

import pytest
from integration.docs.test_snippets import shape
from jobstatus_producer.delivery import schema_ids
from support.apicurio import Registry
from support.deployment import Deployment
from support.inside import run_inside
from support.pages import ROOT, Block, blocks
from support.registry_gate import Gate

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

PAGE = ROOT / "docs" / "how-to" / "schema-registry.md"


def printed_by(deployed: Deployment, block: Block) -> str:
    """`export` lasts, and a line with a command of ours runs inside this process."""
    printed = ""
    for line in block.text.splitlines():
        words = shlex.split(line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            deployed.more[name] = value
        else:
            assert words[0] == "jobstatus", line
            printed += run_inside(deployed, *words[1:]).stdout
    return printed.replace(deployed.topic, "job-status")


def test_the_commands_of_the_page_run_and_print_what_it_says(
    deployed: Deployment, registry: Registry, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_ids, "_KNOWN", {})
    assert registry.url.endswith("/apis/ccompat/v7")
    deployed.more["JOBSTATUS_SCHEMA_REGISTRY_URL"] = gate.url
    printed: str | None = None
    for block in blocks(PAGE):
        if block.runs:
            printed = printed_by(deployed, block)
        elif block.language == "text" and block.follows and printed is not None:
            missing = [line for line in shape(block.text) if line not in shape(printed)]
            assert missing == [], f"line {block.line} is not what is printed:\n{printed}"
        else:
            printed = None
