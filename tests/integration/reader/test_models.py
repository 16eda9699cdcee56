"""The models for SQLAlchemy and Django on a real table: what they read, and that an admin list never counts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from jobstatus_consumer.store import Store, migrate
from jobstatus_reader import JobStatusReader
from jobstatus_reader.sqlalchemy import JobColumns
from law.events import batch, event
from sqlalchemy import Engine, Text, create_engine, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from support.million import fill

PROJECT = """
import json, os, sys
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="not a secret", ROOT_URLCONF=__name__, DEBUG=True, ALLOWED_HOSTS=["testserver"], USE_TZ=True,
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.messages", "django.contrib.sessions", "jobstatus_reader.django"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request",
                                                   "django.contrib.auth.context_processors.auth",
                                                   "django.contrib.messages.context_processors.messages"]}}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "own.sqlite3"},
               "states": {"ENGINE": "django.db.backends.postgresql", **json.loads(os.environ["STATES"])}},
    JOB_STATES_DATABASE="states",
)
django.setup()

from django.contrib import admin
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from django.urls import path
from jobstatus_reader.django.models import Job

setup_test_environment()
urlpatterns = [path("admin/", admin.site.urls)]
LIST = "/admin/jobstatus_reader/job/"
found = {}

def refused(call):
    try:
        call()
    except TypeError as error:
        return str(error)

def logged_in():
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User
    client = Client()
    client.force_login(User.objects.create_superuser("me"))
    return client

def asked(client, url):
    with CaptureQueriesContext(connections["states"]) as queries:
        answer = client.get(url)
    return answer, [query["sql"] for query in queries.captured_queries]
"""
READS = """
job = Job.objects.get(job_id="job-17")
found["job"] = {field.name: str(getattr(job, field.name)) for field in Job._meta.fields}
found["none"] = Job.objects.filter(job_id="job-18").first() is None
found["refused"] = [refused(call) for call in (
    job.save, job.delete, lambda: Job.objects.create(job_id="x"), Job.objects.all().delete,
    lambda: Job.objects.update(status="x"), lambda: Job.objects.bulk_create([Job(job_id="x")]),
    lambda: Job.objects.get_or_create(job_id="x"))]
call_command("makemigrations", "--check", verbosity=0)
"""
LISTS = """
client = logged_in()
found["pages"] = {}
for name, query in {"all": "", "last": "?p=100", "one": "?q=job-0000017", "filter": "?status=error"}.items():
    answer, sql = asked(client, LIST + query)
    shown = answer.context["cl"]
    found["pages"][name] = {
        "code": answer.status_code, "count": shown.result_count, "rows": len(shown.result_list), "sql": sql,
        "says": "the first 10,000 in the order of their ids" in answer.content.decode()}
page = client.get(LIST + "job-0000017/change/")
found["detail"] = [page.status_code, "Save" in page.content.decode(), "Delete" in page.content.decode()]
found["others"] = [client.get(LIST + word).status_code for word in ("add/", "job-0000017/delete/")]
"""


class Base(DeclarativeBase):
    """Of the test."""


class Job(JobColumns, Base):
    """The managed table."""

    __tablename__ = "jobs"


class Order(JobColumns, Base):
    """A table of the user's own, which has our columns beside another one."""

    __tablename__ = "orders"
    __table_args__ = ({"schema": "shop"},)
    customer: Mapped[str] = mapped_column(Text)


@pytest.fixture
def url(database_url: str) -> str:
    """A database whose table has one job, as the consumer writes it."""
    migrate(database_url, "jobs")
    with Store(database_url, "jobs") as store:
        store.connect()
        store.write(batch([event("job-17", 0, status="success", attempt=2, error_message="at last")], ()))
    return database_url


def django(folder: Path, url: str, code: str) -> dict[str, Any]:
    """What a program with these lines has put into `found`."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    states = {names[key]: value for key, value in given.items() if key in names}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{PROJECT}\n{code}\nprint(json.dumps(found))"],
        cwd=folder,
        env={**os.environ, "STATES": json.dumps(states)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    found = create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
    yield found
    found.dispose()


def test_sqlalchemy_reads_a_row_as_the_reader_does(url: str, engine: Engine) -> None:
    with JobStatusReader(url) as reader, Session(engine) as session:
        job, ours = session.get(Job, "job-17"), reader.job("job-17")
        assert job is not None
        assert ours is not None
        assert {column.name: getattr(job, column.name) for column in Job.__table__.columns} == {
            name: getattr(ours, name) for name in ours.__slots__
        }
        assert session.scalars(select(Job.job_id).where(Job.status == "success")).all() == ["job-17"]


def test_sqlalchemys_types_are_those_of_the_table(engine: Engine) -> None:
    """So a tool that compares the models with the database, as Alembic does, finds nothing to change."""
    there = {column["name"]: column for column in inspect(engine).get_columns("jobs")}
    for column in Job.__table__.columns:
        found = there.pop(column.name)
        assert str(found["type"].compile(engine.dialect)) == str(column.type.compile(engine.dialect)), column.name
        assert found["nullable"] == column.nullable, column.name
    assert there == {}


def test_a_table_of_the_users_own_may_have_our_columns_beside_its_own(url: str, engine: Engine) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CREATE SCHEMA shop")
        migrate(url, "shop.orders")
        session.execute("ALTER TABLE shop.orders ADD customer text NOT NULL DEFAULT 'anybody'")
    with Store(url, "shop.orders") as store:
        store.connect()
        store.write(batch([event("job-17", 1, status="success")], ()))
    with Session(engine) as session:
        order = session.get(Order, "job-17")
        assert order is not None
        assert (order.status, order.customer) == ("success", "anybody")


def test_django_reads_a_row_and_writes_none(url: str, tmp_path: Path) -> None:
    found = django(tmp_path, url, READS)
    with JobStatusReader(url) as reader:
        ours = reader.job("job-17")
    assert ours is not None
    assert found["job"] == {name: str(getattr(ours, name)) for name in ours.__slots__}
    assert found["none"]
    assert [text.partition(":")[0] for text in found["refused"]] == ["a job's state is read-only here"] * 7


def test_the_admin_page_lists_many_jobs_without_counting_them_and_changes_none(url: str, tmp_path: Path) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(
            "INSERT INTO jobs (job_id, status) SELECT 'job-' || lpad(n::text, 7, '0'), "
            "CASE WHEN n % 10 = 0 THEN 'error' ELSE 'success' END FROM generate_series(1, 12000) AS n"
        )
    found = django(tmp_path, url, LISTS)
    pages = found["pages"]
    assert {name: (page["code"], page["count"], page["rows"], page["says"]) for name, page in pages.items()} == {
        "all": (200, 10_000, 100, True),
        "last": (200, 10_000, 100, True),
        "one": (200, 1, 1, True),
        "filter": (200, 1_200, 100, True),
    }
    _assert_bounded(pages)
    assert found["detail"] == [200, False, False]
    assert found["others"] == [403, 403]


@pytest.mark.long
def test_the_admin_page_lists_a_million_jobs(url: str, tmp_path: Path) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("TRUNCATE jobs")
    fill(url, "jobs")
    pages = django(tmp_path, url, LISTS)["pages"]
    assert {name: (page["code"], page["count"]) for name, page in pages.items()} == {
        "all": (200, 10_000),
        "last": (200, 10_000),
        "one": (200, 1),
        "filter": (200, 10_000),
    }
    _assert_bounded(pages)


def _assert_bounded(pages: dict[str, Any]) -> None:
    """Every statement of a list has an end, except the lookup of one job by its id."""
    for page in pages.values():
        assert page["sql"]
        for statement in page["sql"]:
            assert "LIMIT" in statement or '"jobs"."job_id" = ' in statement, statement
