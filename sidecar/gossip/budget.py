"""How much may be done: so many a second with a stock for bursts, or one after another, each as long as it costs."""

from __future__ import annotations

__all__ = ["Budget", "Pace"]


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


class Pace:
    """Bytes at a steady rate: whoever sends goes into debt, and sends again when that is paid.

    Args:
        bytes_per_s: What is paid each second.
    """

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self.paid_s = float("-inf")
        """When all that was sent is paid."""

    def is_paid(self, now_s: float) -> bool:
        """Whether more may be sent."""
        return now_s >= self.paid_s

    def pay(self, sent_bytes: int, now_s: float) -> None:
        """So much was sent."""
        self.paid_s = max(now_s, self.paid_s) + sent_bytes / self._bytes_per_s
