"""What shared ejection had imposed when the sidecar ended, in a file of its run directory.

Envoy outlives its sidecar and goes on leaving those endpoints out; the next sidecar must not return them all before it
has heard anything. So it imposes them again for a second, in which peers tell what they know, and while accusations of
theirs wait for the hold-off, as they do for any newcomer. What nobody accuses by then goes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from pathlib import Path

import trio

from sidecar.agent.log import log
from sidecar.agent.run_files import write_atomically
from sidecar.mesh.model import HostName
from sidecar.outlier.events import EndpointName, Imposed
from sidecar.outlier.model import Destination, Place
from store.errors import InputError

__all__ = ["SYNC_S", "Recalled", "read_imposed", "write_imposed"]

SYNC_S = 1.0
"""How long what was imposed before a restart holds without fresh evidence: peers tell all they know by then."""
PENDING_MAX_S = 10.0
"""How much longer it holds at most while enough hosts accuse it and the hold-off runs."""
LOOK_S = 0.1
"""Between looks at what is pending."""


class Recalled:
    """What the run before had imposed, as long as it counts.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.imposed: Mapping[EndpointName, Imposed] = {}
        """What still counts of it."""

    def read(self) -> bool:
        """Read the file; whether there is anything to impose. A file that cannot be read is told in the log."""
        try:
            self.imposed = read_imposed(self._path)
        except InputError as problem:
            log.warning("imposed_not_recalled", reason=problem.message)
        if self.imposed:
            log.info("imposed_recalled", endpoints=len(self.imposed))
        return bool(self.imposed)

    def write(self, imposed: Mapping[EndpointName, Imposed]) -> None:
        """Keep what is imposed now; a failure is told in the log."""
        try:
            write_imposed(self._path, imposed)
        except OSError as problem:
            log.warning("imposed_not_kept", reason=str(problem))

    async def run(
        self, pending: Callable[[], Set[EndpointName]], changed: Callable[[], None]
    ) -> None:
        """Let go of it in time; returns when nothing is left.

        Args:
            pending: Endpoints that wait for the hold-off now.
            changed: Called when less of it counts than before.
        """
        if not self.imposed:
            return
        await trio.sleep(SYNC_S)
        with trio.move_on_after(PENDING_MAX_S):
            while self.imposed:
                waiting = pending()
                kept = {at: word for at, word in self.imposed.items() if at in waiting}
                if kept != self.imposed:
                    self.imposed = kept
                    changed()
                await trio.sleep(LOOK_S)
        if self.imposed:
            self.imposed = {}
            changed()


def write_imposed(path: Path, imposed: Mapping[EndpointName, Imposed]) -> None:
    """Keep what is imposed for the next run.

    Raises:
        OSError: It cannot be written.
    """
    rows = [[*destination, *place, word.value] for (destination, place), word in imposed.items()]
    write_atomically(path, json.dumps(sorted(rows)) + "\n")


def read_imposed(path: Path) -> dict[EndpointName, Imposed]:
    """What the last run had imposed; nothing where there was none.

    Raises:
        InputError: The file is not one of `write_imposed`; what it says is left alone.
    """
    found: dict[EndpointName, Imposed] = {}
    try:
        for host, port, address, place_port, word in json.loads(path.read_text("utf-8")):
            if not isinstance(host, str) or not isinstance(address, str):
                raise TypeError("a host and an address are texts")
            at = (Destination(HostName(host), int(port)), Place(address, int(place_port)))
            found[at] = Imposed(word)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as problem:
        raise InputError(f"{path} does not say what was imposed: {problem}") from problem
    return found
