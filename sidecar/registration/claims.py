"""What a host may claim: workloads that its admission record does not cover are not served.

An administrator's record (`/meshd/v1/admission/<host>`) may name the namespaces and the service accounts whose
workloads the host registers; an empty list allows all, and a host without a record is limited by nothing but its role
in etcd, which lets it write its own key alone. So the record is what keeps a stolen host from joining the services of
others. Claims that are refused are no error of the whole registration: the other workloads serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from store.objects.admission import Admission
from store.objects.host import HostRegistration, Workload

__all__ = ["Admitted", "RefusedClaim", "refused_claims"]


@dataclass(frozen=True, slots=True)
class RefusedClaim:
    """A workload that does not serve."""

    host: str
    """Who registered it."""
    workload: str
    """`<namespace>/<name>`."""
    reason: str
    """What it claims and what the record allows; a sentence."""


class Admitted(Mapping[str, HostRegistration]):
    """Registrations without the workloads that their hosts may not claim; worked out when one is asked for.

    Args:
        hosts: Registrations as the store holds them.
        admission: The record of a host; None: there is none.
    """

    def __init__(
        self,
        hosts: Mapping[str, HostRegistration],
        admission: Callable[[str], Admission | None],
    ) -> None:
        self._hosts = hosts
        self._admission = admission

    def __getitem__(self, host: str) -> HostRegistration:
        registration = self._hosts[host]
        admission = self._admission(host)
        if admission is None:
            return registration
        allowed = tuple(one for one in registration.workloads if not _why_not(one, admission))
        if len(allowed) == len(registration.workloads):
            return registration
        return registration.model_copy(update={"workloads": allowed})

    def __iter__(self) -> Iterator[str]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)


def refused_claims(
    host: str, registration: HostRegistration | None, admission: Admission | None
) -> tuple[RefusedClaim, ...]:
    """The workloads of a host that do not serve, and why.

    Args:
        host: Its name.
        registration: What it registered; None: nothing.
        admission: Its record; None: there is none, and nothing is refused.
    """
    if registration is None or admission is None:
        return ()
    return tuple(
        RefusedClaim(host, f"{one.namespace}/{one.name}", reason)
        for one in registration.workloads
        if (reason := _why_not(one, admission))
    )


def _why_not(workload: Workload, admission: Admission) -> str:
    """Why this workload may not be claimed; empty: it may."""
    if admission.namespaces and workload.namespace not in admission.namespaces:
        allowed = ", ".join(admission.namespaces)
        return f'it is of namespace "{workload.namespace}"; the admission record allows {allowed}'
    account = workload.service_account or "default"
    if admission.service_accounts and account not in admission.service_accounts:
        allowed = ", ".join(admission.service_accounts)
        return f'it runs as service account "{account}"; the admission record allows {allowed}'
    return ""
