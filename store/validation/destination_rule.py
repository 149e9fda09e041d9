"""The rules for DestinationRules: host, subsets, ports, TLS, tunnels. Traffic policies have modules of their own.

Source: istio/istio pkg/config/validation/validation.go (ValidateDestinationRule, validateTrafficPolicy,
validatePortTrafficPolicies, validateSubset, validateTunnelSettings) and agent/validation.go (validateTLS).
"""

from __future__ import annotations

from store.diagnostics import Path
from store.objects.destination_rule import (
    DestinationRule,
    PortTrafficPolicy,
    Subset,
    TrafficPolicy,
    TunnelSettings,
)
from store.objects.tls import ClientTLSMode, ClientTLSSettings
from store.validation.connection_pool import check_connection_pool, check_outlier_detection
from store.validation.findings import Findings
from store.validation.load_balancer import check_load_balancer
from store.validation.shared import (
    check_address_or_host,
    check_export_to,
    check_host,
    check_label,
    check_labels,
    check_port,
    check_selector,
    quoted,
)

__all__ = ["check_destination_rule"]


def check_destination_rule(rule: DestinationRule, found: Findings) -> None:
    """Check one DestinationRule of the right shape."""
    spec = rule.spec
    at: Path = ("spec",)
    namespace = rule.metadata.namespace
    check_host(spec.host, (*at, "host"), found)
    check_traffic_policy(spec.traffic_policy, (*at, "trafficPolicy"), namespace, found)
    seen: dict[str, int] = {}
    for index, subset in enumerate(spec.subsets):
        here = (*at, "subsets", index)
        if subset.name in seen:
            message = (
                f"the subset {quoted(subset.name)} is given twice (subsets[{seen[subset.name]}])"
            )
            found.add("MESH0314", (*here, "name"), message, "give one of the two another name")
        seen.setdefault(subset.name, index)
        _check_subset(subset, here, namespace, found)
    check_export_to(spec.export_to, namespace, (*at, "exportTo"), found)
    if spec.workload_selector is not None:
        here = (*at, "workloadSelector", "matchLabels")
        check_selector(spec.workload_selector.match_labels, here, found)
        if spec.export_to and set(spec.export_to) not in ({"."}, {namespace}):
            message = "a rule with a workloadSelector is for its own namespace only"
            found.add(
                "MESH0313",
                (*at, "exportTo"),
                message,
                'remove exportTo, or write ["."]',
                at_key=True,
            )


def _check_subset(subset: Subset, at: Path, namespace: str, found: Findings) -> None:
    check_label(subset.name, (*at, "name"), found, "the name of a subset")
    check_labels(subset.labels, (*at, "labels"), found)
    check_traffic_policy(subset.traffic_policy, (*at, "trafficPolicy"), namespace, found)


def check_traffic_policy(
    policy: TrafficPolicy | None, at: Path, namespace: str, found: Findings
) -> None:
    """Check the policy of a destination or subset; None passes."""
    if policy is None:
        return
    if not policy.model_fields_set:
        message = "is empty; a traffic policy sets at least one field"
        found.add("MESH0322", at, message, "fill it in, or remove it", at_key=True)
    _check_port_policy(policy, at, namespace, found)
    if policy.tunnel is not None:
        _check_tunnel(policy.tunnel, (*at, "tunnel"), found)
        if policy.proxy_protocol is not None:
            message = "tunnel and proxyProtocol are both given"
            found.add("MESH0318", (*at, "proxyProtocol"), message, "keep one of them", at_key=True)
    for index, port_policy in enumerate(policy.port_level_settings):
        here = (*at, "portLevelSettings", index)
        if port_policy.port is None:
            found.add("MESH0319", (*here, "port"), "the port is required", at_key=True)
        if port_policy.model_fields_set <= {"port"}:
            message = "says nothing about the port: at least one field besides port is needed"
            found.add("MESH0322", here, message, at_key=True)
        _check_port_policy(port_policy, here, namespace, found)


def _check_port_policy(
    policy: TrafficPolicy | PortTrafficPolicy, at: Path, namespace: str, found: Findings
) -> None:
    detects = policy.outlier_detection is not None
    check_load_balancer(
        policy.load_balancer, (*at, "loadBalancer"), found, detects_outliers=detects
    )
    check_connection_pool(policy.connection_pool, (*at, "connectionPool"), found)
    check_outlier_detection(policy.outlier_detection, (*at, "outlierDetection"), found)
    _check_tls(policy.tls, (*at, "tls"), namespace, found)


def _check_tunnel(tunnel: TunnelSettings, at: Path, found: Findings) -> None:
    if tunnel.protocol and tunnel.protocol not in ("CONNECT", "POST"):
        message = f"must be CONNECT or POST, found {quoted(tunnel.protocol)}"
        found.add("MESH0306", (*at, "protocol"), message)
    check_address_or_host(tunnel.target_host, (*at, "targetHost"), found, wildcard=False)
    check_port(tunnel.target_port, (*at, "targetPort"), found)


def _check_tls(tls: ClientTLSSettings | None, at: Path, namespace: str, found: Findings) -> None:
    if tls is None:
        return
    if tls.insecure_skip_verify:
        _check_unverified(tls, at, found)
    if tls.mode not in (ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL):
        return
    if tls.credential_name:
        _check_credential(tls, at, namespace, found)
        return
    if tls.mode is ClientTLSMode.MUTUAL:
        for field, value in (
            ("clientCertificate", tls.client_certificate),
            ("privateKey", tls.private_key),
        ):
            if not value:
                message = f"mutual TLS needs {field}"
                found.add(
                    "MESH0354", (*at, field), message, "name the file on the hosts", at_key=True
                )


def _check_unverified(tls: ClientTLSSettings, at: Path, found: Findings) -> None:
    fields = {
        "caCertificates": tls.ca_certificates,
        "subjectAltNames": tls.subject_alt_names,
        "credentialName": tls.credential_name if tls.mode is ClientTLSMode.SIMPLE else None,
    }
    if tls.mode not in (ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL):
        return
    for field, value in fields.items():
        if value:
            message = f"{field} means nothing with insecureSkipVerify, which verifies nothing"
            found.add(
                "MESH0318",
                (*at, field),
                message,
                f"remove {field} or insecureSkipVerify",
                at_key=True,
            )


def _check_credential(tls: ClientTLSSettings, at: Path, namespace: str, found: Findings) -> None:
    fields = {
        "clientCertificate": tls.client_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
        "caCrl": tls.ca_crl,
    }
    for field, value in fields.items():
        if value:
            message = f"credentialName brings its own {field}"
            found.add(
                "MESH0318", (*at, field), message, f"remove {field} or credentialName", at_key=True
            )
    name = tls.credential_name or ""
    owner, slash, _ = name.removeprefix("configmap://").partition("/")
    if name.startswith("configmap://") and slash and namespace and owner != namespace:
        message = f"{quoted(name)} lies in another namespace than the rule ({namespace})"
        found.add("MESH0354", (*at, "credentialName"), message)
