"""What `bench.proxy` compares: our sidecar's Envoy, an Envoy with a configuration written by hand, nginx, Traefik.

All forward to one server over kept connections, with one worker and without an access log. Each is started once and
listens until the bench ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from bench.asking import Asker
from bench.h2load import need
from bench.processes import Processes, free_port, wait_for
from bench.published import PREFIX
from bench.traefik import install_traefik
from sidecar.agent.envoy_program import find_envoy
from sidecar.telemetry.model import Telemetry
from sidecar.xds.compile import CompileOptions
from sidecar.xds.compile.access_logs import http_access_logs
from store.codec import encode
from store.etcd.client import EtcdClient

__all__ = [
    "HOST",
    "Contender",
    "bare_envoy",
    "counting",
    "envoy_of_sidecar",
    "nginx",
    "publish_service",
    "server",
    "traefik",
    "two_bare_envoys",
    "two_sidecars",
]

HOST = "probe.example.com"
PEER = "peer.example.com"
"""Service that a second sidecar registers."""
START_S = 60.0


@dataclass(frozen=True)
class Contender:
    """One proxy that listens on 127.0.0.1."""

    name: str
    port: int
    """For HTTP/1.1, and for HTTP/2 without TLS unless `http2_port` says otherwise."""
    pids: tuple[int, ...]
    """The processes that forward: their processor time is what it costs."""
    http2_port: int = 0
    host: str = HOST
    """What to ask for."""

    def port_of(self, protocol: str) -> int:
        """Where it takes `http1` or `http2`."""
        return self.http2_port or self.port if protocol == "http2" else self.port


def server(processes: Processes) -> int:
    """The server behind all: an nginx that answers by itself; returns its port."""
    port = free_port()
    answer = 'location / { return 200 "ok\\n"; }'
    _nginx(processes, "server", f"server {{ listen 127.0.0.1:{port}; {answer} }}")
    _wait(port, HOST, "server")
    return port


def nginx(processes: Processes, upstream: int) -> Contender:
    """nginx, with a port for each protocol: without TLS one takes one only."""
    plain, http2 = free_port(), free_port()
    place = "location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ''; }"
    servers = "".join(
        f"server {{ listen 127.0.0.1:{port}{words}; server_name {HOST}; {place} }}"
        for port, words in ((plain, ""), (http2, " http2"))
    )
    app = f"upstream app {{ server 127.0.0.1:{upstream}; keepalive 64; }}"
    pid = _nginx(processes, "nginx", f"{app} {servers}")
    return _ready(Contender("nginx", plain, (pid,), http2))


def traefik(processes: Processes, upstream: int) -> Contender:
    """Traefik with a file of its own, on one processor.

    Raises:
        Unavailable: It cannot be installed here.
    """
    program, port = install_traefik(), free_port()
    dynamic = processes.home / "traefik.yaml"  # JSON is YAML, but Traefik goes by the name
    servers = [{"url": f"http://127.0.0.1:{upstream}"}]
    routers = {"probe": {"rule": f"Host(`{HOST}`)", "service": "probe"}}
    services = {"probe": {"loadBalancer": {"servers": servers}}}
    dynamic.write_text(
        json.dumps({"http": {"routers": routers, "services": services}}), encoding="utf-8"
    )
    command = [
        str(program),
        f"--entryPoints.web.address=127.0.0.1:{port}",
        f"--providers.file.filename={dynamic}",
        "--log.level=ERROR",
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
    ]
    log = processes.home / "traefik.log"
    process = processes.spawn(command, log, {"GOMAXPROCS": "1"})
    return _ready(Contender("traefik", port, (process.pid,)))


def bare_envoy(
    processes: Processes, name: str, upstream: int, access_log: Iterable[Any] = ()
) -> Contender:
    """The Envoy that we ship, with the least configuration that forwards.

    Args:
        processes: Ends it.
        name: Its name.
        upstream: Port of the server behind it.
        access_log: Loggers, as JSON: what ours counts requests with, where that is to be compared.
    """
    port = free_port()
    config = processes.home / f"{name}.json"
    config.write_text(json.dumps(_bare(port, upstream, list(access_log))), encoding="utf-8")
    command = [
        str(find_envoy()),
        *("--config-path", str(config)),
        *("--concurrency", "1"),
        *("--log-level", "error"),
        "--disable-hot-restart",
    ]
    process = processes.spawn(command, processes.home / f"{name}.log")
    return _ready(Contender(name, port, (process.pid,)))


def envoy_of_sidecar(
    processes: Processes, etcd: EtcdClient, name: str, options: str = ""
) -> Contender:
    """The outbound listener of a sidecar's Envoy, which forwards to the service `HOST`."""
    sidecar = processes.sidecar(name, etcd.endpoint, options)
    _wait(sidecar.port, HOST, name)
    return Contender(name, sidecar.port, (sidecar.envoy_pid(),))


def two_sidecars(processes: Processes, etcd: EtcdClient, upstream: int) -> Contender:
    """From one sidecar's Envoy to another's, before the server: a service that the second one registers."""
    inbound = free_port()
    options = (
        f'address = "127.0.0.1"\n[[workloads]]\nservice = "{PEER}"\n[[workloads.ports]]\nnumber = 80\n'
        f"app_port = {upstream}\ninbound_port = {inbound}\n"
    )
    behind = processes.sidecar("behind", etcd.endpoint, options)
    before = processes.sidecar("before", etcd.endpoint)
    _wait(before.port, PEER, "two sidecars")
    pids = (before.envoy_pid(), behind.envoy_pid())
    return Contender("two_sidecars", before.port, pids, host=PEER)


def two_bare_envoys(processes: Processes, upstream: int, access_log: Iterable[Any]) -> Contender:
    """The same with two Envoys configured by hand."""
    loggers = list(access_log)
    behind = bare_envoy(processes, "bare_behind", upstream, loggers)
    before = bare_envoy(processes, "bare_before", behind.port, loggers)
    return Contender("two_bare_envoys", before.port, before.pids + behind.pids)


def counting() -> list[Any]:
    """The logger by which our Envoys count requests, for one that is configured by hand."""
    made = http_access_logs(CompileOptions(telemetry=Telemetry(metrics=True)))
    loggers = [MessageToDict(one, preserving_proto_field_name=True) for one in made]
    for logger in loggers:
        # Our copy of Envoy's messages does not know the scope that ours have; Envoy wants one of the two.
        logger["typed_config"]["stat_prefix"] = "requests"
    return loggers


def publish_service(etcd: EtcdClient, upstream: int) -> None:
    """The service `HOST` with one endpoint, a rule and a route."""
    metadata = {"name": "probe", "namespace": "default"}
    port = {"number": 80, "name": "http", "protocol": "HTTP", "targetPort": upstream}
    route = [{"destination": {"host": HOST}}]
    specs: dict[str, dict[str, Any]] = {
        "ServiceEntry": {
            "hosts": [HOST],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "ports": [port],
            "endpoints": [{"address": "127.0.0.1"}],
        },
        "VirtualService": {"hosts": [HOST], "http": [{"route": route}]},
    }
    for kind, spec in specs.items():
        plural = {"ServiceEntry": "serviceentries", "VirtualService": "virtualservices"}[kind]
        document = {
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": metadata,
            "spec": spec,
        }
        etcd.put(f"{PREFIX}ns/default/{plural}/probe", encode(document))


def _bare(port: int, upstream: int, access_log: list[Any]) -> dict[str, Any]:
    extensions = "type.googleapis.com/envoy.extensions.filters"
    router = {"@type": f"{extensions}.http.router.v3.Router"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}
    manager = {
        "@type": f"{extensions}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "access_log": access_log,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        "route_config": {"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": [route]}]},
    }
    chain = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }
    endpoint = {"endpoint": {"address": _at(upstream)}}
    cluster = {
        "name": "app",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"name": "in", "address": _at(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _at(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _nginx(processes: Processes, name: str, http: str) -> int:
    home = processes.home / name
    home.mkdir()
    config = home / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {home}/pid; error_log {home}/error.log; "
        "events { worker_connections 4096; } http { access_log off; keepalive_requests 1000000000; "
        f"client_body_temp_path {home}/a; proxy_temp_path {home}/b; fastcgi_temp_path {home}/c; "
        f"uwsgi_temp_path {home}/d; scgi_temp_path {home}/e; {http} }}\n",
        encoding="utf-8",
    )
    command = [need("nginx", "nginx-light"), "-c", str(config)]
    return processes.spawn(command, processes.home / f"{name}.log").pid


def _ready(contender: Contender) -> Contender:
    _wait(contender.port, contender.host, contender.name)
    return contender


def _wait(port: int, host: str, name: str) -> None:
    """Until a host is answered there with 200."""
    asker = Asker(port, START_S)
    wait_for(f"{name}'s first answer", lambda: asker.asked(host)[0] == 200, START_S)
    asker.close()
