"""Writes what is made from the saved result: the model's constants and docs/scale.md.

`python -m tests.bench.scale.renew`; `make bench ARGS="scale --renew"` measures first. A test holds both files to this.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from typing import Any, Final
from unittest import mock

from click.testing import CliRunner
from jobstatus_consumer.capacity import COSTS, Cost, Costs
from jobstatus_consumer.cli.commands import main as jobstatus
from jobstatus_consumer.telemetry import logs

from ..place import CHECKOUT
from . import tables
from .fit import NEEDED, can_be_fitted, fit, predictions
from .result import SAVED, Result

PAGE: Final = CHECKOUT / "docs" / "scale.md"
CONSTANTS: Final = CHECKOUT / "consumer" / "jobstatus_consumer" / "capacity" / "measured.py"
_TABLE: Final = re.compile(r"(<!-- scale: (\w+) -->\n).*?(<!-- end -->)", re.S)
_PLAN: Final = re.compile(r"(```bash\n(jobstatus plan [^\n]*)\n```\n\n```text\n).*?(```)", re.S)
NOT_MEASURED: Final = "Not measured in this run."
_HEAD: Final = '''"""The constants of the model in `model.py`, made by `python -m tests.bench.scale.renew`.

They are the fit of `tests/bench/scale/fit.py` to `tests/bench/scale/result.json`, a run of `make bench ARGS=scale`.

{machine}

`batch` and `event` of `consumer`, `postgres`, `broker` and `wal` are from the part `batch`: what the processes used for
batches of 1, 10, 200 and 500 events at 0 ms. `idle` is what they used besides with batches of 1 and 10 at 5 ms, and
with eight consumers at 20 ms. `turn` is what a batch took at 5 ms beside the round trip and the commit, less what the
same batches took less at 0 ms. `commit_micros` is the difference of an update with a durable commit and one without.
`kilobyte` is from the part `rows`, `own_table` from the part `own`, `in_flight` from two batches in flight at 0 and
5 ms, `bend` from the part `batch`, and `burst` from eight consumers at 0, 5 and 20 ms.
"""

from __future__ import annotations

from typing import Final

from jobstatus_consumer.capacity.model import Cost, Costs

COSTS: Final = Costs(
'''


def constants(result: Result, costs: Costs) -> str:
    """The text of `measured.py`."""
    lines = [f"    {name}={_shown(value)},\n" for name, value in costs._asdict().items()]
    facts = textwrap.fill(f"Measured on: {tables.machine(result)}.", 118)
    return _HEAD.format(machine=facts) + "".join(lines) + ")\n"


def page(text: str, result: Result, costs: Costs) -> str:
    """The page with the tables of this result, and with what `jobstatus plan` prints."""
    made = {name: lines.markdown() for name, lines in tables.all_parts(result)}
    made["machine"] = tables.machine(result) + "."
    if result.rebalance:
        made["rebalance"] = tables.rebalances(result).markdown()
    made["model"] = tables.predicted(predictions(result.samples, costs, result.cores)).markdown()
    text = _TABLE.sub(lambda found: f"{found[1]}\n{made.get(found[2], NOT_MEASURED)}\n\n{found[3]}", text)
    return _PLAN.sub(lambda found: f"{found[1]}{printed(found[2])}{found[3]}", text)


def printed(line: str) -> str:
    """What this command prints now, whatever settings the environment has."""
    ours = dict.fromkeys(name for name in os.environ if name.startswith("JOBSTATUS_"))
    runner = CliRunner(env={**ours, "COLUMNS": "80"})
    # the log of this process stays as it is
    with mock.patch.object(logs, "set_up"):
        return runner.invoke(jobstatus, shlex.split(line)[1:], catch_exceptions=False).output


def _shown(value: Any) -> str:
    if isinstance(value, Cost):
        return "Cost(" + ", ".join(f"{name}={part!r}" for name, part in value._asdict().items()) + ")"
    return repr(value)


def save(result: Result) -> None:
    """Save this run over the older one, and write all that is made from it."""
    whole = result.over(Result.load()) if SAVED.exists() else result
    whole.save()
    if not can_be_fitted(whole.samples):
        sys.exit(f"saved, and nothing else was written: the fit also needs the parts of {', '.join(NEEDED)}")
    _run_self()


def _run_self(*arguments: str) -> None:
    """In a new process, which has the constants as they are now."""
    subprocess.run([sys.executable, "-m", "tests.bench.scale.renew", *arguments], check=True, cwd=CHECKOUT)


def main() -> None:
    """Write the constants, or with `--page` the page with them; without an argument both."""
    result = Result.load()
    if "--page" in sys.argv:
        PAGE.write_text(page(PAGE.read_text("utf-8"), result, COSTS), encoding="utf-8")
        return
    costs = fit(result.samples, result.commit_micros, result.cores)
    CONSTANTS.write_text(constants(result, costs), encoding="utf-8")
    _run_self("--page")


if __name__ == "__main__":
    main()
