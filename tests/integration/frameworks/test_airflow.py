"""The recipe for Airflow, called as Airflow does: by a process that ends with `os._exit` after each callback."""

from __future__ import annotations

from integration.frameworks.conftest import MakeFramework
from support.pages import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "frameworks.md"
TASK = """
import os, sys
from types import SimpleNamespace
from jobs import default_args

what, number, error = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
ti = SimpleNamespace(dag_id="mail", run_id="manual__1", task_id="send", map_index=-1, try_number=number)
context = {"ti": ti, "exception": ValueError(*error)} if error else {"ti": ti}
default_args["on_execute_callback"]({"ti": ti})
default_args[what](context)
os._exit(0)
"""


def test_the_recipe_for_airflow_reports_each_try_of_a_task(framework: MakeFramework) -> None:
    (recipe,) = [block.text for block in blocks(PAGE) if "on_execute_callback" in block.text]
    airflow = framework(recipe)
    for arguments in (("on_retry_callback", "1", "not yet"), ("on_success_callback", "2")):
        airflow.python(f"import sys\nsys.argv[1:] = {list(arguments)!r}\n{TASK}")
    job = "mail/manual__1/send/-1"
    assert airflow.shown() == {job: ["processing", "retrying", "processing", "success"]}
    assert airflow.errors()[job] == "ValueError: not yet"
