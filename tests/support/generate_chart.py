"""Writes what is made from the Helm chart: `python -m tests.support.generate_chart`.

These are the golden files of the tests, and infra/kubernetes/manifests. The tests hold both to the chart.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.chart import GOLDEN, MANIFESTS, SETS, manifests, rendered
from support.pages import ROOT


def main() -> None:
    """Write every file anew."""
    files = {GOLDEN / f"{name}.yaml": rendered(name) for name in SETS}
    files |= {MANIFESTS / name: text for name, text in manifests(rendered("default")).items()}
    for path, text in files.items():
        path.write_text(text, "utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
