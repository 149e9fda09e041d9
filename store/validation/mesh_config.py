"""The rules for MeshConfig: names, defaults of exportTo, places of telemetry, and settings that fit each other."""

from __future__ import annotations

from store.diagnostics import Path
from store.objects.durations import format_duration
from store.objects.mesh_config import EVIDENCE_LIFETIME_S_MAX, MeshConfig, MeshConfigSpec
from store.objects.telemetry import collector_place
from store.validation.findings import Findings
from store.validation.http_actions import check_retries
from store.validation.locality import check_locality
from store.validation.shared import check_duration, check_export_to, check_host, check_label

__all__ = ["check_mesh_config"]


def check_mesh_config(config: MeshConfig, found: Findings) -> None:
    """Check one MeshConfig of the right shape."""
    spec = config.spec
    at: Path = ("spec",)
    check_host(spec.domain, (*at, "domain"), found, wildcard=False)
    check_label(spec.root_namespace, (*at, "rootNamespace"), found, "the root namespace")
    for field, targets in (
        ("defaultServiceExportTo", spec.default_service_export_to),
        ("defaultVirtualServiceExportTo", spec.default_virtual_service_export_to),
        ("defaultDestinationRuleExportTo", spec.default_destination_rule_export_to),
    ):
        is_service = field == "defaultServiceExportTo"
        check_export_to(targets, "", (*at, field), found, none_allowed=is_service)
        if not targets:
            hint = 'for everybody: ["*"]; for the own namespace: ["."]'
            found.add("MESH0322", (*at, field), "is empty, which says nothing", hint, at_key=True)
    check_duration(spec.connect_timeout, (*at, "connectTimeout"), found)
    check_retries(spec.default_http_retry_policy, (*at, "defaultHttpRetryPolicy"), found)
    # Whether outliers are detected is for each DestinationRule to say, so nothing is warned of here.
    check_locality(
        spec.locality_lb_setting, (*at, "localityLbSetting"), found, detects_outliers=True
    )
    _check_telemetry(spec, at, found)
    ejection = spec.ejection
    if ejection.evidence_lifetime > EVIDENCE_LIFETIME_S_MAX:
        longest = format_duration(EVIDENCE_LIFETIME_S_MAX)
        found.add(
            "MESH0396",
            (*at, "ejection", "evidenceLifetime"),
            f"is {format_duration(ejection.evidence_lifetime)}; gossip forgets evidence after {longest}",
            f"at most {longest}",
        )
    if ejection.max_ejection_time < ejection.base_ejection_time:
        message = (
            "maxEjectionTime is shorter than baseEjectionTime, the length of the first ejection"
        )
        found.add(
            "MESH0395", (*at, "ejection", "maxEjectionTime"), message, "make it the longer one"
        )


def _check_telemetry(spec: MeshConfigSpec, at: Path, found: Findings) -> None:
    file, collector = spec.access_log_file, spec.tracing.collector
    if file and not file.startswith("/"):
        message = f'"{file[:100]}" is not an absolute path'
        found.add("MESH0397", (*at, "accessLogFile"), message, "begin it with /")
    if collector and collector_place(collector) is None:
        message = f'"{collector[:100]}" is not host:port, or the port is not from 1 to 65535'
        hint = "write for instance otel.example.com:4317; IPv6 addresses in brackets"
        found.add("MESH0397", (*at, "tracing", "collector"), message, hint)
