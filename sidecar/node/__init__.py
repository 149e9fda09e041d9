"""One host's part of the mesh, as one pure machine: snapshots and Envoy's answers in, desired state out."""
