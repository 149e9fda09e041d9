"""Which servers are warned of, and where progress notifications may be trusted."""

from __future__ import annotations

import pytest

from store.etcd.versions import progress_is_a_bookmark, version_warning


@pytest.mark.parametrize("version", ["3.5.33", "3.5.40", "3.6.14", "3.7.1", "3.8.0", "4.0.0"])
def test_servers_from_the_floor_on_are_not_warned_of(version: str) -> None:
    assert version_warning("http://a:1", version) is None


@pytest.mark.parametrize(
    "version", ["3.4.40", "3.5.1", "3.5.32", "3.6.0-rc.1", "3.6.13", "3.7.0", "2.3.8"]
)
def test_older_servers_are_named_with_the_versions_wanted(version: str) -> None:
    warning = version_warning("http://a:1", version)
    assert warning is not None
    assert f"http://a:1 is {version}" in warning
    assert "3.5.33, 3.6.14, 3.7.1" in warning


def test_a_version_that_is_none_is_said_to_be_none() -> None:
    assert 'the version "next"' in (version_warning("http://a:1", "next") or "")
    assert not progress_is_a_bookmark("next")


@pytest.mark.parametrize(
    ("version", "trusted"),
    [
        ("3.4.24", False),
        ("3.4.25", True),
        ("3.5.1", False),
        ("3.5.8", True),
        ("3.6.0", True),
        ("3.3.99", False),
    ],
)
def test_progress_moves_the_resume_revision_only_where_it_waits_for_events(
    version: str, trusted: bool
) -> None:
    assert progress_is_a_bookmark(version) is trusted
