"""Rules that several kinds share: hosts, subsets, exportTo, selectors, destinations, lists without duplicates.

Source: istio/istio pkg/config/validation/validation.go (validateExportTo, validateWorkloadSelector,
validateDestination, validateGatewayNames).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from store.diagnostics import Path
from store.objects.destination import Destination
from store.objects.strings import StringMatch
from store.validation import names, values
from store.validation.findings import Findings

__all__ = [
    "check_address_or_host",
    "check_destination",
    "check_duration",
    "check_export_to",
    "check_gateway_names",
    "check_host",
    "check_label",
    "check_labels",
    "check_percent",
    "check_port",
    "check_protocol",
    "check_regex",
    "check_selector",
    "check_string_match",
    "quoted",
]


def quoted(text: str) -> str:
    """A value in quotes, shortened."""
    return f'"{text}"' if len(text) <= 80 else f'"{text[:77]}..."'


def check_host(host: str, at: Path, found: Findings, *, wildcard: bool = True) -> bool:
    """A host name, possibly with a wildcard; True when it is one."""
    fault = names.host_fault(host, wildcard=wildcard)
    if fault:
        found.add("MESH0301", at, f"{quoted(host)} {fault}", _host_hint(host))
    return not fault


def _host_hint(host: str) -> str:
    if "://" in host:
        return "write the host name alone, without the scheme"
    if ":" in host and not names.is_address(host):
        return "write the host name alone, without the port"
    if "/" in host:
        return "write the host name alone, without a path or namespace"
    return "host names hold no underscores" if "_" in host else ""


def check_address_or_host(text: str, at: Path, found: Findings, *, wildcard: bool = True) -> None:
    """An IP address, or a host name."""
    if not names.is_address(text):
        check_host(text, at, found, wildcard=wildcard)


def check_label(text: str | None, at: Path, found: Findings, what: str) -> None:
    """A DNS label such as the name of a subset or a port; None passes."""
    if text is not None and (fault := names.dns_label_fault(text)):
        found.add("MESH0303", at, f"{what} {quoted(text)} {fault}")


def check_labels(labels: Mapping[str, str], at: Path, found: Findings) -> None:
    """Labels of workloads."""
    for key, value in labels.items():
        if fault := names.label_key_fault(key):
            found.add("MESH0312", (*at, key), f"{quoted(key)} {fault}", at_key=True)
        if fault := names.label_value_fault(value):
            found.add("MESH0312", (*at, key), f"{quoted(value)} {fault}")


def check_selector(labels: Mapping[str, str], at: Path, found: Findings) -> bool:
    """Labels that select workloads; True when they are legal. Without any, every workload is selected."""
    if not labels:
        hint = "add labels, or leave the selector out to say so plainly"
        found.add(
            "MESH0326",
            at,
            "selects every workload of the namespace, since it has no labels",
            hint,
            at_key=True,
        )
    legal = True
    for key, value in labels.items():
        if not key:
            found.add("MESH0315", (*at, key), "the name of a label is empty", at_key=True)
            legal = False
        if "*" in key or "*" in value:
            found.add(
                "MESH0315",
                (*at, key),
                'a selector compares labels for equality; "*" stands for nothing',
            )
            legal = False
    return legal


def check_port(number: int | None, at: Path, found: Findings) -> None:
    """A port number; None passes."""
    if number is not None and (fault := values.port_fault(number)):
        found.add("MESH0305", at, fault)


def check_protocol(protocol: str, at: Path, found: Findings) -> None:
    """A protocol; the empty word passes."""
    if protocol and (fault := values.protocol_fault(protocol)):
        found.add("MESH0306", at, fault)


def check_duration(seconds: float | None, at: Path, found: Findings, *, zero: bool = False) -> None:
    """A duration of whole milliseconds; None passes."""
    if fault := values.duration_fault(seconds, zero=zero):
        found.add("MESH0307", at, fault)


def check_percent(value: float | None, at: Path, found: Findings) -> None:
    """A share in percent; None passes."""
    if fault := values.percent_fault(value):
        found.add("MESH0308", at, fault)


def check_regex(expression: str, at: Path, found: Findings) -> None:
    """An RE2 expression."""
    if fault := values.regex_fault(expression):
        hint = 'for "any value" write ".*", or {} for mere presence' if expression == "*" else ""
        found.add("MESH0309", at, f"{quoted(expression)} {fault}" if expression else fault, hint)


def check_string_match(
    match: StringMatch | None, at: Path, found: Findings, *, empty_prefix: bool = False
) -> None:
    """How a string is compared; None passes."""
    if match is None:
        return
    if match.prefix == "" and not empty_prefix:
        hint = "leave the condition out, or give a prefix"
        found.add("MESH0309", (*at, "prefix"), "an empty prefix matches everything", hint)
    if match.regex is not None:
        check_regex(match.regex, (*at, "regex"), found)


def check_export_to(
    targets: Sequence[str], namespace: str, at: Path, found: Findings, *, none_allowed: bool = False
) -> None:
    """`exportTo`: `*`, `.`, namespaces; `~` where `none_allowed` is set."""
    seen: set[str] = set()
    for index, target in enumerate(targets):
        here = (*at, index)
        meant = namespace if target == "." and namespace else target
        if meant in seen:
            found.add("MESH0314", here, f"{quoted(target)} is given twice", "remove one of the two")
        seen.add(meant)
        if target == "~" and not none_allowed:
            found.add(
                "MESH0313",
                here,
                '"~" (nobody) is for ServiceEntries only',
                'for its own namespace write "."',
            )
        elif target not in ("*", ".", "~") and (fault := names.dns_label_fault(target)):
            message = f'must be "*", "." or a namespace; {quoted(target)} {fault}'
            found.add("MESH0313", here, message)
    for alone, meaning in (("*", "everybody"), ("~", "nobody")):
        if alone in targets and len(set(targets)) > 1:
            message = f'"{alone}" ({meaning}) leaves nothing for the other entries to say'
            found.add("MESH0313", at, message, f'keep either "{alone}" or the others', at_key=True)


def check_gateway_names(gateways: Iterable[str], at: Path, found: Findings) -> None:
    """Names of gateways: `mesh`, `name`, `namespace/name`."""
    for index, name in enumerate(gateways):
        here = (*at, index)
        namespace, slash, gateway = name.partition("/")
        if slash:
            if names.dns_label_fault(namespace) or names.dns_label_fault(gateway):
                message = f"{quoted(name)} is not the name of a gateway: NAME or NAMESPACE/NAME"
                found.add("MESH0316", here, message)
        elif fault := names.host_fault(name, wildcard=False):
            found.add("MESH0316", here, f"{quoted(name)} {fault}")
        elif "." in name:
            hint = f"write {'/'.join(reversed(name.split('.')[:2]))}"
            message = f"{quoted(name)} names its namespace in the old way, with a dot"
            found.add("MESH0327", here, message, hint)


def check_destination(destination: Destination, at: Path, found: Findings) -> None:
    """Host, subset and port of a destination."""
    if destination.host == "*":
        found.add("MESH0302", (*at, "host"), '"*" names no destination', "name one host")
    else:
        check_host(destination.host, (*at, "host"), found)
    if destination.subset:
        check_label(destination.subset, (*at, "subset"), found, "the name of a subset")
    if destination.port is not None:
        check_port(destination.port.number or 0, (*at, "port", "number"), found)
