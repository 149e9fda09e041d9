"""The `[relay]` table: defaults that suit a mesh, and combinations that nobody could follow."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sidecar.agent.relay_options import RelayOptions


def test_by_default_two_hosts_must_attest_and_everybody_watches() -> None:
    settings = RelayOptions().settings()
    assert (settings.attestations, settings.watch_share, settings.watchers_min) == (2, 1.0, 3)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"watch_share": 0.1, "enabled": False}, "enabled must be true"),
        ({"watch_share": 0.1, "watchers_min": 2}, "must exceed attestations"),
        ({"watch_share": 0.0}, "greater than 0"),
        ({"attestations": 0}, "greater than or equal to 1"),
        ({"share": 1}, "not permitted"),
    ],
)
def test_what_nobody_could_follow_is_refused(told: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RelayOptions.model_validate(told)


def test_a_mesh_of_few_may_believe_a_single_host() -> None:
    options = RelayOptions(attestations=1, watch_share=0.2, watchers_min=2)
    assert options.settings().attestations == 1
