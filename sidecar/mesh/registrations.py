"""From a host's registration to its workloads, with what they take from their host.

Withdrawn workloads are gone; draining ones stay, marked (they finish what they have). A host's state overrules
its workloads'.
"""

from __future__ import annotations

from sidecar.mesh.names import resolve
from sidecar.mesh.services import RegisteredWorkload, WorkloadKey
from store.objects.host import HostRegistration, Workload, WorkloadState

__all__ = ["registered_workloads"]


def registered_workloads(
    registration: HostRegistration, create_revision: int, domain: str
) -> dict[WorkloadKey, RegisteredWorkload]:
    """The workloads of a registration that are not withdrawn; their names are distinct (the model sees to it).

    Args:
        registration: What the host says.
        create_revision: Revision at which its key was created; 0 when it is not known.
        domain: MeshConfig.domain, which completes short service names.
    """
    if registration.state is WorkloadState.WITHDRAWN:
        return {}
    found: dict[WorkloadKey, RegisteredWorkload] = {}
    for workload in registration.workloads:
        if workload.state is not WorkloadState.WITHDRAWN:
            key = WorkloadKey(registration.host, workload.namespace, workload.name)
            found[key] = _registered(key, workload, registration, create_revision, domain)
    return found


def _registered(
    key: WorkloadKey,
    workload: Workload,
    registration: HostRegistration,
    create_revision: int,
    domain: str,
) -> RegisteredWorkload:
    return RegisteredWorkload(
        key=key,
        service=resolve(workload.service, workload.namespace, domain) or None,
        workload=workload,
        address=workload.address or registration.address,
        locality=workload.locality or registration.locality,
        network=workload.network or registration.network,
        is_draining=WorkloadState.DRAINING in (workload.state, registration.state),
        create_revision=create_revision,
    )
