"""Benches: what meshd costs and how fast it is, measured on real processes.

Each bench is a module with `NAME`, `SUMMARY`, `add_options(parser)` and `run(options) -> Report`; `bench.__main__`
lists and runs them. Nothing here is imported by the product.
"""
