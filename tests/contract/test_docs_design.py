"""docs/design.md says of the rule and of folding what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jobstatus_consumer.core.fold import merges
from jobstatus_consumer.core.rule import advance, decide
from support.examples import FoldExample, RuleExample, fold_examples, rule_examples

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "design.md").read_text("utf-8")
FILE_MAP = TEXT.split("## File map")[1].split("\n## ")[0]
CONSUMER = ROOT / "consumer" / "jobstatus_consumer"


@pytest.mark.parametrize("example", rule_examples(), ids=lambda example: example.clause)
def test_an_example_of_the_rule_is_what_the_rule_does(example: RuleExample) -> None:
    assert decide(example.before, example.event) == example.outcome
    assert advance(example.before, example.event) == example.after


def test_every_clause_and_every_outcome_has_an_example() -> None:
    examples = rule_examples()
    assert {example.clause[0] for example in examples} >= {"1", "2", "3", "4"}
    outcomes = {example.outcome for example in examples}
    assert outcomes == {"applied", "redelivered", "lower_attempt", "late", "other_log"}


@pytest.mark.parametrize("example", fold_examples(), ids=lambda example: example.why)
def test_an_example_of_folding_is_what_folding_does(example: FoldExample) -> None:
    assert merges(example.first, example.second) is example.merged


def test_the_file_map_names_every_module_of_the_consumer() -> None:
    modules = {path.name for path in CONSUMER.glob("*.py")} - {"__init__.py"}
    packages = {f"{path.parent.name}/" for path in CONSUMER.glob("*/__init__.py")}
    missing = {name for name in modules | packages if f"`{name}`" not in FILE_MAP}
    assert missing == set(), "each wants a line in the file map of docs/design.md"


def test_what_the_file_map_names_is_there() -> None:
    names = [
        name
        for line in FILE_MAP.splitlines()
        if line.startswith("| `")
        for name in re.findall("`([^`]+)`", line.split(" | ")[0])
    ]
    assert len(names) > 15
    for name in names:
        assert any((base / name).exists() for base in (ROOT, CONSUMER)), name
