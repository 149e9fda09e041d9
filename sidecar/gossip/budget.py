"""How much of something may be done: so many a second, and a stock for bursts. A token bucket without a clock."""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """The bucket; full at first.

    Args:
        per_s: What flows in each second.
        stock: What it holds at most.
    """

    def __init__(self, per_s: float, stock: float) -> None:
        self._per_s = per_s
        self._stock = stock
        self._left = stock
        self._at_s = float("-inf")

    def spend(self, now_s: float) -> bool:
        """Take one, if there is one left."""
        if now_s > self._at_s:
            if self._at_s > float("-inf"):
                self._left = min(self._stock, self._left + (now_s - self._at_s) * self._per_s)
            self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
