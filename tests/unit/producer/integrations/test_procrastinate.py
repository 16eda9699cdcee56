"""procrastinate's own Django app."""

from __future__ import annotations

from typing import Any

import procrastinate
import pytest
from jobstatus_producer.integrations.procrastinate import report_jobs
from procrastinate.contrib.django import procrastinate_app
from procrastinate.testing import InMemoryConnector
from support.kept import Kept


def test_the_stand_in_of_django_is_refused_and_the_app_that_it_stands_for_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = procrastinate.App(connector=InMemoryConnector())
    for current in (procrastinate_app.current_app, real):
        monkeypatch.setattr(procrastinate_app, "current_app", current)
        with pytest.raises(TypeError, match="PROCRASTINATE_ON_APP_READY"):
            report_jobs(procrastinate_app.app)
    kept: Any = Kept()
    report_jobs(real, kept)
    real.configure_task("job", allow_unknown=True).defer()
    assert [report[1] for report in kept.reports] == ["pending"]
