"""Who looks at the wall clock: few places, each of which a clock that jumps does not lead astray."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOOKS = re.compile(r"\btime\.time(_ns)?\(|\bdatetime\.now\(|\butcnow\(|\bdate\.today\(")
ALLOWED = {
    "sidecar/agent/answers.py": "how long certificates are still good, for people",
    "sidecar/agent/gossip_keys.py": "the boot epoch, which is greater than the last one whatever the clock says",
    "sidecar/agent/last_good.py": "when the last known good was written; its age is looked up once, at the start",
    "store/etcd/history.py": "how old records of history may be; a person asked for it",
    "store/etcd/publishing.py": "when a change was made, for people",
}
"""Module, and why a jump does no harm there. Times in certificates are Envoy's and the identity's own."""


def test_the_sidecar_and_the_store_look_at_the_wall_clock_only_where_a_jump_does_no_harm() -> None:
    found = {
        str(file.relative_to(ROOT))
        for folder in ("sidecar", "store")
        for file in (ROOT / folder).rglob("*.py")
        if LOOKS.search(file.read_text())
    }
    assert found - ALLOWED.keys() == set()
    assert ALLOWED.keys() - found == set(), "these look no more: take them out"
