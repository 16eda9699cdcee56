"""Which of the two wheels is installed: the compiled one for a platform, or the pure one for every platform."""

from __future__ import annotations

from importlib.machinery import ExtensionFileLoader
from importlib.metadata import version
from typing import Literal

from jobstatus_schemas import body


def built() -> Literal["compiled", "pure"]:
    """`compiled` if the module that reads and writes events was loaded from compiled code; else `pure`."""
    loader = getattr(body.__spec__, "loader", None)
    return "compiled" if isinstance(loader, ExtensionFileLoader) else "pure"


def build_labels() -> dict[str, str]:
    """The labels of a build metric: the installed version, and which wheel it is."""
    return {"version": version("jobstatus"), "built": built()}
