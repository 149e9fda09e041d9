"""Codes MESH020x to MESH026x: several objects together, as the mesh would be with all of them in force.

020x  destinations of VirtualServices      023x  DestinationRules
021x  gateways                             024x  ServiceEntries
022x  VirtualServices among themselves     025x  selectors and Sidecars
                                           026x  the set of objects itself
"""

from __future__ import annotations

from store.diagnostics.code import Code, Level

__all__ = ["ANALYSIS_CODES"]

_E, _W, _I = Level.ERROR, Level.WARNING, Level.INFO

ANALYSIS_CODES = (
    Code(
        "MESH0201",
        _E,
        "route to an unknown host",
        "No ServiceEntry and no registered workload defines the destination, so requests to it get 503.",
        "Correct the name, or define the service; a short name is completed with the rule's own namespace.",
    ),
    Code(
        "MESH0202",
        _E,
        "route to an unknown subset",
        "No DestinationRule in force for the clients of the rule defines the subset, so requests to it get 503.",
        "Add the subset to the DestinationRule of that host, or name one that it has.",
    ),
    Code(
        "MESH0203",
        _E,
        "route to an unknown port",
        "The service does not have the port, so requests to it get 503.",
        "Name a port of the service (not the targetPort of its endpoints).",
    ),
    Code(
        "MESH0204",
        _W,
        "port of the destination needed",
        "The service has several ports and the route names none: then the port that the request came for is used, "
        "which the service need not have.",
        "Add destination.port.number.",
    ),
    Code(
        "MESH0205",
        _E,
        "destination not exported",
        "A service of that name exists, but its exportTo hides it from clients that the rule is for; they get 503.",
        "Widen exportTo of the service, or narrow exportTo of the VirtualService.",
    ),
    Code(
        "MESH0206",
        _W,
        "short name means another namespace",
        "A short destination is completed with the namespace of the VirtualService, not with that of its hosts.",
        "Write the full name, NAME.NAMESPACE.svc.DOMAIN.",
    ),
    Code(
        "MESH0210",
        _E,
        "unknown gateway",
        "A VirtualService names a Gateway that does not exist, so its rules are in force nowhere there.",
        "Correct the name (NAME, or NAMESPACE/NAME for another namespace), or create the Gateway.",
    ),
    Code(
        "MESH0211",
        _E,
        "hosts of rule and gateway do not meet",
        "The Gateway opens no host that the VirtualService has rules for, so it answers all of its requests with 404.",
        "Make one of the hosts the same, or open a wildcard that includes it.",
    ),
    Code(
        "MESH0212",
        _W,
        "host that no gateway opens",
        "The VirtualService is bound to gateways only, and none of them opens this host; its others are served.",
        "Add the host to a server of the Gateway, or remove it here.",
    ),
    Code(
        "MESH0213",
        _E,
        "gateway servers in conflict",
        "Two servers of Gateways for the same workloads cannot share a port; the one that was there first stays.",
        "Give one of them another port, other server names, or another selector.",
    ),
    Code(
        "MESH0214",
        _W,
        "rule never reached at the gateway",
        "VirtualServices for one host of a gateway are merged, oldest first; an earlier rule takes the same requests.",
        "Remove one of the two, or give it other conditions.",
    ),
    Code(
        "MESH0215",
        _W,
        "certificate of several servers",
        "Two servers of one gateway port have the same certificate and other hosts. Clients with HTTP/2 use the "
        "connection to one host for the other one as well, and get 404 there.",
        "Make one server of both, or give each a certificate for its own hosts alone.",
    ),
    Code(
        "MESH0216",
        _W,
        "rule hidden from its gateway",
        "exportTo of the VirtualService leaves out the namespace of the Gateway, so that gateway workloads there do "
        "not see the rules.",
        "Add the namespace of the Gateway to exportTo.",
    ),
    Code(
        "MESH0217",
        _W,
        "match that never holds",
        "The conditions ask for a gateway that the VirtualService is not bound to, or for a port that none of its "
        "gateways opens.",
        "Bind the VirtualService to the gateway, or correct the condition.",
    ),
    Code(
        "MESH0220",
        _E,
        "delegate cannot be used",
        "The VirtualService that a rule delegates to does not exist, has hosts of its own, or is not exported; the "
        "rule is left out.",
        "Name a VirtualService without hosts that is exported to this namespace.",
    ),
    Code(
        "MESH0221",
        _W,
        "delegate that nothing names",
        "A VirtualService without hosts is in force only where another one delegates to it.",
        "Give it hosts, or delegate to it.",
    ),
    Code(
        "MESH0222",
        _E,
        "several VirtualServices for one host",
        "Sidecars use the first VirtualService of a host (private before exported before public, then the oldest) "
        "and do not merge several, so this one has no effect there.",
        "Merge the rules into one object, delegate, or part them by exportTo.",
    ),
    Code(
        "MESH0230",
        _W,
        "DestinationRule for an unknown host",
        "No service has the host that the rule is for, so the rule has no effect.",
        "Correct the name; a short one is completed with the rule's own namespace.",
    ),
    Code(
        "MESH0231",
        _W,
        "subset without endpoints",
        "No endpoint of the service bears all labels of the subset, so requests to it get 503.",
        "Correct the labels, or start a workload with them.",
    ),
    Code(
        "MESH0232",
        _E,
        "TLS inside TLS",
        "The port's protocol says that clients speak TLS themselves; a rule that originates TLS on it wraps their TLS "
        "into a second one, which the server does not expect.",
        "Let clients speak HTTP to the port (protocol: HTTP, targetPort: 443), or do not originate TLS.",
    ),
    Code(
        "MESH0233",
        _W,
        "DestinationRules overlap",
        "Rules for one host are merged, oldest first; what an elder one says already is not taken from a younger one.",
        "Say it in one rule only.",
    ),
    Code(
        "MESH0234",
        _W,
        "policy for an unknown port",
        "The service does not have the port, so the policy has no effect.",
        "Name a port of the service (not the targetPort of its endpoints).",
    ),
    Code(
        "MESH0240",
        _W,
        "ServiceEntries disagree about a port",
        "Two ServiceEntries declare one port of one host with different protocols; clients that see both get one.",
        "Make the protocols equal, or part the entries by exportTo.",
    ),
    Code(
        "MESH0241",
        _W,
        "ServiceEntries disagree about resolution",
        "Two ServiceEntries of one namespace define one host; the resolution of the first, by age, holds for both.",
        "Make the resolutions equal, or merge the entries.",
    ),
    Code(
        "MESH0242",
        _W,
        "address of two services",
        "Two services claim one virtual address; requests to it reach the one that was there first.",
        "Give each service an address of its own.",
    ),
    Code(
        "MESH0250",
        _W,
        "selector that selects nothing",
        "No WorkloadEntry and no registered workload of the namespace bears all these labels, so that no endpoint "
        "comes of it.",
        "Correct the labels, or register a workload with them.",
    ),
    Code(
        "MESH0251",
        _I,
        "selector that selects no registered workload",
        "No registered workload of the namespace bears all these labels. Hosts that only send are not registered, so "
        "that this may be meant.",
        "Correct the labels if it is not.",
    ),
    Code(
        "MESH0252",
        _E,
        "Sidecars compete",
        "Two Sidecars are for the same workloads; they are not merged, and the first by age is used.",
        "Merge them, or make their selectors exclude each other.",
    ),
    Code(
        "MESH0253",
        _W,
        "egress host that nothing defines",
        "A Sidecar imports a host that no service and no VirtualService has.",
        "Correct the name; after the slash stands a full name, or a wildcard.",
    ),
    Code(
        "MESH0260",
        _E,
        "object given twice",
        "Two documents have the same kind, namespace and name: they are versions of one object; only one can be put.",
        "Give one of them another name or namespace, or remove it.",
    ),
)
