"""MeshConfig: the settings that hold for the mesh as a whole; one object, key `mesh`.

Ours (`meshd.io/v1`). Names and defaults follow Istio's MeshConfig where it has the same setting
(istio/api mesh/v1alpha1/config.proto, istio/istio pkg/config/mesh/mesh.go); ejection, history and
registration are meshd's own.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from store.objects.base import MeshObject, Metadata, Model
from store.objects.durations import Duration, PositiveDuration
from store.objects.http_actions import HTTPRetry
from store.objects.kinds import Kind
from store.objects.load_balancer import LocalityLoadBalancerSetting
from store.objects.scalars import Items, Maybe, Word
from store.objects.telemetry import AccessLogEncoding, TracingSettings

__all__ = [
    "EVIDENCE_LIFETIME_S_MAX",
    "AdmissionMode",
    "EjectionScope",
    "EjectionSettings",
    "HistorySettings",
    "MeshConfig",
    "MeshConfigSpec",
    "MeshOutboundTrafficPolicy",
    "OutboundMode",
    "RegistrationSettings",
]

_WholePercent = Annotated[int, Field(ge=0, le=100)]


class OutboundMode(Word):
    """What happens to traffic to hosts that the mesh does not know."""

    ALLOW_ANY = "ALLOW_ANY"
    REGISTRY_ONLY = "REGISTRY_ONLY"


class MeshOutboundTrafficPolicy(Model):
    """Policy for traffic to hosts that the mesh does not know, where no Sidecar says otherwise."""

    mode: OutboundMode = OutboundMode.ALLOW_ANY
    """ALLOW_ANY (default) lets it through; REGISTRY_ONLY answers 502."""


class AdmissionMode(Word):
    """Whose words about themselves hosts believe each other."""

    OPEN = "open"
    CLOSED = "closed"


class EjectionScope(Word):
    """Which destinations take part in shared ejection."""

    DECLARED = "declared"
    ALL = "all"


EVIDENCE_LIFETIME_S_MAX = 15.0
"""Gossip forgets evidence then (`sidecar.gossip.settings`), so that a longer life would be one in words only."""


class EjectionSettings(Model):
    """Shared ejection: when the evidence of several hosts takes an endpoint out everywhere.

    Defaults as simulated in the project's ejection study: two to three observers, a short hold-off, and
    caps that leave a destination usable.
    """

    scope: EjectionScope = EjectionScope.DECLARED
    """`declared` (default): destinations whose DestinationRule sets outlierDetection; `all`: every one."""
    quorum: Maybe[Annotated[int, Field(ge=1, le=1000)]] = None
    """Observers that must accuse an endpoint; default: 2 among up to 9 observers, 3 among more."""
    failures: Annotated[int, Field(ge=1, le=1000)] = 2
    """Failures in a row until an observer accuses; default 2."""
    agreement_percent: _WholePercent = 66
    """Share of the observers with a say that must accuse, in percent; default 66."""
    hold_off: Duration = 1.0
    """How long the quorum must hold before an endpoint is ejected; default 1s."""
    base_ejection_time: PositiveDuration = 30.0
    """First ejection lasts this long, each further one twice as long; default 30s."""
    max_ejection_time: PositiveDuration = 300.0
    """No ejection lasts longer; default 5m."""
    max_ejection_percent: _WholePercent = 50
    """Share of a destination's endpoints that may be ejected at once, Envoy's own included; default 50."""
    min_health_percent: _WholePercent = 50
    """Below this share of healthy endpoints nothing more is ejected, in percent; default 50."""
    evidence_lifetime: PositiveDuration = 15.0
    """Evidence that is not renewed dies after this time; default 15s, which is also the longest: gossip keeps none
    for longer."""
    same_locality: bool = False
    """Whether only observers of the same locality count; default false."""


class HistorySettings(Model):
    """How long the record of past changes is kept. A change goes when either limit says so."""

    max_age: PositiveDuration = 30 * 86400.0
    """Changes older than this are forgotten; default 720h (30 days)."""
    max_changes: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Changes kept at most in each namespace; default 1000."""


class RegistrationSettings(Model):
    """What is made of registrations that run out. Expiry is only evidence that a host is gone."""

    grace_period: Duration = 600.0
    """How long the endpoints of a host stay after its registration ran out; default 10m."""
    max_expiry_percent: _WholePercent = 30
    """When more than this share of the hosts runs out within `expiryWindow`, nothing is removed: it
    is etcd that is sick; default 30."""
    expiry_window: PositiveDuration = 60.0
    """Time over which registrations that run out are counted; default 1m."""


class MeshConfigSpec(Model):
    """What a MeshConfig says. Where there is no MeshConfig, all defaults hold."""

    domain: str = "cluster.local"
    """Domain that short service names are completed with: `NAME.NAMESPACE.svc.DOMAIN`."""
    root_namespace: str = "meshd-system"
    """Namespace whose Sidecars and DestinationRules hold for the whole mesh."""
    default_service_export_to: Items[str] = ("*",)
    """`exportTo` of ServiceEntries and registered services that have none."""
    default_virtual_service_export_to: Items[str] = ("*",)
    """`exportTo` of VirtualServices that have none."""
    default_destination_rule_export_to: Items[str] = ("*",)
    """`exportTo` of DestinationRules that have none."""
    outbound_traffic_policy: MeshOutboundTrafficPolicy = MeshOutboundTrafficPolicy()
    """Traffic to unknown hosts."""
    enable_auto_mtls: bool = True
    """Whether requests to endpoints whose sidecar has an identity travel in mutual TLS where no DestinationRule
    speaks of TLS and the caller has an identity as well; default true."""
    connect_timeout: PositiveDuration = 10.0
    """Time to connect to an endpoint where no DestinationRule says otherwise; default 10s."""
    default_http_retry_policy: Maybe[HTTPRetry] = None
    """Retry policy of rules that have none; default: 2 retries of what certainly was not processed."""
    locality_lb_setting: Maybe[LocalityLoadBalancerSetting] = None
    """Preference for near endpoints where no DestinationRule says otherwise."""
    request_metrics: bool = True
    """Whether every Envoy counts requests and connections with Istio's metrics and labels; default true."""
    request_size_metrics: bool = True
    """Whether the bytes of requests and answers are among them; default true. They are a third of
    what counting costs."""
    access_log_file: str = ""
    """File on each host for one line a request or connection, `/dev/stdout` for Envoy's own standard output; empty
    (default) for none."""
    access_log_encoding: AccessLogEncoding = AccessLogEncoding.TEXT
    """TEXT (default) is Envoy's usual line, JSON an object a line with Istio's field names."""
    access_log_errors_only: bool = False
    """Only lines for answers from 400, for gRPC statuses other than OK, and for what has a response flag; default
    false."""
    tracing: TracingSettings = TracingSettings()
    """Spans of requests."""
    ejection: EjectionSettings = EjectionSettings()
    """Shared ejection."""
    history: HistorySettings = HistorySettings()
    """The record of past changes."""
    registration: RegistrationSettings = RegistrationSettings()
    """Registrations that run out."""
    admission: AdmissionMode = AdmissionMode.OPEN
    """`open` (default): a host without an admission record is known by the key that it is first seen with; `closed`:
    what it says of itself is refused. An admission record holds in both."""


class MeshConfig(MeshObject):
    """The MeshConfig object. There is one in a mesh: its name is `mesh`, and it has no namespace."""

    expected_kind: ClassVar[Kind | None] = Kind.MESH_CONFIG

    spec: MeshConfigSpec = MeshConfigSpec()
    """The settings."""

    @field_validator("metadata")
    @classmethod
    def _is_the_only_one(cls, metadata: Metadata) -> Metadata:
        if metadata.name != "mesh" or metadata.namespace:
            raise PydanticCustomError(
                "only_mesh_config",
                "there is one MeshConfig, with the name mesh and no namespace, found {found}",
                {"found": f'"{metadata.namespace}/{metadata.name}"'.replace('"/', '"')[:100]},
            )
        return metadata
