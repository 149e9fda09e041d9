"""What shared ejection had imposed when the sidecar ended, in a file of its run directory.

Envoy outlives its sidecar and goes on leaving those endpoints out; the next sidecar must not return them all before it
has heard anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sidecar.agent.run_files import write_atomically
from sidecar.mesh.model import HostName
from sidecar.outlier.events import EndpointName, Imposed
from sidecar.outlier.model import Destination, Place
from store.errors import InputError

__all__ = ["read_imposed", "write_imposed"]


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
