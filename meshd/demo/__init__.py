"""The demo mesh: an etcd, sidecars with Envoys, a few services, and a walk through what they can do."""
