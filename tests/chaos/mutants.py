"""Bugs that are sown on purpose: a copy of the sources with one of them must be found out by the right checker.

Each mutant is text in the place of other text of one file, which has to be there exactly once: a mutant that no longer
fits says so. The copy runs in a directory of its own, in front of the installed sources.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MUTANTS", "Mutant", "sow"]

TOP = Path(__file__).parents[2]
ROOMS = ("store", "sidecar", "meshd", "chaos")


@dataclass(frozen=True)
class Mutant:
    """One bug."""

    name: str
    file: str
    old: str
    new: str
    scenario: str
    """The fault under which it shows."""
    checkers: frozenset[str]
    """Those of which at least one must find it."""


def _mutant(name: str, file: str, old: str, new: str, scenario: str, *checkers: str) -> Mutant:
    return Mutant(name, file, old, new, scenario, frozenset(checkers))


MUTANTS = (
    _mutant(
        "an event of the watch is lost",
        "store/mirror/following.py",
        "        latest[change.key] = change\n",
        "        if change.mod_revision % 5:\n            latest[change.key] = change\n",
        "isolate-etcd",
        "hashes",
        "convergence",
        "monotonic",
    ),
    _mutant(
        "the last known good on disk is the first one, and never renewed",
        "sidecar/agent/last_good.py",
        "        content = _Content(snapshot, memory, kept or {}, self.names, is_judged)\n",
        "        if self._written is not None:\n            return\n"
        "        content = _Content(snapshot, memory, kept or {}, self.names, is_judged)\n",
        "sidecar-killed",
        "monotonic",
    ),
    _mutant(
        "the cap of ejection is ignored",
        "sidecar/outlier/caps.py",
        "        if self.taken >= self.allowed:\n            return self._limits[0][1]\n",
        "",
        "backends-most-5xx",
        "caps",
    ),
    _mutant(
        "a change set is written object by object",
        "store/etcd/publishing.py",
        "            done = client.commit(request)\n",
        "            for operation in request.operations:\n"
        "                done = client.commit(type(request)((), (operation,)))\n"
        "                time.sleep(0.3)\n",
        "isolate-peers",
        "mixtures",
        "requests",
    ),
    _mutant(
        "a write has no fence: whoever comes last wins",
        "store/commits.py",
        "        (format_guard, *_guards(change_set, by, prefix)), (*format_put, *values, *records)\n",
        "        (), (*format_put, *values, *records)\n",
        "isolate-peers",
        "registers",
    ),
    _mutant(
        "a write whose answer was lost is called done",
        "store/etcd/publishing.py",
        "    if written_at is None:\n        raise StoreUnavailable(",
        "    if written_at is None:\n        return Published(by.change, 1, change_set)\n"
        "    if not by.change:\n        raise StoreUnavailable(",
        "etcd-majority-killed",
        "registers",
    ),
    _mutant(
        "a lease that ran out takes its host's endpoints at once",
        "sidecar/registration/expiry.py",
        "        if not serving:\n            self._put_in_force(host, None)\n            return effects\n",
        "        self._put_in_force(host, None)\n        return effects\n",
        "etcd-paused",
        "requests",
        "mixtures",
    ),
    _mutant(
        "clusters go before the routes that name them",
        "sidecar/xds/session_order.py",
        "REMOVAL_GRACE_S = 1.0\n",
        "REMOVAL_GRACE_S = -1000.0\n",
        "isolate-peers",
        "mixtures",
        "requests",
    ),
    _mutant(
        "an ejection never ends",
        "sidecar/outlier/imposing.py",
        "        if self._returns_s[name] <= now_s:\n",
        "        if self._returns_s[name] <= now_s - 1000:\n",
        "backend-5xx",
        "holds",
    ),
    _mutant(
        "every look at the status costs memory for ever",
        "sidecar/agent/answers.py",
        "        now_s = trio.current_time()\n        mirror, held",
        "        now_s = trio.current_time()\n"
        "        self.__dict__.setdefault('_leak', []).append(bytes(range(256)) * 12_000)\n"
        "        mirror, held",
        "isolate-etcd",
        "resources",
    ),
)
"""Ten of them."""


def sow(mutant: Mutant, folder: Path) -> None:
    """Copy the sources into a folder, with the bug.

    Raises:
        AssertionError: The text that it changes is not there exactly once.
    """
    for room in ROOMS:
        shutil.copytree(TOP / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / mutant.file
    source = file.read_text("utf-8")
    count = source.count(mutant.old)
    assert count == 1, f"{mutant.name}: its text is {count} times in {mutant.file}; mend the mutant"
    file.write_text(source.replace(mutant.old, mutant.new), "utf-8")
