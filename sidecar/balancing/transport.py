"""How connections to a destination are secured: as a rule says, or by what each endpoint says of its own sidecar.

One decision, read by the xDS compiler (`sidecar.xds.compile.sockets`) and told by `meshd trace`. A rule decides where
there is one. Where there is none, mutual TLS is taken by itself towards endpoints whose sidecar has an identity, when
the caller has one as well. Source: Istio cluster_tls.go (auto mTLS).
"""

from __future__ import annotations

from sidecar.balancing.model import ClusterPlan
from sidecar.mesh.model import Resolution

__all__ = ["accepted_names", "is_automatic", "lacks_identity", "transport"]

_WITHOUT_ENDPOINTS = (Resolution.NONE, Resolution.DYNAMIC_DNS)


def is_automatic(plan: ClusterPlan) -> bool:
    """Whether each endpoint decides: no rule speaks of TLS, and the caller has an identity to show inside the mesh."""
    return (
        plan.policy.tls is None
        and plan.automatic_tls
        and plan.identity is not None
        and plan.identity.is_held
        and not plan.external
        and not plan.key.sni_routed
        and plan.resolution not in _WITHOUT_ENDPOINTS
    )


def accepted_names(plan: ClusterPlan) -> tuple[str, ...]:
    """Names that the server's certificate may bear: the rule's, else the ServiceEntry's."""
    tls = plan.policy.tls
    return (tuple(tls.subject_alt_names) if tls else ()) or plan.subject_alt_names


def lacks_identity(plan: ClusterPlan) -> bool:
    """Whether a rule asks for mutual TLS of the mesh and the caller has nothing to show."""
    tls = plan.policy.tls
    if tls is None or tls.mode != "ISTIO_MUTUAL":
        return False
    identity = plan.identity
    return identity is None or (bool(identity.certificate.files) and not identity.is_held)


def transport(plan: ClusterPlan) -> str:
    """The same in words; empty for plain text that no rule speaks of."""
    tls = plan.policy.tls
    names = " or ".join(accepted_names(plan))
    if is_automatic(plan):
        return f"mutual TLS to endpoints that have an identity, as {_own(plan)}"
    if tls is None or tls.mode is None:
        return ""
    if tls.mode == "DISABLE":
        return "plain text (DISABLE)"
    bearing = f", to {names}" if names else ""
    if tls.mode == "ISTIO_MUTUAL":
        name = tls.sni or plan.key.server_name
        return f"mutual TLS (ISTIO_MUTUAL) as {_own(plan)}{bearing}, server name {name}"
    shown = tls.credential_name or tls.client_certificate or ""
    own = f" with {shown}" if tls.mode == "MUTUAL" else ""
    unverified = ", not verified" if tls.insecure_skip_verify else bearing
    named = f", server name {tls.sni}" if tls.sni else ""
    return f"{'mutual ' if own else ''}TLS ({tls.mode}){own}{unverified}{named}"


def _own(plan: ClusterPlan) -> str:
    return plan.identity.spiffe_id if plan.identity is not None else "nobody"
