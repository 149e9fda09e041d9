"""A local workload made from a WorkloadGroup: what it takes from the group's template, and what it says itself.

Follows Istio's autoregistration (pilot/pkg/autoregistration/controller.go, workloadEntryFromGroup): labels of the host
win over those of the group's metadata, and these over the template's; network and locality of the host win where it has
any. Ports, weight and service account of the template hold where the host says none of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sidecar.registration.record import OwnWorkload
from store.objects.workload_group import WorkloadGroup

__all__ = ["TemplatePort", "from_group", "template_ports"]


@dataclass(frozen=True, slots=True)
class TemplatePort:
    """One port of a group's template."""

    name: str
    """Name of the service's port that it serves."""
    number: int
    """Port that the application listens on."""


def template_ports(group: WorkloadGroup) -> tuple[TemplatePort, ...]:
    """The ports of a template, by name, so that equal templates are numbered equally."""
    ports = group.spec.template.ports
    return tuple(TemplatePort(name, ports[name]) for name in sorted(ports))


def from_group(
    own: OwnWorkload, group: WorkloadGroup, *, locality: str, network: str
) -> OwnWorkload:
    """The workload as it is registered.

    Args:
        own: What this host's settings say of it, ports included; weight 1 and no service account say nothing.
        group: The group.
        locality: The host's locality; empty where it has none, then the template's counts.
        network: The host's network, likewise.
    """
    template, metadata = group.spec.template, group.spec.metadata
    labels = {**template.labels, **(metadata.labels if metadata else {}), **own.labels}
    return replace(
        own,
        labels=labels,
        weight=own.weight if own.weight != 1 else template.weight or 1,
        service_account=own.service_account or template.service_account or "",
        locality="" if locality else template.locality or "",
        network="" if network else template.network or "",
        annotations=metadata.annotations if metadata else {},
    )
