"""Drives a Mirror by hand on a virtual clock, for transcripts.

Keys are written short: `vs/reviews` is `ns/default/virtualservices/reviews`, `vs/1..3` are three of them, `host/a` is
`hosts/a`. A key at a revision is `vs/reviews@7`. A store that is watched again answers that it is the one that was
known, unless the transcript says `doubt` and answers itself. Randomness is the middle of every range, so that times
read well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from store.mirror import Mirror, MirrorState
from store.mirror import events as on
from store.snapshot import Entry, Epoch, Snapshot
from tests.harness.transcripts import Command

__all__ = ["Middle", "MirrorDriver", "entry"]

FOLDERS = {
    "vs": "ns/default/virtualservices",
    "dr": "ns/default/destinationrules",
    "se": "ns/default/serviceentries",
    "host": "hosts",
}


class Middle:
    """Jitter that always is the middle."""

    def uniform(self, a: float, b: float, /) -> float:
        return (a + b) / 2


def entry(key: str, revision: int, *, created: int = 1) -> Entry:
    """An entry whose value tells its revision."""
    return Entry(key, b"at %d" % revision, created, revision, 1)


class MirrorDriver:
    """One Mirror, its clock, and the numbers of its last read and stream."""

    def __init__(self) -> None:
        self.mirror = Mirror(Middle())
        self.now = 0.0
        self.request = self.stream = 0
        self.seen: Snapshot | None = None
        self.is_doubted = False
        """Whether the transcript itself answers what is asked of a store that is watched again."""

    def run(self, command: Command) -> str:
        """Carry out one command of a transcript."""
        match command.verb:
            case "seed":
                epoch = Epoch(1, int(command.option("cluster", "c1"), 16))
                self.seen = Snapshot.of(epoch, command.number("rev"), _entries(command.lines))
                self.mirror = Mirror(Middle(), seed=self.seen)
                return ""
            case "doubt":
                self.is_doubted = True
                return ""
            case "pass":
                return self._pass(float(command.words[0]))
            case "listen":
                return self._pass(float(command.words[0]), answered=_header(command))
            case "status":
                return self._status()
            case _:
                return "\n".join([*self._handle(self._event(command)), self._state()])

    def _event(self, command: Command) -> on.Event:
        match command.verb:
            case "start":
                return on.Started()
            case "listed":
                entries = tuple(_entries(command.lines))
                return on.Listed(self._request(command), entries, *_header(command))
            case "keys":
                revisions = {one.key: one.mod_revision for one in _entries(command.lines)}
                return on.KeysListed(self._request(command), revisions, *_header(command))
            case "key":
                found = next(iter(_entries(command.lines)), None)
                return on.KeyRead(self._request(command), found, *_header(command))
            case "read-failed":
                return on.ReadFailed(self._request(command), _failure(command))
            case "broken":
                return on.WatchBroken(self._stream(command), _failure(command))
            case "version":
                return on.ServerIdentified(self._stream(command), command.words[0])
            case "accept":
                return on.EpochAccepted()
            case "answer":
                revision, cluster = _header(command)
                return on.WatchAnswered(
                    self._stream(command),
                    revision,
                    cluster,
                    created="created" in command.words,
                    canceled="canceled" in command.words,
                    cancel_reason=command.option("reason").replace("_", " "),
                    compact_revision=command.number("compacted"),
                    changes=tuple(_changes(command.lines)),
                )
            case _:
                raise AssertionError(f"{command.where}: no command {command.verb!r}")

    def _handle(self, event: on.Event) -> list[str]:
        effects = self.mirror.handle(event, self.now)
        lines = []
        for effect in effects:
            if isinstance(effect, on.List | on.ListKeysOnly | on.ReadKey):
                self.request = effect.request
            if isinstance(effect, on.OpenWatch):
                self.stream = effect.stream
            if isinstance(effect, on.ReadKey) and not self.is_doubted:
                lines += self._handle(self._as_known(effect))
            else:
                lines.append(self._told(effect))
        return lines

    def _as_known(self, asked: on.ReadKey) -> on.KeyRead:
        """The answer of a store in the life that the Mirror knows."""
        known = self.mirror.snapshot
        assert known is not None
        found = known.get(asked.key)
        return on.KeyRead(asked.request, found, asked.revision, known.epoch.cluster_id)

    def _pass(self, seconds: float, answered: tuple[int, int] | None = None) -> str:
        """Let time pass, waking the machine whenever it wants to be woken.

        With `answered`, the server answers every request for progress, and these lines are left out.
        """
        end, lines = self.now + seconds, []
        while (deadline := self.mirror.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            told = self._handle(on.Woken())
            asked = f"ask #{self.stream} for progress"
            if answered is not None and asked in told:
                self._handle(on.WatchAnswered(self.stream, *answered))
                told.remove(asked)
            lines += [f"{self.now:g} s: {line}" for line in told]
            if self.mirror.deadline() == deadline and not lines:
                raise AssertionError(f"woken at {deadline} for nothing")
        self.now = end
        return "\n".join([*lines, self._state()])

    def _told(self, effect: on.Effect) -> str:
        match effect:
            case on.List():
                return f"list #{effect.request}"
            case on.ListKeysOnly():
                return f"list keys #{effect.request}"
            case on.ReadKey():
                return f"read key #{effect.request}: {_shortened(effect.key)} at {effect.revision}"
            case on.OpenWatch():
                return f"open watch #{effect.stream} from {effect.start_revision}"
            case on.CloseWatch():
                return f"close watch #{effect.stream}"
            case on.RequestProgress():
                return f"ask #{effect.stream} for progress"
            case on.SwitchEndpoint():
                return "switch endpoint"
            case on.Reauthenticate():
                return "log in again"
            case on.Publish():
                before, self.seen = self.seen, effect.snapshot
                return f"publish {_label(effect.snapshot)}: {_difference(before, effect.snapshot)}"
            case on.Report():
                facts = " ".join(f"{name}={value}" for name, value in effect.facts.items())
                return f"{effect.severity.value}: {effect.name} {facts}".rstrip()

    def _state(self) -> str:
        status = self.mirror.status
        why = f" ({status.reason})" if status.reason else ""
        return f"= {status.state.value}{why}"

    def _status(self) -> str:
        snapshot, status = self.mirror.snapshot, self.mirror.status
        if snapshot is None:
            return f"{self._state()}\nnothing known"
        held = status.held
        lines = [self._state(), f"{_label(snapshot)}: {_short(e.key for e in snapshot.entries())}"]
        if held is not None:
            lines.append(f"held: {held.cluster_id:x}@{held.revision}, {held.reason}")
        counters = status.counters
        counted = {name: getattr(counters, name) for name in counters.__slots__}
        lines.append(" ".join(f"{name}={count}" for name, count in counted.items() if count))
        assert status.is_fresh == (status.state is MirrorState.WATCHING)
        return "\n".join(lines)

    def _request(self, command: Command) -> int:
        return command.number("request", self.request)

    def _stream(self, command: Command) -> int:
        return command.number("stream", self.stream)


def _header(command: Command) -> tuple[int, int]:
    return command.number("rev"), int(command.option("cluster", "c1"), 16)


def _failure(command: Command) -> on.Failure:
    return on.Failure(on.FailureKind(command.words[0]), " ".join(command.words[1:]) or "it failed")


def _entries(lines: Iterable[str]) -> Iterator[Entry]:
    for line in lines:
        for word in line.split():
            key, _, revision = word.partition("@")
            for one in _keys(key):
                yield entry(one, int(revision))


def _changes(lines: Iterable[str]) -> Iterator[Entry | on.Deleted]:
    for line in lines:
        verb, word = line.split()
        key, _, revision = word.partition("@")
        for one in _keys(key):
            if verb == "put":
                yield entry(one, int(revision))
            else:
                yield on.Deleted(one, int(revision))


def _keys(key: str) -> Iterator[str]:
    folder, _, name = key.partition("/")
    if not name:
        yield key
        return
    first, dots, last = name.partition("..")
    names = [str(n) for n in range(int(first), int(last) + 1)] if dots else [name]
    for one in names:
        yield f"{FOLDERS[folder]}/{one}"


def _label(snapshot: Snapshot) -> str:
    return f"{snapshot.epoch}@{snapshot.revision}"


def _difference(before: Snapshot | None, after: Snapshot) -> str:
    had = {e.key: e for e in before.entries()} if before is not None else {}
    has = {e.key: e for e in after.entries()}
    came = _short(f"+{_shortened(key)}" for key in has if key not in had)
    changed = _short(f"~{_shortened(key)}" for key in has if key in had and had[key] != has[key])
    went = _short(f"-{_shortened(key)}" for key in had if key not in has)
    return " ".join(part for part in (came, changed, went) if part) or "nothing changed"


def _short(keys: Iterable[str]) -> str:
    words = sorted(_shortened(key) for key in keys)
    return " ".join(words) if len(words) <= 8 else f"{words[0]} .. {words[-1]} ({len(words)})"


def _shortened(key: str) -> str:
    for short, folder in FOLDERS.items():
        key = key.replace(f"{folder}/", f"{short}/")
    return key
