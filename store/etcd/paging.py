"""How large the pages of a list are: few enough questions, and answers well below gRPC's 4 MiB default.

Pure: learns from each answer how large entries are here, and shrinks when an answer was too large to take.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PAGE_BYTES", "PageSize", "prefix_range"]

PAGE_BYTES = 2 * 1024 * 1024
"""What a page should weigh; half of gRPC's usual limit, as entries differ in size."""
FIRST_PAGE = 256
"""Entries of the first page: 2 MiB even if each were 8 KiB."""
PAGE_MAX = 10_000
"""Entries of a page of tiny values."""
GROWTH_MAX = 8
"""A page may be this many times the last, so that small entries ahead of large ones mislead only a little."""


@dataclass(slots=True)
class PageSize:
    """The number of entries to ask for next."""

    limit: int = FIRST_PAGE
    """Entries of the next page."""

    def learn(self, entries: int, answer_bytes: int) -> None:
        """Takes note of an answer that came."""
        if entries:
            fitting = PAGE_BYTES * entries // max(answer_bytes, 1)
            self.limit = max(1, min(fitting, self.limit * GROWTH_MAX, PAGE_MAX))

    def shrink(self) -> bool:
        """Makes the next page smaller, since an answer was too large; False when it is one entry already."""
        if self.limit == 1:
            return False
        self.limit = max(1, self.limit // GROWTH_MAX)
        return True


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    """(first key, end) of everything under `prefix` + "/"; `/a/b` takes in `/a/b/c` and not `/a/bc`."""
    start = prefix.encode("utf-8", "surrogateescape") + b"/"
    return start, start[:-1] + b"0"  # "0" is the byte after "/"
