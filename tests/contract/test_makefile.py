"""`make suite`, the tests of `make test`: when what failed gets a second look, and what the run then is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.installing import ROOT

WHOLE = "-m pytest -n 8"
AGAIN = "-m pytest --last-failed --last-failed-no-failures none"


@pytest.mark.parametrize(
    ("first", "second", "passes", "calls"),
    [
        (pytest.ExitCode.OK, pytest.ExitCode.OK, True, [WHOLE]),
        (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.OK, True, [WHOLE, AGAIN]),
        (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.TESTS_FAILED, False, [WHOLE, AGAIN]),
        (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED, False, [WHOLE, AGAIN]),
        (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.OK, False, [WHOLE]),
        (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.OK, False, [WHOLE]),
        (pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.OK, False, [WHOLE]),
    ],
)
def test_what_failed_has_one_second_look_and_a_run_that_did_not_end_has_none(
    tmp_path: Path, first: int, second: int, passes: bool, calls: list[str]
) -> None:
    python, noted = tmp_path / "python", tmp_path / "calls"
    python.write_text(
        f'#!/bin/sh\necho "$*" >> {noted}\ncase "$*" in *last-failed*) exit {second};; esac\nexit {first}\n'
    )
    python.chmod(0o755)
    make = shutil.which("make")
    assert make is not None
    # without what a make above this process says to its children
    environ = {"PATH": os.environ["PATH"]}
    command = [make, "suite", f"BIN={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode == 0, noted.read_text("utf-8").splitlines()) == (passes, calls)
    assert done.stdout == "a second look at what failed, alone:\n" * calls.count(AGAIN)
