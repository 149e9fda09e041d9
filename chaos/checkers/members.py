"""The members of etcd hold the same: where they do not, what other checkers find may be etcd's own fault.

etcd 3.5.0 to 3.5.2 can lose consistency when a member is killed (etcd#13766), and 3.4.23 has faults of its own. A run
says which version it had; this says whether its members came apart.
"""

from __future__ import annotations

from chaos.checkers.violation import Violation
from chaos.history import History

__all__ = ["check_members"]


def check_members(history: History) -> list[Violation]:
    """The hashes of all members at the end, at one revision."""
    if len(set(history.members.values())) <= 1:
        return []
    told = ", ".join(f"{name}: {found}" for name, found in sorted(history.members.items()))
    what = (
        f"the members of etcd {history.etcd} hold different things at one revision ({told}): "
        "what `registers`, `served` or `hashes` say is then etcd's own"
    )
    return [Violation("members", history.ended_s, what)]
