"""Django in real servers and in a command: what is reported after a commit arrives, and nothing that is rolled back."""

from __future__ import annotations

import signal

import pytest
from integration.frameworks.conftest import MakeFramework
from support.framework import Framework
from support.web_load import load, post

PROJECT = """
import os
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="not a secret", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["jobstatus_producer.integrations.django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "own.sqlite3"}},
    JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=os.environ["SERVERS"], JOBSTATUS_TOPIC=os.environ["QUEUE"],
    JOBSTATUS_STATUSES=["processing", "success", "error"], JOBSTATUS_CLOSE_SECONDS=20,
)
django.setup()

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.http import HttpResponse
from django.urls import path
from jobstatus_producer import update_job_status
from jobstatus_producer.integrations.django import report_on_commit

def start(request, job_id):
    try:
        with transaction.atomic():
            report_on_commit(job_id, "processing", attempt=1)
            if job_id == "undone":
                raise ValueError
    except ValueError:
        return HttpResponse(status=202)
    update_job_status(job_id, "success")
    return HttpResponse(status=202)

urlpatterns = [path("<job_id>", start)]
wsgi, asgi = get_wsgi_application(), get_asgi_application()
"""
SERVERS = {
    "gunicorn": ("gunicorn", "jobs:wsgi", "--workers", "2", "--log-level", "warning", "-b"),
    "threads": ("gunicorn", "jobs:wsgi", "--threads", "4", "--log-level", "warning", "-b"),
    "uvicorn": ("uvicorn", "jobs:asgi", "--log-level", "warning", "--port"),
}


@pytest.fixture
def project(framework: MakeFramework) -> MakeFramework:
    def make(module: str) -> Framework:
        found = framework(module)
        found.environ["SERVERS"] = found.environ.pop("JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS")
        del found.environ["JOBSTATUS_TOPIC"]
        return found

    return make


@pytest.mark.parametrize(
    "server", ["gunicorn", *(pytest.param(name, marks=pytest.mark.long) for name in ("threads", "uvicorn"))]
)
def test_what_django_has_answered_under_load_is_reported_whole(
    project: MakeFramework, leased_port: int, server: str
) -> None:
    web, port = project(PROJECT), leased_port
    place = f"127.0.0.1:{port}" if SERVERS[server][-1] == "-b" else str(port)
    with web.worker(*SERVERS[server], place) as process, load(port) as sent:
        assert post(port, "undone") == 202
        sent.until_answered(100)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    found = web.shown()
    assert sent.answered - found.keys() == set()
    assert [job for job, statuses in found.items() if statuses != ["processing", "success"]] == []
    assert "undone" not in found


def test_a_command_of_django_flushes_at_its_end_and_its_settings_are_djangos(project: MakeFramework) -> None:
    web = project(PROJECT)
    code = (
        "import jobs\n"
        "from jobstatus_producer.functions import default_producer\n"
        "from jobstatus_producer.integrations.django import report_on_commit\n"
        "jobs.update_job_status('job-1', 'success')\n"
        "report_on_commit('job-2', 'error', 'why')\n"
        # a report that is not accepted breaks no transaction that is committed already
        "with jobs.transaction.atomic(): report_on_commit('job-3', 'unknown')\n"
        "print(default_producer().settings.close_seconds)"
    )
    assert web.python(code) == ["20.0"]
    assert web.shown() == {"job-1": ["success"], "job-2": ["error"]}
    assert web.errors()["job-2"] == "why"


def test_djangos_check_names_a_wrong_setting(project: MakeFramework) -> None:
    web = project(PROJECT.replace("JOBSTATUS_CLOSE_SECONDS=20", "JOBSTATUS_CLOSE_SECONDS='soon'"))
    code = (
        "import jobs\nfrom django.core.checks import run_checks\n"
        "print(*[(found.id, found.msg.split(':')[0]) for found in run_checks()])"
    )
    assert "".join(web.python(code)) == "('jobstatus.E001','JOBSTATUS_CLOSE_SECONDS')"
