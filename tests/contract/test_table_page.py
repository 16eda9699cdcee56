"""docs/reference/table.md names the columns of the layout, with their types."""

from __future__ import annotations

import re
from pathlib import Path

from jobstatus_consumer.store.layout import MANAGED

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "table.md"


def test_the_page_has_every_column_in_its_order_with_its_type() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (text|integer|timestamptz|uuid|bigint)\b", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [(column.name, column.type.name) for column in MANAGED.columns]
