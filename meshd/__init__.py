"""What a person uses: the command line, analysis across objects, the demo mesh.

Imports `store` and the pure cores of `sidecar`, never `sidecar.agent`.
"""
