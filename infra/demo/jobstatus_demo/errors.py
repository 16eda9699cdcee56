"""What ends a demo early."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot continue. The text is for the person who started it.

    Attributes:
        exit_code: what the command should exit with: 2 for a wrong setting, else 1.
    """

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code
