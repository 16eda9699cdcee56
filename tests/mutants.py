"""Break the law on purpose, one clause at a time, and see that the tests notice.

    python tests/mutants.py              all of tests/mutants.txt
    python tests/mutants.py sql fold     those whose name begins so

Works on a copy in a temporary folder. Prints a verdict for each and exits with 1 if one survives. Not part of
`make test`: it takes minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("consumer", "schemas", "producer", "infra/local", "infra/demo")
# the first failure is enough: no shrinking, and nothing remembered from one mutant to the next
PROFILE = """
from hypothesis import Phase, settings
settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), database=None)
settings.load_profile("mutants")
"""


class Mutant(NamedTuple):
    """In `file` the text `old`, which must be there exactly once, becomes `new`; `tests` should notice."""

    name: str
    file: str
    tests: tuple[str, ...]
    old: str
    new: str


def mutants(text: str) -> Iterator[Mutant]:
    """Read the list; its first lines say how it is written."""
    for section in text.split("\n=== ")[1:]:
        head, *blocks = section.strip().split("\n\n")
        file, *tests = head.split()
        for block in blocks:
            name, *lines = block.split("\n")
            old, new = ("\n".join(line[2:] for line in lines if line.startswith(sign)) for sign in "-+")
            yield Mutant(name.removeprefix("# "), file, tuple(tests), old, new)


def main(wanted: list[str]) -> int:
    """Run the mutants and print the verdicts."""
    every = mutants((ROOT / "tests" / "mutants.txt").read_text(encoding="utf-8"))
    chosen = [mutant for mutant in every if not wanted or mutant.name.startswith(tuple(wanted))]
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        _copy(copy)
        for number, mutant in enumerate(chosen, 1):
            started = time.monotonic()
            caught = _caught(copy, mutant)
            if not caught:
                survivors.append(mutant.name)
            seconds = time.monotonic() - started
            print(f"{number:3}/{len(chosen)} {seconds:5.1f} s  {mutant.name}: {caught or 'SURVIVED'}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} caught")
    for name in survivors:
        print(f"  survived: {name}")
    return 1 if survivors else 0


def _copy(target: Path) -> None:
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)
    (target / "mutants_profile.py").write_text(PROFILE)


def _caught(copy: Path, mutant: Mutant) -> str:
    """The test that failed under the mutant; empty if none did."""
    path = copy / mutant.file
    original = path.read_text(encoding="utf-8")
    if original.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: its text is {original.count(mutant.old)} times in {mutant.file}")
    path.write_text(original.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return _first_failure(copy, mutant.tests)
    finally:
        path.write_text(original, encoding="utf-8")


def _first_failure(copy: Path, tests: tuple[str, ...]) -> str:
    # in the order of the files, which begin with what is quick
    options = ("-x", "-q", "-p", "no:randomly", "-p", "mutants_profile")
    command = [sys.executable, "-m", "pytest", *options, *tests]
    paths = os.pathsep.join(str(copy / name) for name in (".", *PACKAGES))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode == 0:
        return ""
    failed = [line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if not failed:
        raise SystemExit(f"no test failed, yet pytest did:\n{done.stdout}{done.stderr}")
    return "caught by " + failed[0].split(maxsplit=1)[1].rsplit("/", 1)[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
