"""When Python collects cycles of garbage: never while a state of the mesh is taken in, and never through all of it.

A collection walks everything that was made since the last one. Loading a mesh of 10,000 services makes millions of
values that live long: collections took half of that time, and one in the middle of a change made it late. A load
leaves a few dozen cycles behind; so what lives when it is done is set aside (`gc.freeze`) without looking.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Collection"]

STEP_KEYS = 1_000
"""Growth, in keys of the store, after which what lives is set aside anew; a cycle that lives then is never freed."""


class Collection:
    """Governs the collector of this process; begins without any collection, until the first load is over."""

    def __init__(self) -> None:
        self._set_aside: int | None = None
        gc.disable()

    @contextmanager
    def paused(self, keys: int) -> Iterator[None]:
        """Collect nothing within; afterwards set aside what lives, when the mesh has grown since that was done.

        Args:
            keys: How many keys the state has that is taken in.
        """
        gc.disable()
        try:
            yield
        finally:
            if self._set_aside is None or abs(keys - self._set_aside) >= STEP_KEYS:
                self._set_aside = keys
                gc.freeze()
            gc.enable()
