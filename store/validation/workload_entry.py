"""The rules for endpoints: WorkloadEntries and the inline endpoints of ServiceEntries.

Source: istio/istio pkg/config/validation/validation.go, ValidateWorkloadEntry; CRD rules of WorkloadEntry.
"""

from __future__ import annotations

from store.diagnostics import Path
from store.objects.workload_entry import WorkloadEntry, WorkloadEntrySpec
from store.validation import names
from store.validation.findings import Findings
from store.validation.shared import (
    check_address_or_host,
    check_label,
    check_labels,
    check_port,
    quoted,
)

__all__ = ["check_endpoint", "check_workload_entry"]


def check_workload_entry(entry: WorkloadEntry, found: Findings) -> None:
    """Check one WorkloadEntry of the right shape."""
    check_endpoint(entry.spec, ("spec",), found)


def check_endpoint(endpoint: WorkloadEntrySpec, at: Path, found: Findings) -> None:
    """Check the address, ports and labels of one endpoint."""
    address = endpoint.address or ""
    here = (*at, "address")
    if not address and not endpoint.network:
        hint = "add an IP address, a host name or unix:///path"
        found.add("MESH0380", here, "the address is required", hint, at_key=True)
        return
    if not address:
        message = (
            "without an address the endpoint is reached only through the gateways of its network"
        )
        found.add("MESH0324", here, message, at_key=True)
    elif address.startswith("unix://"):
        if fault := names.unix_fault(address.removeprefix("unix://")):
            found.add("MESH0317", here, f"{quoted(address)} {fault}")
        if endpoint.ports:
            message = "a unix socket has no ports"
            found.add("MESH0318", (*at, "ports"), message, "remove them", at_key=True)
    else:
        check_address_or_host(address, here, found, wildcard=False)
    for name, number in endpoint.ports.items():
        if not name:
            found.add(
                "MESH0303",
                (*at, "ports", name),
                "the name of a port must not be empty",
                at_key=True,
            )
        else:
            check_label(name, (*at, "ports", name), found, "the name of a port")
        check_port(number, (*at, "ports", name), found)
    check_labels(endpoint.labels, (*at, "labels"), found)
