"""What is wrong with a deployment, for a person."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """What keeps a consumer from working, and the remedy; `may_pass` if it may also go away by itself."""

    what: str
    remedy: str
    may_pass: bool = False
