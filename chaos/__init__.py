"""Fault tests on real processes in network namespaces (to come)."""
