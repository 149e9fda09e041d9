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
class Edit:
    """Text in the place of other text of one file."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One bug."""

    name: str
    edits: tuple[Edit, ...]
    scenario: str
    """The fault under which it shows."""
    checkers: frozenset[str]
    """All of these must find it."""


SLOW_COMMIT = Edit(
    "store/etcd/publishing.py",
    "            done = client.commit(request)\n",
    "            time.sleep(0.6)\n            done = client.commit(request)\n",
)
"""Not a bug: others get more time to come in between."""


def _mutant(
    name: str,
    file: str,
    old: str,
    new: str,
    scenario: str,
    *checkers: str,
    also: Edit | None = None,
) -> Mutant:
    edits = (Edit(file, old, new), *([also] if also else []))
    return Mutant(name, edits, scenario, frozenset(checkers))


MUTANTS = (
    _mutant(
        "an event of the watch is lost",
        "store/mirror/following.py",
        "        latest[change.key] = change\n",
        '        if change.mod_revision % 3 or "/virtualservices/" not in change.key:\n'
        "            latest[change.key] = change\n",
        "isolate-etcd",
        "hashes",
        "convergence",
        "served",
    ),
    _mutant(
        "the last known good on disk is the first one, and never renewed",
        "sidecar/agent/last_good.py",
        "        content = _Content(snapshot, memory, kept or {}, self.names, is_judged)\n",
        "        if self._written is not None:\n            return\n"
        "        content = _Content(snapshot, memory, kept or {}, self.names, is_judged)\n",
        "restarted-cut-off",
        "monotonic",
    ),
    _mutant(
        "the cap of ejection is ignored",
        "sidecar/outlier/caps.py",
        "        return self._limits[0][0]\n",
        "        return 99\n",
        "backends-most-5xx",
        "caps",
        also=Edit(
            "sidecar/xds/compile/cluster_policies.py",
            "        detection.max_ejection_percent.value = settings.max_ejection_percent\n",
            "        detection.max_ejection_percent.value = 100\n",
        ),
    ),
    _mutant(
        "a change set is written object by object",
        "store/etcd/publishing.py",
        "            done = client.commit(request)\n",
        "            for operation in reversed(request.operations):\n"
        "                done = client.commit(type(request)((), (operation,)))\n"
        "                time.sleep(0.3)\n",
        "isolate-etcd",
        "mixtures",
    ),
    _mutant(
        "a write has no fence: whoever comes last wins",
        "store/commits.py",
        "        (format_guard, *_guards(change_set, by, prefix)), (*format_put, *values, *records)\n",
        "        (), (*format_put, *values, *records)\n",
        "isolate-etcd",
        "registers",
        also=SLOW_COMMIT,
    ),
    _mutant(
        "a write is acknowledged and not written, one in four",
        "store/etcd/publishing.py",
        "            done = client.commit(request)\n",
        "            if int(time.time() * 10) % 4 == 0:\n"
        "                return Published(by.change, 1, change_set)\n"
        "            done = client.commit(request)\n",
        "isolate-etcd",
        "registers",
    ),
    _mutant(
        "a lease that ran out takes its host's endpoints at once",
        "sidecar/registration/expiry.py",
        "        if not serving:\n            self._put_in_force(host, None)\n            return effects\n",
        "        self._put_in_force(host, None)\n        return effects\n",
        "etcd-cut-long",
        "rotation",
    ),
    _mutant(
        "an ejection never ends",
        "sidecar/outlier/phases.py",
        "        return Course(JudgementState.TRIAL, ends_s, None, level, 0)\n",
        "        return Course(JudgementState.EJECTED, starts_s, ends_s, level, 0)\n",
        "backend-5xx-briefly",
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
    _mutant(
        "the rig forgets a host when it cleans up",
        "chaos/netns.py",
        '        for name in _namespaces(f"{PREFIX}{self._name}-"):\n            _remove(name)\n',
        '        for name in _namespaces(f"{PREFIX}{self._name}-")[1:]:\n            _remove(name)\n',
        "isolate-etcd",
        "left behind",
    ),
    _mutant(
        "a sidecar ends itself",
        "sidecar/agent/answers.py",
        "        now_s = trio.current_time()\n        mirror, held",
        "        now_s = trio.current_time()\n"
        "        if now_s - self.__dict__.setdefault('_born', now_s) > 25:\n"
        "            os._exit(1)\n        mirror, held",
        "isolate-etcd",
        "activity",
    ),
    _mutant(
        "a sidecar ends its Envoy once, which another takes the place of",
        "sidecar/agent/answers.py",
        "        now_s = trio.current_time()\n        mirror, held",
        "        now_s = trio.current_time()\n"
        "        old_enough = now_s - self.__dict__.setdefault('_born', now_s) > 15\n"
        "        if old_enough and self.__dict__.setdefault('_victim', self.envoy._pid):\n"
        "            os.kill(self.__dict__['_victim'], 9)\n"
        "            self.__dict__['_victim'] = 0\n"
        "        mirror, held",
        "isolate-etcd",
        "restarts",
    ),
    _mutant(
        "what is ejected is sent requests all the same",
        "sidecar/xds/compile/endpoints.py",
        "    overlay = imposed or {}\n",
        "    overlay: dict[Place, Imposed] = {}\n",
        "backend-5xx",
        "requests",
        also=Edit(
            "sidecar/xds/compile/clusters.py",
            "    add_outlier_detection(cluster, policy.outlier_detection)\n",
            "",
        ),
    ),
)
"""Thirteen of them."""


def sow(mutant: Mutant, folder: Path) -> None:
    """Copy the sources into a folder, with the bug.

    Raises:
        AssertionError: The text that it changes is not there exactly once.
    """
    for room in ROOMS:
        shutil.copytree(TOP / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in mutant.edits:
        file = folder / edit.file
        source = file.read_text("utf-8")
        count = source.count(edit.old)
        assert count == 1, (
            f"{mutant.name}: its text is {count} times in {edit.file}; mend the mutant"
        )
        file.write_text(source.replace(edit.old, edit.new), "utf-8")
