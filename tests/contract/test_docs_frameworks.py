"""The snippets of frameworks on a fresh machine: what is installed, and what their users have."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from importlib.metadata import requires
from typing import Any

import pytest
from packaging.requirements import Requirement
from support.pages import ROOT, blocks

PAGE = ROOT / "docs/how-to/frameworks.md"
INSTALLED = {
    "Celery": ("celery", "redis", "'jobstatus[celery]' 'celery[redis]'"),
    "RQ": ("rq", "redis", "'jobstatus[rq]'"),
    "Dramatiq": ("dramatiq", "redis", "'jobstatus[dramatiq]' 'dramatiq[redis]'"),
    "procrastinate": ("procrastinate", "psycopg[binary]", "'jobstatus[procrastinate]' 'psycopg[binary]'"),
    "arq": ("arq", "redis", "'jobstatus[arq]'"),
    "Huey": ("huey", "redis", "'jobstatus[huey]' redis"),
}
"""By section: the framework, what its snippet imports besides, and what the page has the reader install."""


def section(title: str) -> str:
    return PAGE.read_text("utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def brings(framework: str, driver: str) -> bool:
    """Whether the framework alone, without an extra, brings the driver with its extra."""
    wanted = Requirement(driver)
    found = [Requirement(line) for line in requires(framework) or ()]
    return any(
        line.name == wanted.name and wanted.extras <= line.extras
        for line in found
        if line.marker is None or line.marker.evaluate({"extra": ""})
    )


@pytest.mark.parametrize("title", INSTALLED)
def test_a_section_has_everything_installed_that_its_snippet_needs(title: str) -> None:
    framework, driver, install = INSTALLED[title]
    assert f"`pip install {install}`" in section(title)
    assert brings(framework, driver) == (install == f"'jobstatus[{framework}]'")


def test_the_id_of_a_scheduled_run_is_another_one_an_hour_later() -> None:
    (made,) = re.findall(r"job_id=(lambda job_id, scheduled: .+)\)\n", section("APScheduler"))
    job_id: Callable[[str, datetime], str] = eval(made)  # noqa: S307 - the text of our own page
    before, after = (datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=hours))) for hours in (2, 1))
    assert job_id("nightly", before) != job_id("nightly", after)


def test_djangos_settings_need_no_password_in_the_databases_url() -> None:
    page = ROOT / "docs/how-to/read-states.md"
    (snippet,) = [block.text for block in blocks(page) if "conninfo_to_dict" in block.text]
    code = snippet.split("django.setup()")[0] + "print(settings.DATABASES['default']['USER'])"
    environ: dict[str, Any] = {**os.environ, "JOBSTATUS_DATABASE_URL": "postgresql://postgres@/jobstatus"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("postgres\n", "")
