"""The seeded order of the faults: every kind comes before any comes again, some of them two at once. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Final

Step = tuple[str, ...]
AT_ONCE: Final = 0.3
"""How often a second fault, of another kind, comes with the first."""


def steps(seed: int, kinds: Mapping[str, str]) -> Iterator[Step]:
    """Steps without an end, the same ones for the same seed; `kinds`: the fault's name to what it takes away."""
    chance = random.Random(seed)
    while True:
        bag = chance.sample(sorted(kinds), len(kinds))
        while bag:
            yield _step(bag, kinds, chance)


def _step(bag: list[str], kinds: Mapping[str, str], chance: random.Random) -> Step:
    first = bag.pop()
    others = [name for name in bag if kinds[name] != kinds[first]]
    if not others or chance.random() >= AT_ONCE:
        return (first,)
    second = chance.choice(others)
    bag.remove(second)
    return first, second
