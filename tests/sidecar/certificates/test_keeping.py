from __future__ import annotations

from sidecar.certificates.checking import Contents
from sidecar.certificates.keeping import SETTLE_S, Broken, Keeper, Mark, Taken, Told
from sidecar.certificates.model import certificate_files
from tests.harness.identities import MeshAuthority

AUTHORITY = MeshAuthority()
FIRST, SECOND = AUTHORITY.pair("one"), AUTHORITY.pair("two")
SOURCE = certificate_files("/c", "/k")


class Host:
    """Two files and the time."""

    def __init__(self) -> None:
        self.keeper = Keeper()
        self.keeper.want({SOURCE})
        self.now_s = 0.0
        self.marks: dict[str, Mark] = {}
        self.contents: Contents = {"/c": "gone", "/k": "gone"}

    def write(self, pair: tuple[bytes, bytes] | None, mark: int) -> None:
        self.marks = {} if pair is None else {"/c": (mark,), "/k": (mark,)}
        chain, key = pair or ("gone", "gone")
        self.contents = {"/c": chain, "/k": key}

    def look(self, after_s: float = 0.5) -> Told | None:
        self.now_s += after_s
        for source in self.keeper.due(self.marks):
            return self.keeper.read(source, self.marks, self.contents, self.now_s)
        return None

    def serving(self) -> bytes:
        return self.keeper.held[SOURCE].certificate


def test_good_files_are_taken_once() -> None:
    host = Host()
    host.write(FIRST, 1)
    assert host.look() == Taken(SOURCE, is_renewed=False)
    assert host.keeper.due(host.marks) == ()
    host.write(FIRST, 2)
    assert host.look() is None, "touched, and the same"
    host.write(SECOND, 3)
    assert host.look() == Taken(SOURCE, is_renewed=True)
    assert host.serving() == SECOND[0]


def test_what_was_never_there_is_told_at_once_and_once() -> None:
    host = Host()
    told = host.look()
    assert isinstance(told, Broken)
    assert not told.keeps
    assert host.look() is None
    host.write(FIRST, 1)
    assert host.look() == Taken(SOURCE, is_renewed=False)
    assert host.keeper.troubles == {}


def test_a_certificate_that_comes_before_its_key_is_not_told() -> None:
    host = Host()
    host.write(FIRST, 1)
    host.look()
    host.write((SECOND[0], FIRST[1]), 2)
    assert host.look() is None
    assert host.serving() == FIRST[0]
    host.write(SECOND, 3)
    assert host.look() == Taken(SOURCE, is_renewed=True)
    assert host.keeper.troubles == {}


def test_files_that_stay_bad_are_told_and_the_old_contents_serve_on() -> None:
    host = Host()
    host.write(FIRST, 1)
    host.look()
    host.write((SECOND[0], FIRST[1]), 2)
    assert host.look() is None
    told = host.look(SETTLE_S)
    assert isinstance(told, Broken)
    assert told.keeps
    assert host.look(60.0) is None
    host.write(None, 0)
    assert isinstance(host.look(), Broken), "another reason is news"
    assert host.serving() == FIRST[0]
    host.write(FIRST, 1)
    assert host.look() is None, "healed, with what served all along"
    assert host.keeper.troubles == {}


def test_what_is_no_longer_wanted_is_forgotten() -> None:
    host = Host()
    host.write(FIRST, 1)
    host.look()
    assert host.keeper.want(()) == frozenset()
    assert (host.keeper.held, host.keeper.wanted) == ({}, frozenset())
    assert host.keeper.want({SOURCE}) == {SOURCE}
    assert host.look() == Taken(SOURCE, is_renewed=False)
