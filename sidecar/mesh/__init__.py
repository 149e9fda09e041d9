"""The mesh as this host's workloads see it: names, visibility, services, endpoints, policies.

Pure. `Mesh` is the indexed whole, the next one derived from the last at the cost of what changed; `View` is
what one workload context may see of it.
"""
