"""What servers can be trusted with, and what their words mean."""

from __future__ import annotations

import pytest

from store.mirror.events import FailureKind
from store.mirror.servers import cancellation, progress_is_a_bookmark


@pytest.mark.parametrize("version", ["3.4.25", "3.5.8", "3.5.33", "3.6.0", "3.7.1", "4.0.0"])
def test_progress_of_a_mended_server_is_a_bookmark(version: str) -> None:
    assert progress_is_a_bookmark(version)


@pytest.mark.parametrize("version", ["3.4.24", "3.5.1", "3.5.7", "3.3.9", "2.3.8", "", "unknown"])
def test_progress_of_any_other_is_a_sign_of_life_alone(version: str) -> None:
    assert not progress_is_a_bookmark(version)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("rpc error: code = PermissionDenied desc = etcdserver: permission denied", "denied"),
        ("etcdserver: invalid auth token", "denied"),
        ("mvcc: something else", "other"),
        ("", "other"),
    ],
)
def test_the_reason_of_a_cancellation_tells_what_to_do(reason: str, kind: str) -> None:
    failure = cancellation(reason)
    assert failure.kind is FailureKind(kind)
    assert failure.text
