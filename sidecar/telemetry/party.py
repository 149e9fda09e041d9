"""One side of a request, by the names that Istio gives it in metrics and spans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["NOBODY", "UNKNOWN", "Party"]

UNKNOWN = "unknown"
"""Istio's word for what is not known."""
_SAID = 6
"""How many things a workload says of itself."""
_UNSAID = re.compile(r"[^A-Za-z0-9._/-]")
"""What names and labels do not have, and a header should not."""
_SERVICE_LABELS = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
_REVISION_LABELS = (
    "service.istio.io/canonical-revision",
    "app.kubernetes.io/version",
    "version",
)


@dataclass(frozen=True, slots=True)
class Party:
    """A workload. Empty fields are not known."""

    workload: str = ""
    """Its name."""
    namespace: str = ""
    app: str = ""
    """Label `app`."""
    version: str = ""
    """Label `version`."""
    service: str = ""
    """Istio's canonical service: what it is called across versions."""
    revision: str = ""
    """Istio's canonical revision."""
    principal: str = ""
    """SPIFFE id, where mutual TLS proved it."""

    @property
    def word(self) -> str:
        """What it says of itself to its peers, see `heard`; empty where nothing is known."""
        said = (self.workload, self.namespace, self.app, self.version, self.service, self.revision)
        return ";".join(_UNSAID.sub("_", one) for one in said) if self.workload else ""

    @classmethod
    def heard(cls, word: str) -> Party:
        """What a peer says of itself; anything may be missing."""
        return cls(*[*word.split(";"), *[""] * _SAID][:_SAID])

    @classmethod
    def of(cls, workload: str, namespace: str, labels: Mapping[str, str]) -> Party:
        """The workload of that name, with what its labels say."""
        return cls(
            workload=workload,
            namespace=namespace,
            app=labels.get("app", ""),
            version=labels.get("version", ""),
            service=_labelled(labels, _SERVICE_LABELS) or workload,
            revision=_labelled(labels, _REVISION_LABELS) or "latest",
        )


NOBODY = Party()
"""Nothing is known."""


def _labelled(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")
