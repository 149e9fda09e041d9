"""What the mesh is told and where it is kept: objects, validation, the etcd layout and client, the Mirror.

Imports nothing of the other packages. Modules outside `store.etcd` are pure: values in, values out.
"""
