"""Host names: completing short ones, comparing wildcards, the spellings that clients use.

Decides what a name in an object or in a request means. Knows nothing of services: whether something of that
name exists is for the view to say. Rules follow Istio (pkg/config/host/name.go, names.go and
pilot/pkg/model/config.go ResolveShortnameToFQDN): comparison is on lower-case names and the only wildcard is
a leading `*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from sidecar.mesh.model import HostName

__all__ = [
    "aliases",
    "intersection",
    "is_address",
    "is_wildcard",
    "matches",
    "meanings",
    "most_specific",
    "normal",
    "resolve",
    "specificity",
    "subset_of",
    "wildcards_over",
]


def normal(name: str) -> HostName:
    """`name` in lower case and without a trailing dot: the form that all comparison is done on."""
    return HostName(name.lower().removesuffix(".") if len(name) > 1 else name.lower())


def is_wildcard(name: str) -> bool:
    """Whether `name` stands for many hosts (a leading `*`)."""
    return name.startswith("*")


def is_address(name: str) -> bool:
    """Whether `name` is an IPv4 or IPv6 address, with or without brackets."""
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def resolve(name: str, namespace: str, domain: str) -> HostName:
    """Complete a short host: `reviews` becomes `reviews.<namespace>.svc.<domain>`.

    Wildcards, addresses, the empty name and anything with a dot stay as they are (in lower case).

    Args:
        name: Host as written in an object or asked for by a client.
        namespace: Namespace of the *rule* (or of the client), never that of the service.
        domain: MeshConfig.domain; where empty, only the namespace is appended.
    """
    host = normal(name)
    if not host or "." in host or is_wildcard(host) or is_address(host):
        return host
    return HostName(f"{host}.{namespace}.svc.{domain}" if domain else f"{host}.{namespace}")


def matches(one: str, other: str) -> bool:
    """Whether some host is named by both; symmetric. `*.foo.com` does not name `foo.com`."""
    if is_wildcard(one) and is_wildcard(other):
        return one[1:].endswith(other[1:]) or other[1:].endswith(one[1:])
    if is_wildcard(one):
        return other.endswith(one[1:])
    if is_wildcard(other):
        return one.endswith(other[1:])
    return one == other


def subset_of(inner: str, outer: str) -> bool:
    """Whether every host that `inner` names is named by `outer` too."""
    if is_wildcard(outer):
        return inner.removeprefix("*").endswith(outer[1:])
    return inner == outer


def specificity(name: str) -> tuple[bool, int, str]:
    """Sort key that puts the more specific first: exact before wildcard, longer before shorter, then by name."""
    return (is_wildcard(name), -len(name), name)


def most_specific(name: str, candidates: Iterable[HostName]) -> HostName | None:
    """The most specific of `candidates` that names all of `name`, or None."""
    return min((c for c in candidates if subset_of(name, c)), key=specificity, default=None)


def wildcards_over(name: str) -> Iterator[HostName]:
    """Every wildcard other than `name` that names all of `name`, the most specific (longest) first.

    An index of hosts is asked with each of them in turn, so that its answer costs the length of a name and
    not the number of wildcards. `a.b.c` gives `*.b.c`, `*b.c`, ... `*`.
    """
    start = 2 if is_wildcard(name) else 1
    if not is_wildcard(name) and name:
        yield HostName(f"*{name}")
    for index in range(start, len(name) + 1):
        yield HostName(f"*{name[index:]}")


def intersection(one: Iterable[HostName], other: Iterable[HostName]) -> tuple[HostName, ...]:
    """For every pair that overlaps the narrower of the two, without repetition, in order of first finding."""
    found: dict[HostName, None] = {}
    others = tuple(other)
    for left in one:
        for right in others:
            if subset_of(left, right):
                found[left] = None
            elif subset_of(right, left):
                found[right] = None
    return tuple(found)


def aliases(
    host: HostName, namespace: str, domain: str, client_namespace: str
) -> tuple[HostName, ...]:
    """The names by which a client may address the service `host`; the full one first.

    A service under `<name>.<namespace>.svc.<domain>` has Kubernetes' short forms. The bare `<name>` is given
    only to clients of the same namespace: elsewhere it means another service.

    Args:
        host: Full name of the service.
        namespace: Namespace of the service.
        domain: MeshConfig.domain.
        client_namespace: Namespace of the workload that asks.
    """
    if is_wildcard(host) or is_address(host):
        return (host,)
    names = [host, HostName(f"{host}.")]
    tail = f".{namespace}.svc.{domain}" if domain else f".{namespace}"
    name = host.removesuffix(tail)
    if name and name != host:
        if domain:
            names += [HostName(f"{name}.{namespace}.svc"), HostName(f"{name}.{namespace}")]
        if namespace == client_namespace and "." not in name:
            names.append(HostName(name))
    return tuple(names)


def meanings(authority: str, domain: str, client_namespace: str) -> tuple[HostName, ...]:
    """Every full host name that a client may mean by `authority` (no port), in order of precedence.

    The reverse of `aliases`: what is derived for an authority must be considered again when any of these
    comes to be or goes away.
    """
    name = normal(authority)
    found: dict[HostName, None] = {name: None}
    if not name or is_wildcard(name) or is_address(name):
        return tuple(found)
    dots = name.count(".")
    if dots == 0:
        found[resolve(name, client_namespace, domain)] = None
    elif domain:
        if name.endswith(".svc"):
            found[HostName(f"{name}.{domain}")] = None
        found[HostName(f"{name}.svc.{domain}")] = None
    return tuple(found)
