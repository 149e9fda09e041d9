"""What a run records: requests, writes, reads, looks at hosts, faults. The file to read first.

Records are plain values with monotonic seconds (one clock: all namespaces are of one machine) and go to disk as
JSON lines while a run goes on, so that a run can be judged again later, or by another checker. Pure but for
`store` and `load`, which move the lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "Ejected",
    "FaultSpan",
    "History",
    "Look",
    "Outcome",
    "Probe",
    "Read",
    "Request",
    "Served",
    "Usage",
    "Write",
    "load",
    "store",
]

INFINITE_S = float("inf")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the load."""

    at_s: float
    """When it was sent."""
    took_s: float
    """Until the answer, or until it failed."""
    host: str
    """From which test host."""
    service: str
    """To which service."""
    status: int
    """0: no answer at all."""
    backend: str = ""
    """Which test host's application answered."""
    reason: str = ""
    """Of a failure: Envoy's response flags, or what the client met."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A request whose answer shows which change set made it: route and subset must be of one."""

    at_s: float
    host: str
    status: int
    route: int | None = None
    """Number of the change that the route says."""
    group: str = ""
    """Group of applications that answered; the change's subset selects one group alone."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """What a host's Envoy serves of a register at the end, when nobody writes any more."""

    at_s: float
    host: str
    key: str
    value: str
    """Empty: it serves nothing of it."""


class Outcome(StrEnum):
    """How an attempt to write ended."""

    OK = "ok"
    """Acknowledged."""
    CONFLICT = "conflict"
    """Refused: somebody else wrote first. Nothing was written."""
    UNKNOWN = "unknown"
    """Nobody knows whether it was written."""
    FAILED = "failed"
    """Certainly not written."""


@dataclass(frozen=True, slots=True)
class Write:
    """One compare-and-set of a key."""

    key: str
    writer: str
    began_s: float
    ended_s: float
    """Infinite where no answer came."""
    expected: str
    """The value that had to be there; empty: none."""
    value: str
    """Unique in the run."""
    outcome: Outcome
    revision: int | None = None
    """Of the acknowledgement."""


@dataclass(frozen=True, slots=True)
class Read:
    """One linearizable read of a key."""

    key: str
    reader: str
    began_s: float
    ended_s: float
    value: str
    """Empty: no such key."""
    revision: int = 0
    """When the value was written."""


@dataclass(frozen=True, slots=True)
class Ejected:
    """An endpoint that a host ejects on the mesh's word."""

    destination: str
    endpoint: str
    backend: str = ""
    """Test host behind it."""
    until_s: float = 0.0
    """When its hold ends."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one host said of itself."""

    at_s: float
    host: str
    epoch: str
    """Which life of etcd it follows."""
    received: int
    in_force: int
    hash: str
    """Of what it has received."""
    epoch_in_force: str
    """Which life of etcd what is in force is of."""
    state: str
    source: str
    """`etcd`, `peers`, `disk`."""
    ejected: tuple[Ejected, ...] = ()
    usable: Mapping[str, int] = field(default_factory=dict)
    """Endpoints of each destination that this host's Envoy would use."""
    listed: Mapping[str, int] = field(default_factory=dict)
    """Endpoints of each destination."""
    imposed: tuple[str, ...] = ()
    """`destination endpoint` that this host has its Envoy leave out on the mesh's word: those that are ejected but for
    what it spares, those on trial elsewhere, those that it has yet to return to."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process uses."""

    at_s: float
    host: str
    process: str
    """`sidecar`, `envoy`, `etcd`."""
    pid: int
    rss_kib: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """One fault, and what it excuses."""

    name: str
    began_s: float
    ended_s: float
    """When it was healed."""
    hosts: tuple[str, ...] = ()
    """Test hosts whose own requests may fail."""
    backends: tuple[str, ...] = ()
    """Applications that it touches: requests that these answer, or were to answer, may fail. With no hosts either:
    everybody's."""
    permits: tuple[str, ...] = ()
    """Failures of requests that it explains: words of `chaos.checkers.requests`."""
    restarts: tuple[str, ...] = ()
    """`sidecar@h1`: processes that are other ones afterwards."""
    new_epoch: bool = False
    """Whether etcd began another life when it was healed: it is as it was when the fault began, and what was
    acknowledged since is gone."""
    healing_s: float = INFINITE_S
    """When its healing began."""
    felt_s: float = INFINITE_S
    """How long after its beginning requests may fail by it, though it goes on."""


@dataclass
class History:
    """All records of a run."""

    requests: list[Request] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    faults: list[FaultSpan] = field(default_factory=list)
    healed_s: float = 0.0
    """When the last fault was healed."""
    ended_s: float = 0.0
    """When the run ended."""
    left_behind: list[str] = field(default_factory=list)
    """What was still there after the cleaning."""
    members: dict[str, str] = field(default_factory=dict)
    """Hash of what each etcd member holds at the end, all at one revision; empty: not asked."""
    load: float = 0.0
    """Processes that waited for each processor of this machine, in the mean of a minute; above 1 they wait for it."""
    etcd: str = ""
    """Version of its members: 3.4.23 and 3.5.1 have faults of their own."""


T = TypeVar("T")
_KINDS: Mapping[str, type[Any]] = {
    "requests": Request,
    "probes": Probe,
    "writes": Write,
    "reads": Read,
    "served": Served,
    "looks": Look,
    "usages": Usage,
    "faults": FaultSpan,
}


def store(history: History, folder: Path) -> None:
    """Write a run's records, one file for each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in _KINDS:
        rows: Iterable[Any] = getattr(history, kind)
        lines = (json.dumps(asdict(row)) + "\n" for row in rows)
        (folder / f"{kind}.jsonl").write_text("".join(lines), "utf-8")
    rest = {
        "healed_s": history.healed_s,
        "ended_s": history.ended_s,
        "left_behind": history.left_behind,
        "load": history.load,
        "etcd": history.etcd,
        "members": history.members,
    }
    (folder / "run.json").write_text(json.dumps(rest) + "\n", "utf-8")


def load(folder: Path) -> History:
    """Read a run's records back.

    Raises:
        OSError: A file is not there.
        ValueError: A line is none of ours.
    """
    history = History(**json.loads((folder / "run.json").read_text("utf-8")))
    for kind, record in _KINDS.items():
        rows = getattr(history, kind)
        for line in (folder / f"{kind}.jsonl").read_text("utf-8").splitlines():
            rows.append(_parsed(record, json.loads(line)))
    return history


def _parsed(record: type[T], row: dict[str, Any]) -> T:
    for name in ("hosts", "backends", "permits", "restarts", "imposed"):
        if name in row:
            row[name] = tuple(row[name])
    if "ejected" in row:
        row["ejected"] = tuple(Ejected(**one) for one in row["ejected"])
    if "outcome" in row:
        row["outcome"] = Outcome(row["outcome"])
    return record(**row)
