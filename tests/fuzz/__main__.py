"""Fuzz the decoder: `python -m fuzz --count 1000000 --seed 1`, and with `--guided SECONDS` by coverage.

The first form runs anywhere. The second needs atheris, which it traces fastavro's pure-Python reader with
(`pip install atheris`); its corpus starts with real events.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

import click

SLOWEST_SECONDS = 1.0
GROWTH_KIB = 64 * 1024


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@click.command()
@click.option("--count", default=1_000_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--guided", type=float, default=0.0, help="Seconds of coverage-guided fuzzing instead.")
def main(count: int, seed: int, guided: float) -> None:
    """No crash, no hang, no growth, and both readers of fastavro agree."""
    if guided:
        _guided(guided, seed)
        return
    from fuzz.oracle import check
    from fuzz.payloads import payloads

    seen: Counter[str] = Counter()
    slowest, before, started = 0.0, 0, time.monotonic()
    for number, value in enumerate(payloads(count, seed)):
        at = time.monotonic()
        seen[check(value)] += 1
        slowest = max(slowest, time.monotonic() - at)
        if number == count // 10:
            before = _peak()
    growth = _peak() - before
    click.echo(
        f"{count:,} payloads in {time.monotonic() - started:.0f} s, the slowest {slowest * 1000:.1f} ms, "
        f"peak memory grew by {growth:,} KiB after the first tenth"
    )
    for what, times in seen.most_common():
        click.echo(f"  {what:<24}{times:>10,}")
    sys.exit(0 if slowest < SLOWEST_SECONDS and growth < GROWTH_KIB else 1)


def _guided(seconds: float, seed: int) -> None:
    import atheris

    # before anything else imports the reader: what is not instrumented tells the fuzzer nothing
    with atheris.instrument_imports(include=["fastavro", "jobstatus_schemas"]):
        from fuzz.oracle import check
        from fuzz.payloads import real
        from jobstatus_schemas.framing.single_object import HEADER_BYTES

    corpus = Path(tempfile.mkdtemp())
    rng = Random(seed)
    for number in range(200):
        (corpus / str(number)).write_bytes(real(rng)[HEADER_BYTES:])
    header = real(rng)[:HEADER_BYTES]  # without it nothing but its absence would ever be found
    atheris.Setup(
        ["fuzz", str(corpus), f"-max_total_time={seconds:.0f}", f"-seed={seed}", "-timeout=5", "-rss_limit_mb=1024"],
        lambda data: check(header + data) and None,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
