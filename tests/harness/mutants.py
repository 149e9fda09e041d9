"""Objects changed at random: a field gone, or with a value at the edge of what is allowed."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence

from tests.harness.catalogs import Document
from tests.harness.fields import edited, places

__all__ = ["mutate"]

NUMBERS: tuple[object, ...] = (
    0, 1, 2, 100, 101, 65535, 65536, 2**31 - 1, 2**32 - 1, 2**32, -1, 0.5, 99.99,
)  # fmt: skip
DURATIONS = ("0s", "0.5ms", "1ms", "1s", "24h", "100000h", "876000h", "315576000000s")
TEXTS = (
    "", "*", "a", "A", "x" * 300, "a.b", "*.a.b", "10.0.0.1", "10.0.0.0/8", "::1", "fe80::/10", "/x",
    "a b", "é", "%", "%REQ(x)%", "a,b", ":path", "host", "[", "(?i)x", ".*", "\\1", "unix:///tmp/x",
    "0.0.0.0/0", "a/b", "//", "1",
)  # fmt: skip


def mutate(documents: Sequence[Document], dice: random.Random) -> list[Document]:
    """Copies of the documents with one to three fields changed."""
    made = [copy.deepcopy(dict(document)) for document in documents]
    for _ in range(dice.choice((1, 1, 2, 3))):
        index = dice.randrange(len(made))
        found = list(places(made[index].get("spec") or {}))
        if not found:
            continue
        steps, value = dice.choice(found)
        choices = _values(value)
        if dice.random() < 0.25 or not choices:
            made[index] = dict(edited(made[index], steps, None))
        else:
            made[index] = dict(edited(made[index], steps, (dice.choice(choices),)))
    return [*made]


def _values(value: object) -> Sequence[object]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int | float):
        return NUMBERS
    if isinstance(value, str):
        return DURATIONS if value[:1].isdigit() and value.endswith("s") else TEXTS
    if isinstance(value, list):
        return ([], value + value, value[:1] * 2, value[::-1])
    return ({},) if isinstance(value, dict) else ()
