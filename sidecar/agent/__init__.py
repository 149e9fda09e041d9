"""SHELL: the daemon `meshd-sidecar`. Moves bytes between the world and the pure cores, owns the nursery.

Nothing here decides about the mesh; that is `sidecar.node` and the cores it is made of.
"""
