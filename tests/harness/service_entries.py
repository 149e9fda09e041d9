"""ServiceEntries of servers on loopback, for tests in which real requests reach them."""

from __future__ import annotations

__all__ = ["service"]


def service(
    name: str,
    *endpoints: tuple[int | str, str],
    port: int | str = 9080,
    protocol: str = "HTTP",
    more: str = "",
) -> str:
    """A ServiceEntry `<name>.default.svc.cluster.local`, in YAML.

    Args:
        name: Of the object, and of the service in namespace `default`.
        endpoints: (port on loopback, label `version`) of each; a text stands for a port that is filled in later.
        port: Of the service.
        protocol: Of that port.
        more: Lines that follow: more of the entry's `spec`, indented by two, or more documents.
    """
    listed = ", ".join(
        f"{{address: 127.0.0.1, ports: {{p: {number}}}, labels: {{version: {version}}}}}"
        for number, version in endpoints
    )
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.default.svc.cluster.local]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{{number: {port}, name: p, protocol: {protocol}}}]
  endpoints: [{listed}]
{more}
"""
