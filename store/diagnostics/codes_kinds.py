"""Codes MESH033x to MESH039x: the rules of single kinds.

033x-034x  VirtualService      037x  ServiceEntry
035x       DestinationRule     038x  WorkloadEntry, WorkloadGroup, Sidecar
036x       Gateway             039x  MeshConfig
"""

from __future__ import annotations

from store.diagnostics.code import Code, Level

__all__ = ["KIND_CODES"]

_E, _W = Level.ERROR, Level.WARNING

KIND_CODES = (
    Code(
        "MESH0330",
        _E,
        "VirtualService without rules",
        "Hosts are taken over, but nothing says where their requests go.",
        "Add http, tls or tcp rules.",
    ),
    Code(
        "MESH0331",
        _E,
        "rule without exactly one action",
        "A rule sends requests on (route), redirects, or answers by itself (directResponse): exactly one of "
        "these.",
        "Keep or add one action.",
    ),
    Code(
        "MESH0332",
        _E,
        "delegation broken",
        "A VirtualService without hosts is a delegate with http rules only, and delegates do not delegate "
        "further.",
        "Follow the message.",
    ),
    Code(
        "MESH0333",
        _E,
        "unknown retry condition",
        "retryOn lists Envoy's conditions, gRPC status names or HTTP status codes, with commas and no spaces.",
        "Take the condition that the message proposes.",
    ),
    Code(
        "MESH0334",
        _E,
        "illegal weights",
        "Weights are 0 or more and relative to their sum, which must not be 0.",
        "Give each destination its weight.",
    ),
    Code(
        "MESH0335",
        _E,
        "illegal CORS policy",
        "Origins must not be empty, and methods must be HTTP's.",
        "Correct the entry.",
    ),
    Code(
        "MESH0336",
        _E,
        "server name outside the hosts",
        "A TLS match can only take names that lie within the VirtualService's hosts.",
        "Add the name to spec.hosts, or correct it.",
    ),
    Code(
        "MESH0337",
        _W,
        "rule never reached",
        "Rules are tried in order, and earlier ones take everything that this one would.",
        "Move the rule up, or remove it.",
    ),
    Code(
        "MESH0338",
        _W,
        "match without effect",
        "An earlier match takes everything that this one would; other matches of the rule still work.",
        "Move it up, or remove it.",
    ),
    Code(
        "MESH0339",
        _W,
        "large body",
        "Every Envoy holds the body of a fixed answer in memory.",
        "Serve the content from a service.",
    ),
    Code(
        "MESH0340",
        _E,
        "claims in the mesh",
        "Claims of tokens are known at gateways only.",
        "Bind the VirtualService to gateways only.",
    ),
    Code(
        "MESH0341",
        _E,
        "* in the mesh",
        "The host * would take all traffic of every sidecar.",
        "Name the hosts, or bind the VirtualService to gateways only.",
    ),
    Code(
        "MESH0342",
        _E,
        "prefixRewrite without prefix",
        "A redirect can only replace a prefix that was matched.",
        "Match by uri.prefix in every match of the rule.",
    ),
    Code(
        "MESH0351",
        _E,
        "illegal locality setting",
        "Localities are region/zone/subzone, with at most one * at the end; shares of one origin add up to 100.",
        "Follow the message.",
    ),
    Code(
        "MESH0352",
        _W,
        "no failover without outlier detection",
        "Failover needs endpoints that count as sick, and only outlierDetection finds them.",
        "Add outlierDetection to the same policy.",
    ),
    Code(
        "MESH0353",
        _E,
        "illegal Maglev table",
        "The size of a Maglev table is a prime below 5000011.",
        "Take for instance 65537.",
    ),
    Code(
        "MESH0354",
        _E,
        "client TLS incomplete",
        "Mutual TLS needs the client's certificate and key.",
        "Name the files on the hosts that use the rule.",
    ),
    Code(
        "MESH0360",
        _E,
        "protocol and TLS do not fit",
        "HTTPS and TLS need TLS settings, plain protocols take none.",
        "Change the protocol, or add or remove tls.",
    ),
    Code(
        "MESH0361",
        _E,
        "server certificates missing or not wanted",
        "The mode needs files or a credential, or brings its own.",
        "Follow the message.",
    ),
    Code(
        "MESH0362",
        _W,
        "weak or unknown TLS settings",
        "Old versions have no secure ciphers among the defaults; unknown ciphers are left out.",
        "Take TLSV1_2, or ciphers that Envoy knows.",
    ),
    Code(
        "MESH0363",
        _W,
        "TLS setting without effect",
        "The setting is for another protocol or mode.",
        "Remove it, or change the mode.",
    ),
    Code(
        "MESH0370",
        _E,
        "resolution and endpoints do not fit",
        "Each resolution has its own rule for hosts and endpoints.",
        "Follow the message.",
    ),
    Code(
        "MESH0371",
        _E,
        "addresses or ports do not fit",
        "CIDRs need NONE or STATIC; several hosts can share a port only where the protocol names the host.",
        "Follow the message.",
    ),
    Code(
        "MESH0372",
        _E,
        "endpoint address does not fit",
        "STATIC takes IP addresses and unix sockets, DNS takes names.",
        "Change the address or the resolution.",
    ),
    Code(
        "MESH0373",
        _E,
        "unknown port of the service",
        "An endpoint's ports are keyed by the names of the service's ports.",
        "Take a name from spec.ports.",
    ),
    Code(
        "MESH0374",
        _W,
        "TCP port without addresses",
        "Without an address, TCP connections to the service cannot be told from others.",
        "Add addresses, or reach it through a Sidecar's egress listener.",
    ),
    Code(
        "MESH0375",
        _W,
        "wildcard for a part of a label",
        "Such a host matches only names that begin alike, and TLS certificates do not allow it.",
        "Use `*.` and a domain.",
    ),
    Code(
        "MESH0380",
        _E,
        "endpoint without address",
        "An endpoint needs an address, unless it is reached through the gateways of its network.",
        "Add the address.",
    ),
    Code(
        "MESH0381",
        _E,
        "illegal probe",
        "A probe has exactly one method.",
        "Add the method.",
    ),
    Code(
        "MESH0382",
        _W,
        "probe that runs a command",
        "Whoever may write the WorkloadGroup would have programs run on its hosts, so hosts run them only where their "
        "own settings allow it; a workload whose probe is not run counts as not ready.",
        "Set registration.exec_probes on the group's hosts, or probe by httpGet, tcpSocket or grpc.",
    ),
    Code(
        "MESH0385",
        _E,
        "illegal egress host",
        "Egress hosts are NAMESPACE/NAME.",
        "Write for instance `*/*`, `./*` or `prod/*.example.com`.",
    ),
    Code(
        "MESH0386",
        _E,
        "illegal listener",
        "The listener's address, port and mode of capture do not fit each other or the other listeners.",
        "Follow the message.",
    ),
    Code(
        "MESH0387",
        _W,
        "egress hosts overlap",
        "An entry is held by another one.",
        "Remove it.",
    ),
    Code(
        "MESH0395",
        _E,
        "settings contradict each other",
        "Two settings of the mesh cannot both be in force.",
        "Follow the message.",
    ),
    Code(
        "MESH0396",
        _E,
        "setting beyond its bound",
        "Beyond the bound the setting would say something that does not happen.",
        "Choose a value within the bound.",
    ),
    Code(
        "MESH0397",
        _E,
        "not a place to write to",
        "An access log is a file by its absolute path, and a collector of spans is a host and a port.",
        "Write for instance /var/log/meshd/access.log or otel.example.com:4317.",
    ),
)
