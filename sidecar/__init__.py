"""Everything that runs on a host: mesh model, routing table, balancer, xDS compiler and session, agent.

Imports `store` only. Modules outside `sidecar.agent` are pure: values in, values out.
"""
