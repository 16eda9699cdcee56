"""The licences of the packages that the requirement files pin, against those that are allowed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from email.message import Message
from importlib.metadata import PackageNotFoundError, distributions, metadata
from typing import Any, Final

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from support.chart import tools
from support.installing import ROOT

FOLDER: Final = ROOT / "requirements"
RULES: Final[dict[str, Any]] = tomllib.loads((FOLDER / "licences.toml").read_text("utf-8"))
GROUPS: Final = ("shipped", "demo", "dev")
CLASSIFIERS: Final = {
    "Apache Software License": "Apache-2.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""Those that name one licence; "BSD License" may be one of several."""
UNKNOWN: Final = "unknown"


def pinned(file: str) -> list[str]:
    """The names of the packages in a requirement file."""
    return re.findall(r"^([a-z0-9.-]+)==", (FOLDER / file).read_text("utf-8"), re.MULTILINE)


def licence(name: str) -> str:
    """A package's licence in SPDX's words, or `unknown`: what a person read, else what its metadata says."""
    if name in RULES["read"]:
        return str(RULES["read"][name])
    try:
        return stated(metadata(name))  # type: ignore[arg-type]
    except PackageNotFoundError:
        # the tests of the chart have a folder of their own
        found = next(iter(distributions(name=name, path=[str(tools())])), None)
        return UNKNOWN if found is None else stated(found.metadata)  # type: ignore[arg-type]


def stated(fields: Message) -> str:
    """The licence that a package's metadata states, or `unknown`."""
    for text in (fields["License-Expression"], fields["License"]):
        try:
            return str(canonicalize_license_expression(text or ""))
        except InvalidLicenseExpression:
            continue
    ends = {line.rpartition(" :: ")[2] for line in fields.get_all("Classifier", []) if line.startswith("License ::")}
    known = {CLASSIFIERS.get(end, UNKNOWN) for end in ends - {"OSI Approved"}}
    return known.pop() if len(known) == 1 else UNKNOWN


def allows(expression: str, allowed: Collection[str]) -> bool:
    """Whether a user may take the package under allowed licences alone: all of an AND, one of an OR."""
    words = re.findall(r"[()]|[^\s()]+", expression)
    return _either(words, allowed) and not words


def _either(words: list[str], allowed: Collection[str]) -> bool:
    found = _both(words, allowed)
    while words[:1] == ["OR"]:
        del words[0]
        found |= _both(words, allowed)
    return found


def _both(words: list[str], allowed: Collection[str]) -> bool:
    found = _one(words, allowed)
    while words[:1] == ["AND"]:
        del words[0]
        found &= _one(words, allowed)
    return found


def _one(words: list[str], allowed: Collection[str]) -> bool:
    if words[0] != "(":
        return words.pop(0) in allowed
    del words[0]
    found = _either(words, allowed)
    del words[0]
    return found


def complaints(group: str, licences: Mapping[str, str]) -> Iterator[str]:
    """A line for each of these packages whose licence the group does not allow."""
    rules = RULES[group]
    for name, found in licences.items():
        if not allows(found, rules["allowed"]) and rules.get("exceptions", {}).get(name) != found:
            yield f"{name} has the licence {found}, which requirements/licences.toml does not allow in [{group}]"
