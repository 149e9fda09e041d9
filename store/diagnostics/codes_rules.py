"""Codes MESH03xx: the rules for one object.

030x-032x  names, values, and rules that kinds share      036x  Gateway
033x-034x  VirtualService                                 037x  ServiceEntry
035x       DestinationRule                                038x  WorkloadEntry, WorkloadGroup, Sidecar
                                                          039x  MeshConfig
"""

from __future__ import annotations

from store.diagnostics.code import Code, Level

__all__ = ["RULE_CODES"]

_E, _W = Level.ERROR, Level.WARNING

RULE_CODES = (
    Code(
        "MESH0301",
        _E,
        "illegal host name",
        "A host is letters, digits and hyphens in labels parted by dots; its first label may be `*` where the"
        " message does not say otherwise.",
        "Correct the name; write it without scheme, port and path.",
    ),
    Code(
        "MESH0302",
        _E,
        "wildcard not allowed here",
        "A wildcard stands for many names, and this place needs one, or a whole label.",
        "Name one host, or use `*.` and a domain.",
    ),
    Code(
        "MESH0303",
        _E,
        "not a DNS label",
        "Names of subsets, ports and namespaces become parts of other names, so they follow the rule of DNS "
        "labels.",
        "Use at most 63 letters, digits and hyphens, beginning and ending with a letter or digit.",
    ),
    Code(
        "MESH0304",
        _E,
        "not an address",
        "An IP address (or, for subnets, a CIDR) is needed.",
        "Write for instance 10.1.2.3, 10.1.0.0/16 or fd00::1.",
    ),
    Code(
        "MESH0305",
        _E,
        "illegal port",
        "Ports are numbers from 1 to 65535; a unix socket has none.",
        "Correct the number.",
    ),
    Code(
        "MESH0306",
        _E,
        "unknown protocol or scheme",
        "The word is none that is known here.",
        "Take one of the words that the message lists.",
    ),
    Code(
        "MESH0307",
        _E,
        "illegal duration",
        "Durations are whole milliseconds, at least one; some fields need whole seconds.",
        "Round the value.",
    ),
    Code(
        "MESH0308",
        _E,
        "illegal percentage",
        "A share is from 0 to 100; the smallest above 0 is 0.0001.",
        "Correct the value.",
    ),
    Code(
        "MESH0309",
        _E,
        "illegal match",
        "An expression does not compile (Envoy uses RE2, which has no look-around and no back references), or"
        " a prefix is empty.",
        "Correct the expression; test it with any RE2 tester.",
    ),
    Code(
        "MESH0310",
        _E,
        "illegal header name",
        "Header names are made of letters, digits and a few signs; pseudo-headers and `host` can only be used"
        " in some places.",
        "Correct the name.",
    ),
    Code(
        "MESH0311",
        _E,
        "illegal header value",
        "Header values hold no control characters, and `%` begins a variable of Envoy's, such as "
        "%REQ(x-request-id)%.",
        "Write `%%` for the sign itself, and close each variable with `%`.",
    ),
    Code(
        "MESH0312",
        _E,
        "illegal label",
        "Labels have the form that Kubernetes gives them.",
        "Correct the label's name or value.",
    ),
    Code(
        "MESH0313",
        _E,
        "illegal exportTo",
        "exportTo lists namespaces, or says `.` (its own) or `*` (all); words for all or none stand alone.",
        "Correct the list.",
    ),
    Code(
        "MESH0314",
        _E,
        "given twice",
        "Two entries that must differ are the same or overlap.",
        "Remove one of the two, or give it another name.",
    ),
    Code(
        "MESH0315",
        _E,
        "illegal selector",
        "A selector compares labels for equality.",
        "Write label names and their whole values.",
    ),
    Code(
        "MESH0316",
        _E,
        "illegal gateway name",
        "A gateway is named by NAME, by NAMESPACE/NAME, or by the word mesh.",
        "Correct the name.",
    ),
    Code(
        "MESH0317",
        _E,
        "illegal unix socket",
        "The address of a socket is an absolute path to a file, or `@` and a name.",
        "Write for instance unix:///run/app.sock.",
    ),
    Code(
        "MESH0318",
        _E,
        "fields exclude each other",
        "Of these fields only one can be in force at a time.",
        "Keep one of them.",
    ),
    Code(
        "MESH0319",
        _E,
        "field needed",
        "Another field or value makes this one necessary.",
        "Add the field.",
    ),
    Code(
        "MESH0320",
        _E,
        "number out of range",
        "The number has no meaning here.",
        "Correct the number.",
    ),
    Code(
        "MESH0321",
        _E,
        "illegal status",
        "The number or name is no status that can be used here.",
        "Take a status from the range that the message gives.",
    ),
    Code(
        "MESH0322",
        _E,
        "says nothing",
        "The part is given but holds nothing that has an effect, which is almost always a mistake in indentation.",
        "Fill it in or remove it.",
    ),
    Code(
        "MESH0323",
        _W,
        "deprecated",
        "The field still works, or is passed over, but has a successor.",
        "Use the field that the message names.",
    ),
    Code(
        "MESH0324",
        _W,
        "has no effect",
        "The setting is allowed, but changes nothing in this combination.",
        "Remove it, or change what keeps it from having an effect.",
    ),
    Code(
        "MESH0325",
        _E,
        "not supported",
        "The field exists in the schema, but neither Istio nor meshd supports it here.",
        "Remove it, or use the field that the message names.",
    ),
    Code(
        "MESH0326",
        _W,
        "selects everything",
        "A selector without labels selects all workloads of the namespace.",
        "Add labels if that is not meant.",
    ),
    Code(
        "MESH0327",
        _W,
        "old form of a gateway's name",
        "Gateways used to be named by NAME.NAMESPACE...; it is read as a plain name now.",
        "Write NAMESPACE/NAME.",
    ),
    Code(
        "MESH0328",
        _E,
        "body too large",
        "Fixed answers lie in the memory of each Envoy.",
        "Serve the content from a service.",
    ),
)
