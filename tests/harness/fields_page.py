"""docs/fields.md, made from the models, the table of what fields become, the verdicts and the proofs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from store.objects.becomes import becomes
from store.objects.fields import FieldDoc
from store.objects.kinds import Kind
from store.validation.verdicts import Standing, verdict_of
from tests.harness.field_places import POLICY_PLACES
from tests.harness.fields import FIELDS, fields_of

__all__ = ["fields_page"]

HEAD = """# What becomes of every field

Every field of Istio's seven kinds is read and checked. This page says of each what it becomes (messages and fields of
[Envoy's API](https://www.envoyproxy.io/docs/envoy/latest/api-v3/api), our routing table, or a host's registration),
whether it is in force, and what proves it. `meshd explain KIND.path` says the same of one field, with its meaning,
unit, default and limits; `meshd put` warns of what is not in force (MESH0290, MESH0291) and refuses what Istio refuses.
Where we differ from Istio on purpose is in [differences.md](differences.md).

| verdict | means |
| --- | --- |
| in force | it does what it says; the rule in the last column proves it |
| stored only | it is kept and shown, and has no effect; the reason, or what to use instead, stands beside it |
| Istio itself does not implement it | it is accepted as there, and has no effect there either |
| refused, by Istio as well | `put` refuses it |
| a name for people | nothing depends on it |

A proof is a case in `tests/e2e/fields`: objects, requests through a real Envoy and what they get, or a part of the
configuration that Envoy accepted (`/config_dump`). Each case also shows, for each of its fields, that something else is
compiled (or registered) once the field is taken out of the object. `./dev run pytest -q tests/e2e/fields` runs them.

This page is made by `pytest tests/test_docs.py --rewrite`; a test keeps it true. `[]` stands for each item of a list,
`{}` for each entry of a map.

## All kinds

| field | becomes | verdict |
| --- | --- | --- |
| `apiVersion`, `kind` | which model reads the object; all versions that Istio serves mean the same | in force |
| `metadata.name`, `metadata.namespace` | the key in etcd; short hosts are completed with the namespace | in force |
| `metadata.labels` | of a WorkloadEntry: labels of its endpoint, over its spec's; `-l` of `meshd` | in force |
| `metadata.annotations` | of a WorkloadEntry: `proxy.istio.io/health-checks-enabled`; kept and shown | in force |
| `metadata.resourceVersion` | `put` writes only over that version | in force |
| `metadata.generation`, `status`, and what else Kubernetes writes | nothing | read, and passed over |
"""
_POLICIES = """
Everything below `spec.trafficPolicy` may also stand at `spec.subsets[].trafficPolicy` and, but for `portLevelSettings`,
`tunnel`, `proxyProtocol` and `retryBudget`, at `portLevelSettings[]` of both. It becomes the same there, with the same
verdict, and is proven there by a case of its own, so that it is listed once.
"""
_COLUMNS = "\n| field | type | becomes | verdict | proven by |\n| --- | --- | --- | --- | --- |\n"


def fields_page(proofs: Mapping[tuple[str, str], str]) -> str:
    """The page.

    Args:
        proofs: Name of the case that proves a field, by kind and path.
    """
    text = HEAD
    for kind in FIELDS:
        text += f"\n## {kind.value}\n"
        if kind is Kind.DESTINATION_RULE:
            text += _POLICIES
        text += _COLUMNS + "".join(_rows(kind, proofs))
    return text


def _rows(kind: Kind, proofs: Mapping[tuple[str, str], str]) -> Iterator[str]:
    for path, doc in fields_of(kind).items():
        if kind is Kind.DESTINATION_RULE and _is_repeated(path):
            _assert_same(kind, path, proofs)
            continue
        yield _row(_cells(kind, path, doc, proofs))


def _cells(
    kind: Kind, path: str, doc: FieldDoc, proofs: Mapping[tuple[str, str], str]
) -> tuple[str, ...]:
    verdict = verdict_of(kind, path)
    proof = proofs.get((kind.value, path), "")
    return (
        f"`{path}`",
        _type(doc),
        becomes(kind, path) if verdict.standing is Standing.IN_FORCE else "",
        verdict.text,
        proof.partition(", at trafficPolicy")[0].partition(", at subsets")[0]
        if verdict.standing is Standing.IN_FORCE
        else "",
    )


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _type(doc: FieldDoc) -> str:
    if not doc.choices:
        return doc.type
    return doc.type.replace("word", ", ".join(doc.choices))


def _is_repeated(path: str) -> bool:
    """Whether a place of a policy is not the first that is listed."""
    return path.startswith("spec.subsets[].trafficPolicy.") or (
        path.startswith("spec.trafficPolicy.portLevelSettings[].")
        and not path.startswith("spec.trafficPolicy.portLevelSettings[].port")
    )


def _assert_same(kind: Kind, path: str, proofs: Mapping[tuple[str, str], str]) -> None:
    """A repeated place is as the first one, or the page would say what is not so."""
    place = max((one for one in POLICY_PLACES if path.startswith(f"{one}.")), key=len)
    below = path.removeprefix(f"{place}.")
    first = f"spec.trafficPolicy.{below}"
    fields = fields_of(kind)
    if below.startswith("port") or first not in fields:
        return
    here, there = (_cells(kind, one, fields[one], proofs)[1:] for one in (path, first))
    assert here == there, (path, here, there)
