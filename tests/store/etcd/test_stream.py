"""What a failed call means for the Mirror, and a stream that cannot even begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.errors import InputError, MeshError, StoreUnavailable
from store.etcd.failures import RevisionCompacted, StoreDenied
from store.etcd.settings import EtcdSettings
from store.etcd.stream import WatchStream, failure_of
from store.mirror.events import Event, FailureKind, WatchBroken
from tests.harness.processes import free_port


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreDenied("no"), FailureKind.DENIED),
        (RevisionCompacted("gone"), FailureKind.COMPACTED),
        (StoreUnavailable("away"), FailureKind.UNAVAILABLE),
        (InputError("no such file"), FailureKind.UNAVAILABLE),
    ],
)
def test_every_error_has_a_meaning(error: MeshError, kind: FailureKind) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.text) == (kind, error.message)


def stream(settings: EtcdSettings, got: list[Event]) -> WatchStream:
    return WatchStream(
        settings,
        settings.endpoints[0],
        number=3,
        start_revision=1,
        metadata=lambda: (),
        deliver=got.append,
    )


def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    got: list[Event] = []
    endpoint = f"https://127.0.0.1:{free_port()}"
    ca = tmp_path / "absent.pem"
    ca.write_text("")
    settings = EtcdSettings(endpoints=(endpoint,), ca=str(ca))
    ca.unlink()
    stream(settings, got).run()
    (event,) = got
    assert isinstance(event, WatchBroken)
    assert event.stream == 3
    assert "absent.pem" in event.failure.text


def test_a_member_that_is_not_there_is_told() -> None:
    got: list[Event] = []
    endpoint = f"http://127.0.0.1:{free_port()}"
    stream(EtcdSettings(endpoints=(endpoint,)), got).run()
    (event,) = got
    assert isinstance(event, WatchBroken)
    assert event.failure.kind is FailureKind.UNAVAILABLE
    assert endpoint in event.failure.text


def test_a_stream_closed_before_it_began_says_nothing() -> None:
    got: list[Event] = []
    closed = stream(EtcdSettings(endpoints=(f"http://127.0.0.1:{free_port()}",)), got)
    closed.close()
    closed.close()
    closed.run()
    assert got == []
