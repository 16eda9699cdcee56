"""docs/scale.md and the constants of the model are what the saved run of the bench makes of them."""

from __future__ import annotations

import re

from bench.scale.fit import WITHIN, fit, predictions
from bench.scale.renew import CONSTANTS, PAGE, constants, page, printed
from bench.scale.result import Result
from jobstatus_consumer.capacity import COSTS, MOST_WAL
from jobstatus_consumer.capacity.sizing import FILLED, MOST_CORES

AGAIN = "run: .venv/bin/python -m tests.bench.scale.renew"
TEXT = PAGE.read_text("utf-8")
RESULT = Result.load()


def test_the_constants_are_the_fit_of_the_saved_run() -> None:
    costs = fit(RESULT.samples, RESULT.commit_micros, RESULT.cores)
    assert costs == COSTS, AGAIN
    assert CONSTANTS.read_text("utf-8") == constants(RESULT, costs), AGAIN


def test_the_tables_are_those_of_the_saved_run_and_the_plans_what_is_printed() -> None:
    assert page(TEXT, RESULT, COSTS) == TEXT, AGAIN


def test_every_part_has_its_table() -> None:
    tables = re.findall(r"<!-- scale: (\w+) -->\n\n(.*?)\n\n<!-- end -->", TEXT, re.S)
    names = {name for name, _ in tables}
    parts = {"consumers", "batch", "window", "held_out", "partitions", "rows", "repeats", "table", "indexes", "own"}
    assert names == {"machine", "model", "rebalance", *parts}
    assert [name for name, text in tables if not text.strip()] == []


def test_every_plan_on_the_page_is_run() -> None:
    plans = re.findall(r"^(jobstatus plan .*)$", TEXT, re.MULTILINE)
    assert len(plans) >= 4
    for line in plans:
        assert f"{line}\n```\n\n```text\n{printed(line)}```" in TEXT, AGAIN


def test_the_page_names_the_bounds_of_one_server() -> None:
    assert f"{FILLED * MOST_CORES:.0f} cores at work ({FILLED:.0%} of {MOST_CORES})".replace("%", " %") in TEXT
    assert f"{MOST_WAL / 1e6:.0f} MB of WAL a second" in TEXT


def test_the_model_predicts_what_it_has_not_seen() -> None:
    found = predictions(RESULT.samples, COSTS, RESULT.cores)
    assert len(found) > 30
    assert [item.key for item in found if abs(item.ratio - 1) > WITHIN] == []
    assert f"| {found[0].key} | {found[0].ratio:.2f} |" in TEXT
