"""The models that the reader ships are what the layout of the managed table makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.generate_models import MODELS


@pytest.mark.parametrize("path", MODELS, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_model_made_from_the_layout_is_what_the_layout_makes(path: Path) -> None:
    assert path.read_text("utf-8") == MODELS[path](), "run: python -m tests.support.generate_docs"
