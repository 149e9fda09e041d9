"""HTTP rules of a VirtualService with its delegates' rules in place.

Follows Istio's pilot/pkg/model/virtualservice.go mergeVirtualServicesIfNeeded: each rule of a delegate becomes a
rule of the root, under the conditions of both; one that the root's conditions exclude is left out. Only one
level is followed. Short names in a delegate are completed with its own namespace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sidecar.mesh.facts import gateway_name
from sidecar.mesh.model import Provenance
from sidecar.routing.sight import RuleSource, Sight
from store.objects.base import ObjectRef
from store.objects.destination import Destination
from store.objects.kinds import Kind
from store.objects.virtual_service import HTTPMatchRequest, HTTPRoute, StringMatch

__all__ = ["Rule", "rules_in_place"]

_FILLED = (
    "rewrite",
    "direct_response",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirror_percent",
    "mirror_percentage",
    "cors_policy",
    "mirrors",
    "headers",
)
"""Fields that a delegate's rule takes from the root's where it leaves them out."""

Notes = list[tuple[Provenance, str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One HTTP rule as it is to be read."""

    rule: HTTPRoute
    """The rule; a delegate's with what it takes from the root."""
    source: RuleSource
    """The object that says it: its namespace completes names, its generation is told."""
    path: str
    """Place in that object."""
    blocks: tuple[tuple[str, HTTPMatchRequest], ...] = ()
    """(place in that object, match block); none means that every request fits."""

    def at(self, path: str = "") -> Provenance:
        """Where the rule, or a place in its object, stands."""
        return Provenance(self.source.ref, self.source.generation, path or self.path)


def rules_in_place(sight: Sight, root: RuleSource, notes: Notes) -> Iterator[Rule]:
    """The rules of a VirtualService in order, those of delegates where they are delegated to.

    Args:
        sight: The mesh.
        root: A VirtualService with hosts.
        notes: Takes the reason for each rule that is left out.
    """
    for index, rule in enumerate(root.model.spec.http):
        path = f"spec.http[{index}]"
        if rule.delegate is None:
            yield _own(rule, root, path)
            continue
        ref = ObjectRef(
            Kind.VIRTUAL_SERVICE,
            rule.delegate.namespace or root.ref.namespace,
            rule.delegate.name or "",
        )
        delegate = sight.delegate(ref, root.ref.namespace)
        if delegate is None:
            said = f"its delegate {ref} does not exist, has hosts of its own or is not exported to {root.ref.namespace}"
            notes.append((_own(rule, root, path).at(), said))
            continue
        yield from _of_delegate(sight, _own(rule, root, path), delegate, notes)


def _own(rule: HTTPRoute, source: RuleSource, path: str) -> Rule:
    blocks = tuple((f"{path}.match[{n}]", block) for n, block in enumerate(rule.match))
    return Rule(rule, source, path, blocks)


def _of_delegate(sight: Sight, root: Rule, delegate: RuleSource, notes: Notes) -> Iterator[Rule]:
    inherited = _inherited(sight, root)
    for index, rule in enumerate(delegate.model.spec.http):
        leaf = _own(rule, delegate, f"spec.http[{index}]")
        if rule.delegate is not None:
            notes.append((leaf.at(), "a delegate cannot delegate again"))
            continue
        blocks = _united_blocks(root, leaf)
        if blocks is None:
            said = f"its conditions and those of {root.at()} exclude each other"
            notes.append((leaf.at(), said))
            continue
        given = {name: value for name, value in inherited.items() if not getattr(rule, name)}
        named = "-".join(name for name in (root.rule.name, rule.name) if name)
        merged = rule.model_copy(update={**given, "name": named or None})
        yield Rule(merged, delegate, leaf.path, blocks)


def _inherited(sight: Sight, root: Rule) -> dict[str, object]:
    """What the root's rule hands down, with its mirrors' hosts completed by the root's namespace."""
    rule, namespace = root.rule, root.source.ref.namespace

    def full(destination: Destination) -> Destination:
        host = sight.resolve_host(destination.host, namespace)
        return destination.model_copy(update={"host": host})

    handed = {name: getattr(rule, name) for name in _FILLED}
    if rule.mirror is not None:
        handed["mirror"] = full(rule.mirror)
    handed["mirrors"] = tuple(
        mirror.model_copy(update={"destination": full(mirror.destination)})
        for mirror in rule.mirrors
    )
    return handed


def _united_blocks(root: Rule, leaf: Rule) -> tuple[tuple[str, HTTPMatchRequest], ...] | None:
    """Every pair of blocks that agree; None when a block of the delegate agrees with none of the root's."""
    above = [(path, _with_full_gateways(block, root.source)) for path, block in root.blocks]
    below = [(path, _with_full_gateways(block, leaf.source)) for path, block in leaf.blocks]
    if not above:
        return tuple(below)
    if not below:
        return tuple((leaf.path, block) for _, block in above)
    united: list[tuple[str, HTTPMatchRequest]] = []
    for path, block in below:
        agreeing = [(path, _united(other, block)) for _, other in above if not _clash(other, block)]
        if not agreeing:
            return None
        united += agreeing
    return tuple(united)


def _with_full_gateways(block: HTTPMatchRequest, source: RuleSource) -> HTTPMatchRequest:
    names = tuple(gateway_name(name, source.ref.namespace) for name in block.gateways)
    return block.model_copy(update={"gateways": names}) if names else block


def _united(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> HTTPMatchRequest:
    """A block with the conditions of both; the delegate's where both have one on the same thing.

    Where the delegate only asks that a value is present, the root's condition stays, since it asks for more.
    """
    update: dict[str, object] = {
        name: _narrower(getattr(root, name), getattr(leaf, name))
        for name in ("uri", "scheme", "method", "authority")
    }
    for name in ("headers", "without_headers", "query_params"):
        above, below = getattr(root, name), getattr(leaf, name)
        shared = {key: _narrower(above.get(key), value) for key, value in below.items()}
        update[name] = {**above, **shared}
    for name in ("port", "source_namespace", "stat_prefix"):
        update[name] = getattr(leaf, name) or getattr(root, name)
    update["source_labels"] = {**root.source_labels, **leaf.source_labels}
    update["gateways"] = leaf.gateways or root.gateways
    update["name"] = "-".join(name for name in (root.name, leaf.name) if name) or None
    return leaf.model_copy(update=update)


def _narrower(root: StringMatch | None, leaf: StringMatch | None) -> StringMatch | None:
    return leaf if leaf is not None and _text(leaf) else root or leaf


def _text(condition: StringMatch) -> str | None:
    """What a condition compares with; nothing where it only asks that a value is present."""
    return condition.exact or condition.prefix or condition.regex


def _clash(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> bool:
    """Whether a delegate's block asks for something that the root's excludes, or may exclude."""
    values = [
        (root.uri, leaf.uri),
        (root.scheme, leaf.scheme),
        (root.method, leaf.method),
        (root.authority, leaf.authority),
        *_pairs(root.headers, leaf.headers),
        *_pairs(root.without_headers, leaf.without_headers),
        *_pairs(root.query_params, leaf.query_params),
    ]
    shared_labels = root.source_labels.keys() & leaf.source_labels.keys()
    return (
        any(_values_clash(above, below) for above, below in values)
        or root.ignore_uri_case != leaf.ignore_uri_case
        or bool(root.port and leaf.port and root.port != leaf.port)
        or bool(root.source_namespace and root.source_namespace != leaf.source_namespace)
        or any(root.source_labels[key] != leaf.source_labels[key] for key in shared_labels)
        or bool(root.gateways and not set(leaf.gateways) <= set(root.gateways))
    )


def _pairs(
    root: Mapping[str, StringMatch], leaf: Mapping[str, StringMatch]
) -> list[tuple[StringMatch | None, StringMatch]]:
    return [(root.get(name), value) for name, value in leaf.items()]


def _values_clash(root: StringMatch | None, leaf: StringMatch | None) -> bool:
    """Whether two conditions on one value may exclude each other; of expressions that cannot be told."""
    if root is None or leaf is None:
        return False
    above, below = _text(root), _text(leaf)
    if not above or not below:
        return False
    if root.regex or leaf.regex:
        return True
    if root.exact:
        return leaf.exact != root.exact
    return not below.startswith(above)
