"""A fixture ends when its scope says so: where there is no package, pytest keeps one of a package for the session."""

from __future__ import annotations

from support.pages import ROOT


def test_fixtures_of_a_package_are_in_one() -> None:
    found = [path for path in (ROOT / "tests").rglob("conftest.py") if 'scope="package"' in path.read_text("utf-8")]
    assert found
    assert [str(path) for path in found if not path.with_name("__init__.py").exists()] == []
