"""Relay: configuration from peers, for a host that etcd is out of reach of. Pure."""
