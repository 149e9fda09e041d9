"""Names: DNS labels, host names with and without wildcards, addresses, labels of workloads.

Each `..._fault` answers what is wrong with a value in a few words, or the empty string.

Source: istio/istio pkg/config/validation/agent/validation.go (ValidateFQDN, ValidateWildcardDomain,
ValidatePartialWildCard, ValidateIPSubnet, ValidateUnixAddress) and pkg/config/labels/instance.go.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

__all__ = [
    "address_fault",
    "covers",
    "dns_label_fault",
    "host_fault",
    "is_address",
    "is_partial_wildcard",
    "label_key_fault",
    "label_value_fault",
    "overlap",
    "subnet_fault",
    "unix_fault",
]

REMEMBERED_MAX = 1_024
"""Addresses, and parts of host names, whose verdict is remembered: the rules ask several times for each."""
ADDRESS_MAX = 128
"""Longest text that is looked at: an IPv6 address has 45 characters, and the name of a scope follows."""

_LABEL = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?\Z")
_WILDCARD_LABEL = re.compile(r"(?:\*|(?:\*-?)?[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?)\Z")
_TAG_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")


def dns_label_fault(text: str) -> str:
    """What keeps `text` from being a DNS label (one part of a host name)."""
    if not text:
        return "is empty"
    if len(text) > 63:
        return f"has {len(text)} characters, and a DNS label has at most 63"
    if not _is_label(text):
        return 'is not a DNS label: letters, digits and "-", beginning and ending with a letter or digit'
    return ""


@lru_cache(REMEMBERED_MAX)
def _is_label(text: str) -> bool:
    return _LABEL.match(text) is not None


def host_fault(host: str, *, wildcard: bool = True) -> str:
    """What keeps `host` from being a host name, whose first label may be a wildcard if `wildcard` is set."""
    if not host:
        return "is empty"
    if len(host) > 255:
        return f"has {len(host)} characters, and a host name has at most 255"
    if "*" in host and not wildcard:
        return "has a wildcard, and one name is needed here"
    labels = host.removesuffix(".").split(".")
    first, rest = labels[0], labels[1:]
    if wildcard and first.startswith("*"):
        if len(first) > 63 or not _WILDCARD_LABEL.match(first):
            return f'begins with "{first[:70]}", which is not a wildcard: "*", or "*" and letters or digits'
        labels = rest
    for label in labels:
        if label.startswith("*"):
            return f'has the label "{label[:70]}", and only the first may be a wildcard'
        if not label:
            return "has an empty label (two dots in a row, or a dot at the start)"
        fault = dns_label_fault(label)
        if fault:
            return fault if label == host else f'has the label "{label[:70]}", which {fault}'
    if labels and labels[-1].isdigit() and labels[-1].isascii():
        return f'ends in "{labels[-1]}", and the last label of a host name is not a number'
    return ""


def is_partial_wildcard(host: str) -> bool:
    """Whether a wildcard stands for a part of a label, as in `*-blue.example.com`."""
    return "*" in host and host != "*" and not host.startswith("*.")


def is_address(text: str) -> bool:
    """Whether `text` is an IP address."""
    return not address_fault(text)


def address_fault(text: str) -> str:
    """What keeps `text` from being an IP address."""
    return _address_fault(text) if len(text) <= ADDRESS_MAX else "is not an IP address"


@lru_cache(REMEMBERED_MAX)
def _address_fault(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "is not an IP address"
    return "has a scope (%), which is not allowed here" if "%" in text else ""


def subnet_fault(text: str) -> str:
    """What keeps `text` from being an IP address or a CIDR such as 10.1.0.0/16."""
    if "/" not in text:
        return "" if is_address(text) else "is not an IP address or CIDR"
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "is not an IP address or CIDR such as 10.1.0.0/16"
    prefix = text.partition("/")[2]
    return (
        "" if prefix.isdigit() else "has a mask; write the length of the prefix, as in 10.1.0.0/16"
    )


def unix_fault(path: str) -> str:
    """What keeps `path` (behind `unix://`) from being the address of a unix socket."""
    if not path:
        return "names no socket"
    if path.startswith("@"):
        return ""
    if not path.startswith("/"):
        return "is not an absolute path, nor an abstract socket (@name)"
    return "is a folder, not a socket" if path.endswith("/") else ""


def label_key_fault(key: str) -> str:
    """What keeps `key` from being the name of a label, `[prefix/]name`."""
    prefix, slash, name = key.rpartition("/")
    if slash and (not prefix or len(prefix) > 253 or host_fault(prefix, wildcard=False)):
        return f'has the prefix "{prefix[:80]}", which is not a DNS name'
    if not name:
        return "is empty"
    if len(name) > 63:
        return f"has {len(name)} characters, and the name of a label has at most 63"
    if not _TAG_NAME.match(name):
        return 'is not the name of a label: letters, digits, "-", "_" and ".", at both ends a letter or digit'
    return ""


def label_value_fault(value: str) -> str:
    """What keeps `value` from being the value of a label."""
    if value and not _TAG_NAME.match(value):
        return 'is not the value of a label: letters, digits, "-", "_" and ".", at both ends a letter or digit'
    return ""


def covers(wide: str, host: str) -> bool:
    """Whether every name that `host` stands for is one that `wide` stands for (Istio's SubsetOf)."""
    wide, host = wide.lower(), host.lower()
    if wide.startswith("*"):
        return (
            host.removeprefix("*").endswith(wide[1:])
            if host.startswith("*")
            else host.endswith(wide[1:])
        )
    return wide == host


def overlap(one: str, other: str) -> bool:
    """Whether some name is meant by both hosts."""
    return covers(one, other) or covers(other, one)
