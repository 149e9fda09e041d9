"""Proofs of a VirtualService's HTTP rules: conditions, actions and what goes with them."""

from __future__ import annotations

from tests.harness.field_cases import SUBSETS, Case, ask

__all__ = ["CASES"]

_MATCH = "VirtualService.spec.http[].match[]"


def _rule(match: str, then: str = "route: [{destination: {host: b}}]") -> str:
    """A VirtualService of `a`: what matches goes to `b` (server `three`), the rest to `a` v1 (`one`)."""
    return f"""
kind: VirtualService
spec:
  hosts: [a]
  http:
  - match: [{match}]
    {then}
  - route: [{{destination: {{host: a, subset: v1}}}}]
---
{SUBSETS}"""


CONDITIONS = (
    Case(
        "a path is compared as a whole, by its beginning, or by an expression",
        f"{_MATCH}.uri.{{exact,prefix,regex}}",
        _rule("{uri: {exact: /e}}, {uri: {prefix: /p}}, {uri: {regex: '/r[0-9]+'}}"),
        asks=(
            ask("a:9080/e", by="three"),
            ask("a:9080/e/f", by="one"),
            ask("a:9080/pq?x=1", by="three"),
            ask("a:9080/r12", by="three"),
            ask("a:9080/r12/x", by="one"),
        ),
    ),
    Case(
        "the case of a path may be passed over",
        f"{_MATCH}.ignoreUriCase",
        _rule("{uri: {exact: /E}, ignoreUriCase: true}, {uri: {prefix: /P}}"),
        asks=(ask("a:9080/e", by="three"), ask("a:9080/E", by="three"), ask("a:9080/p", by="one")),
    ),
    Case(
        "the method is compared with its case",
        f"{_MATCH}.method.{{exact,prefix,regex}}",
        _rule("{method: {exact: PUT}}, {method: {prefix: PAT}}, {method: {regex: 'DEL.*|HEAD'}}"),
        asks=(
            ask("a:9080/", method="PUT", by="three"),
            ask("a:9080/", method="PATCH", by="three"),
            ask("a:9080/", method="DELETE", by="three"),
            ask("a:9080/", method="POST", by="one"),
        ),
    ),
)

CASES = CONDITIONS
