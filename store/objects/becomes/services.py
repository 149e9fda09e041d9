"""ServiceEntry, WorkloadEntry and WorkloadGroup: what services and their endpoints become."""

from __future__ import annotations

from collections.abc import Mapping

from store.objects.becomes.placing import placed

__all__ = ["SERVICE_ENTRY", "WORKLOAD_ENTRY", "WORKLOAD_GROUP"]

_ENDPOINT = {
    "address": "`Endpoint.address`",
    "ports": "`Endpoint.address`",
    "labels": "our table: which subsets and selectors take the endpoint",
    "network": "`LocalityLbEndpoints.priority`, where a rule ranks by network",
    "locality": "`LocalityLbEndpoints.locality`",
    "weight": "`LbEndpoint.load_balancing_weight`",
    "serviceAccount": "`LbEndpoint.metadata`: whether it takes the mesh's TLS, and as whom",
}

SERVICE_ENTRY: Mapping[str, str] = {
    "hosts": "`VirtualHost.domains`, and the last part of the names of clusters",
    "addresses": "`VirtualHost.domains` and `FilterChainMatch.prefix_ranges`",
    "ports[].number": "the second part of the names of clusters",
    "ports[].protocol": "`HttpProtocolOptions.explicit_http_config`; whether requests are read",
    "ports[].name": "our table: the key into an endpoint's own ports",
    "ports[].targetPort": "`Endpoint.address`",
    "location": "our table: whether the mesh's TLS is for its endpoints",
    "resolution": "`Cluster.type`, or `Cluster.cluster_type`",
    **placed("endpoints[]", _ENDPOINT),
    "workloadSelector.labels": "`ClusterLoadAssignment.endpoints`: those that bear the labels",
    "exportTo": "our table: which namespaces know the service",
    "subjectAltNames": "`CertificateValidationContext.match_typed_subject_alt_names`",
}
"""By path below the spec."""

WORKLOAD_ENTRY: Mapping[str, str] = _ENDPOINT
"""By path below the spec."""

_REGISTERED = "registration: "
_PROBE = "the sidecar's probe: "
WORKLOAD_GROUP: Mapping[str, str] = {
    "metadata.labels": f"{_REGISTERED}labels of the workload",
    "metadata.annotations": f"{_REGISTERED}annotations of the workload",
    "template.address": f"{_REGISTERED}nothing, the host's own address counts",
    "template.ports": f"{_REGISTERED}ports of the workload",
    "template.labels": f"{_REGISTERED}labels of the workload",
    "template.network": f"{_REGISTERED}network",
    "template.locality": f"{_REGISTERED}locality",
    "template.weight": f"{_REGISTERED}weight",
    "template.serviceAccount": f"{_REGISTERED}service account",
    "probe.initialDelaySeconds": f"{_PROBE}time before the first",
    "probe.timeoutSeconds": f"{_PROBE}time for each",
    "probe.periodSeconds": f"{_PROBE}time between two",
    "probe.successThreshold": f"{_PROBE}successes until healthy",
    "probe.failureThreshold": f"{_PROBE}failures until unhealthy",
    "probe.httpGet.path": f"{_PROBE}path",
    "probe.httpGet.port": f"{_PROBE}port",
    "probe.httpGet.host": f"{_PROBE}address",
    "probe.httpGet.scheme": f"{_PROBE}HTTP or HTTPS",
    "probe.httpGet.httpHeaders[].name": f"{_PROBE}headers",
    "probe.httpGet.httpHeaders[].value": f"{_PROBE}headers",
    "probe.tcpSocket.host": f"{_PROBE}address",
    "probe.tcpSocket.port": f"{_PROBE}port",
    "probe.exec.command": f"{_PROBE}command",
    "probe.grpc.port": f"{_PROBE}port",
    "probe.grpc.service": f"{_PROBE}service asked for",
}
"""By path below the spec."""
