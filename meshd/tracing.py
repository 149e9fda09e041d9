"""Show a trace to a person: a tree of steps, each with the object that it comes from.

The same text for a trace that a sidecar answered and one computed from etcd. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sidecar.routing.trace import (
    DestinationStep,
    EndpointStep,
    Origin,
    Outcome,
    Trace,
    VirtualHostStep,
)

__all__ = ["render_trace"]

ENDPOINTS_SHOWN = 8
"""Endpoints listed for each destination before the rest is counted; all with `wide`."""

Tree = tuple[str, "list[Tree]"]


def render_trace(trace: Trace, *, wide: bool = False) -> str:
    """The trace as an indented tree, without final newline.

    Args:
        trace: What to show.
        wide: Whether to list every endpoint and every rule that cannot hold.
    """
    request = trace.request
    target = (
        request.authority
        if request.method == "CONNECT"
        else f"{request.scheme}://{request.authority}{request.path}"
    )
    headers: list[Tree] = [(f"{name}: {value}", []) for name, value in request.headers]
    where = f"listener {trace.listener}" + (f", context {trace.context}" if trace.context else "")
    steps: list[Tree] = [(where, [])]
    if trace.virtual_host is not None:
        steps.append(_virtual_host(trace.virtual_host, wide=wide))
    steps += [
        (f"passed over {_named(one.route, one.origin)}", [(one.reason, [])])
        for one in trace.passed_over
    ]
    if trace.route is not None:
        conditions: list[Tree] = [(f"because {'; '.join(trace.route.conditions)}", [])]
        details: list[Tree] = [(f"{one.name}: {one.value}", []) for one in trace.route.settings]
        title = f"route {_named(trace.route.name, trace.route.origin)}"
        steps.append((title, conditions + details))
    steps += _outcome(trace, wide=wide)
    title = f"{request.method} {target}"
    return "\n".join([title, *_lines([*_headers(headers), *steps])])


def _headers(headers: list[Tree]) -> list[Tree]:
    """The request's headers as one step; none without headers."""
    return [("with headers", headers)] if headers else []


def _named(name: str, origin: Origin) -> str:
    return f'"{name}" {origin}' if name else str(origin)


def _virtual_host(step: VirtualHostStep, *, wide: bool) -> Tree:
    below: list[Tree] = [(step.rule, [])]
    below += [(f"from {origin}", []) for origin in step.origins]
    shown = step.notes if wide else step.notes[:ENDPOINTS_SHOWN]
    below += [(f"note: {note.origin}: {note.reason}", []) for note in shown]
    hidden = len(step.notes) - len(shown)
    if hidden:
        below.append((f"and {hidden} more notes (-o wide)", []))
    return (f"virtual host {step.name or 'none'}", below)


def _outcome(trace: Trace, *, wide: bool) -> Iterator[Tree]:
    match trace.outcome:
        case Outcome.FORWARD:
            for one in trace.destinations:
                yield _destination(f"{one.percent:g} % to", one, wide=wide)
            for one in trace.mirrors:
                yield _destination(f"{one.percent:g} % copied to", one, wide=wide)
        case Outcome.REDIRECT:
            yield (f"answers {trace.status}: redirect to {trace.answer}", [])
        case Outcome.ANSWER:
            yield (f"answers {trace.status}", [(line, []) for line in trace.answer.splitlines()])
        case Outcome.NO_ROUTE:
            status = f": answers {trace.status}" if trace.status else ""
            yield (f"no route takes it{status}", [])


def _destination(verb: str, step: DestinationStep, *, wide: bool) -> Tree:
    below: list[Tree] = []
    if step.problem:
        below.append((f"problem: {step.problem}", []))
    if step.policy:
        said = f" by {step.policy_origin}" if step.policy_origin.kind else ""
        below.append((f"endpoint by {step.policy}{said}", []))
    if step.transport:
        below.append((f"in {step.transport}", []))
    below += [(edit, []) for edit in step.edits]
    shown = step.endpoints if wide else step.endpoints[:ENDPOINTS_SHOWN]
    below += [(_endpoint(endpoint), []) for endpoint in shown]
    hidden = len(step.endpoints) - len(shown)
    if hidden:
        below.append((f"and {hidden} more endpoints (-o wide)", []))
    return (f"{verb} {step.cluster}", below)


def _endpoint(step: EndpointStep) -> str:
    words = [step.address, step.health]
    if step.weight != 1:
        words.append(f"weight {step.weight}")
    if step.priority:
        words.append(f"priority {step.priority}")
    if step.locality:
        words.append(step.locality)
    if step.secured:
        words.append("mutual TLS")
    if step.origin.kind or step.origin.path:
        words.append(f"from {step.origin}")
    return "  ".join(words)


def _lines(trees: Iterable[Tree], indent: str = "") -> Iterator[str]:
    """The lines of a forest, with branches drawn."""
    forest = list(trees)
    for position, (title, below) in enumerate(forest):
        is_last = position == len(forest) - 1
        yield f"{indent}{'└─ ' if is_last else '├─ '}{title}"
        yield from _lines(below, indent + ("   " if is_last else "│  "))
