"""Django's settings as the producer's variables."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from jobstatus_producer.integrations.django import apps


def test_a_setting_that_is_none_leaves_the_variable_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBSTATUS_TOPIC", "from-the-environment")
    monkeypatch.delenv("JOBSTATUS_SPOOL_DIR", raising=False)
    given = SimpleNamespace(JOBSTATUS_TOPIC=None, JOBSTATUS_SPOOL_DIR=None, JOBSTATUS_STATUSES=["a", "b"])
    monkeypatch.setattr(apps, "settings", given)
    found = apps.environ()
    assert (found["JOBSTATUS_TOPIC"], found["JOBSTATUS_STATUSES"]) == ("from-the-environment", "a,b")
    assert "JOBSTATUS_SPOOL_DIR" not in found
