"""Compile the hot modules with mypyc while a wheel is built. It is off unless HATCH_BUILD_HOOK_ENABLE_CUSTOM is true.

Without it the wheel is pure, and building it needs no compiler. pyproject.toml lists the modules. They are copied to a
temporary folder and compiled there, so that nothing is written beside the sources: a checkout always runs the sources.
The folder's name is in no file that is made, so the same compiler and the same Python give the same bytes.

As a program it compiles modules of the working folder: python hatch_build.py INTO LEVEL MODULE.PY...
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GROUP: Final = "jobstatus"
"""All modules are compiled into one library of this name, `jobstatus__mypyc`; each module's own file only opens it."""
OPTIMIZED: Final = "2"
CONFIG: Final = "[mypy]\nfollow_imports = skip\nignore_missing_imports = true\ncache_dir = /dev/null\n"
"""`make check` has checked every type. Here the modules see each other alone, which takes a tenth of the time."""


class CompileHook(BuildHookInterface[Any]):
    """Adds a compiled file to the wheel for each module that pyproject.toml lists, beside the module's source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the files included. Blocks for a minute; raises `RuntimeError` with the tools' output."""
        if version == "editable":
            return
        self._folder = TemporaryDirectory()
        built = Path(self._folder.name)
        # mypyc and setuptools each take over the whole process that they run in
        command = [sys.executable, __file__, str(built), OPTIMIZED, *self.config["modules"]]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the modules were not compiled, so no wheel was built:\n{done.stdout}{done.stderr}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update(
            {str(path): str(path.relative_to(built)) for path in sorted(built.rglob("*")) if path.is_file()}
        )

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled: the wheel has it."""
        if version != "editable":
            self._folder.cleanup()


def _compile(into: Path, level: str, modules: Sequence[str]) -> None:
    """Write the compiled files of these modules below `into`."""
    from mypyc.build import mypycify
    from setuptools import setup

    with TemporaryDirectory() as folder:
        names = list(_copied(modules, Path(folder)))
        os.chdir(folder)
        Path("mypy.ini").write_text(CONFIG)
        # no debug information: it would hold the name of the folder
        extensions = mypycify(["--config-file", "mypy.ini", *names], group_name=GROUP, opt_level=level, debug_level="0")
        setup(name=GROUP, ext_modules=extensions, script_args=["-q", "build_ext", "--build-lib", str(into)])


def _copied(modules: Sequence[str], into: Path) -> Iterator[str]:
    """Copy each module, with the `__init__.py` of its packages, and yield its path below `into`."""
    for module in modules:
        # such as consumer/jobstatus_consumer/core/fold.py: the first part is no package
        source = Path(module)
        base, below = source.parts[0], source.relative_to(source.parts[0])
        (into / below).parent.mkdir(parents=True, exist_ok=True)
        for copied in (below, *(package / "__init__.py" for package in below.parents[:-1])):
            shutil.copyfile(base / copied, into / copied)
        yield str(below)


if __name__ == "__main__":
    _compile(Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3:])
